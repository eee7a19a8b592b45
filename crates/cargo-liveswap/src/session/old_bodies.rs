//! Functions that go on in their old bodies after a swap: those on a stack at two looks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use liveswap_protocol::message::Frame;

use super::parts::OldBody;

/// Between the two looks.
pub const BETWEEN: Duration = Duration::from_secs(1);
/// More threads than this are counted, not listed.
const THREADS_LISTED: usize = 3;

/// What to ask the run-time about.
pub fn ranges(bodies: &[OldBody]) -> Vec<(u64, u64)> {
    bodies.iter().map(|body| (body.start, body.len)).collect()
}

/// A message for each function that was seen both times at the same place of the same stack.
pub fn still_running(bodies: &[OldBody], first: &[Frame], second: &[Frame]) -> Vec<String> {
    let place = |frame: &Frame| (frame.thread, frame.stack_address, frame.address);
    let seen: BTreeSet<_> = first.iter().map(place).collect();
    let mut threads: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for frame in second.iter().filter(|frame| seen.contains(&place(frame))) {
        if let Some(body) = bodies.get(frame.range as usize) {
            threads.entry(&body.name).or_default().insert(frame.thread);
        }
    }
    let message = |(name, threads): (&str, BTreeSet<u32>)| {
        let list: Vec<String> = threads.iter().map(u32::to_string).collect();
        let threads = match list.as_slice() {
            [one] => format!("thread {one}"),
            few if few.len() <= THREADS_LISTED => format!("threads {}", few.join(", ")),
            many => format!("{} threads", many.len()),
        };
        format!("`{name}` may go on in its old body on {threads} until it returns")
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
    fn only_what_stays_is_named() {
        let bodies = [body("app::run"), body("app::tick")];
        let first = [frame(0, 7, 100), frame(1, 7, 50)];
        let second = [frame(0, 7, 100), frame(1, 7, 40)];
        assert_eq!(
            still_running(&bodies, &first, &second),
            ["`app::run` may go on in its old body on thread 7 until it returns"]
        );
        assert!(still_running(&bodies, &first, &[]).is_empty());
    }

    #[test]
    fn many_threads_are_one_message() {
        let frames: Vec<Frame> = (1..=8).map(|thread| frame(0, thread, 100)).collect();
        assert_eq!(
            still_running(&[body("work")], &frames, &frames),
            ["`work` may go on in its old body on 8 threads until it returns"]
        );
    }
}
