//! The run-time in the process of a live Rust program: `libliveswap_agent.so`.
//!
//! It is loaded with the program (the link stage adds it to the executable), reserves address space
//! near the executable, connects to the command and does what it is told: check a patch, map it,
//! relocate it, flip slots. It must not know how patches are made: everything clever happens in the
//! command. Without a command it does nothing.
//!
//! Start reading at [`check`] (what a patch must fulfil; pure, without a process) and `apply` (what is
//! done with one that does). `sys` holds what is platform-bound, and all `unsafe`.
//!
//! Nothing here may panic out, stop the program's threads or hold a lock while code of the program
//! runs.

// Without the exports nothing calls the rest.
#![cfg_attr(not(feature = "exports"), allow(dead_code))]

pub mod check;
pub mod refusal;
pub mod relocation;

mod apply;
#[cfg(feature = "exports")]
mod frames;
/// For the fuzz target.
#[cfg(not(feature = "exports"))]
pub mod frames;
mod log;
mod maps;
mod serve;
mod sys;
