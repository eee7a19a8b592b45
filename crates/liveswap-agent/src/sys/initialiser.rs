//! Initialisers of images: code of the program that may fail, as an exception of any language.
//!
//! The program's panics are those of another copy of std than ours, which `catch_unwind` takes for a foreign
//! exception: it ends the process. So a frame of our own stops whatever is thrown.

use std::arch::naked_asm;
use std::ffi::{c_int, c_void};

// libgcc's, of the Itanium C++ ABI: every unwinder of a program with glibc has them.
const SEARCH_PHASE: c_int = 1;
const FORCED: c_int = 8;
const HANDLER_FRAME: c_int = 4;
const HANDLER_FOUND: c_int = 6;
const INSTALL_CONTEXT: c_int = 7;
const CONTINUE: c_int = 8;

unsafe extern "C" {
    fn _Unwind_SetIP(context: *mut c_void, value: usize);
    fn _Unwind_GetLanguageSpecificData(context: *mut c_void) -> usize;
}

/// An exception came out of an initialiser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Calls an initialiser of a mapped image: code that [`crate::check`] found in an image or the executable.
///
/// # Errors
/// If it was left by an exception. That is not freed: std ends a process that drops another one's panic.
pub fn call(function: u64) -> Result<(), Failed> {
    let nothing = std::ptr::null::<u8>();
    // SAFETY: what stands in `.init_array` takes argc, argv and envp; those who do not want them ignore
    // them by the C calling convention. There are none to give any more.
    let left_by_exception = unsafe { guarded(0, &raw const nothing, &raw const nothing, function) };
    if left_by_exception == 0 {
        Ok(())
    } else {
        Err(Failed)
    }
}

/// Calls `function` with the other arguments; 1 if it was left by an exception. The frame's language-specific
/// data is the place to go on at in that case: [`personality`] knows no other.
///
/// # Safety
/// `function` is code that takes these arguments.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
unsafe extern "C" fn guarded(
    argc: c_int,
    argv: *const *const u8,
    envp: *const *const u8,
    function: u64,
) -> c_int {
    naked_asm!(
        ".cfi_startproc",
        // Both relative to their place, 4 bytes.
        ".cfi_personality 0x1b, {personality}",
        ".cfi_lsda 0x1b, .Lleft_by_exception",
        "sub rsp, 8",
        ".cfi_def_cfa_offset 16",
        "call rcx",
        "xor eax, eax",
        "3:",
        "add rsp, 8",
        ".cfi_def_cfa_offset 8",
        "ret",
        ".cfi_def_cfa_offset 16",
        ".Lleft_by_exception:",
        "mov eax, 1",
        "jmp 3b",
        ".cfi_endproc",
        personality = sym personality,
    )
}

/// As on the other machine.
///
/// # Safety
/// `function` is code that takes these arguments.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
unsafe extern "C" fn guarded(
    argc: c_int,
    argv: *const *const u8,
    envp: *const *const u8,
    function: u64,
) -> c_int {
    naked_asm!(
        ".cfi_startproc",
        ".cfi_personality 0x1b, {personality}",
        ".cfi_lsda 0x1b, .Lleft_by_exception",
        "stp x29, x30, [sp, #-16]!",
        ".cfi_def_cfa_offset 16",
        ".cfi_offset 29, -16",
        ".cfi_offset 30, -8",
        "mov x29, sp",
        "blr x3",
        "mov w0, wzr",
        "3:",
        "ldp x29, x30, [sp], #16",
        ".cfi_remember_state",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore 29",
        ".cfi_restore 30",
        "ret",
        ".cfi_restore_state",
        ".Lleft_by_exception:",
        "mov w0, #1",
        "b 3b",
        ".cfi_endproc",
        personality = sym personality,
    )
}

/// What the unwinder asks when it comes to [`guarded`]: every exception ends there.
///
/// # Safety
/// Called by the unwinder, with a context of its own.
unsafe extern "C" fn personality(
    _version: c_int,
    actions: c_int,
    _class: u64,
    _exception: *mut c_void,
    context: *mut c_void,
) -> c_int {
    if actions & FORCED != 0 {
        // The end of a thread.
        return CONTINUE;
    }
    if actions & SEARCH_PHASE != 0 {
        return HANDLER_FOUND;
    }
    if actions & HANDLER_FRAME == 0 {
        return CONTINUE;
    }
    // SAFETY: the unwinder's context, of a frame of `guarded`, whose data is the place to go on at.
    unsafe { _Unwind_SetIP(context, _Unwind_GetLanguageSpecificData(context)) };
    INSTALL_CONTEXT
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    static CALLS: AtomicU32 = AtomicU32::new(0);
    static CLEANED: AtomicU32 = AtomicU32::new(0);

    extern "C-unwind" fn succeeds(argc: c_int, argv: *const *const u8) {
        // SAFETY: `call` gives a list that is empty.
        assert!(argc == 0 && unsafe { (*argv).is_null() });
        CALLS.fetch_add(1, Ordering::Relaxed);
    }

    extern "C-unwind" fn panics() {
        struct Cleans;
        impl Drop for Cleans {
            fn drop(&mut self) {
                CLEANED.fetch_add(1, Ordering::Relaxed);
            }
        }
        let _cleans = Cleans;
        // Without the hook, which would write to the tests' output.
        std::panic::resume_unwind(Box::new("on purpose"));
    }

    #[test]
    fn a_panic_of_an_initialiser_stops_at_its_caller() {
        let succeeds = succeeds as extern "C-unwind" fn(c_int, *const *const u8);
        let panics = panics as extern "C-unwind" fn();
        for round in 1..=3 {
            assert_eq!(call(succeeds as usize as u64), Ok(()));
            assert_eq!(call(panics as usize as u64), Err(Failed));
            assert_eq!(CALLS.load(Ordering::Relaxed), round);
            assert_eq!(CLEANED.load(Ordering::Relaxed), round);
        }
    }
}
