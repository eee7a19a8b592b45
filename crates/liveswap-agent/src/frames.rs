//! Which functions are on the stacks of the program's threads.
//!
//! No thread is stopped. A thread that waits in a system call tells where its stack ends; every word from there to the
//! stack's beginning that looks like a return address counts. So a frame may be reported that
//! is not there any more, and none is missed of a thread that waited all the time.

use std::time::{Duration, Instant};

use liveswap_protocol::message::Frame;

use crate::maps::{self, Mapping};
use crate::sys::{self, stack, threads};

/// How long to try for threads that run.
const PATIENCE: Duration = Duration::from_millis(50);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);
/// The most that is read of one stack.
const LARGEST_STACK: u64 = 64 << 20;

/// Frames of functions in these ranges (start, length) on all stacks but the caller's.
pub fn in_ranges(ranges: &[(u64, u64)]) -> Vec<Frame> {
    let index = Index::new(ranges);
    let deadline = Instant::now() + PATIENCE;
    let mut frames = Vec::new();
    let mut waiting = other_threads();
    loop {
        // Mappings change with the threads.
        let mappings = maps::own().unwrap_or_default();
        let tops = thread_pointers();
        waiting.retain(|thread| match look(*thread, &mappings, &tops, &index) {
            Look::Seen(seen) => {
                frames.extend(seen);
                false
            }
            Look::Gone => false,
            Look::Running => true,
        });
        if waiting.is_empty() || Instant::now() >= deadline {
            return frames;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Where the stacks of the program's threads begin, as far as known.
fn thread_pointers() -> Vec<usize> {
    // Nothing can be allocated while they are given.
    let room = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count) + 1024;
    let mut pointers = Vec::with_capacity(room);
    threads::for_each(|pointer| {
        if pointers.len() < room {
            pointers.push(pointer);
        }
    });
    pointers
}

enum Look {
    Seen(Vec<Frame>),
    Running,
    Gone,
}

fn other_threads() -> Vec<u32> {
    let own = sys::thread_id();
    let Ok(entries) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|thread| *thread != own)
        .collect()
}

/// Looks at one thread: its state is the same before and after its stack is read, or it ran.
fn look(thread: u32, mappings: &[Mapping], tops: &[usize], index: &Index) -> Look {
    let before = match state(thread) {
        Ok(state) => state,
        Err(_) => return Look::Gone,
    };
    let Some((stack_pointer, counter)) = before.as_deref().and_then(waits_at) else {
        return Look::Running;
    };
    let mut frames = Vec::new();
    for range in index.holding(counter) {
        frames.push(Frame {
            range,
            thread,
            stack_address: 0,
            address: counter,
        });
    }
    let end = stack_end(stack_pointer, mappings, tops);
    scan(stack_pointer, end, &mut |stack_address, address| {
        for range in index.returned_to(address) {
            frames.push(Frame {
                range,
                thread,
                stack_address,
                address,
            });
        }
    });
    match state(thread) {
        Ok(after) if after == before => Look::Seen(frames),
        Ok(_) => Look::Running,
        Err(_) => Look::Gone,
    }
}

/// The kernel's line on what a thread does; `None` if it is there but cannot be asked right now.
fn state(thread: u32) -> std::io::Result<Option<String>> {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).map(Some)
}

/// Stack pointer and program counter, the last two words, of a thread that waits.
fn waits_at(state: &str) -> Option<(u64, u64)> {
    let mut words = state.split_ascii_whitespace().rev();
    let mut next = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let counter = next()?;
    Some((next()?, counter))
}

/// Where the stack begins that grew down to `stack_pointer`: a thread's own pointer stands above its
/// stack, in the same mapping; otherwise the mapping's end counts.
fn stack_end(stack_pointer: u64, mappings: &[Mapping], tops: &[usize]) -> u64 {
    let holds = |mapping: &&Mapping| mapping.start <= stack_pointer && stack_pointer < mapping.end;
    let Some(mapping) = mappings.iter().find(holds) else {
        return stack_pointer;
    };
    tops.iter()
        .map(|top| *top as u64)
        .filter(|top| stack_pointer < *top && *top < mapping.end)
        .min()
        .unwrap_or(mapping.end)
        .min(stack_pointer.saturating_add(LARGEST_STACK))
}

