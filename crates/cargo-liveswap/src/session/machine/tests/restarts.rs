//! Restarts: when they are prepared, when they happen, and what keeps them from it.

use super::*;
use crate::session::listeners::Listener;
use signal_hook::consts::{SIGKILL, SIGTERM};

fn refused() -> Done<u32> {
    planned(Outcome::Refused {
        code: "LS0001".into(),
        message: "S".into(),
    })
}

impl Bench {
    /// A save is refused.
    fn refuse(&mut self) {
        self.save(&["a.rs"]);
        self.job();
        self.worker(begun(&["a.rs"]));
        self.worker(refused());
    }

    /// The worker has to link; whether what the compiler says is shown.
    #[track_caller]
    fn links(&self) -> (bool, CancelToken) {
        match self.jobs.try_recv() {
            Ok(Job::Link {
                batch: None,
                shown,
                cancel,
            }) => (shown, cancel),
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn has_no_job(&self) {
        if let Ok(job) = self.jobs.try_recv() {
            panic!("{job:?}");
        }
    }

    fn asks(&mut self) -> Receiver<Answer> {
        let (answers, answer) = channel();
        self.happens(Event::Control(Request::Restart, answers));
        answer
    }

    /// The new program takes the place of the old one, which ends in time.
    #[track_caller]
    fn restarts(&mut self) -> Heritage {
        assert!(matches!(self.jobs.try_recv(), Ok(Job::PutInPlace)));
        assert!(self.signals.try_recv().is_err());
        self.worker(Done::InPlace);
        assert_eq!(self.signals.try_recv(), Ok(SIGTERM));
        let end = ExitStatus::from_raw(SIGTERM);
        assert_eq!(self.happens(Event::Ended(end)), Some(Over::Restart));
        let machine = std::mem::replace(&mut self.machine, Bench::new().machine);
        machine.leave()
    }
}

#[test]
fn what_waits_is_linked_ahead_and_started_when_somebody_asks() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.refuse();
    // Not at once: another save may follow.
    bench.has_no_job();
    assert_eq!(bench.machine.deadline(), Some(bench.now + IDLE));
    bench.passes(IDLE);
    let (shown, _) = bench.links();
    assert!(!shown);
    bench.worker(Done::Linked);
    bench.has_no_job();
    let answer = bench.asks();
    let heritage = bench.restarts();
    assert_eq!((heritage.restarts, heritage.waiting.len()), (1, 1));
    assert_eq!(
        bench.names(),
        ["started", "change", "refused", "restarting"]
    );
    assert!(answer.try_recv().is_err(), "it does not run yet");
}

/// What a build script that writes sources does: each link is followed by a save.
#[test]
fn links_in_the_background_that_make_each_other_out_of_date_become_rare() {
    for mode in [Mode::Ask, Mode::Auto] {
        let mut bench = Bench::started_with(mode);
        bench.refuse();
        let mut waited = Vec::new();
        for _ in 0..8 {
            let mut delay = Duration::ZERO;
            let cancel = loop {
                match bench.jobs.try_recv() {
                    Ok(Job::Link { cancel, .. }) => break cancel,
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => {
                        let at = bench.machine.deadline().expect("it waits for a link");
                        delay += at - bench.now;
                        bench.passes(at - bench.now);
                    }
                }
            };
            waited.push(delay);
            bench.save(&["generated.rs"]);
            assert!(cancel.is_cancelled());
            bench.worker(Done::Failed(BuildError::Cancelled));
            bench.job();
            bench.worker(begun(&["generated.rs"]));
            bench.worker(refused());
        }
        assert!(waited.is_sorted(), "{waited:?}");
        assert!(waited[7] >= 64 * IDLE, "{waited:?}");
    }
}

#[test]
fn what_its_own_link_writes_does_not_put_off_a_restart_that_somebody_waits_for() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.refuse();
    let answer = bench.asks();
    let (_, cancel) = bench.links();
    bench.save(&["generated.rs"]);
    assert!(!cancel.is_cancelled());
    bench.worker(Done::Linked);
    let heritage = bench.restarts();
    assert!(heritage.queue.is_some(), "the next life looks at it");
    assert_eq!(heritage.waiting.len(), 1);
    drop(answer);
}

