//! Frames of real threads that wait in real functions.

mod functions;

use std::ffi::c_void;
use std::fs::File;
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use liveswap_protocol::message::Frame;

use super::{objects, thread_id};
use crate::frames::tests::{Leads, function_at, leads, naive, waits_in, walk_from};
use crate::frames::{Patched, in_ranges};
use functions::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two descriptors, which nobody else has.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// A byte by the system call itself: no function with a frame pointer lies in between.
#[inline(never)]
fn read_byte(file: &File) -> isize {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most the one byte.
    unsafe { libc::read(file.as_raw_fd(), (&raw mut byte).cast(), 1) }
}

/// The range of a function.
fn range(function: usize) -> (u64, u64) {
    function_at(function as u64).expect("it has unwind information")
}

/// Begins a thread; its id.
fn spawn(body: impl FnOnce() + Send + 'static) -> (u32, std::thread::JoinHandle<()>) {
    let (ids, id) = channel();
    let thread = std::thread::Builder::new()
        .stack_size(16 << 20)
        .spawn(move || begin(&ids, body))
        .unwrap();
    (id.recv_timeout(PATIENCE).unwrap(), thread)
}

#[inline(never)]
fn begin(ids: &Sender<u32>, body: impl FnOnce()) {
    ids.send(thread_id()).unwrap();
    body();
    std::hint::black_box(());
}

/// Waits until the thread waits in this system call.
fn until_it_waits(thread: u32, call: libc::c_long) {
    let deadline = Instant::now() + PATIENCE;
    while waits_in(thread) != Some(call) {
        assert!(Instant::now() < deadline, "{:?}", waits_in(thread));
        std::thread::yield_now();
    }
}

/// The frames that this thread has in these ranges.
fn frames(thread: u32, ranges: &[(u64, u64)]) -> Vec<Frame> {
    let deadline = Instant::now() + PATIENCE;
    let mut all = in_ranges(ranges, &Patched::default());
    // On a busy machine it may be passed over once; an empty list is believed at last.
    for _ in 0..3 {
        if !all.is_empty() || Instant::now() > deadline {
            break;
        }
        all = in_ranges(ranges, &Patched::default());
    }
    all.retain(|frame| frame.thread == thread);
    all
}

/// `outer` is found exactly, once, on a thread that waits in this system call.
#[track_caller]
fn assert_found(thread: u32, call: libc::c_long) {
    until_it_waits(thread, call);
    let found = frames(thread, &[range(outer as fn(What<'_>) as usize)]);
    assert!(
        matches!(&found[..], [frame] if frame.exact && frame.stack_address != 0),
        "{found:?}"
    );
}

/// What is looked for.
#[inline(never)]
fn outer(what: What<'_>) {
    what();
    std::hint::black_box(());
}

#[test]
fn a_thread_that_reads_is_unwound_through_functions_with_and_without_frame_pointers() {
    let functions: [Through; 3] = [
        liveswap_test_frame,
        liveswap_test_no_frame,
        liveswap_test_aligned,
    ];
    let mut waiting = Vec::new();
    for inner in functions {
        for middle in functions {
            let (reader, writer) = pipe();
            let (thread, handle) = spawn(move || {
                outer(&mut || {
                    through(middle, &mut || {
                        through(inner, &mut || assert_eq!(read_byte(&reader), 1));
                    });
                });
            });
            assert_found(thread, libc::SYS_read);
            // The innermost that is asked for, too.
            let found = frames(
                thread,
                &[
                    range(inner as usize),
                    range(call as extern "C-unwind" fn(*mut c_void) as usize),
                ],
            );
            assert!(
                found.len() == 2 && found.iter().all(|it| it.exact),
                "{found:?}"
            );
            // They stay: where the stack of an earlier thread is used again, its words fit all too well.
            waiting.push((writer, handle));
        }
    }
    for (mut writer, handle) in waiting {
        writer.write_all(b"x").unwrap();
        handle.join().unwrap();
    }
}

#[test]
fn threads_that_wait_for_locks_bytes_and_time_are_unwound() {
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let (reader, mut writer) = pipe();
    let (futex, handle) = spawn({
        let gate = Arc::clone(&gate);
        move || {
            outer(&mut || {
                let open = gate.0.lock().unwrap();
                drop(gate.1.wait_while(open, |open| !*open).unwrap());
            })
        }
    });
    let (read, reading) = spawn(move || {
        let mut reader = std::io::BufReader::new(reader);
        outer(&mut || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
        })
    });
    // Nobody waits for its end.
    let hour = libc::timespec {
        tv_sec: 3600,
        tv_nsec: 0,
    };
    // SAFETY: the kernel reads the one structure.
    let nap = move || unsafe { libc::nanosleep(&raw const hour, std::ptr::null_mut()) };
    let (sleep, _) = spawn(move || outer(&mut || assert_eq!(nap(), 0)));
    let (park, _) = spawn(|| outer(&mut std::thread::park));
    assert_found(futex, libc::SYS_futex);
    assert_found(park, libc::SYS_futex);
    assert_found(read, libc::SYS_read);
    assert_found(sleep, libc::SYS_clock_nanosleep);
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    writer.write_all(b"x").unwrap();
    drop(writer);
    handle.join().unwrap();
    reading.join().unwrap();
}

#[test]
fn a_thread_that_polls_is_unwound() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || {
            // SAFETY: plain calls; the kernel reads and writes the one event.
            unsafe {
                let mut event = libc::epoll_event {
                    events: libc::EPOLLIN as u32,
                    u64: 0,
                };
                let poll = libc::epoll_create1(0);
                let add = libc::EPOLL_CTL_ADD;
                assert_eq!(
                    libc::epoll_ctl(poll, add, reader.as_raw_fd(), &raw mut event),
                    0
                );
                assert_eq!(libc::epoll_wait(poll, &raw mut event, 1, -1), 1);
                libc::close(poll);
            }
        });
    });
    assert_found(thread, libc::SYS_epoll_wait);
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

