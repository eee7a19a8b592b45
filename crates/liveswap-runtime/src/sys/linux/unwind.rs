//! Looking at this thread's stack.

use std::ffi::{c_int, c_void};

#[repr(C)]
struct Context {
    _opaque: [u8; 0],
}

type Callback = unsafe extern "C" fn(*mut Context, *mut c_void) -> c_int;

// The unwinder that std links for panics.
unsafe extern "C" {
    fn _Unwind_Backtrace(callback: Callback, argument: *mut c_void) -> c_int;
    fn _Unwind_GetIP(context: *mut Context) -> usize;
    fn _Unwind_GetCFA(context: *mut Context) -> usize;
    fn _Unwind_FindEnclosingFunction(pc: *mut c_void) -> *mut c_void;
}

/// What the stack tells about a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStack {
    /// A call of it is under way.
    Yes,
    /// None is.
    No,
    /// Code without unwind information stands before the place where it could be.
    Unknown,
}

struct Search {
    function: usize,
    frame: usize,
    answer: OnStack,
}

/// Whether a call of `function` that once had a local variable at address `frame` is under way on this
/// thread. Stacks grow towards lower addresses.
pub fn is_on_stack(function: usize, frame: usize) -> OnStack {
    /// `_URC_NO_REASON`, and `_URC_NORMAL_STOP` to end the walk.
    const GO_ON: c_int = 0;
    const STOP: c_int = 4;

    unsafe extern "C" fn look(context: *mut Context, argument: *mut c_void) -> c_int {
        // SAFETY: the argument is the `Search` below, and the unwinder's context is valid here.
        let (search, pc, cfa) = unsafe {
            let pc = _Unwind_GetIP(context);
            (&mut *argument.cast::<Search>(), pc, _Unwind_GetCFA(context))
        };
        // A return address may be the first byte behind its function.
        // SAFETY: only looks the address up.
        let start = unsafe { _Unwind_FindEnclosingFunction(pc.wrapping_sub(1) as *mut c_void) };
        if start as usize == search.function {
            search.answer = OnStack::Yes;
            return STOP;
        }
        if cfa > search.frame {
            search.answer = OnStack::No;
        }
        GO_ON
    }
    let mut search = Search {
        function,
        frame,
        answer: OnStack::Unknown,
    };
    // SAFETY: `look` is only called during this call, with the pointer to `search`.
    unsafe { _Unwind_Backtrace(look, (&raw mut search).cast()) };
    search.answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn outer(inner: &mut dyn FnMut(usize)) {
        let mark = 0u8;
        inner(std::hint::black_box(&raw const mark as usize));
    }

    #[test]
    fn a_call_under_way_is_found_and_one_that_returned_is_not() {
        let mut frame = 0;
        let function = outer as *const () as usize;
        outer(&mut |mark| {
            frame = mark;
            assert_eq!(is_on_stack(function, mark), OnStack::Yes);
        });
        assert_eq!(is_on_stack(function, frame), OnStack::No);
    }
}