#[test]
fn who_asked_hears_of_the_start() {
    let mut bench = Bench::started_with(Mode::Ask);
    let answer = bench.asks();
    bench.links();
    bench.worker(Done::Linked);
    let heritage = bench.restarts();
    let about = About {
        pid: 8,
        ..bench.machine.about.clone()
    };
    let (job, _jobs) = channel();
    let mut next: Machine<u32> = Machine::new(
        about,
        heritage,
        Rules::default(),
        job,
        Box::new(TestHands {
            signal: channel().0,
        }),
        bench.now,
    );
    next.handle(Event::AgentConnected(bench.agent_sender.clone()), bench.now);
    assert!(answer.try_recv().is_err());
    next.handle(Event::Agent(FromAgent::Hello(hello())), bench.now);
    let Ok(Answer::Restarted { success: true, .. }) = answer.try_recv() else {
        panic!("no answer");
    };
    let started = bench.reports().pop().unwrap();
    assert_eq!(
        (&started["event"], &started["restart"], &started["pid"]),
        (&"started".into(), &1.into(), &8.into())
    );
}

#[test]
fn auto_restarts_once_after_the_outcome_and_after_newer_saves() {
    let mut bench = Bench::started_with(Mode::Auto);
    bench.refuse();
    let (shown, cancel) = bench.links();
    assert!(shown);
    // The next save comes first, and mends it.
    bench.save(&["a.rs"]);
    assert!(cancel.is_cancelled());
    bench.worker(Done::Failed(BuildError::Cancelled));
    bench.job();
    bench.worker(begun(&["a.rs"]));
    bench.worker(planned(Outcome::Unchanged {
        pending: Vec::new(),
    }));
    bench.has_no_job();
    bench.refuse();
    bench.links();
    bench.worker(Done::Linked);
    bench.restarts();
    let reports = bench.reports();
    let restarting = reports.last().unwrap();
    assert!(
        restarting["reason"]
            .as_str()
            .unwrap()
            .contains("refused: S"),
        "{restarting}"
    );
}

#[test]
fn what_is_pending_beside_a_swap_is_linked_for_and_what_no_restart_changes_is_not() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.save(&["a.rs"]);
    bench.job();
    let mut plan = patch();
    plan.pending = vec!["static `N` keeps its live value".into()];
    bench.worker(planned(Outcome::Patch(plan)));
    bench.passes(ANSWER);
    bench.has_no_job();
    bench.happens(applied(1));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Commit(42))));
    bench.passes(IDLE);
    bench.links();
}

#[test]
fn a_program_that_does_not_end_is_killed_after_its_grace() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.asks();
    bench.links();
    bench.worker(Done::Linked);
    bench.jobs.try_recv().unwrap();
    bench.worker(Done::InPlace);
    assert_eq!(bench.signals.try_recv(), Ok(SIGTERM));
    assert_eq!(bench.machine.deadline(), Some(bench.now + GRACE));
    bench.passes(GRACE);
    assert_eq!(bench.signals.try_recv(), Ok(SIGKILL));
}

/// The old process is asked for its sockets, and has not answered.
fn gathering() -> Bench {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.machine.keep_sockets();
    bench.asks();
    bench.links();
    bench.worker(Done::Linked);
    bench.worker(Done::InPlace);
    assert!(bench.agent.try_iter().any(|it| it == ToAgent::Listeners));
    assert!(bench.signals.try_recv().is_err(), "it still has to answer");
    bench
}

fn listener() -> Listener {
    let socket = std::os::unix::net::UnixDatagram::unbound().unwrap();
    Listener {
        socket: socket.into(),
        address: vec![2, 0],
    }
}

#[test]
fn sockets_are_gathered_before_the_program_is_asked_to_end() {
    let mut bench = gathering();
    bench.happens(Event::Listeners(vec![listener()]));
    assert_eq!(bench.signals.try_recv(), Ok(SIGTERM));
    bench.happens(Event::AgentGone("it closed the connection".into()));
    let end = ExitStatus::from_raw(SIGTERM);
    assert_eq!(bench.happens(Event::Ended(end)), Some(Over::Restart));
    let machine = std::mem::replace(&mut bench.machine, Bench::new().machine);
    assert_eq!(machine.leave().listeners.len(), 1);
}

