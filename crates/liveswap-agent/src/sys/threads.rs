//! `pthread_create`, interposed: a list of the living threads.
//!
//! New thread-locals have to be written to the block of every living thread, and to the template that
//! blocks of new threads are copied from. So the list must hold every thread whose block was copied
//! before, and no thread whose block is gone:
//! - A thread is on the list before it is created, and its creator passes `CREATION` until its pointer is
//!   known. Whoever writes to the blocks closes that gate.
//! - A thread takes itself off the list when it ends, in the last round of the destructors of
//!   thread-specific values: by return, `pthread_exit` and cancellation alike. That takes `LIST`, which
//!   whoever writes to the blocks holds too.
//!
//! Nothing is allocated while one of these is held: allocators start threads of their own.
//!
//! A child made by `fork` has no agent; there `OFF` is set, and no lock is touched any more.
//!
//! Threads that the C library makes on its own behalf (`SIGEV_THREAD` timers, `thrd_create`) do not come
//! by here.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use super::gate::Gate;
use super::guarded;
use super::symbols::Behind;
use crate::log;

type Routine = unsafe extern "C-unwind" fn(*mut c_void) -> *mut c_void;
type Create = unsafe extern "C" fn(
    *mut libc::pthread_t,
    *const libc::pthread_attr_t,
    Routine,
    *mut c_void,
) -> c_int;

/// Set when nobody will ever ask for the list (again).
static OFF: AtomicBool = AtomicBool::new(false);
/// Set when a thread could not be watched: the list is not complete, for ever.
static INCOMPLETE: AtomicBool = AtomicBool::new(false);
static CREATION: Gate = Gate::new();
/// The first thread of the list.
static LIST: Mutex<Option<Entry>> = Mutex::new(None);

/// A thread as the list knows it.
struct Thread {
    routine: Option<Routine>,
    argument: *mut c_void,
    /// Its thread pointer; 0 until it is known.
    pointer: AtomicUsize,
    /// Its neighbours on the list, and whether it is on it; `LIST` guards them.
    next: AtomicPtr<Thread>,
    previous: AtomicPtr<Thread>,
    listed: AtomicBool,
    /// How often its destructor was called.
    rounds: AtomicU32,
    /// Creator and thread: the last one frees.
    owners: AtomicU8,
}

#[derive(Clone, Copy)]
struct Entry(NonNull<Thread>);

// SAFETY: what an entry points to lives until the thread took it off the list, and its fields are
// atomic or not changed.
unsafe impl Send for Entry {}

impl Entry {
    fn new(routine: Option<Routine>, argument: *mut c_void, owners: u8) -> Option<Entry> {
        // SAFETY: the layout has a size.
        let room = unsafe { alloc(Layout::new::<Thread>()) }.cast::<Thread>();
        let entry = Entry(NonNull::new(room)?);
        let thread = Thread {
            routine,
            argument,
            pointer: AtomicUsize::new(0),
            next: AtomicPtr::default(),
            previous: AtomicPtr::default(),
            listed: AtomicBool::new(false),
            rounds: AtomicU32::new(0),
            owners: AtomicU8::new(owners),
        };
        // SAFETY: fresh room of the right layout.
        unsafe { room.write(thread) };
        Some(entry)
    }

    fn thread(&self) -> &Thread {
        // SAFETY: an entry is used only by its owners and, while it is on the list, under `LIST`.
        unsafe { self.0.as_ref() }
    }

    /// One owner less.
    fn release(self) {
        if self.thread().owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: made by `new`, and this was the last owner.
            unsafe { dealloc(self.0.as_ptr().cast(), Layout::new::<Thread>()) };
        }
    }

    /// Notes the thread pointer; creator and thread both try, because either can be first.
    fn known_as(&self, pointer: usize) {
        let _ =
            self.thread()
                .pointer
                .compare_exchange(0, pointer, Ordering::AcqRel, Ordering::Acquire);
    }

    fn insert(self) {
        let mut first = list();
        if let Some(second) = *first {
            self.thread()
                .next
                .store(second.0.as_ptr(), Ordering::Relaxed);
            second
                .thread()
                .previous
                .store(self.0.as_ptr(), Ordering::Relaxed);
        }
        self.thread().listed.store(true, Ordering::Relaxed);
        *first = Some(self);
    }

    /// Takes it off the list; whether the list is empty now.
    fn remove(self) -> bool {
        let mut first = list();
        if self.thread().listed.swap(false, Ordering::Relaxed) {
            let (next, previous) = (self.next(), self.previous());
            let pointer =
                |entry: Option<Entry>| entry.map_or(std::ptr::null_mut(), |e| e.0.as_ptr());
            if let Some(next) = next {
                next.thread()
                    .previous
                    .store(pointer(previous), Ordering::Relaxed);
            }
            match previous {
                Some(previous) => previous
                    .thread()
                    .next
                    .store(pointer(next), Ordering::Relaxed),
                None => *first = next,
            }
        }
        first.is_none()
    }

    fn next(self) -> Option<Entry> {
        NonNull::new(self.thread().next.load(Ordering::Relaxed)).map(Entry)
    }

    fn previous(self) -> Option<Entry> {
        NonNull::new(self.thread().previous.load(Ordering::Relaxed)).map(Entry)
    }
}

fn list() -> MutexGuard<'static, Option<Entry>> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

static REAL: Behind = Behind::new(c"pthread_create");