/// Gives every aligned word of a stack and its address.
fn scan(from: u64, to: u64, word: &mut dyn FnMut(u64, u64)) {
    let mut buffer = vec![0; 64 * 1024];
    let mut at = from.next_multiple_of(8);
    while at < to {
        let wanted = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let done = stack::read(at, &mut buffer[..wanted]);
        let (words, _) = buffer[..done].as_chunks::<8>();
        for (number, bytes) in words.iter().enumerate() {
            word(at + 8 * number as u64, u64::from_le_bytes(*bytes));
        }
        if words.is_empty() {
            return;
        }
        at += 8 * words.len() as u64;
    }
}

/// Ranges by address. They may overlap: the command gives functions, not a partition.
struct Index {
    /// Start, end and number, by start.
    sorted: Vec<(u64, u64, u32)>,
    /// The longest range.
    longest: u64,
}

impl Index {
    fn new(ranges: &[(u64, u64)]) -> Index {
        let mut sorted: Vec<(u64, u64, u32)> = ranges
            .iter()
            .zip(0..)
            .map(|((start, len), number)| (*start, start.saturating_add(*len), number))
            .collect();
        sorted.sort_unstable();
        let longest = sorted.iter().map(|(start, end, _)| end - start).max();
        Index {
            sorted,
            longest: longest.unwrap_or(0),
        }
    }

    /// Ranges that hold an instruction at this address.
    fn holding(&self, address: u64) -> impl Iterator<Item = u32> {
        self.starting_up_to(address)
            .filter(move |(_, end, _)| address < *end)
            .map(|(_, _, number)| *number)
    }

    /// Ranges with a call that returns to this address: behind the first byte, and at the end too, where
    /// a call that never returns is the last instruction.
    fn returned_to(&self, address: u64) -> impl Iterator<Item = u32> {
        self.starting_up_to(address)
            .filter(move |(start, end, _)| *start < address && address <= *end)
            .map(|(_, _, number)| *number)
    }

    fn starting_up_to(&self, address: u64) -> impl Iterator<Item = &(u64, u64, u32)> {
        let behind = self
            .sorted
            .partition_point(|(start, _, _)| *start <= address);
        self.sorted[..behind]
            .iter()
            .rev()
            .take_while(move |(start, _, _)| address - start <= self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let line = "202 0x7f8 0x189 0x0 0x0 0x0 0xffffffff 0x7ffe10 0x7f8a15\n";
        assert_eq!(waits_at(line), Some((0x7ffe10, 0x7f8a15)));
        assert_eq!(
            waits_at("-1 0x7ffe10 0x7f8a15\n"),
            Some((0x7ffe10, 0x7f8a15))
        );
        assert_eq!(waits_at("running\n"), None);
        assert_eq!(waits_at(""), None);
    }

    #[test]
    fn return_addresses_are_behind_the_first_byte_and_up_to_the_end() {
        let index = Index::new(&[(100, 10), (110, 10), (0, 1000)]);
        let sorted = |found: &mut dyn Iterator<Item = u32>| {
            let mut found: Vec<u32> = found.collect();
            found.sort_unstable();
            found
        };
        assert_eq!(sorted(&mut index.returned_to(100)), [2]);
        assert_eq!(sorted(&mut index.returned_to(101)), [0, 2]);
        assert_eq!(sorted(&mut index.returned_to(110)), [0, 2]);
        assert_eq!(sorted(&mut index.holding(110)), [1, 2]);
        assert_eq!(sorted(&mut index.holding(99)), [2]);
        assert_eq!(sorted(&mut index.returned_to(1001)), [0u32; 0]);
    }

    #[test]
    fn a_stack_ends_at_its_threads_pointer() {
        let mapping = Mapping {
            start: 0x1000,
            end: 0x9000,
            read: true,
            write: true,
            execute: false,
        };
        assert_eq!(
            stack_end(0x2000, &[mapping], &[0x1500, 0x8000, 0x4000]),
            0x4000
        );
        assert_eq!(stack_end(0x2000, &[mapping], &[0x1500, 0xa000]), 0x9000);
        assert_eq!(stack_end(0xa000, &[mapping], &[]), 0xa000);
    }
}
