//! The hot code reloading run-time: permanent addresses for procs and globals, images of modules,
//! the import graph, and the reload as a transaction.
//!
//! It follows the system that the text of Nim's `nimhcr` describes (in this project: *the seed*);
//! `ARCHITECTURE.md` says where it differs. It must not know any language: strings, collectors and
//! the naming habits of a compiler come in through [`Dialect`]. It must not know the command, its
//! libraries or its protocol either. Everything that the operating system or the CPU decides is in
//! `sys/` and `arch/`.
//!
//! Start reading at [`Runtime`], then `transaction.rs` (what happens in a reload, step by step),
//! `discover.rs` (what can fail), `registry/` (who owns what) and `slots.rs` (permanent addresses).

pub mod arch;
mod copies;
mod dialect;
mod discover;
mod elf_check;
mod error;
mod image;
mod module_file;
mod name;
mod registry;
mod runtime;
mod settings;
mod slots;
mod storage;
mod symbol_ref;
mod sys;
mod transaction;
mod turn;

pub use dialect::{
    Build, ChangedModule, Detached, Dialect, Examined, KnownSymbol, Plain, Removed, RemovedProc,
    SymbolId, SymbolKind, SymbolPlan,
};
pub use error::{Error, Step};
pub use image::{
    Entry, HandlerFn, Linkage, ModuleCall, Note, ProcGetter, name as name_from_c, name_list,
};
pub use name::Name;
pub use registry::{GlobalId, ProcId};
pub use runtime::{Begin, Program, Refusal, Roots, Runtime};
pub use settings::{KeepImages, Settings};
pub use slots::CodeAddress;
pub use storage::{ALIGNMENT as GLOBAL_ALIGNMENT, Unmarked};
pub use symbol_ref::SymbolRef;
pub use sys::process::{at_exit, stderr_line};
