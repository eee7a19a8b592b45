//! Where the program panicked last, or gave up: noted in a file, for the command to tell of when the process is gone.
//!
//! `_Unwind_RaiseException` and `abort` are interposed: std's panics come by there. Nothing else changes for them. Only
//! the main thread's panics are noted, because only they end a program.

use std::ffi::{OsStr, c_int, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use liveswap_protocol::crash::{self, Kind};

use super::symbols::Behind;

type Raise = unsafe extern "C-unwind" fn(*mut c_void) -> c_int;
type Callback = unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(callback: Callback, data: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut c_void) -> usize;
}

static RAISE: Behind = Behind::new(c"_Unwind_RaiseException");
static ABORT: Behind = Behind::new(c"abort");

/// The file as it is mapped, for ever; null until it is there.
static FILE: AtomicPtr<u64> = AtomicPtr::new(std::ptr::null_mut());
/// The process that it is about.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// `_URC_END_OF_STACK`: any value but 0 ends the walk.
const ENOUGH: c_int = 5;
/// `_URC_FATAL_PHASE1_ERROR`, after which std aborts.
const FATAL: c_int = 3;

/// Notes from now on, in a folder. Once, before `main`. Without a file nothing is noted.
pub fn note_in(folder: &OsStr) {
    RAISE.address();
    ABORT.address();
    let len = crash::WORDS * 8;
    let path = Path::new(folder).join(crash::FILE);
    let mut options = File::options();
    options.read(true).write(true).create(true).mode(0o600);
    let Ok(file) = options.open(path).and_then(|file| {
        file.set_len(len as u64)?;
        Ok(file)
    }) else {
        return;
    };
    // SAFETY: a new mapping of a file that has this length, at an address of the kernel's choice; getpid cannot fail.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let number = file.as_raw_fd();
        let at = libc::mmap(
            std::ptr::null_mut(),
            len,
            access,
            libc::MAP_SHARED,
            number,
            0,
        );
        if at != libc::MAP_FAILED {
            PROCESS.store(libc::getpid(), Ordering::Release);
            FILE.store(at.cast(), Ordering::Release);
        }
    }
}

/// The addresses of a stack, from the innermost.
struct Stack {
    addresses: [u64; crash::MOST],
    len: usize,
}

unsafe extern "C" fn frame(context: *mut c_void, stack: *mut c_void) -> c_int {
    // SAFETY: the unwinder gives its context and what `note` gave.
    let (stack, address) = unsafe { (&mut *stack.cast::<Stack>(), _Unwind_GetIP(context)) };
    let Some(place) = stack.addresses.get_mut(stack.len) else {
        return ENOUGH;
    };
    *place = address as u64;
    stack.len += 1;
    0
}

/// Notes the calling thread's stack. Allocates nothing.
fn note(kind: Kind) {
    let file = FILE.load(Ordering::Acquire);
    // SAFETY: neither call takes anything or can fail.
    let (process, thread) = unsafe { (libc::getpid(), libc::gettid()) };
    // A child of `fork` has the mapping, too.
    let is_ours = !file.is_null() && process == PROCESS.load(Ordering::Acquire);
    if !is_ours || (kind == Kind::Panic && thread != process) {
        return;
    }
    let mut stack = Stack {
        addresses: [0; crash::MOST],
        len: 0,
    };
    // SAFETY: the callback gets the stack, which lives as long as the call.
    unsafe { _Unwind_Backtrace(frame, (&raw mut stack).cast()) };
    let words = crash::words(kind, &stack.addresses[..stack.len]);
    for (n, word) in words.into_iter().enumerate() {
        // SAFETY: the mapping has so many words, and stays. Of threads that abort at once, either is noted.
        unsafe { file.add(n).write_volatile(word) };
    }
}

/// Begins to unwind.
///
/// # Safety
/// As of the unwinder's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
#[allow(non_snake_case, reason = "it is called so")]
pub unsafe extern "C-unwind" fn _Unwind_RaiseException(exception: *mut c_void) -> c_int {
    note(Kind::Panic);
    // SAFETY: the function of that name has this type; null becomes `None`. Nothing of ours is to be done when its
    // exception passes this frame.
    match unsafe { std::mem::transmute::<usize, Option<Raise>>(RAISE.address()) } {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(exception) },
        None => FATAL,
    }
}

/// Ends the process.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn abort() -> ! {
    note(Kind::Abort);
    // SAFETY: the function of that name has this type; null becomes `None`. The others end the process, too.
    unsafe {
        let real = std::mem::transmute::<usize, Option<extern "C" fn() -> !>>(ABORT.address());
        if let Some(real) = real {
            real();
        }
        libc::kill(libc::getpid(), libc::SIGABRT);
        libc::_exit(134)
    }
}
