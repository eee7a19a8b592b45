//! Functions that keep their frames in all the ways there are.

use std::arch::global_asm;
use std::ffi::c_void;

/// What a test does on its thread.
pub type What<'a> = &'a mut dyn FnMut();

/// Calls a closure that it gets as two words.
pub extern "C-unwind" fn call(what: *mut c_void) {
    // SAFETY: what `through` gave.
    unsafe { (*what.cast::<What<'_>>())() }
}

/// One of the functions below.
pub type Through = unsafe extern "C-unwind" fn(extern "C-unwind" fn(*mut c_void), *mut c_void);

/// Calls `what` with a function in between.
#[inline(never)]
pub fn through(function: Through, mut what: What<'_>) {
    // SAFETY: the functions below call their first argument with the second.
    unsafe { function(call, (&raw mut what).cast()) };
    std::hint::black_box(());
}

// Each calls its first argument with the second.
global_asm!(
    ".macro begin name",
    ".globl \\name",
    ".type \\name, @function",
    "\\name:",
    ".endm",
    ".macro end name",
    ".size \\name, . - \\name",
    ".endm",
    // Keeps a frame pointer.
    "begin liveswap_test_frame",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "sub rsp, 40",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "add rsp, 40",
    "pop rbx",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    "end liveswap_test_frame",
    // Keeps none, and uses the register for something else.
    "begin liveswap_test_no_frame",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "sub rsp, 32",
    ".cfi_def_cfa_offset 48",
    "mov rbp, 77",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "add rsp, 32",
    ".cfi_def_cfa_offset 16",
    "pop rbp",
    ".cfi_def_cfa_offset 8",
    "ret",
    ".cfi_endproc",
    "end liveswap_test_no_frame",
    // Aligns its stack by itself.
    "begin liveswap_test_aligned",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "push rbx",
    ".cfi_offset rbx, -24",
    "and rsp, -64",
    "sub rsp, 512",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "lea rsp, [rbp - 8]",
    "pop rbx",
    "pop rbp",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    "end liveswap_test_aligned",
    // Takes as much as it finds out when it runs: how far the frame pointer is cannot be computed.
    "begin liveswap_test_varying",
    ".cfi_startproc",
    "push rbp",
    ".cfi_def_cfa_offset 16",
    ".cfi_offset rbp, -16",
    "mov rbp, rsp",
    ".cfi_def_cfa_register rbp",
    "mov rax, 96",
    "sub rsp, rax",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "leave",
    ".cfi_def_cfa rsp, 8",
    "ret",
    ".cfi_endproc",
    "end liveswap_test_varying",
    // Without unwind information, and with much room that it does not touch.
    "begin liveswap_test_silent",
    "sub rsp, 1032",
    "mov rax, rdi",
    "mov rdi, rsi",
    "call rax",
    "add rsp, 1032",
    "ret",
    "end liveswap_test_silent",
    // Ends with a jump into another function.
    "begin liveswap_test_tail",
    ".cfi_startproc",
    "sub rsp, 8",
    ".cfi_def_cfa_offset 16",
    "add rsp, 8",
    ".cfi_def_cfa_offset 8",
    "jmp liveswap_test_frame",
    ".cfi_endproc",
    "end liveswap_test_tail",
    ".purgem begin",
    ".purgem end",
);

unsafe extern "C-unwind" {
    /// See above.
    pub fn liveswap_test_frame(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
    /// See above.
    pub fn liveswap_test_no_frame(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
    /// See above.
    pub fn liveswap_test_aligned(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
    /// See above.
    pub fn liveswap_test_varying(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
    /// See above.
    pub fn liveswap_test_tail(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
    /// See above.
    pub fn liveswap_test_silent(what: extern "C-unwind" fn(*mut c_void), argument: *mut c_void);
}
