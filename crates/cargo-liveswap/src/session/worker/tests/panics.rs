//! A panic in the worker's thread left the session compiling for ever.

use super::*;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;

const LONG: Duration = Duration::from_secs(10);

/// The worker in its thread, with a queue of jobs.
struct Running {
    dir: tempfile::TempDir,
    jobs: Sender<Job<()>>,
    events: Receiver<Event<()>>,
    thread: JoinHandle<()>,
    hello: Hello,
}

impl Running {
    fn new(adjust: impl FnOnce(&mut Planning)) -> Running {
        let mut bench = Bench::new();
        if let Ok(engine) = bench.worker.engine.get() {
            adjust(engine);
        }
        let hello = bench.hello();
        let Bench {
            dir,
            mut worker,
            events,
        } = bench;
        let (jobs, to_do) = channel();
        Running {
            dir,
            jobs,
            events,
            thread: std::thread::spawn(move || drop(worker.run(&to_do))),
            hello,
        }
    }

    fn save(&self, text: &str) {
        let path = self.dir.path().join("a.rs");
        fs::write(&path, text).unwrap();
        let batch = Batch::new([path].into(), SystemTime::now());
        let (hello, cancel) = (Ok(self.hello.clone()), CancelToken::new());
        self.jobs
            .send(Job::Changed {
                batch,
                hello,
                cancel,
            })
            .unwrap();
    }

    /// What came of the last job.
    fn outcome(&self) -> Done<()> {
        loop {
            match self.events.recv_timeout(LONG) {
                Ok(Event::Worker(Done::Begun(_))) => {}
                Ok(Event::Worker(done)) => return done,
                other => panic!("{other:?}"),
            }
        }
    }

    fn ends(self) {
        drop(self.jobs);
        self.thread.join().expect("the worker's thread lives on");
    }
}

/// The words of a refusal for which liveswap itself is to blame.
fn refused(done: Done<()>) -> String {
    match done {
        Done::Planned {
            outcome: Outcome::Refused { code, message },
            ..
        } => {
            assert_eq!(code, "LS0014");
            message
        }
        other => panic!("{other:?}"),
    }
}

fn is_patch(done: &Done<()>) -> bool {
    let Done::Planned { outcome, .. } = done else {
        return false;
    };
    matches!(outcome, Outcome::Patch(_))
}

#[test]
fn a_panic_in_a_compilation_left_the_session_compiling_for_ever() {
    let running = Running::new(|_| {});
    running.save("break build");
    let done = running.outcome();
    assert!(
        matches!(&done, Done::Failed(BuildError::Internal(words)) if words == "broken build"),
        "{done:?}"
    );
    running.save("2");
    assert!(is_patch(&running.outcome()));
    // Dependents, too.
    let (hello, cancel) = (Ok(running.hello.clone()), CancelToken::new());
    running.jobs.send(Job::Deferred { hello, cancel }).unwrap();
    assert!(matches!(
        running.outcome(),
        Done::Failed(BuildError::Internal(_))
    ));
    running.save("3");
    assert!(is_patch(&running.outcome()));
    running.ends();
}

#[test]
fn the_build_side_is_told_that_it_may_be_half_changed() {
    let mut bench = Bench::new();
    bench.write("a.rs", "break build");
    let batch = bench.batch(&["a.rs"]);
    let (hello, cancel) = (bench.hello(), CancelToken::new());
    let worker = &mut bench.worker;
    worker.report(|it| it.changed(&batch, Ok(&hello), &cancel));
    assert!(worker.build.broke_down);
}

#[test]
fn a_panic_in_a_comparison_left_the_session_compiling_for_ever() {
    let running = Running::new(|engine| engine.breaks_in_plan = true);
    running.save("2");
    let words = refused(running.outcome());
    assert!(words.contains("broken plan"), "{words}");
    running.save("3");
    assert!(is_patch(&running.outcome()));
    running.ends();
}

/// The process has the code then, and the engine does not know: a patch on top of it would be wrong.
#[test]
fn after_a_panic_in_a_commit_nothing_is_planned_on_what_is_not_known() {
    let running = Running::new(|engine| engine.breaks_in_commit = true);
    running.save("2");
    assert!(is_patch(&running.outcome()));
    running.jobs.send(Job::Commit(())).unwrap();
    match running.events.recv_timeout(LONG) {
        Ok(Event::Problem(words)) => assert!(words.contains("after a restart"), "{words}"),
        other => panic!("{other:?}"),
    }
    running.save("3");
    let words = refused(running.outcome());
    assert!(words.contains("broken commit"), "{words}");
    running.ends();
}