fn real() -> Option<Create> {
    // SAFETY: the function of that name has this type; null becomes `None`.
    unsafe { std::mem::transmute::<usize, Option<Create>>(REAL.address()) }
}

/// The C library's `pthread_create`, for threads of our own.
///
/// # Safety
/// As of the C library's function.
pub unsafe fn create_unwatched(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: Routine,
    argument: *mut c_void,
) -> c_int {
    match real() {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(thread, attributes, routine, argument) },
        None => libc::EAGAIN,
    }
}

/// Creates a thread that is on the list while it lives.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn pthread_create(
    thread: *mut libc::pthread_t,
    attributes: *const libc::pthread_attr_t,
    routine: Routine,
    argument: *mut c_void,
) -> c_int {
    if OFF.load(Ordering::Acquire) {
        // SAFETY: the caller's promise.
        return unsafe { create_unwatched(thread, attributes, routine, argument) };
    }
    guarded(libc::EAGAIN, || {
        let entry = Entry::new(Some(routine), argument, 2);
        let Some(entry) = entry else {
            return libc::EAGAIN;
        };
        // Until the new thread's pointer is known.
        let passing = CREATION.pass();
        entry.insert();
        // SAFETY: the caller's promise; `run` gets the entry that is made for it.
        let done = unsafe { create_unwatched(thread, attributes, run, entry.0.as_ptr().cast()) };
        if done == 0 {
            // SAFETY: the C library has just written it. The thread may be gone by now, which is why
            // the entry has two owners.
            entry.known_as(unsafe { *thread } as usize);
        } else {
            entry.remove();
            entry.release();
        }
        drop(passing);
        entry.release();
        done
    })
}

/// First function of a watched thread. Nothing in its frame has something to do when it is left.
unsafe extern "C-unwind" fn run(entry: *mut c_void) -> *mut c_void {
    let Some(entry) = NonNull::new(entry.cast::<Thread>()).map(Entry) else {
        return std::ptr::null_mut();
    };
    let (routine, argument) = (entry.thread().routine, entry.thread().argument);
    guarded((), || watch(entry));
    match routine {
        // SAFETY: the program's own function with its own argument.
        Some(routine) => unsafe { routine(argument) },
        None => std::ptr::null_mut(),
    }
}

/// Makes the calling thread take itself off the list when it ends.
fn watch(entry: Entry) {
    entry.known_as(super::thread_pointer());
    let armed = key().is_some_and(|key| arm(key, entry));
    if !armed {
        INCOMPLETE.store(true, Ordering::Release);
        entry.remove();
        entry.release();
    }
}

fn key() -> Option<libc::pthread_key_t> {
    static KEY: OnceLock<Option<libc::pthread_key_t>> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: writes the key.
        let done = unsafe { libc::pthread_key_create(&raw mut key, Some(thread_ends)) };
        (done == 0).then_some(key)
    })
}

fn arm(key: libc::pthread_key_t, entry: Entry) -> bool {
    // SAFETY: a key of ours.
    unsafe { libc::pthread_setspecific(key, entry.0.as_ptr().cast()) == 0 }
}

/// The destructor: called in each round until it does not set the value again.
unsafe extern "C" fn thread_ends(entry: *mut c_void) {
    /// POSIX's least, and glibc's number of rounds.
    const ROUNDS: u32 = 4;
    if OFF.load(Ordering::Acquire) {
        return;
    }
    guarded((), || {
        let Some(entry) = NonNull::new(entry.cast::<Thread>()).map(Entry) else {
            return;
        };
        let round = entry.thread().rounds.fetch_add(1, Ordering::Relaxed) + 1;
        // Other destructors may still use thread-locals: be the last.
        if round < ROUNDS && key().is_some_and(|key| arm(key, entry)) {
            return;
        }
        let was_last = entry.remove();
        entry.release();
        if was_last {
            // The main thread ended by `pthread_exit` and all others are gone: ours must not keep
            // the process alive.
            super::connection::close_down();
        }
    });
}

/// Puts the calling thread, the program's first, on the list.
pub fn watch_main() {
    if !REAL.is_behind() {
        log::line(format_args!(
            "linked behind the C library: threads are not known"
        ));
        INCOMPLETE.store(true, Ordering::Release);
    }
    match Entry::new(None, std::ptr::null_mut(), 1) {
        Some(entry) => {
            entry.insert();
            watch(entry);
        }
        None => INCOMPLETE.store(true, Ordering::Release),
    }
}

/// Nobody will ask for the list any more: threads pass through from now on. Takes no lock: for the
/// child of a `fork`, where others may have held them.
pub fn stop() {
    OFF.store(true, Ordering::Release);
}

/// Whether there is no thread of the program left.
pub fn none_left() -> bool {
    !OFF.load(Ordering::Acquire) && list().is_none()
}

/// Gives the pointers of the calling thread and of the program's threads. Meanwhile none of them ends
/// and none is created; `what` must not allocate.
///
/// Gives nothing and returns false if not all threads are known.
pub fn for_each(mut what: impl FnMut(usize)) -> bool {
    let closed = CREATION.close();
    let first = list();
    let threads = || std::iter::successors(*first, |entry| entry.next());
    let pointer = |entry: Entry| entry.thread().pointer.load(Ordering::Acquire);
    let known = !INCOMPLETE.load(Ordering::Acquire) && threads().all(|entry| pointer(entry) != 0);
    if known {
        what(super::thread_pointer());
        threads().for_each(|entry| what(pointer(entry)));
    }
    drop(first);
    drop(closed);
    known
}

#[cfg(test)]
mod tests;
