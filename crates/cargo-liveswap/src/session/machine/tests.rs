//! The machine against a worker, a program and a user that are only channels.

mod bench;
mod calls;
mod crashes;
mod deferred;
mod images;
mod looks;
mod restarts;

use super::*;
use bench::{Bench, RESTORED, TestHands};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};

use crate::model::BuildError;
use crate::model::Diagnostic;
use crate::session::crash::Place;
use crate::session::parts::{Done, ModuleReport, Outcome};
use crate::session::restart::Mode;
use liveswap_protocol::VERSION;
use liveswap_protocol::crash::Kind;
use liveswap_protocol::message::FromAgent;

const GRACE: Duration = Duration::from_secs(2);

fn hello() -> Hello {
    Hello {
        version: VERSION,
        pid: 7,
        build_id: vec![1],
        bias: 0,
        range_start: 0,
        range_len: 0,
        page_size: 4096,
        generation: 0,
        images: String::new(),
    }
}

fn batch(files: &[&str]) -> Batch {
    Batch::new(files.iter().map(PathBuf::from).collect(), SystemTime::now())
}

fn begun(files: &[&str]) -> Done<u32> {
    let now = SystemTime::now();
    Done::Begun(Begun {
        paths: files.iter().map(PathBuf::from).collect(),
        saved: now,
        at: now,
    })
}

fn planned(outcome: Outcome<u32>) -> Done<u32> {
    Done::Planned {
        outcome,
        compile: Duration::from_millis(100),
        diff: Duration::from_millis(1),
        deferred: false,
    }
}

fn patch() -> Box<Planned<u32>> {
    Box::new(Planned {
        patch: vec![1, 2],
        bytes: 2,
        modules: vec![ModuleReport {
            name: "app".into(),
            changed: 1,
            added: 0,
            removed: 0,
        }],
        pending: Vec::new(),
        pending_only: false,
        old_bodies: Vec::new(),
        staying: BTreeSet::new(),
        new_bodies: Default::default(),
        debug_file: None,
        plan: 42,
    })
}

fn applied(generation: u64) -> Event<u32> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Event::Agent(FromAgent::Applied {
        generation,
        apply_us: 100,
        pause_us: 0,
        flipped_at_ns: u64::try_from(now.as_nanos()).unwrap(),
    })
}

fn compile_error() -> BuildError {
    let rendered = "\x1b[31merror\x1b[0m: no".to_owned();
    BuildError::Compile {
        diagnostics: vec![Diagnostic {
            level: "error".into(),
            rendered,
        }],
    }
}

#[test]
fn a_save_goes_live_and_is_reported_once() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    assert_eq!(bench.job().0, BTreeSet::from(["a.rs".into()]));
    bench.worker(begun(&["a.rs"]));
    bench.worker(planned(Outcome::Patch(patch())));
    assert_eq!(bench.agent.try_recv(), Ok(ToAgent::Apply(vec![1, 2])));
    bench.happens(applied(1));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Commit(42))));
    assert_eq!(bench.names(), ["started", "change", "swapped"]);
    let swapped = &bench.reports()[2];
    assert_eq!(swapped["generation"], 1);
    assert_eq!(swapped["ms"]["compile"], 100.0);
    assert!(swapped["ms"]["total"].as_f64().unwrap() >= 0.0);
}

#[test]
fn a_save_before_the_run_time_has_come_waits_for_it() {
    let mut bench = Bench::new();
    bench.save(&["a.rs"]);
    assert!(bench.jobs.try_recv().is_err());
    let requests = bench.agent_sender.clone();
    bench.happens(Event::AgentConnected(requests));
    bench.happens(Event::Agent(FromAgent::Hello(hello())));
    bench.job();
}

