//! The command under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::library::{target_directory, workspace_root};

/// Path of the `cargo-liveswap` to test: the one that `LIVESWAP_COMMAND` names, otherwise the release
/// build of this workspace, brought up to date once per test process.
///
/// # Panics
/// When there is no such file or the build fails.
pub fn liveswap_command() -> &'static Path {
    static COMMAND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let command = COMMAND.get_or_init(|| match std::env::var_os("LIVESWAP_COMMAND") {
        Some(named) => Path::new(&named)
            .canonicalize()
            .map_err(|error| format!("LIVESWAP_COMMAND={}: {error}", named.display())),
        None => build(),
    });
    match command {
        Ok(path) => path,
        Err(message) => panic!("{message}"),
    }
}

fn build() -> Result<PathBuf, String> {
    let target = target_directory();
    let mut command = Command::new("cargo");
    clean_environment(&mut command);
    let output = command
        .args([
            "build",
            "--release",
            "--package",
            "cargo-liveswap",
            "--target-dir",
        ])
        .arg(&target)
        .current_dir(workspace_root())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    let program = target.join("release").join("cargo-liveswap");
    if output.status.success() && program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "cargo build --release -p cargo-liveswap left no {}:\n{}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    ))
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
