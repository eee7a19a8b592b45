//! The allocator that every program of the corpus uses, and what programs need to check themselves.
//!
//! Code that takes a value for one of another layout reads and writes past it, frees it twice or by
//! another size, and often nothing of that shows. Here it does: a line with `BAD` is printed.
//!
//! ```text
//!   | … padding … | Header: size, align, links, mark | the block | 16 bytes of CANARY |
//! ```
//!
//! - Every block has a mark before it and a canary behind it, looked at when it is freed and by `scan`.
//! - `dealloc` compares the layout with that of `alloc`, and finds what was never handed out.
//! - What is freed is filled with POISON and stays in quarantine, where a write shows, for a while.
//!
//! Nothing here allocates or panics: it runs inside of both.
#![allow(dead_code, unused_imports)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: Guard = Guard(AtomicBool::new(false), UnsafeCell::new(Blocks::new()));

const LIVE: u64 = 0x5eed_c0de_1eaf_f00d;
const FREED: u64 = 0x0ff5_e7ca_c0de_dead;
const FRESH: u8 = 0xc5;
const POISON: u8 = 0x9b;
const CANARY: u8 = 0x3c;
const TAIL: usize = 16;
/// How many freed blocks are kept, and how much of each is looked at.
const QUARANTINE: usize = 2048;
const LOOKED_AT: usize = 256;
/// Reports beyond these say nothing new.
const REPORTS: u32 = 12;

#[repr(C)]
struct Header {
    size: usize,
    align: usize,
    before: *mut Header,
    after: *mut Header,
    mark: u64,
    spare: u64,
}

impl Header {
    fn mark_of(this: *mut Header, mark: u64) -> u64 {
        mark ^ this as u64
    }

    unsafe fn block(this: *mut Header) -> *mut u8 {
        unsafe { this.cast::<u8>().add(size_of::<Header>()) }
    }

    unsafe fn tail_is_whole(this: *mut Header) -> bool {
        unsafe {
            let tail = Header::block(this).add((*this).size);
            (0..TAIL).all(|i| tail.add(i).read() == CANARY)
        }
    }

    unsafe fn poison_is_whole(this: *mut Header) -> bool {
        unsafe {
            let block = Header::block(this);
            (0..(*this).size.min(LOOKED_AT)).all(|i| block.add(i).read() == POISON)
        }
    }
}

/// All living blocks in a list, and those in quarantine in a ring.
struct Blocks {
    first: *mut Header,
    freed: [*mut Header; QUARANTINE],
    next: usize,
}

impl Blocks {
    const fn new() -> Self {
        Self { first: null_mut(), freed: [null_mut(); QUARANTINE], next: 0 }
    }

    unsafe fn enter(&mut self, header: *mut Header) {
        unsafe {
            (*header).before = null_mut();
            (*header).after = self.first;
            if !self.first.is_null() {
                (*self.first).before = header;
            }
        }
        self.first = header;
    }

    unsafe fn leave(&mut self, header: *mut Header) {
        unsafe {
            let (before, after) = ((*header).before, (*header).after);
            if before.is_null() { self.first = after } else { (*before).after = after }
            if !after.is_null() {
                (*after).before = before;
            }
        }
    }

    /// Puts a block into quarantine and takes out the oldest one.
    unsafe fn keep(&mut self, header: *mut Header) -> *mut Header {
        let oldest = std::mem::replace(&mut self.freed[self.next], header);
        self.next = (self.next + 1) % QUARANTINE;
        oldest
    }
}

struct Guard(AtomicBool, UnsafeCell<Blocks>);

unsafe impl Sync for Guard {}

impl Guard {
    fn with<T>(&self, work: impl FnOnce(&mut Blocks) -> T) -> T {
        while self.0.swap(true, Ordering::Acquire) {
            std::thread::yield_now();
        }
        let result = work(unsafe { &mut *self.1.get() });
        self.0.store(false, Ordering::Release);
        result
    }
}

/// Where a block of this layout begins in what the system gives: behind header and padding.
fn offset(layout: &Layout) -> usize {
    size_of::<Header>().next_multiple_of(layout.align().max(16))
}

fn outer(layout: &Layout) -> Layout {
    let size = offset(layout) + layout.size() + TAIL;
    unsafe { Layout::from_size_align_unchecked(size, layout.align().max(16)) }
}

