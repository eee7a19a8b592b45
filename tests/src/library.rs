//! The library under test.

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
    let library = LIBRARY.get_or_init(|| match std::env::var_os("LIVESWAP_NIMHCR") {
        Some(named) => Path::new(&named)
            .canonicalize()
            .map_err(|error| format!("LIVESWAP_NIMHCR={}: {error}", named.display())),
        None => build(),
    });
    match library {
        Ok(path) => path,
        Err(message) => panic!("{message}"),
    }
}

fn build() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target_directory();
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "nimhcr", "--target-dir"])
        .arg(&target)
        .current_dir(workspace_root())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    let library = target.join("release").join("libnimhcr.so");
    if output.status.success() && library.is_file() {
        return Ok(library);
    }
    Err(format!(
        "cargo build --release -p nimhcr left no {}:\n{}",
        library.display(),
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
