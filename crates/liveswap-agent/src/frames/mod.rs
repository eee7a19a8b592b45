//! Which functions are on the stacks of the program's threads.
//!
//! No thread is stopped. A thread that waits in a system call tells where its stack ends, and from there
//! it is unwound ([`walk`]). A thread that runs, or has run while its stack was read, is tried again for a
//! while; if it never waits, nothing is said of it.

mod calls;
mod cfi;
mod code;
mod expression;
mod index;
#[cfg(any(test, not(feature = "exports")))]
pub mod trial;
mod walk;
mod words;

use std::time::{Duration, Instant};

use liveswap_protocol::message::Frame;

use crate::check::{Ready, Span};
use crate::maps::{self, Mapping};
use crate::sys::{self, memory, objects, threads};
use calls::{Calls, Words};
use cfi::{Cfi, Image};
use index::Index;
use walk::{Found, Walker};

/// How long to try for threads that run.
const PATIENCE: Duration = Duration::from_millis(50);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(1);
/// The most that is read of one stack.
const LARGEST_STACK: u64 = 64 << 20;

/// What patches have changed, as far as stacks show it.
#[derive(Debug, Default)]
pub struct Patched {
    /// In the order of their addresses.
    images: Vec<Image>,
    words: Words,
}

impl Patched {
    /// Notes where slots lead, before they are flipped: who is called through one now is on a stack then. What is noted
    /// of a stub for a first call is the body, to which calls go by themselves later. The executable has no such stubs.
    pub fn flips(&mut self, ready: &Ready, executable: Span) {
        let image = ready.image.as_ref();
        let new_body = |target: u64| {
            let image = image.filter(|image| image.mapped.code.holds(target, 1))?;
            let offset = usize::try_from(target - image.mapped.code.start).ok()?;
            code::behind_first_call(target, image.code.get(offset..)?)
        };
        for (word, target) in &ready.slots {
            let held = self.words.entry(*word).or_default();
            if held.is_empty() {
                let first = memory::load_word(*word);
                let is_own = executable.holds(first, 1);
                held.push(if is_own { first } else { calls::body(first) });
            }
            let target = new_body(*target).unwrap_or(*target);
            if held.last() != Some(&target) {
                held.push(target);
            }
        }
    }

    /// Notes an image that is mapped for ever.
    pub fn maps(&mut self, ready: &Ready) {
        if let Some(image) = &ready.image
            && let Some(eh_frame) = image.eh_frame
        {
            self.note_image(image.mapped.code, eh_frame);
        }
    }

    fn note_image(&mut self, code: Span, eh_frame: u64) {
        // Images come in the order of their addresses; whoever searches them relies on it.
        let place = self
            .images
            .partition_point(|image| image.code.start < code.start);
        self.images.insert(place, Image { code, eh_frame });
    }
}