#[test]
fn saves_during_a_compilation_stop_it_and_nothing_is_lost() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    let (_, cancel) = bench.job();
    bench.worker(begun(&["a.rs"]));
    bench.save(&["b.rs"]);
    bench.save(&["c.rs"]);
    assert!(cancel.is_cancelled());
    bench.worker(Done::Failed(BuildError::Cancelled));
    let all: BTreeSet<PathBuf> = ["a.rs", "b.rs", "c.rs"].map(PathBuf::from).into();
    assert_eq!(bench.job().0, all);
    bench.worker(begun(&["a.rs", "b.rs", "c.rs"]));
    bench.worker(planned(Outcome::Unchanged {
        pending: Vec::new(),
    }));
    assert_eq!(bench.names(), ["started", "change", "change", "unchanged"]);
    assert!(bench.jobs.try_recv().is_err());
}

#[test]
fn a_compilation_is_not_stopped_for_ever() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    for _ in 0..STOPS_AT_MOST {
        let (_, cancel) = bench.job();
        bench.save(&["a.rs"]);
        assert!(cancel.is_cancelled());
        bench.worker(Done::Failed(BuildError::Cancelled));
    }
    let (_, cancel) = bench.job();
    bench.save(&["b.rs"]);
    assert!(!cancel.is_cancelled());
    bench.worker(begun(&["a.rs"]));
    bench.worker(Done::Same);
    assert_eq!(bench.job().0, BTreeSet::from(["b.rs".into()]));
}

#[test]
fn saves_while_a_patch_is_applied_come_next() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(planned(Outcome::Patch(patch())));
    bench.save(&["b.rs"]);
    assert!(bench.jobs.try_recv().is_err());
    bench.happens(applied(1));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Commit(42))));
    bench.job();
}

#[test]
fn each_failure_is_one_report() {
    let refused = || Outcome::Refused {
        code: "LS0001".into(),
        message: "S".into(),
    };
    let cases: [(Done<u32>, &str); 7] = [
        (Done::Failed(compile_error()), "build_failed"),
        (
            Done::Failed(BuildError::Cargo { status: 101 }),
            "build_failed",
        ),
        (
            Done::Failed(BuildError::Failed("disk".into())),
            "build_failed",
        ),
        (
            Done::Failed(BuildError::NeedsRestart { reason: "r".into() }),
            "refused",
        ),
        (Done::Failed(BuildError::Internal("i".into())), "refused"),
        (planned(refused()), "refused"),
        (
            planned(Outcome::Unchanged {
                pending: vec!["x".into(), "y".into()],
            }),
            "pending",
        ),
    ];
    for (done, name) in cases {
        let mut bench = Bench::started();
        bench.save(&["a.rs"]);
        bench.worker(done);
        assert_eq!(bench.names(), ["started", name]);
    }
}

#[test]
fn diagnostics_have_no_colours_in_the_events_file() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.worker(Done::Failed(compile_error()));
    assert_eq!(bench.reports()[1]["diagnostics"][0], "error: no");
}

#[test]
fn what_was_refused_is_not_unchanged_when_it_is_saved_again() {
    let mut bench = Bench::started();
    let refused = Outcome::Refused {
        code: "LS0001".into(),
        message: "S".into(),
    };
    bench.save(&["a.rs"]);
    bench.worker(planned(refused));
    bench.save(&["a.rs"]);
    bench.worker(Done::Same);
    bench.save(&["a.rs"]);
    bench.worker(planned(Outcome::Unchanged {
        pending: Vec::new(),
    }));
    bench.save(&["a.rs"]);
    bench.worker(Done::Same);
    assert_eq!(
        bench.names(),
        ["started", "refused", "refused", "unchanged", "unchanged"]
    );
}

#[test]
fn a_patch_that_the_program_refuses_is_abandoned() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(planned(Outcome::Patch(patch())));
    let (code, message) = ("LS0105".to_owned(), "far".to_owned());
    bench.happens(Event::Agent(FromAgent::Refused { code, message }));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Abandon(42))));
    assert_eq!(bench.names(), ["started", "refused"]);
}

