//! The C compiler that builds the fixtures.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::library::target_directory;

/// The directory of the C sources that fixtures share.
pub fn c_fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/c"))
}

/// Compiles one C file to a shared library, with the fixtures' headers in reach.
///
/// # Panics
/// When there is no compiler or it finds an error.
#[track_caller]
pub fn shared_library(source: &Path, output: &Path, flags: &[String]) {
    let mut command = compiler();
    command
        .args(["-shared", "-fPIC"])
        .args(flags)
        .arg("-I")
        .arg(c_fixtures())
        .arg("-o")
        .arg(output)
        .arg(source);
    run(command);
}

/// The root program of all C fixtures, compiled once per test process.
///
/// # Panics
/// When it does not compile.
pub fn host_program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let directory = target_directory().join("tmp");
        std::fs::create_dir_all(&directory).expect("the target directory is ours to write");
        let program = directory.join("liveswap-c-host");
        // Renamed into place: another test process may be running the one that is there.
        let fresh = directory.join(format!("liveswap-c-host-{}", std::process::id()));
        let mut command = compiler();
        command
            .args([
                "-O1",
                "-g",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-rdynamic",
                "-o",
            ])
            .arg(&fresh)
            .args(
                [
                    "host.c",
                    "host_commands.c",
                    "host_processes.c",
                    "host_threads.c",
                ]
                .map(|file| c_fixtures().join(file)),
            )
            .args(["-ldl", "-lpthread"]);
        run(command);
        std::fs::rename(&fresh, &program).expect("a rename within one directory");
        program
    })
}

fn compiler() -> Command {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| OsStr::new("cc").to_owned());
    Command::new(compiler)
}

#[track_caller]
fn run(mut command: Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("a C compiler is needed: {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