#[test]
fn a_program_that_does_not_answer_or_ends_by_itself_is_started_anew_all_the_same() {
    let mut bench = gathering();
    bench.passes(Duration::from_secs(1));
    assert_eq!(bench.signals.try_recv(), Ok(SIGTERM));
    // Better late than never.
    bench.happens(Event::Listeners(vec![listener()]));
    assert!(bench.signals.try_recv().is_err());
    let machine = std::mem::replace(&mut bench.machine, Bench::new().machine);
    assert_eq!(machine.leave().listeners.len(), 1);

    let mut bench = gathering();
    bench.happens(Event::AgentGone("it closed the connection".into()));
    let end = ExitStatus::from_raw(0);
    assert_eq!(bench.happens(Event::Ended(end)), Some(Over::Restart));
}

#[test]
fn what_nobody_has_bound_is_given_up_after_a_while() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.machine.restart.has_listeners(true, bench.now);
    bench.passes(Duration::from_secs(29));
    assert!(bench.agent.try_iter().all(|it| it != ToAgent::Release));
    bench.passes(Duration::from_secs(1));
    assert!(bench.agent.try_iter().any(|it| it == ToAgent::Release));
}

#[test]
fn a_user_who_interrupts_a_restart_means_the_session() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.asks();
    bench.links();
    bench.worker(Done::Linked);
    bench.worker(Done::InPlace);
    bench.happens(Event::Signal {
        number: 2,
        to_us_alone: false,
    });
    let end = ExitStatus::from_raw(SIGTERM);
    assert_eq!(bench.happens(Event::Ended(end)), Some(Over::Ended(143)));
}

#[test]
fn a_restart_that_does_not_compile_leaves_the_program_alone() {
    let mut bench = Bench::started_with(Mode::Ask);
    let answer = bench.asks();
    let (shown, _) = bench.links();
    assert!(shown);
    bench.worker(Done::Failed(compile_error()));
    let Ok(Answer::Restarted { success: false, .. }) = answer.try_recv() else {
        panic!("no answer");
    };
    assert_eq!(bench.names(), ["started", "build_failed"]);
    bench.has_no_job();
    assert!(bench.signals.try_recv().is_err());
}

#[test]
fn nobody_saw_why_a_link_in_the_background_failed() {
    let mut bench = Bench::started_with(Mode::Ask);
    bench.refuse();
    bench.passes(IDLE);
    bench.links();
    bench.asks();
    bench.worker(Done::Failed(compile_error()));
    let (shown, _) = bench.links();
    assert!(shown);
}

#[test]
fn never_means_never() {
    let mut bench = Bench::started_with(Mode::Never);
    bench.refuse();
    bench.has_no_job();
    let answer = bench.asks();
    let Ok(Answer::Restarted { success: false, .. }) = answer.try_recv() else {
        panic!("no answer");
    };
    bench.has_no_job();
}

/// A second after a swap, somebody is in the old body of `app::run`. Whether a restart is on its way.
fn restarts_by_itself(new_body_was_called: bool) -> bool {
    let mut bench = Bench::started_with(Mode::Auto);
    bench.save(&["a.rs"]);
    bench.job();
    let mut plan = patch();
    plan.old_bodies = vec![OldBody {
        name: "app::run".into(),
        start: 16,
        len: 32,
    }];
    plan.new_bodies.bodies = vec![crate::session::parts::NewBody {
        name: "app::run".into(),
        symbol: "run".into(),
        words: vec![(8, 100)],
        replaces: true,
    }];
    bench.worker(planned(Outcome::Patch(plan)));
    bench.happens(applied(1));
    bench.passes(old_bodies::DELAY);
    bench.happens(Event::Agent(FromAgent::Hold(vec![!new_body_was_called])));
    bench.happens(Event::Agent(FromAgent::Frames(vec![Frame {
        range: 0,
        thread: 9,
        stack_address: 100,
        address: 20,
        exact: true,
    }])));
    assert_eq!(bench.names().last().unwrap(), "pending");
    bench.passes(IDLE);
    let links = bench.jobs.try_iter().find_map(|job| match job {
        Job::Link { shown, .. } => Some(shown),
        _ => None,
    });
    links.expect("it is linked ahead in any case")
}

#[test]
fn a_loop_that_never_returns_is_a_reason_for_a_restart_and_a_call_that_waits_is_none() {
    assert!(restarts_by_itself(false));
    assert!(!restarts_by_itself(true));
}
