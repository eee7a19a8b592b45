//! The values that the parts of the command give each other.
//!
//! [`crate::build`] makes them, the engine and the session take them. They hold no handles and do
//! nothing by themselves.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The arguments of `cargo liveswap run`, as `cargo run` would get them.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Flags for cargo, without the target folder's.
    pub cargo_args: Vec<OsString>,
    /// What follows `--`.
    pub program_args: Vec<OsString>,
    /// `dev`, `release`, …
    pub profile: String,
}

/// What `cargo run` would have started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The program; a runner that the user configured comes in its place.
    pub exe: PathBuf,
    /// Its arguments, without its own name.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working folder.
    pub cwd: PathBuf,
}

/// One object of a reloadable crate.
#[derive(Clone, Debug)]
pub struct ObjectFile {
    /// Its name without the parts that change from run to run: of `app-HASH.CGU.SUFFIX.rcgu.o` the
    /// part CGU.
    pub cgu: String,
    /// The file's contents.
    pub bytes: Arc<[u8]>,
}

/// One reloadable crate's objects after a compilation.
#[derive(Clone, Debug)]
pub struct CrateObjects {
    /// The crate's name.
    pub name: String,
    /// Unique key of the unit: the same over the whole session.
    pub unit: String,
    /// What is new or changed since the unit's objects were last handed out.
    pub objects: Vec<ObjectFile>,
    /// The names of all of its objects now.
    pub all: Vec<String>,
    /// The source files that it was compiled from, with their texts where those are known.
    pub sources: Vec<SourceText>,
}

/// A source file, and its text if that is known.
pub type SourceText = (PathBuf, Option<Arc<str>>);

/// What a live crate was compiled from.
#[derive(Clone, Debug)]
pub struct LinkedSources {
    /// As in [`CrateObjects::unit`].
    pub unit: String,
    /// The crate's name.
    pub name: String,
    /// Its source files.
    pub sources: Vec<SourceText>,
}

/// What was linked: read back from the manifest that the link stage writes.
#[derive(Clone, Debug)]
pub struct Linked {
    /// The executable.
    pub exe: PathBuf,
    /// The reloadable crates in it.
    pub crates: Vec<LinkedCrate>,
    /// Other rlibs of the link line, std included, in order; then those of crates that are declared as
    /// dependencies and not used yet.
    pub archives: Vec<PathBuf>,
    /// Symbols that nothing defines, used by code that cannot be reached; stubs take their place.
    pub missing: Vec<String>,
    /// What the live crates were compiled from.
    pub sources: Vec<LinkedSources>,
    /// Why the program cannot be changed while it runs, if so. Then there are no crates.
    pub obstacle: Option<String>,
}

/// A reloadable crate of the executable.
#[derive(Clone, Debug)]
pub struct LinkedCrate {
    /// The crate's name.
    pub name: String,
    /// As in [`CrateObjects::unit`].
    pub unit: String,
    /// Its objects as rustc wrote them: CGU, and a private copy.
    pub objects: Vec<(String, PathBuf)>,
    /// `0` to `3`, `s` or `z`.
    pub opt_level: String,
}

/// A message of rustc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `error`, `warning`, …
    pub level: String,
    /// As rustc shows it, with colours if rustc gave them.
    pub rendered: String,
}

/// Why there is nothing new to load.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BuildError {
    /// The compiler has errors; they are on stderr already.
    #[error("the program does not compile")]
    Compile {
        /// All messages of the failed compilation, errors and warnings.
        diagnostics: Vec<Diagnostic>,
    },
    /// It was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// What changed cannot be done to a running program.
    #[error("{reason}")]
    NeedsRestart {
        /// What it is.
        reason: String,
    },
    /// Cargo ended with this status and has said why.
    #[error("cargo failed")]
    Cargo {
        /// Its exit status; 128 + the signal that ended it.
        status: i32,
    },
    /// Liveswap itself broke down, with these words.
    #[error("internal error of liveswap: {0}")]
    Internal(String),
    /// Something that is nobody's edit: a file that cannot be read, a tool that does not start.
    #[error("{0}")]
    Failed(String),
}

/// The outcome of a compilation.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    /// What each crate consists of now.
    pub crates: Vec<CrateObjects>,
    /// Crate and duration of each run of rustc.
    pub rustc_runs: Vec<(String, Duration)>,
    /// Archives of dependencies that the program did not have before.
    pub new_archives: Vec<PathBuf>,
    /// What was noticed and waits for a restart.
    pub pending: Vec<String>,
    /// Dependents were proven not to be needed now: `finish_deferred` compiles them.
    pub deferred: bool,
}

/// What a changed path means to the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing: it is no file of the build.
    Irrelevant,
    /// A source file of reloadable crates: their rustc commands are run again. Or what is only compared
    /// with how it was at the start.
    Source,
    /// A manifest, a lock file, a build script or its inputs, a configuration: cargo decides.
    Cargo,
}

/// Tells a compilation to stop; clones share the state.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end of what was given this token.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`CancelToken::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
