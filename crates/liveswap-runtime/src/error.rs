//! What can go wrong, in words that a user can act on.

use crate::Name;

/// The step of a reload at which a module failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Step {
    /// Reading the module's file.
    #[error("read")]
    Read,
    /// Checking that it is a complete shared library for this process.
    #[error("check")]
    Check,
    /// Writing the private copy.
    #[error("copy")]
    Copy,
    /// Loading the private copy.
    #[error("load")]
    Load,
    /// Finding the exports of the module protocol.
    #[error("exports")]
    Exports,
    /// Finding room for the module's procs.
    #[error("slots")]
    Slots,
}

/// Errors of the run-time. After each of them the code that ran before goes on running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A module cannot be loaded.
    #[error("module {module}: {step}: {cause}")]
    Module {
        /// The module: the path of its library.
        module: Name,
        /// What was being done.
        step: Step,
        /// The reason, in the words of whoever knows it (system, loader, checker).
        cause: String,
    },
    /// A reload was asked for by code that runs as part of a reload.
    #[error("a reload cannot be started from a handler or from a module's own initialisation")]
    Nested,
    /// The program was already started, a reload came before the start, or another thread is at it and
    /// does not come to its end.
    #[error("{0}")]
    Order(&'static str),
    /// No slot is left.
    #[error(
        "the slot table is full ({slots} slots in {mb} MB): proc {proc} of module {module} has no \
         slot; raise HOT_CODE_RELOADING_JUMP_TABLE_SIZE"
    )]
    SlotsFull {
        /// Capacity.
        slots: usize,
        /// Reserved address space.
        mb: usize,
        /// The proc.
        proc: Name,
        /// Its module.
        module: Name,
    },
    /// The system gives no memory for slots.
    #[error("no memory for slots: {0}")]
    SlotMemory(String),
    /// The system gives no memory for a global.
    #[error("global {global} of module {module}: no memory for {size} bytes: {cause}")]
    GlobalMemory {
        /// The global.
        global: Name,
        /// Its module.
        module: Name,
        /// The size that was asked for, in bytes.
        size: isize,
        /// The reason.
        cause: String,
    },
}
