//! Which functions were called: what the program is asked, and what is told.

use super::*;
use crate::session::calls::Called;
use crate::session::parts::{FromMain, NewBodies, NewBody};

fn body(name: &str, word: u64) -> NewBody {
    NewBody {
        name: name.into(),
        symbol: name.into(),
        words: vec![(word, word + 1000)],
        replaces: true,
    }
}

/// A swap that replaces `app::a` and `app::b`.
fn swapped() -> Bench {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    let _ = bench.job();
    let mut plan = patch();
    plan.new_bodies = NewBodies {
        bodies: vec![body("app::a", 8), body("app::b", 16)],
        words: vec![8, 16],
    };
    bench.worker(planned(Outcome::Patch(plan)));
    bench.happens(applied(1));
    assert!(matches!(bench.jobs.try_recv(), Ok(Job::Commit(42))));
    bench
}

/// What the program was asked since the last call, patches apart.
fn asked(bench: &Bench) -> Vec<ToAgent> {
    let is_other = |it: &ToAgent| !matches!(it, ToAgent::Apply(_));
    bench.agent.try_iter().filter(is_other).collect()
}

fn hold(holds: &[bool]) -> Event<u32> {
    Event::Agent(FromAgent::Hold(holds.to_vec()))
}

fn status(bench: &mut Bench) -> Receiver<Answer> {
    let (answers, answer) = channel();
    bench.happens(Event::Control(Request::Status, answers));
    answer
}

fn calls(answer: &Receiver<Answer>) -> Vec<Called> {
    match answer.try_recv() {
        Ok(Answer::Status { calls, .. }) => calls,
        other => panic!("{other:?}"),
    }
}

fn called(function: &str, called: bool) -> Called {
    Called {
        function: function.into(),
        called,
    }
}

#[test]
fn first_calls_are_told_a_while_after_the_swap_and_when_status_asks() {
    let mut bench = swapped();
    assert!(asked(&bench).is_empty());
    bench.passes(old_bodies::DELAY);
    let both = ToAgent::Hold(vec![(8, 1008), (16, 1016)]);
    assert_eq!(asked(&bench), [both]);
    bench.happens(hold(&[true, false]));
    assert_eq!(bench.names(), ["started", "swapped", "called"]);
    let event = &bench.reports()[2];
    assert_eq!(event["generation"], 1);
    assert_eq!(event["functions"], serde_json::json!(["app::b"]));
    bench.passes(10 * old_bodies::DELAY);
    assert!(asked(&bench).is_empty(), "it is not asked for ever");

    let answer = status(&mut bench);
    assert!(answer.try_recv().is_err(), "the program is asked first");
    assert_eq!(asked(&bench), [ToAgent::Hold(vec![(8, 1008)])]);
    bench.happens(hold(&[false]));
    assert_eq!(
        calls(&answer),
        [called("app::a", true), called("app::b", true)]
    );
    assert_eq!(bench.names(), ["started", "swapped", "called", "called"]);
    // All is known.
    assert_eq!(calls(&status(&mut bench)).len(), 2);
    assert!(asked(&bench).is_empty());
}

#[test]
fn status_does_not_wait_for_a_program_that_is_stopped() {
    let mut bench = swapped();
    let answer = status(&mut bench);
    assert!(answer.try_recv().is_err());
    let wait = bench.machine.deadline().unwrap() - bench.now;
    bench.passes(wait);
    assert_eq!(
        calls(&answer),
        [called("app::a", false), called("app::b", false)]
    );
}

#[test]
fn status_is_answered_when_the_run_time_goes() {
    let mut bench = swapped();
    let answer = status(&mut bench);
    bench.happens(Event::AgentGone("it ended".into()));
    assert!(calls(&answer).is_empty());
}

fn from_main(symbol: &str, returns: u64) -> FromMain {
    FromMain {
        symbol: symbol.into(),
        main: (100, 50),
        returns,
    }
}

fn main_at(address: u64, exact: bool) -> Event<u32> {
    Event::Agent(FromAgent::Frames(vec![Frame {
        range: 0,
        thread: 7,
        stack_address: 1,
        address,
        exact,
    }]))
}

/// `app::a` was not called, and only `main` leads to it by a call that returns to 120.
fn not_called() -> Bench {
    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    asked(&bench);
    bench.happens(hold(&[true, false]));
    match bench.jobs.try_recv() {
        Ok(Job::OnlyFromMain {
            functions, alone, ..
        }) => assert_eq!((functions, alone), (vec!["app::a".into()], false)),
        other => panic!("{other:?}"),
    }
    bench.happens(Event::OnlyFromMain(vec![from_main("app::a", 120)]));
    assert_eq!(asked(&bench), [ToAgent::Frames(vec![(100, 50)])]);
    bench
}

#[test]
fn what_main_is_past_is_said_once() {
    let mut bench = not_called();
    bench.happens(main_at(130, true));
    let names = ["started", "swapped", "called", "pending"];
    assert_eq!(bench.names(), names);
    let message = bench.reports()[3]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("`app::a` has not been called since the swap: "));
    // Not again when somebody asks.
    let answer = status(&mut bench);
    bench.happens(hold(&[true]));
    assert_eq!(calls(&answer)[0], called("app::a", false));
    assert!(bench.jobs.try_recv().is_err());
    assert_eq!(bench.names(), names);
}

#[test]
fn what_main_may_still_call_is_not_said() {
    for seen in [main_at(120, true), main_at(110, true), main_at(130, false)] {
        let mut bench = not_called();
        bench.happens(seen);
        assert_eq!(bench.names(), ["started", "swapped", "called"]);
    }
}

#[test]
fn what_was_called_meanwhile_is_not_said() {
    let mut bench = not_called();
    let _answer = status(&mut bench);
    bench.happens(main_at(130, true));
    assert_eq!(bench.names(), ["started", "swapped", "called", "pending"]);

    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    bench.happens(hold(&[true, false]));
    let _answer = status(&mut bench);
    bench.happens(hold(&[false]));
    bench.happens(Event::OnlyFromMain(vec![from_main("app::a", 120)]));
    bench.happens(main_at(130, true));
    assert_eq!(bench.names(), ["started", "swapped", "called", "called"]);
}

#[test]
fn nothing_is_asked_between_a_change_and_its_outcome() {
    let mut bench = swapped();
    bench.save(&["a.rs"]);
    bench.worker(begun(&["a.rs"]));
    bench.passes(old_bodies::DELAY);
    assert!(asked(&bench).is_empty());
    assert_eq!(bench.machine.deadline(), None, "time alone changes nothing");
    bench.worker(Done::Same);
    assert_eq!(asked(&bench).len(), 1);
}
