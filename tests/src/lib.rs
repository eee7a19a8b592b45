//! What the whole-process tests share: the library under test, programs that are driven line by
//! line, and C modules that speak the module protocol and are compiled on the spot.
//!
//! Everything here panics with a full account when something is not as it should be: it is only
//! ever called from tests, and a test has nothing better to do with an error.

pub mod c_host;
pub mod c_module;
pub mod c_project;
pub mod cargo_project;
pub mod compiler;
pub mod corpus;
pub mod elf_damage;
pub mod field;
mod held;
pub mod library;
pub mod live;
pub mod live_command;
pub mod live_event;
pub mod live_options;
pub mod nim;
pub mod nim_server;
mod pipes;
pub mod process;
pub mod process_info;
pub mod random;
pub mod random_edits;
pub mod server_load;
mod stream;

pub use c_host::{Host, HostOptions, Reply};
pub use c_module::CModule;
pub use c_project::CProject;
pub use cargo_project::LiveProject;
pub use library::nimhcr_library;
pub use live::LiveRun;
pub use live_event::Event;
pub use live_options::LiveOptions;
pub use process::{Exit, Process};
