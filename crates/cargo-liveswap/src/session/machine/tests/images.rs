//! A program that executes itself anew: one process, several images.

use super::*;

impl Bench {
    fn connects(&mut self, hello: Hello) {
        let requests = self.agent_sender.clone();
        self.happens(Event::AgentConnected(requests));
        self.happens(Event::Agent(FromAgent::Hello(hello)));
    }

    fn closes(&mut self) {
        self.happens(Event::AgentGone("it closed the connection".into()));
    }

    /// Code and message of the last report.
    fn last(&self) -> String {
        self.reports().last().unwrap()["message"].to_string()
    }
}

#[test]
fn a_program_that_executed_itself_at_its_start_could_never_be_changed() {
    let mut bench = Bench::started();
    bench.closes();
    // A save in between waits.
    bench.save(&["a.rs"]);
    assert!(bench.jobs.try_recv().is_err());
    let other = Hello {
        bias: 4096,
        ..hello()
    };
    bench.connects(other.clone());
    assert_eq!(bench.names(), ["started", "started"]);
    let Ok(Job::Changed { hello, .. }) = bench.jobs.try_recv() else {
        panic!("no job");
    };
    assert_eq!(hello, Ok(other));
    // Nothing is said of a run-time that is gone.
    bench.passes(GONE);
    assert_eq!(bench.names().len(), 2);
}

#[test]
fn who_waits_for_the_start_of_a_program_that_executed_another_one_waited_for_ever() {
    let mut bench = Bench::new();
    let requests = bench.agent_sender.clone();
    bench.happens(Event::AgentConnected(requests));
    bench.closes();
    bench.passes(GONE);
    assert_eq!(bench.names(), ["started", "pending"]);
    assert_eq!(bench.reports()[0]["modules"].as_array().unwrap().len(), 0);
}

#[test]
fn a_run_time_that_is_gone_was_told_of_only_at_the_next_save() {
    let mut bench = Bench::started();
    bench.closes();
    bench.passes(GONE);
    bench.happens(Event::Problem("x".into()));
    assert_eq!(bench.names(), ["started", "pending"]);
    assert!(
        bench.last().contains("run-time is gone"),
        "{}",
        bench.last()
    );
    // It may come late.
    bench.connects(hello());
    bench.save(&["a.rs"]);
    let job = bench.jobs.try_recv();
    assert!(matches!(job, Ok(Job::Changed { hello: Ok(_), .. })));
}

/// What the session knows is live is not in the new image: a patch on top of it would be wrong.
#[test]
fn after_a_swap_a_new_image_takes_nothing_in_and_that_is_said() {
    for (change_build, words) in [
        (false, "without what went live since"),
        (true, "another one"),
    ] {
        let mut bench = Bench::started();
        if !change_build {
            bench.save(&["a.rs"]);
            bench.job();
            bench.worker(planned(Outcome::Patch(patch())));
            bench.happens(applied(1));
            assert!(matches!(bench.jobs.try_recv(), Ok(Job::Commit(42))));
        }
        bench.closes();
        bench.connects(Hello {
            build_id: vec![1 + u8::from(change_build)],
            ..hello()
        });
        assert_eq!(bench.names().last().unwrap(), "pending");
        assert!(bench.last().contains(words), "{}", bench.last());
        bench.save(&["a.rs"]);
        let Ok(Job::Changed { hello, .. }) = bench.jobs.try_recv() else {
            panic!("no job");
        };
        assert_eq!(hello.unwrap_err().code, Code::NoAnswer);
    }
}

#[test]
fn other_processes_of_the_program_are_told_of_once() {
    let mut bench = Bench::started();
    bench.happens(Event::Copy(8));
    bench.happens(Event::Copy(9));
    assert_eq!(bench.names(), ["started", "pending"]);
    assert!(bench.last().contains("process 8 runs the program, too"));
}