unsafe impl GlobalAlloc for Guard {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe {
            let base = System.alloc(outer(&layout));
            if base.is_null() {
                return base;
            }
            let block = base.add(offset(&layout));
            let header = block.sub(size_of::<Header>()).cast::<Header>();
            header.write(Header {
                size: layout.size(),
                align: layout.align(),
                before: null_mut(),
                after: null_mut(),
                mark: Header::mark_of(header, LIVE),
                spare: 0,
            });
            block.write_bytes(FRESH, layout.size());
            block.add(layout.size()).write_bytes(CANARY, TAIL);
            self.with(|blocks| blocks.enter(header));
            block
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe {
            if block.is_null() || block as usize % 8 != 0 || (block as usize) < 65536 {
                return report("free of what is no block");
            }
            let header = block.sub(size_of::<Header>()).cast::<Header>();
            let mark = (*header).mark;
            if mark == Header::mark_of(header, FREED) {
                return report("double free");
            }
            if mark != Header::mark_of(header, LIVE) {
                return report("free of what was not handed out, or overwritten before it");
            }
            if ((*header).size, (*header).align) != (layout.size(), layout.align()) {
                return report("free by another layout");
            }
            if !Header::tail_is_whole(header) {
                report("written behind a block");
            }
            block.write_bytes(POISON, (*header).size);
            let oldest = self.with(|blocks| {
                (*header).mark = Header::mark_of(header, FREED);
                blocks.leave(header);
                blocks.keep(header)
            });
            if !oldest.is_null() {
                if !Header::poison_is_whole(oldest) {
                    report("written after free");
                }
                let layout = Layout::from_size_align_unchecked((*oldest).size, (*oldest).align);
                (*oldest).mark = 0;
                System.dealloc(Header::block(oldest).sub(offset(&layout)), outer(&layout));
            }
        }
    }
}

/// Looks at every block there is.
pub fn scan() {
    ALLOCATOR.with(|blocks| unsafe {
        let mut header = blocks.first;
        while !header.is_null() {
            if (*header).mark != Header::mark_of(header, LIVE) {
                return report("overwritten before a block");
            }
            if !Header::tail_is_whole(header) {
                return report("written behind a block");
            }
            header = (*header).after;
        }
        for &header in blocks.freed.iter().filter(|header| !header.is_null()) {
            if !Header::poison_is_whole(header) {
                return report("written after free");
            }
        }
    });
}

fn report(what: &str) {
    static SAID: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" {
        fn write(file: i32, bytes: *const u8, count: usize) -> isize;
    }
    if SAID.fetch_add(1, Ordering::Relaxed) < REPORTS {
        // Parts may mix with lines of other threads; the word itself stays whole.
        for part in ["\nBAD heap: ", what, "\n"] {
            unsafe { write(1, part.as_ptr(), part.len()) };
        }
    }
}

/// The end of a beat of the program: all blocks are whole, and the next beat is a moment away.
pub fn nap() {
    scan();
    std::thread::sleep(Duration::from_millis(10));
}

/// A canary inside of a value: it knows a number and can tell whether it still does.
#[derive(Clone, Copy, Debug)]
pub struct Seal {
    number: u64,
    check: u64,
}

impl Seal {
    pub const fn of(number: u64) -> Self {
        Self { number, check: number.rotate_left(17) ^ LIVE }
    }

    /// Whether this is the seal of that number.
    pub fn is(&self, number: u64) -> bool {
        self.number == number && self.check == number.rotate_left(17) ^ LIVE
    }
}

/// Says that a value is not what it must be.
#[macro_export]
macro_rules! ensure {
    ($fits:expr, $($text:tt)+) => {
        if !$fits {
            println!("BAD {}", format_args!($($text)+));
        }
    };
}

/// What most programs use.
pub mod prelude {
    pub use super::{Seal, nap};
    pub use crate::ensure;
    pub use std::any::Any;
    pub use std::cell::{Cell, OnceCell, RefCell};
    pub use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
    pub use std::fmt::{self, Debug, Display};
    pub use std::future::Future;
    pub use std::pin::Pin;
    pub use std::rc::Rc;
    pub use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
    pub use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
    pub use std::sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
    pub use std::task::{Context, Poll, Waker};
    pub use std::thread;
    pub use std::time::Duration;
}