/// Frames of functions in these ranges (start, length) on all stacks but the caller's.
pub fn in_ranges(ranges: &[(u64, u64)], patched: &Patched) -> Vec<Frame> {
    let index = Index::new(ranges);
    let cfi = Cfi::new(objects::loaded(), &patched.images);
    let mut walker = Walker::new(cfi, Calls::new(&patched.words), &index);
    let deadline = Instant::now() + PATIENCE;
    let mut frames = Vec::new();
    let mut waiting = other_threads();
    loop {
        // Mappings change with the threads.
        let mappings = maps::own().unwrap_or_default();
        let tops = thread_pointers();
        let end = |stack_pointer| stack_end(stack_pointer, &mappings, &tops);
        waiting.retain(|thread| match look(*thread, &end, &mut walker) {
            Look::Seen(seen) => {
                frames.extend(seen.into_iter().map(|found| Frame {
                    range: found.range,
                    thread: *thread,
                    stack_address: found.stack_address,
                    address: found.address,
                    exact: found.exact,
                }));
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
    Seen(Vec<Found>),
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

/// Looks at one thread. Its stack is that of one moment if the thread has not run meanwhile: a loop comes
/// back to the same place with the same state.
fn look(thread: u32, end: &dyn Fn(u64) -> u64, walker: &mut Walker<'_>) -> Look {
    let before = match state(thread) {
        Ok(state) => state,
        Err(_) => return Look::Gone,
    };
    let Some((stack_pointer, counter)) = before.as_deref().and_then(waits_at) else {
        return Look::Running;
    };
    if end(stack_pointer) <= stack_pointer {
        // The stack has grown since the mappings were read.
        return Look::Running;
    }
    let runs_before = runs(thread);
    let found = if cfg!(target_arch = "x86_64") {
        walker.walk(stack_pointer, counter, end)
    } else {
        walker.scan_all(stack_pointer, counter, end)
    };
    match state(thread) {
        Ok(after) if after == before && runs(thread) == runs_before => Look::Seen(found),
        Ok(_) => Look::Running,
        Err(_) => Look::Gone,
    }
}

/// The kernel's line on what a thread does; `None` if it is there but cannot be asked right now.
fn state(thread: u32) -> std::io::Result<Option<String>> {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).map(Some)
}

/// How long and how often a thread has run, as text: it does not change while the thread waits.
fn runs(thread: u32) -> Option<String> {
    let read = |name| std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok();
    // A kernel that does not count gives zeros, and counts elsewhere, which takes it longer to tell.
    read("schedstat")
        .filter(|times| times.trim() != "0 0 0")
        .or_else(|| {
            let status = read("status")?;
            let counts = status.find("voluntary_ctxt_switches")?;
            Some(status[counts..].to_owned())
        })
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

#[cfg(test)]
pub mod tests {
    use super::*;
    #[cfg(target_arch = "x86_64")]
    pub use calls::Leads;

    /// Start and length of the function at an address.
    #[cfg(target_arch = "x86_64")]
    pub fn function_at(address: u64) -> Option<(u64, u64)> {
        let row = Cfi::new(objects::loaded(), &[]).row(address)?;
        Some((row.function.start, row.function.len))
    }

    /// The number of the system call that a thread waits in.
    #[cfg(target_arch = "x86_64")]
    pub fn waits_in(thread: u32) -> Option<libc::c_long> {
        let state = state(thread).ok()??;
        waits_at(&state)?;
        state.split(' ').next()?.parse().ok()
    }

    /// Whether a call of `from` leads to `function`.
    #[cfg(target_arch = "x86_64")]
    pub fn leads(from: u64, function: u64) -> Leads {
        let words = Words::default();
        let mut cfi = Cfi::new(objects::loaded(), &[]);
        Calls::new(&words).address(&mut cfi, from, function, calls::HOPS)
    }

    /// What is found on the stack from here to `end`.
    #[cfg(target_arch = "x86_64")]
    pub fn walk_from(
        stack_pointer: u64,
        counter: u64,
        end: u64,
        ranges: &[(u64, u64)],
    ) -> Vec<Found> {
        let index = Index::new(ranges);
        let words = Words::default();
        let cfi = Cfi::new(objects::loaded(), &[]);
        Walker::new(cfi, Calls::new(&words), &index).walk(stack_pointer, counter, &|_| end)
    }

    /// All words on the stack of a thread that look like return addresses into the ranges.
    #[cfg(target_arch = "x86_64")]
    pub fn naive(thread: u32, ranges: &[(u64, u64)]) -> Vec<Found> {
        let index = Index::new(ranges);
        let words = Words::default();
        let cfi = Cfi::new(objects::loaded(), &[]);
        let mut walker = Walker::new(cfi, Calls::new(&words), &index);
        let mappings = maps::own().unwrap();
        let state = state(thread).unwrap().unwrap();
        let (stack_pointer, counter) = waits_at(&state).expect("it waits");
        walker.scan_all(stack_pointer, counter, &|at| stack_end(at, &mappings, &[]))
    }

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
