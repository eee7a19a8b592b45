//! The Nim compiler, and what its programs need beside them.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::library::target_directory;

/// A way of compiling a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Nim's default: checks, stack traces, refc.
    Debug,
    /// `-d:release`.
    Release,
    /// A debug build with the mark-and-sweep collector.
    MarkAndSweep,
    /// A debug build with threads: Nim 1.6 has none by default.
    Threads,
    /// A release build with threads.
    ThreadsRelease,
    /// A debug build with threads whose thread-locals are fields of one struct.
    EmulatedThreadVars,
}

impl Build {
    fn switches(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Release => &["-d:release"],
            Self::MarkAndSweep => &["--gc:markAndSweep"],
            Self::Threads => &["--threads:on"],
            Self::ThreadsRelease => &["--threads:on", "-d:release"],
            Self::EmulatedThreadVars => &["--threads:on", "--tlsEmulation:on"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
            Self::MarkAndSweep => "mark-and-sweep",
            Self::Threads => "threads",
            Self::ThreadsRelease => "threads-release",
            Self::EmulatedThreadVars => "emulated-thread-vars",
        }
    }
}

/// Compiles a program for hot code reloading: `main.nim` in the folder, to the file `output`.
/// The error is everything that the compiler said.
pub fn compile(build: Build, sources: &Path, nimcache: &Path, output: &Path) -> Result<(), String> {
    let result = nim(Command::new("nim")
        .args(["c", "--hints:off", "--warnings:off"])
        .args(["--skipUserCfg:on", "--skipParentCfg:on"])
        .arg("--hotCodeReloading:on")
        .args(build.switches())
        .arg(with_path("--nimcache:", nimcache))
        .arg(with_path("-o:", output))
        .arg(sources.join("main.nim")));
    if result.status.success() {
        Ok(())
    } else {
        Err(said(&result))
    }
}

/// Compiles a one-file program with the given switches and returns what the compiler said.
///
/// # Panics
/// When it compiles.
pub fn compile_error(program: &str, switches: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = folder.path().join("main.nim");
    fs::write(&source, program).expect("the program can be written");
    let result = nim(Command::new("nim")
        .args(["c", "--hints:off", "--warnings:off"])
        .args(["--skipUserCfg:on", "--skipParentCfg:on"])
        .arg("--hotCodeReloading:on")
        .args(switches)
        .arg(with_path("--nimcache:", &folder.path().join("nimcache")))
        .arg(with_path("-o:", &folder.path().join("program")))
        .arg(source));
    assert!(!result.status.success(), "nim {switches:?} compiles this");
    said(&result)
}

/// The folder with the `libnimrtl.so` that programs of this build need. It is made from the
/// installed Nim's own source, once, and kept in the target directory.
pub fn run_time_library(build: Build) -> PathBuf {
    let folder = target_directory()
        .join("nimrtl")
        .join(format!("{}-{}", version(), build.name()));
    fs::create_dir_all(&folder).expect("the target directory is writable");
    // Several test programs may want it at once.
    let lock = File::create(folder.join("lock")).expect("the lock file can be made");
    // SAFETY: flock takes a descriptor, which `lock` keeps open.
    let locked = unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX) };
    assert_eq!(locked, 0, "flock: {}", std::io::Error::last_os_error());
    let library = folder.join("libnimrtl.so");
    if !library.is_file() {
        // Renamed into place when it is whole: a build that was interrupted leaves nothing.
        let unfinished = folder.join("unfinished.so");
        let result = nim(Command::new("nim")
            .args(["c", "--hints:off", "--warnings:off"])
            .args(["--skipUserCfg:on", "--skipParentCfg:on"])
            .args(build.switches())
            .arg(with_path("--nimcache:", &folder.join("nimcache")))
            .arg(with_path("-o:", &unfinished))
            .arg(nim_library_folder().join("nimrtl.nim")));
        assert!(
            result.status.success(),
            "libnimrtl.so does not compile:\n{}",
            said(&result)
        );
        fs::rename(&unfinished, &library).expect("the library can be renamed");
    }
    folder
}

/// `1.6.10`, as `nim --version` says it.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let text = said(&nim(Command::new("nim").arg("--version")));
        text.split_whitespace()
            .skip_while(|word| *word != "Version")
            .nth(1)
            .unwrap_or_else(|| panic!("no version in what nim --version says:\n{text}"))
            .to_owned()
    })
}

/// Where the installed compiler keeps its library.
fn nim_library_folder() -> PathBuf {
    let text = said(&nim(Command::new("nim").args(["--hints:off", "dump", "-"])));
    text.lines()
        .map(PathBuf::from)
        .find(|folder| folder.join("nimrtl.nim").is_file())
        .unwrap_or_else(|| panic!("nim dump names no folder with nimrtl.nim:\n{text}"))
}

/// Runs the compiler.
///
/// # Panics
/// When there is none: these tests are never skipped.
fn nim(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| {
        panic!("the Nim compiler does not start ({error}): apt-get install nim")
    })
}

fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    text
}

fn with_path(switch: &str, path: &Path) -> String {
    let path = path.to_str().expect("the tests' own paths are UTF-8");
    format!("{switch}{path}")
}
