//! Functions that go on in their old bodies after a swap: those that are still on a stack a while later.
//!
//! New calls run the new body, so a frame that is certainly there is a call from before the swap. What only
//! looks like a frame counts when it is at the same place at a second look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liveswap_object::names;
use liveswap_protocol::message::Frame;

use super::parts::OldBody;

/// From the swap to the look, and from there to a second one.
pub const DELAY: Duration = Duration::from_secs(1);
/// More threads than this are counted, not listed.
const THREADS_LISTED: usize = 3;

/// What to ask the run-time about.
pub fn ranges(bodies: &[OldBody]) -> Vec<(u64, u64)> {
    bodies.iter().map(|body| (body.start, body.len)).collect()
}

/// What a look tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// For each function that goes on in its old body.
    pub messages: Vec<String>,
    /// There may be more: it takes a second look.
    pub again: bool,
}

/// What the frames of a look tell; `earlier` has those of the first look, if this is the second.
pub fn tell(bodies: &[OldBody], earlier: Option<&[Frame]>, frames: &[Frame]) -> Told {
    let call = |frame: &Frame| (frame.range, frame.thread);
    let place = |frame: &Frame| {
        (
            frame.range,
            frame.thread,
            frame.stack_address,
            frame.address,
        )
    };
    let exact = |frames: &[Frame]| -> BTreeSet<_> {
        let exact = frames.iter().filter(|frame| frame.exact);
        exact.map(call).collect()
    };
    let told = exact(earlier.unwrap_or_default());
    let mut certain = exact(frames);
    let known: BTreeSet<_> = told.union(&certain).copied().collect();
    certain.retain(|call| !told.contains(call));
    let uncertain = || {
        let uncertain = frames.iter().filter(|frame| !frame.exact);
        uncertain.filter(|frame| !known.contains(&call(frame)))
    };
    let seen: BTreeSet<_> = earlier.unwrap_or_default().iter().map(place).collect();
    let stayed = uncertain().filter(|frame| seen.contains(&place(frame)));
    let stayed = stayed.map(call).collect();
    let mut messages = messages(bodies, &certain, "goes on");
    messages.extend(self::messages(bodies, &stayed, "may go on"));
    Told {
        messages,
        again: earlier.is_none() && uncertain().next().is_some(),
    }
}

/// A message for each function, with all its threads. What came with the language is named where it is all there is.
fn messages(bodies: &[OldBody], calls: &BTreeSet<(u32, u32)>, goes_on: &str) -> Vec<String> {
    let mut threads: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    let calls = calls.iter();
    let calls = calls.filter_map(|(range, thread)| Some((bodies.get(*range as usize)?, *thread)));
    let own = calls
        .clone()
        .filter(|(body, _)| !names::is_of_std(&body.name));
    let with_own: BTreeSet<u32> = own.map(|(_, thread)| thread).collect();
    for (body, thread) in calls {
        if !names::is_of_std(&body.name) || !with_own.contains(&thread) {
            threads.entry(&body.name).or_default().insert(thread);
        }
    }
    let message = |(name, threads): (&str, BTreeSet<u32>)| {
        let list: Vec<String> = threads.iter().map(u32::to_string).collect();
        let threads = match list.as_slice() {
            [one] => format!("thread {one}"),
            few if few.len() <= THREADS_LISTED => format!("threads {}", few.join(", ")),
            many => format!("{} threads", many.len()),
        };
        format!("`{name}` {goes_on} in its old body on {threads} until it returns")
    };
    threads.into_iter().map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(range: u32, thread: u32, stack_address: u64) -> Frame {
        Frame {
            range,
            thread,
            stack_address,
            address: 0x1000 + u64::from(range),
            exact: false,
        }
    }

    fn exact(range: u32, thread: u32) -> Frame {
        Frame {
            exact: true,
            ..frame(range, thread, 8)
        }
    }

    fn body(name: &str) -> OldBody {
        OldBody {
            name: name.into(),
            start: 0x1000,
            len: 16,
        }
    }

    #[test]
    fn of_what_looks_like_a_frame_only_what_stays_is_named() {
        let bodies = [body("app::run"), body("app::tick")];
        let first = [frame(0, 7, 100), frame(1, 7, 50)];
        let second = [frame(0, 7, 100), frame(1, 7, 40)];
        let told = tell(&bodies, None, &first);
        assert!(told.messages.is_empty() && told.again);
        let told = tell(&bodies, Some(&first), &second);
        assert_eq!(
            told.messages,
            ["`app::run` may go on in its old body on thread 7 until it returns"]
        );
        assert!(!told.again);
        assert_eq!(tell(&bodies, Some(&first), &[]), Told::default());
    }

    #[test]
    fn a_frame_that_is_certainly_there_is_told_at_once_and_once() {
        let bodies = [body("app::run"), body("app::tick")];
        let first = [exact(0, 7), frame(1, 8, 50)];
        let told = tell(&bodies, None, &first);
        assert_eq!(
            told.messages,
            ["`app::run` goes on in its old body on thread 7 until it returns"]
        );
        assert!(told.again);
        // The second look is about the other function; a thread that ran at the first is new.
        let second = [exact(0, 7), frame(1, 8, 50), exact(0, 9)];
        assert_eq!(
            tell(&bodies, Some(&first), &second).messages,
            [
                "`app::run` goes on in its old body on thread 9 until it returns",
                "`app::tick` may go on in its old body on thread 8 until it returns"
            ]
        );
        // Words of a function that is known to be there say nothing more.
        let told = tell(&bodies, None, &[exact(0, 7), frame(0, 7, 60)]);
        assert!(!told.again);
    }

    #[test]
    fn many_threads_are_one_message() {
        let frames: Vec<Frame> = (1..=8).map(|thread| exact(0, thread)).collect();
        assert_eq!(
            tell(&[body("work")], None, &frames).messages,
            ["`work` goes on in its old body on 8 threads until it returns"]
        );
    }
}
