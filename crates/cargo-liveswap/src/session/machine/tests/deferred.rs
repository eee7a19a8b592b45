//! Dependents that were left out of a compilation.

use super::*;

/// The save changes nothing, and leaves dependents out.
fn left_out() -> Done<u32> {
    Done::Planned {
        outcome: Outcome::Unchanged {
            pending: Vec::new(),
        },
        compile: Duration::ZERO,
        diff: Duration::ZERO,
        deferred: true,
    }
}

#[test]
fn dependents_that_were_left_out_are_compiled_when_nothing_happens() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(left_out());
    bench.passes(IDLE);
    let Ok(Job::Deferred { cancel, .. }) = bench.jobs.try_recv() else {
        panic!("no job")
    };
    bench.save(&["b.rs"]);
    assert!(cancel.is_cancelled());
    bench.worker(Done::Failed(BuildError::Cancelled));
    bench.job();
    bench.worker(Done::Same);
    bench.passes(IDLE);
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Deferred { .. })));
    bench.worker(planned(Outcome::Unchanged {
        pending: Vec::new(),
    }));
    bench.passes(IDLE);
    assert!(bench.jobs.try_recv().is_err());
    assert_eq!(bench.names(), ["started", "unchanged", "unchanged"]);
}

#[test]
fn a_save_that_failed_is_not_reported_again_for_dependents_that_were_left_out() {
    let refusal = || {
        planned(Outcome::Refused {
            code: "LS0011".into(),
            message: "gone".into(),
        })
    };
    let full_disk = || Done::Failed(BuildError::Failed("disk".into()));
    for (failure, outcome) in [
        (&refusal as &dyn Fn() -> Done<u32>, "refused"),
        (&full_disk, "build_failed"),
    ] {
        let mut bench = Bench::started();
        bench.save(&["a.rs"]);
        bench.job();
        bench.worker(left_out());
        bench.save(&["a.rs"]);
        bench.job();
        bench.worker(failure());
        bench.passes(2 * IDLE);
        assert!(bench.jobs.try_recv().is_err());
        assert_eq!(bench.names(), ["started", "unchanged", outcome]);
        // With the cure they come, too.
        bench.save(&["a.rs"]);
        bench.job();
        bench.worker(planned(Outcome::Unchanged {
            pending: Vec::new(),
        }));
        bench.passes(IDLE);
        assert!(matches!(bench.jobs.try_recv(), Ok(Job::Deferred { .. })));
    }
}

#[test]
fn a_program_that_is_gone_gets_no_dependents_that_were_left_out() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(left_out());
    bench.happens(Event::AgentGone("it became another program".into()));
    bench.passes(2 * IDLE);
    assert!(bench.jobs.try_recv().is_err());
    assert_eq!(bench.names(), ["started", "unchanged"]);
}
