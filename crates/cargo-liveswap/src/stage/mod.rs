//! The processes that cargo and rustc start during a build: the command itself under other names.
//!
//! [`wrapper`] stands between cargo and rustc, [`linker`] between rustc and the linker, [`runner`]
//! between cargo and the program. They run while a session waits for cargo, or while it repeats a
//! recorded compilation, and leave what they learn in the stage folder ([`layout::Stage`]). They
//! know nothing of sessions.

pub mod archive;
pub mod layout;
pub mod link_args;
pub mod linker;
pub mod manifest;
pub mod objects;
pub mod record;
pub mod runner;
pub mod rustc_args;
pub mod stubs;
pub mod text;
pub mod wrapper;

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// Names of the environment variables by which a session speaks to these processes.
pub mod env {
    /// The stage folder.
    pub const STAGE_DIR: &str = "LIVESWAP_STAGE_DIR";
    /// The wrapper around rustc that the user configured.
    pub const USER_WRAPPER: &str = "LIVESWAP_USER_WRAPPER";
    /// Which run of cargo this is: any text.
    pub const RUN: &str = "LIVESWAP_RUN";
    /// Where the runner writes what cargo would have started.
    pub const LAUNCH: &str = "LIVESWAP_LAUNCH";
    /// The linker that the link stage stands for; `cc` if it is not set.
    pub const LINKER: &str = "LIVESWAP_LINKER";
    /// Set if the link stage must not add the linker that comes with rustc.
    pub const NO_LLD: &str = "LIVESWAP_NO_LLD";
    /// Key of the unit that is being linked.
    pub const UNIT: &str = "LIVESWAP_UNIT";
    /// A folder: the link stage puts the objects there and does not link.
    pub const COLLECT: &str = "LIVESWAP_COLLECT";
    /// A folder: the link stage puts the program and all that belongs to it there, beside the program that runs.
    pub const NEXT: &str = "LIVESWAP_NEXT";
    /// All of them begin like this.
    pub const PREFIX: &str = "LIVESWAP_";
}

/// Runs the part of the stage that `name` (the command's own name, as it was called) stands for.
///
/// `None`: the name is the command's.
pub fn dispatch(name: &OsStr) -> Option<ExitCode> {
    let stem = Path::new(name).file_name()?.to_str()?;
    match stem {
        layout::RUSTC => Some(wrapper::main()),
        layout::LINKER => Some(linker::main()),
        layout::RUNNER => Some(runner::main()),
        _ => None,
    }
}

/// Becomes `command`; returns only if that fails.
fn become_command(command: &mut Command) -> ExitCode {
    let error = command.exec();
    complain(&format!(
        "cannot run {}: {error}",
        command.get_program().to_string_lossy()
    ));
    ExitCode::from(if error.kind() == io::ErrorKind::NotFound {
        127
    } else {
        126
    })
}

fn complain(message: &str) {
    eprintln!("error: liveswap: {message}");
}
