//! The session outlives a program that crashes, if somebody sits there.

use super::*;

const PANICKED: i32 = 101 << 8;
const SEGV: i32 = 11;

/// The program has crashed while a person sat there.
fn crashed(status: i32) -> Bench {
    let mut bench = Bench::with_rules(Mode::Ask, true).greeted();
    let end = Event::Ended(ExitStatus::from_raw(status));
    assert_eq!(bench.happens(end), None);
    bench.happens(Event::AgentGone("it closed the connection".into()));
    bench
}

impl Bench {
    /// The worker has to look whether a save is one, and to link then.
    #[track_caller]
    fn builds(&self) -> CancelToken {
        match self.jobs.try_recv() {
            Ok(Job::Link {
                batch: Some(_),
                shown: true,
                cancel,
            }) => cancel,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_panic_is_told_with_its_place_and_the_next_save_starts_the_program() {
    let mut bench = crashed(PANICKED);
    assert_eq!(bench.signals.try_recv(), Ok(RESTORED));
    let crashed = &bench.reports()[1];
    let expected = serde_json::json!({
        "event": "crashed", "code": 101, "function": "app::run", "line": "src/main.rs:7",
        "generation": 0, "waits": true, "t_ms": crashed["t_ms"],
    });
    assert_eq!(*crashed, expected);
    bench.save(&["a.rs"]);
    bench.builds();
    bench.worker(begun(&["a.rs"]));
    bench.worker(Done::Failed(compile_error()));
    // Not again before something is saved.
    assert!(bench.jobs.try_recv().is_err());
    bench.save(&["a.rs"]);
    bench.builds();
    bench.worker(begun(&["a.rs"]));
    bench.worker(Done::Linked);
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::PutInPlace)));
    let over = bench.happens(Event::Worker(Done::InPlace));
    assert_eq!(over, Some(Over::Restart));
    assert!(
        bench.signals.try_recv().is_err(),
        "nobody is there to get one"
    );
    assert_eq!(
        bench.names(),
        [
            "started",
            "crashed",
            "change",
            "build_failed",
            "change",
            "restarting"
        ]
    );
}

#[test]
fn a_save_that_is_none_and_one_that_comes_too_soon() {
    let mut bench = crashed(SEGV);
    assert_eq!(bench.reports()[1]["signal"], 11);
    bench.save(&["notes.txt"]);
    bench.builds();
    bench.worker(Done::Irrelevant);
    assert!(bench.jobs.try_recv().is_err());
    bench.save(&["a.rs"]);
    let cancel = bench.builds();
    bench.worker(begun(&["a.rs"]));
    bench.save(&["b.rs"]);
    assert!(cancel.is_cancelled());
    bench.worker(Done::Failed(BuildError::Cancelled));
    bench.builds();
}

#[test]
fn whoever_asks_for_a_restart_or_a_swap_gets_the_program_back() {
    for request in [Request::Restart, Request::Swap] {
        let mut bench = crashed(SEGV);
        let (answers, answer) = channel();
        bench.happens(Event::Control(request, answers));
        assert!(matches!(bench.jobs.try_recv(), Ok(Job::Link { .. })));
        bench.worker(begun(&[]));
        bench.worker(Done::Linked);
        assert!(matches!(bench.jobs.try_recv(), Ok(Job::PutInPlace)));
        let over = bench.happens(Event::Worker(Done::InPlace));
        assert_eq!(over, Some(Over::Restart));
        let heritage = std::mem::replace(&mut bench.machine, Bench::new().machine).leave();
        let is_restart = request == Request::Restart;
        assert_eq!(heritage.waiting.len(), usize::from(is_restart));
        assert_eq!(answer.try_recv().is_ok(), !is_restart);
    }
}

#[test]
fn an_interrupt_ends_a_session_without_a_program() {
    let mut bench = crashed(SEGV);
    let interrupt = Event::Signal {
        number: 2,
        to_us_alone: false,
    };
    assert_eq!(bench.happens(interrupt), Some(Over::Ended(139)));
    assert_eq!(bench.names(), ["started", "crashed", "exited"]);
}

#[test]
fn what_is_no_crash_ends_the_session() {
    for (status, code) in [(0, 0), (3 << 8, 3), (15, 143), (2, 130)] {
        let mut bench = Bench::with_rules(Mode::Ask, true).greeted();
        let end = Event::Ended(ExitStatus::from_raw(status));
        assert_eq!(bench.happens(end), Some(Over::Ended(code)));
        assert_eq!(bench.names(), ["started", "exited"]);
    }
    // And where nobody sits, everything does.
    let mut bench = Bench::started();
    let end = Event::Ended(ExitStatus::from_raw(PANICKED));
    assert_eq!(bench.happens(end), Some(Over::Ended(101)));
    assert_eq!(bench.names(), ["started", "exited"]);
}

#[test]
fn a_patch_that_was_on_its_way_to_a_program_that_crashed_is_settled() {
    let mut bench = Bench::with_rules(Mode::Ask, true).greeted();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(planned(Outcome::Patch(patch())));
    bench.happens(Event::Ended(ExitStatus::from_raw(SEGV)));
    bench.happens(Event::AgentGone("it closed the connection".into()));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Abandon(42))));
    bench.save(&["a.rs"]);
    bench.builds();
    for _ in 0..3 {
        bench.passes(ANSWER);
    }
    assert_eq!(bench.names(), ["started", "crashed", "refused"]);
}
