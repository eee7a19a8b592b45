//! Looks at the stacks after a swap, and when what they show is told.

use super::*;

fn plan() -> Box<Planned<u32>> {
    let mut plan = patch();
    plan.old_bodies = vec![OldBody {
        name: "app::run".into(),
        start: 16,
        len: 32,
    }];
    plan
}

fn frames(exact: bool) -> Event<u32> {
    Event::Agent(FromAgent::Frames(vec![Frame {
        range: 0,
        thread: 9,
        stack_address: 100,
        address: 20,
        exact,
    }]))
}

/// A swap that replaces a body, after which nothing was looked at yet.
fn swapped() -> Bench {
    let mut bench = Bench::started();
    bench.save(&["a.rs"]);
    bench.worker(planned(Outcome::Patch(plan())));
    bench.happens(applied(1));
    assert!(looks(&bench).is_empty(), "before the time has come");
    bench
}

/// The looks that the program was asked for since the last call.
fn looks(bench: &Bench) -> Vec<ToAgent> {
    let is_look = |it: &ToAgent| matches!(it, ToAgent::Frames(_));
    bench.agent.try_iter().filter(is_look).collect()
}

#[test]
fn a_function_that_stays_in_its_old_body_is_named() {
    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    assert_eq!(looks(&bench), [ToAgent::Frames(vec![(16, 32)])]);
    bench.happens(frames(true));
    assert_eq!(bench.names(), ["started", "swapped", "pending"]);
    let message = bench.reports()[2]["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "`app::run` goes on in its old body on thread 9 until it returns"
    );
    bench.passes(old_bodies::DELAY);
    assert!(looks(&bench).is_empty(), "all is said");
}

#[test]
fn what_only_looks_like_a_frame_is_looked_at_twice() {
    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    assert_eq!(looks(&bench).len(), 1);
    bench.happens(frames(false));
    assert_eq!(bench.names(), ["started", "swapped"]);
    bench.passes(old_bodies::DELAY);
    assert_eq!(looks(&bench).len(), 1);
    bench.happens(frames(false));
    assert_eq!(bench.names(), ["started", "swapped", "pending"]);
    let message = bench.reports()[2]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("may go on in its old body"), "{message}");
    bench.passes(old_bodies::DELAY);
    assert!(looks(&bench).is_empty());
}

#[test]
fn nothing_is_told_of_an_earlier_swap_between_a_change_and_its_outcome() {
    // The look is due while the next save is compiled.
    let mut bench = swapped();
    bench.save(&["a.rs"]);
    bench.worker(begun(&["a.rs"]));
    bench.passes(old_bodies::DELAY);
    assert!(looks(&bench).is_empty());
    assert_eq!(bench.machine.deadline(), None, "time alone changes nothing");
    bench.worker(Done::Same);
    assert_eq!(looks(&bench).len(), 1);
    bench.happens(frames(true));
    let names = ["started", "swapped", "change", "unchanged", "pending"];
    assert_eq!(bench.names(), names);
}

#[test]
fn an_answer_that_comes_after_the_next_change_is_held_back() {
    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    assert_eq!(looks(&bench).len(), 1);
    bench.save(&["a.rs"]);
    bench.worker(begun(&["a.rs"]));
    bench.happens(frames(true));
    // The save is taken up once more, with another file: it has still no outcome.
    bench.save(&["b.rs"]);
    bench.worker(Done::Failed(BuildError::Cancelled));
    bench.worker(begun(&["a.rs", "b.rs"]));
    bench.worker(planned(Outcome::Patch(patch())));
    assert_eq!(
        bench.names(),
        ["started", "swapped", "change", "change"],
        "the program has not taken it in"
    );
    bench.happens(applied(2));
    let names = [
        "started", "swapped", "change", "change", "swapped", "pending",
    ];
    assert_eq!(bench.names(), names);
}

#[test]
fn looks_do_not_pile_up_when_saves_follow_each_other_fast() {
    let mut bench = swapped();
    bench.passes(old_bodies::DELAY);
    assert_eq!(looks(&bench).len(), 1);
    for generation in 2..10 {
        bench.save(&["a.rs"]);
        bench.worker(begun(&["a.rs"]));
        bench.worker(planned(Outcome::Patch(plan())));
        if generation == 2 {
            // The look comes before the patch, so its answer does.
            bench.happens(frames(false));
        }
        bench.happens(applied(generation));
        assert!(looks(&bench).is_empty(), "none is due");
    }
    bench.passes(old_bodies::DELAY);
    assert_eq!(
        looks(&bench),
        [ToAgent::Frames(vec![(16, 32); 8])],
        "what is due is one look"
    );
    assert_eq!(bench.machine.deadline(), None, "one at a time");
    bench.passes(old_bodies::DELAY);
    assert!(looks(&bench).is_empty());
    bench.happens(Event::Agent(FromAgent::Frames(Vec::new())));
    // The second look of the first swap.
    assert_eq!(looks(&bench), [ToAgent::Frames(vec![(16, 32)])]);
}

#[test]
fn a_change_that_is_refused_or_does_not_compile_ends_the_wait_as_well() {
    let refused = || Outcome::Refused {
        code: "LS0001".into(),
        message: "no".into(),
    };
    let failed = || BuildError::Failed("error".into());
    for done in [planned(refused()), Done::Failed(failed())] {
        let mut bench = swapped();
        bench.save(&["a.rs"]);
        bench.worker(begun(&["a.rs"]));
        bench.passes(old_bodies::DELAY);
        assert!(looks(&bench).is_empty());
        bench.worker(done);
        assert_eq!(looks(&bench).len(), 1);
    }
}
