//! A gate: many may pass at once, or it is closed for one who needs that nobody passes.
//!
//! Unlike a read-write lock it never makes those who pass wait for one who only *wants* to close it,
//! other than for a moment: they may hold locks of an allocator that others need on their way out. And
//! waiting here is no cancellation point.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const CLOSED: u32 = 1 << 31;
const WANTED: u32 = 1 << 30;
const COUNT: u32 = WANTED - 1;

/// How long those who come let one go first who wants to close.
const COURTESY: Duration = Duration::from_millis(20);
/// Longest single wait: a lost wake-up costs no more.
const NAP: Duration = Duration::from_millis(5);

/// The gate: how many are passing, and whether it is closed or somebody wants to close it.
#[derive(Debug)]
pub struct Gate(AtomicU32);

/// Passing; until dropped.
#[derive(Debug)]
pub struct Passing<'a>(&'a Gate);

/// The gate is closed until this is dropped.
#[derive(Debug)]
pub struct Closed<'a>(&'a Gate);

impl Gate {
    /// An open gate.
    pub const fn new() -> Gate {
        Gate(AtomicU32::new(0))
    }

    /// Passes, once it is not closed.
    pub fn pass(&self) -> Passing<'_> {
        let mut patience_ends = None;
        loop {
            let state = self.0.load(Ordering::Relaxed);
            let polite = state & WANTED != 0 && {
                let now = Instant::now();
                now < *patience_ends.get_or_insert(now + COURTESY)
            };
            if state & CLOSED != 0 || polite {
                self.wait(state);
            } else if self
                .0
                .compare_exchange_weak(state, state + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return Passing(self);
            }
        }
    }

    /// Closes the gate, once nobody passes.
    pub fn close(&self) -> Closed<'_> {
        loop {
            let state = self.0.fetch_or(WANTED, Ordering::Relaxed) | WANTED;
            if state & (CLOSED | COUNT) != 0 {
                self.wait(state);
            } else if self
                .0
                .compare_exchange_weak(state, CLOSED, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
            {
                return Closed(self);
            }
        }
    }

    /// Waits for a change of the state, not for long.
    fn wait(&self, state: u32) {
        let time = libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::c_long::from(NAP.subsec_nanos()),
        };
        // SAFETY: the kernel compares the word, which lives as long as the gate, and reads the time.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
                state,
                &raw const time,
            );
        }
    }

    fn wake_all(&self) {
        // SAFETY: the kernel uses the word's address only.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                self.0.as_ptr(),
                libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
                libc::c_int::MAX,
            );
        }
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        let before = self.0.0.fetch_sub(1, Ordering::Release);
        if before & WANTED != 0 && before & COUNT == 1 {
            self.0.wake_all();
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        // While it was closed nobody came in; others may want to close it.
        self.0.0.fetch_and(!CLOSED, Ordering::Release);
        self.0.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn nobody_passes_while_it_is_closed() {
        let gate = Gate::new();
        let (inside, over) = (AtomicU32::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _passing = gate.pass();
                        inside.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
            let closers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..300 {
                            let _closed = gate.close();
                            assert_eq!(inside.load(Ordering::SeqCst), 0);
                            // Marks it, so that two who closed it at once would be noticed.
                            inside.fetch_sub(1000, Ordering::SeqCst);
                            std::thread::yield_now();
                            inside.fetch_add(1000, Ordering::SeqCst);
                        }
                    })
                })
                .collect();
            let closed: Vec<_> = closers.into_iter().map(|closer| closer.join()).collect();
            over.store(true, Ordering::Relaxed);
            assert!(closed.iter().all(Result::is_ok));
        });
        assert_eq!(gate.0.load(Ordering::SeqCst) & (CLOSED | COUNT), 0);
    }

    #[test]
    fn one_who_passes_may_pass_again_while_somebody_wants_to_close() {
        let gate = Gate::new();
        let first = gate.pass();
        std::thread::scope(|scope| {
            scope.spawn(|| drop(gate.close()));
            while gate.0.load(Ordering::SeqCst) & WANTED == 0 {
                std::thread::yield_now();
            }
            drop(gate.pass());
            drop(first);
        });
    }
}
