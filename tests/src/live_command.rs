//! The command under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::library::named_or_built;

/// Path of the `cargo-liveswap` to test: the one that `LIVESWAP_COMMAND` names, otherwise the release
/// build of this workspace, brought up to date once per test process.
///
/// # Panics
/// When there is no such file or the build fails.
pub fn liveswap_command() -> &'static Path {
    static COMMAND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let command = COMMAND.get_or_init(|| {
        let mut cargo = Command::new("cargo");
        clean_environment(&mut cargo);
        named_or_built(
            "LIVESWAP_COMMAND",
            cargo,
            "cargo-liveswap",
            "cargo-liveswap",
        )
    });
    match command {
        Ok(path) => path,
        Err(message) => panic!("{message}"),
    }
}

/// Takes away what the cargo that runs the tests has set: a user's shell has none of it.
pub fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let keep = matches!(
            text.as_ref(),
            "CARGO_HOME" | "RUSTUP_HOME" | "RUSTUP_TOOLCHAIN"
        );
        let ours = ["CARGO", "RUST", "LIVESWAP", "LD_"]
            .iter()
            .any(|prefix| text.starts_with(prefix));
        if ours && !keep {
            command.env_remove(&name);
        }
    }
}