#[test]
fn a_run_time_that_is_gone_refuses_and_the_program_goes_on() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.job();
    bench.worker(planned(Outcome::Patch(patch())));
    assert_eq!(bench.happens(Event::AgentGone("closed".into())), None);
    assert_eq!(bench.reports()[1]["code"], "LS0011");
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Abandon(42))));
    bench.save(&["a.rs"]);
    bench.passes(GONE);
    assert!(matches!(
        bench.jobs.try_recv(),
        Ok(Job::Changed { hello: Err(_), .. })
    ));
}

#[test]
fn a_program_without_a_run_time_is_started_all_the_same() {
    let mut bench = Bench::new();
    bench.passes(HELLO);
    assert_eq!(bench.names(), ["started"]);
    assert_eq!(bench.reports()[0]["modules"].as_array().unwrap().len(), 0);
    bench.save(&["a.rs"]);
    let Ok(Job::Changed {
        hello: Err(missing),
        ..
    }) = bench.jobs.try_recv()
    else {
        panic!("no job");
    };
    assert_eq!(missing.code, Code::Executable);
}

#[test]
fn a_plan_that_only_waits_is_pending_and_not_swapped() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    let mut plan = patch();
    plan.pending_only = true;
    plan.pending = vec!["`app::main` is called once".into()];
    bench.worker(planned(Outcome::Patch(plan)));
    bench.happens(applied(1));
    assert_eq!(bench.names(), ["started", "pending"]);
}

#[test]
fn a_user_who_asks_for_a_swap_gets_its_outcome() {
    let mut bench = Bench::started();
    let (answers, answer) = channel();
    bench.happens(Event::Control(Request::Swap, answers));
    let Ok(Job::Changed { batch, .. }) = bench.jobs.try_recv() else {
        panic!("no job")
    };
    assert!(batch.rebuild);
    bench.worker(begun(&[]));
    bench.worker(planned(Outcome::Patch(patch())));
    assert!(answer.try_recv().is_err());
    bench.happens(applied(1));
    let Ok(Answer::Swapped {
        success: true,
        outcome,
    }) = answer.try_recv()
    else {
        panic!("another answer");
    };
    assert!(
        outcome.starts_with("generation 1: 1 function in app"),
        "{outcome}"
    );
    let (answers, answer) = channel();
    bench.happens(Event::Control(Request::Status, answers));
    assert!(matches!(
        answer.try_recv(),
        Ok(Answer::Status {
            pid: 7,
            generation: 1,
            functions: 1,
            ..
        })
    ));
}

#[test]
fn only_what_the_program_did_not_get_is_handed_on() {
    let mut bench = Bench::started();
    bench.happens(Event::Signal {
        number: 2,
        to_us_alone: false,
    });
    assert!(bench.signals.try_recv().is_err());
    bench.happens(Event::Signal {
        number: 15,
        to_us_alone: true,
    });
    assert_eq!(bench.signals.try_recv(), Ok(15));
}

#[test]
fn the_end_of_the_program_is_the_end() {
    for (status, code, names) in [
        (3 << 8, 3, ["started", "exited"].as_slice()),
        (11, 139, ["started", "crashed", "exited"].as_slice()),
        (2, 130, ["started", "exited"].as_slice()),
    ] {
        let mut bench = Bench::started();
        bench.save(&["a.rs"]);
        let (_, cancel) = bench.job();
        assert_eq!(
            bench.happens(Event::Ended(ExitStatus::from_raw(status))),
            Some(Over::Ended(code))
        );
        assert!(cancel.is_cancelled());
        assert_eq!(bench.names(), names);
    }
}

#[test]
fn a_program_that_ends_at_once_was_started() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.happens(Event::Ended(ExitStatus::from_raw(0))),
        Some(Over::Ended(0))
    );
    assert_eq!(bench.names(), ["started", "exited"]);
}

#[test]
fn a_program_that_is_stopped_is_reported_and_still_takes_the_change_in() {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.worker(planned(Outcome::Patch(patch())));
    bench.passes(ANSWER);
    bench.happens(applied(1));
    assert_eq!(bench.names(), ["started", "pending", "swapped"]);
}
