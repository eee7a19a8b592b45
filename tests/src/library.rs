//! What is under test: the library, and how it is built.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Path of the `libnimhcr.so` to test: the one that `LIVESWAP_NIMHCR` names, otherwise the release
/// build of this workspace, brought up to date once per test process.
///
/// # Panics
/// When there is no such file or the build fails.
pub fn nimhcr_library() -> &'static Path {
    // A failure is kept as well: a hundred tests need not build in vain a hundred times.
    static LIBRARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let library = LIBRARY.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        named_or_built(
            "LIVESWAP_NIMHCR",
            Command::new(cargo),
            "nimhcr",
            "libnimhcr.so",
        )
    });
    match library {
        Ok(path) => path,
        Err(message) => panic!("{message}"),
    }
}

/// What is under test: the file that the variable names, otherwise `file` of the release build of this
/// package by `cargo`. The error says why there is none.
pub(crate) fn named_or_built(
    variable: &str,
    mut cargo: Command,
    package: &str,
    file: &str,
) -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(variable) {
        return Path::new(&named)
            .canonicalize()
            .map_err(|error| format!("{variable}={}: {error}", named.display()));
    }
    let target = target_directory();
    let output = cargo
        .args(["build", "--release", "--package", package, "--target-dir"])
        .arg(&target)
        .current_dir(workspace_root())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    let built = target.join("release").join(file);
    if output.status.success() && built.is_file() {
        return Ok(built);
    }
    Err(format!(
        "cargo build --release -p {package} left no {}:\n{}",
        built.display(),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The directory of the workspace's `Cargo.toml`.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests package lies inside the workspace")
}

/// Cargo's target directory, found from the running test, so that any way of choosing one works.
///
/// # Panics
/// When the running program does not lie in a target directory.
pub fn target_directory() -> PathBuf {
    let program = std::env::current_exe().expect("the test knows its own path");
    program
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file())
        .unwrap_or_else(|| panic!("{} is in no target directory", program.display()))
        .to_path_buf()
}