#[inline(never)]
fn recurse(depth: u32, reader: &File) -> isize {
    let result = match depth {
        0 => read_byte(reader),
        _ => recurse(depth - 1, reader),
    };
    std::hint::black_box(result)
}

#[test]
fn deep_recursion_is_one_frame_of_the_answer() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || assert_eq!(recurse(50_000, &reader), 1));
    });
    assert_found(thread, libc::SYS_read);
    let recursing = range(recurse as fn(u32, &File) -> isize as usize);
    let found = frames(thread, &[recursing]);
    assert!(matches!(&found[..], [frame] if frame.exact), "{found:?}");
    assert!(naive(thread, &[recursing]).len() > 50_000);
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

/// Leaves return addresses into itself on the stack.
#[inline(never)]
fn tick(depth: u32) -> u32 {
    let below = if depth == 0 { 0 } else { tick(depth - 1) };
    std::hint::black_box(below + 1)
}

/// Waits with much room on the stack that nobody writes.
#[inline(never)]
fn wait_in_a_large_frame(reader: &File) -> isize {
    let mut room = MaybeUninit::<[u8; 4096]>::uninit();
    std::hint::black_box(room.as_mut_ptr());
    let result = read_byte(reader);
    std::hint::black_box(room.as_mut_ptr());
    result
}

#[test]
fn a_loop_that_has_called_a_function_is_not_in_it_while_it_waits() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || {
            assert_eq!(tick(20), 21);
            assert_eq!(wait_in_a_large_frame(&reader), 1);
        });
    });
    assert_found(thread, libc::SYS_read);
    let ticking = range(tick as fn(u32) -> u32 as usize);
    assert!(
        !naive(thread, &[ticking]).is_empty(),
        "its words are still there"
    );
    assert_eq!(frames(thread, &[ticking]), []);
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

/// Waits in a function that cannot be unwound, with much room that nobody writes.
#[inline(never)]
fn wait_silently(reader: &File) {
    through(liveswap_test_silent, &mut || {
        assert_eq!(read_byte(reader), 1);
    });
    std::hint::black_box(());
}

