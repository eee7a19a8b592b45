//! What is platform-bound: Linux with glibc, and all `unsafe` of the agent.
//!
//! The functions of these modules are safe to call as long as their documentation is followed where
//! it speaks of addresses: addresses come from [`crate::check`], which vouches for them.

pub mod connection;
pub mod crash;
pub mod exec;
#[cfg(target_arch = "x86_64")]
#[cfg(test)]
mod frames_tests;
mod gate;
pub mod gdb;
pub mod images;
pub mod initialiser;
pub mod listeners;
pub mod memory;
pub mod objects;
pub mod program;
pub mod stack;
pub mod start;
pub mod symbols;
pub mod template;
pub mod threads;

use std::io;

/// Size in bytes of a page of this system.
pub fn page_size() -> u64 {
    // SAFETY: sysconf only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}

/// Nanoseconds of the realtime clock since 1970.
pub fn realtime_ns() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The id that the kernel gave this thread.
pub fn thread_id() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    let id = unsafe { libc::gettid() };
    u32::try_from(id).unwrap_or(0)
}

/// The calling thread's pointer: with glibc, `pthread_self` is the thread pointer.
pub fn thread_pointer() -> usize {
    // SAFETY: pthread_self takes nothing and cannot fail.
    unsafe { libc::pthread_self() as usize }
}

fn last_error() -> io::Error {
    io::Error::last_os_error()
}

/// Runs bookkeeping of ours in the middle of the program: nothing gets out of it but its value.
fn guarded<T>(otherwise: T, what: impl FnOnce() -> T) -> T {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(what)).unwrap_or(otherwise)
}
