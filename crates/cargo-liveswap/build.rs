//! Builds the run-time that goes into the process: a shared library of its own, which the command carries.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = "liveswap-agent";
const LIBRARY: &str = "libliveswap_agent.so";

fn main() {
    let crates = variable("CARGO_MANIFEST_DIR")
        .parent()
        .expect("the package lies in a folder of packages")
        .to_owned();
    let workspace = crates.parent().expect("a workspace").to_owned();
    for package in [PACKAGE, "liveswap-protocol"] {
        for file in ["Cargo.toml", "build.rs", "src"] {
            rerun_if_changed(&crates.join(package).join(file));
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"] {
        rerun_if_changed(&workspace.join(file));
    }
    println!("cargo::rerun-if-changed=build.rs");

    let out = variable("OUT_DIR");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    // A folder of its own: the outer cargo holds the lock of the other.
    let target_dir = out.join("agent");
    let status = command(&workspace, &target, &target_dir)
        .status()
        .expect("cargo can be run");
    assert!(status.success(), "{PACKAGE} does not build");

    let made = target_dir.join(&target).join("release").join(LIBRARY);
    let wanted = out.join(LIBRARY);
    // The same bytes keep their time, so that nothing is compiled anew for them.
    let new = fs::read(&made).expect("the library was built");
    if fs::read(&wanted).ok().as_ref() != Some(&new) {
        fs::write(&wanted, new).expect("the library can be copied");
    }
}

fn command(workspace: &Path, target: &str, target_dir: &Path) -> Command {
    let mut command = Command::new(variable("CARGO"));
    command
        .current_dir(workspace)
        .args(["build", "--release", "--package", PACKAGE, "--lib"])
        .args(["--target", target, "--target-dir"])
        .arg(target_dir)
        .args(["--config", "profile.release.debug=false"])
        .args(["--config", "profile.release.strip=\"symbols\""])
        .args(["--config", "profile.release.panic=\"unwind\""])
        .args(["--config", "profile.release.opt-level=3"]);
    if workspace.join("Cargo.lock").exists() {
        command.arg("--locked");
    }
    for (name, _) in env::vars_os() {
        if belongs_to_the_outer_build(&name) {
            command.env_remove(name);
        }
    }
    // It runs in programs whose compiler flags are others; none of these is for it.
    command.env("CARGO_ENCODED_RUSTFLAGS", "");
    command
}

fn belongs_to_the_outer_build(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    const KEPT: [&str; 6] = [
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTR",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    // The linker for a target stays what the user configured.
    let is_linker = name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER");
    (name.starts_with("CARGO_") && !is_linker && !KEPT.iter().any(|kept| name.starts_with(kept)))
        || name.starts_with("LIVESWAP_")
        || name.starts_with("DEP_")
        || matches!(
            &*name,
            "RUSTC"
                | "RUSTC_WRAPPER"
                | "RUSTC_WORKSPACE_WRAPPER"
                | "RUSTC_LINKER"
                | "RUSTFLAGS"
                | "OUT_DIR"
                | "TARGET"
                | "HOST"
                | "PROFILE"
                | "OPT_LEVEL"
                | "DEBUG"
                | "NUM_JOBS"
        )
}

fn rerun_if_changed(path: &Path) {
    // Of a file that does not exist cargo thinks that it always changes.
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn variable(name: &str) -> PathBuf {
    env::var_os(name)
        .unwrap_or_else(|| panic!("cargo sets {name}"))
        .into()
}