#[test]
fn words_that_a_call_has_left_are_told_from_frames_where_nothing_can_be_unwound() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || {
            assert_eq!(tick(20), 21);
            wait_silently(&reader);
        });
    });
    until_it_waits(thread, libc::SYS_read);
    let ticking = range(tick as fn(u32) -> u32 as usize);
    assert!(
        naive(thread, &[ticking]).len() > 1,
        "its words are still there"
    );
    assert_eq!(frames(thread, &[ticking]), []);
    // What lies above it is found, but not for certain.
    let outer = range(outer as fn(What<'_>) as usize);
    let found = frames(thread, &[outer]);
    assert!(matches!(&found[..], [frame] if !frame.exact), "{found:?}");
    // What lies below it is certain.
    let reading = range(read_byte as fn(&File) -> isize as usize);
    let found = frames(thread, &[reading]);
    assert!(matches!(&found[..], [frame] if frame.exact), "{found:?}");
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

#[test]
fn a_frame_of_unknown_size_is_not_taken_for_exact() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || {
            through(liveswap_test_varying, &mut || {
                assert_eq!(read_byte(&reader), 1)
            });
        });
    });
    until_it_waits(thread, libc::SYS_read);
    let found = frames(thread, &[range(outer as fn(What<'_>) as usize)]);
    assert!(matches!(&found[..], [frame] if !frame.exact), "{found:?}");
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

static HANDLED: Mutex<Option<(File, File)>> = Mutex::new(None);

extern "C" fn handler(_signal: libc::c_int) {
    let reader = HANDLED.lock().unwrap().take().unwrap().1;
    // Its stack is too small for a panic.
    read_byte(&reader);
}

#[test]
fn a_handler_of_a_signal_is_unwound_to_what_it_interrupted() {
    let (outside, mut end) = pipe();
    let (reader, mut writer) = pipe();
    *HANDLED.lock().unwrap() = Some((reader.try_clone().unwrap(), reader));
    // SAFETY: a handler of the right type, for a signal that nobody else uses here.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as extern "C" fn(libc::c_int) as usize;
        // On the stack that std made for the thread, if it did.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
        let done = libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut());
        assert_eq!(done, 0);
    }
    let (thread, handle) = spawn(move || outer(&mut || assert_eq!(read_byte(&outside), 1)));
    until_it_waits(thread, libc::SYS_read);
    // SAFETY: a signal to a thread of ours.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR2) };
    let handling = range(handler as extern "C" fn(libc::c_int) as usize);
    let deadline = Instant::now() + PATIENCE;
    while frames(thread, &[handling]).is_empty() {
        assert!(Instant::now() < deadline);
    }
    assert_found(thread, libc::SYS_read);
    writer.write_all(b"x").unwrap();
    end.write_all(b"x").unwrap();
    handle.join().unwrap();
}

/// Numbers that are the same in every run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[test]
fn garbage_on_a_stack_neither_faults_nor_goes_on_for_ever() {
    let code: Vec<u64> = objects::loaded()
        .iter()
        .flat_map(|object| [object.code.start, object.code.end() - 1])
        .collect();
    let mut state = 88_172_645_463_325_252;
    let mut stack = vec![0_u64; 4096];
    let start = stack.as_ptr() as u64;
    let ranges = [
        range(tick as fn(u32) -> u32 as usize),
        (code[0], code[1] - code[0]),
    ];
    for round in 0..200 {
        for word in &mut stack {
            let place = random(&mut state) as usize % (code.len() / 2) * 2;
            *word = match random(&mut state) % 4 {
                // An address in code, an address on the stack, a small number, anything.
                0 => code[place] + random(&mut state) % (code[place + 1] - code[place]),
                1 => start + random(&mut state) % (8 * 4096),
                2 => random(&mut state) % 256,
                _ => random(&mut state),
            };
        }
        let counter = match round % 8 {
            0 => random(&mut state),
            1 => 0,
            2 => u64::MAX,
            _ => stack[0],
        };
        let pointer = match round % 5 {
            0 => random(&mut state),
            1 => u64::MAX - 8,
            2 => 0,
            _ => start + random(&mut state) % 4096,
        };
        let found = walk_from(pointer, counter, start + 8 * 4096, &ranges);
        assert!(found.len() <= stack.len() * ranges.len() + ranges.len());
    }
}

#[test]
fn a_stack_that_leads_in_circles_is_left() {
    // Return addresses into a function without a frame of its own, as far as the stack goes.
    let function: Through = liveswap_test_no_frame;
    let (start, len) = range(function as usize);
    let stack = vec![start + len - 7; 4096];
    let from = stack.as_ptr() as u64;
    let found = walk_from(from, start + 1, from + 8 * 4096, &[(start, len)]);
    assert!(!found.is_empty());
}

#[test]
fn a_call_leads_to_a_function_that_its_target_ends_with() {
    let [tail, frame, other]: [Through; 3] = [
        liveswap_test_tail,
        liveswap_test_frame,
        liveswap_test_no_frame,
    ];
    assert_eq!(
        leads(frame as usize as u64, frame as usize as u64),
        Leads::Yes
    );
    assert_eq!(
        leads(tail as usize as u64, frame as usize as u64),
        Leads::Yes
    );
    assert_eq!(
        leads(tail as usize as u64, other as usize as u64),
        Leads::No
    );
    assert_eq!(
        leads(other as usize as u64, frame as usize as u64),
        Leads::No
    );
}

#[test]
fn a_thread_in_a_function_that_was_reached_by_a_jump_is_unwound() {
    let (reader, mut writer) = pipe();
    let (thread, handle) = spawn(move || {
        outer(&mut || {
            through(liveswap_test_tail, &mut || {
                assert_eq!(read_byte(&reader), 1)
            })
        });
    });
    assert_found(thread, libc::SYS_read);
    writer.write_all(b"x").unwrap();
    handle.join().unwrap();
}

#[test]
fn a_loop_that_calls_and_waits_by_turns_is_seen_only_where_it_waits() {
    let stop = Arc::new(AtomicBool::new(false));
    let (thread, handle) = spawn({
        let stop = Arc::clone(&stop);
        move || {
            outer(&mut || {
                while !stop.load(Ordering::Relaxed) {
                    tick(20);
                    std::thread::park_timeout(Duration::from_micros(500));
                }
            });
        }
    });
    let ticking = range(tick as fn(u32) -> u32 as usize);
    let waiting = range(outer as fn(What<'_>) as usize);
    let mut seen = 0;
    let deadline = Instant::now() + PATIENCE;
    while seen < 50 && Instant::now() < deadline {
        let mut found = in_ranges(&[ticking, waiting], &Patched::default());
        found.retain(|frame| frame.thread == thread);
        // It may never wait long enough to be looked at. Then nothing is said.
        if let [frame, rest @ ..] = &found[..] {
            assert!(
                frame.range == 1 && frame.exact && rest.is_empty(),
                "{found:?}"
            );
            seen += 1;
        }
    }
    assert!(seen > 0, "it is tried again until it is seen");
    stop.store(true, Ordering::Relaxed);
    handle.join().unwrap();
}
