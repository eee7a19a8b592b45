//! Whose turn it is to change the module graph: one thread at a time, and never from within.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::image::ModuleCall;
use crate::runtime::{Runtime, State};
use crate::sys;
use crate::sys::unwind::{OnStack, is_on_stack};

/// How long a thread waits for another one's reload before it says so, and looks whether the other one
/// still exists.
const PATIENCE: Duration = Duration::from_secs(2);

/// After this long it gives up: the other thread may have left its reload by an exception, and wait for
/// this one.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    thread: usize,
    task: u32,
    /// Address of a local of [`Runtime::run_calls`], once it runs.
    frame: Option<usize>,
}

impl Turn {
    /// Asked on the turn's own thread: whether module code still runs as part of it. Nim's exceptions
    /// are `longjmp`, which tells nobody, so that the stack itself has to be looked at.
    fn is_under_way(&self) -> bool {
        let Some(frame) = self.frame else { return true };
        match is_on_stack(Runtime::run_calls as *const () as usize, frame) {
            OnStack::Yes => true,
            OnStack::No => false,
            OnStack::Unknown => {
                let mark = 0u8;
                (&raw const mark as usize) < frame
            }
        }
    }
}

impl Runtime {
    /// Makes the calls of the transaction under way; `next` is [`Runtime::next_call`] with whatever care
    /// the door takes. Module code may leave a call by an exception.
    #[inline(never)]
    pub fn run_calls(&self, next: &mut dyn FnMut() -> Option<ModuleCall>) {
        let mark = 0u8;
        if let Some(turn) = &mut self.registry().turn {
            turn.frame = Some(std::hint::black_box(&raw const mark as usize));
        }
        ModuleCall::make_all(next);
        // The frame must be there as long as the calls are: no tail call.
        std::hint::black_box(&mark);
    }

    pub(crate) fn take_turn(&self) -> Result<(), Error> {
        let thread = sys::process::thread_id();
        let mut told = false;
        let began = Instant::now();
        loop {
            let mut state = self.registry();
            let Some(turn) = state.turn else {
                state.turn = Some(Turn {
                    thread,
                    task: sys::process::task_id(),
                    frame: None,
                });
                return Ok(());
            };
            if turn.thread == thread {
                if turn.is_under_way() {
                    return Err(Error::Nested);
                }
                self.give_up(state);
            } else if !sys::process::task_runs(turn.task) {
                self.give_up(state);
            } else {
                state.waiting += 1;
                let (mut state, timeout) = self
                    .turn_over
                    .wait_timeout(state, PATIENCE)
                    .unwrap_or_else(PoisonError::into_inner);
                state.waiting -= 1;
                drop(state);
                if began.elapsed() > LONGEST_WAIT {
                    return Err(Error::Order(
                        "the reload that another thread began does not come to its end",
                    ));
                }
                if timeout.timed_out() && !std::mem::replace(&mut told, true) {
                    self.dialect()
                        .notice("waiting for the reload that another thread began");
                }
            }
        }
    }

    /// Ends a transaction that module code has left.
    fn give_up(&self, mut state: MutexGuard<'_, State>) {
        let never_ran = state.abandon(self);
        state.turn = None;
        drop(state);
        self.turn_over.notify_one();
        // Closing libraries runs their destructors: not under the lock.
        drop(never_ran);
    }

    /// If module code has left this thread's transaction by an exception, it is over.
    pub(crate) fn notice_exception(&self) {
        let state = self.registry();
        let thread = sys::process::thread_id();
        if state
            .turn
            .is_some_and(|turn| turn.thread == thread && !turn.is_under_way())
        {
            self.give_up(state);
        }
    }

    pub(crate) fn end_turn(&self) {
        let mut state = self.registry();
        state.registry.context = None;
        state.turn = None;
        let somebody_waits = state.waiting > 0;
        drop(state);
        if somebody_waits {
            self.turn_over.notify_one();
        }
    }
}
