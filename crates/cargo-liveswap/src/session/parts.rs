//! What a session needs of the build side and of the engine, as traits: the session's own rules are
//! tested without a compiler and without a program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use liveswap_protocol::message::Hello;

use crate::model::{BuildError, CancelToken, Change, Compiled};

/// The build side, after the first build.
pub trait Builder: Send + 'static {
    /// A program that was linked beside the one that runs.
    type Next: Send + 'static;
    /// The files that the program's reloadable crates were compiled from.
    fn sources(&self) -> Vec<PathBuf>;
    /// Folders whose files may become part of the build.
    fn watch_roots(&self) -> Vec<PathBuf>;
    /// Sources that were written while they were compiled, or since.
    fn uncertain_sources(&self) -> Vec<PathBuf>;
    /// What a path means, whether or not it changed.
    fn classify(&self, path: &Path) -> Change;
    /// Compiles what these paths, and earlier ones that failed, make stale. Nothing, if their contents
    /// are what was compiled.
    ///
    /// # Errors
    /// If there is nothing to load afterwards.
    fn compile(
        &mut self,
        changed: &[PathBuf],
        cancel: &CancelToken,
    ) -> Result<Compiled, BuildError>;
    /// Asks cargo what is stale and compiles that.
    ///
    /// # Errors
    /// If there is nothing to load afterwards.
    fn rebuild(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError>;
    /// Compiles dependents that were left out.
    ///
    /// # Errors
    /// If there is nothing to load afterwards.
    fn finish_deferred(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError>;
    /// Links the program as it is written now, beside the one that runs. `shown`: what the compiler says is shown.
    ///
    /// # Errors
    /// If it does not compile.
    fn next(&mut self, shown: bool, cancel: &CancelToken) -> Result<Self::Next, BuildError>;
    /// Puts such a program in the place of the one that runs: it is about to be restarted.
    ///
    /// # Errors
    /// If that cannot be done.
    fn put_in_place(next: &Self::Next) -> Result<(), BuildError>;
    /// One of these calls ended in a panic: what it was about to change may be half changed.
    fn broke_down(&mut self);
}

/// What knows the code in the process, and says how it becomes that of a compilation.
pub trait Planner: Send + 'static {
    /// A plan that waits for its end.
    type Plan: Send + 'static;
    /// How the process gets from its code to `compiled`. A panic in it leaves what is known of the process as it
    /// was.
    fn plan(&mut self, compiled: Compiled, hello: &Hello) -> Outcome<Self::Plan>;
    /// The plan's patch was applied.
    fn commit(&mut self, plan: Self::Plan);
    /// The plan's patch was not applied.
    fn abandon(&mut self, plan: Self::Plan);
    /// Of these functions (symbols) those that only `main` leads to, and only by calls. `alone`: nothing else was
    /// replaced with them.
    fn only_from_main(
        &mut self,
        functions: &[Arc<str>],
        alone: bool,
        hello: &Hello,
    ) -> Vec<FromMain>;
}

/// What a compilation means for the process.
#[derive(Debug)]
pub enum Outcome<P> {
    /// Nothing is to be done now.
    Unchanged {
        /// What waits for a restart.
        pending: Vec<String>,
    },
    /// It cannot be done.
    Refused {
        /// `LS0001` …
        code: String,
        /// Why.
        message: String,
    },
    /// A patch does it.
    Patch(Box<Planned<P>>),
}

/// A patch, and what is said of it.
#[derive(Debug)]
pub struct Planned<P> {
    /// The encoded patch.
    pub patch: Vec<u8>,
    /// Bytes of code and data that it brings.
    pub bytes: usize,
    /// What changes, by module.
    pub modules: Vec<ModuleReport>,
    /// What of the edit waits, for a restart or for a function's return.
    pub pending: Vec<String>,
    /// Nothing of the edit takes effect: `pending` is all there is to say.
    pub pending_only: bool,
    /// Bodies that are replaced.
    pub old_bodies: Vec<OldBody>,
    /// Addresses of bodies from before that, as long as they run, do not see the change: they call earlier versions.
    pub staying: BTreeSet<u64>,
    /// Bodies that changed or are new.
    pub new_bodies: NewBodies,
    /// The image's file for debuggers, to be written before the patch is sent.
    pub debug_file: Option<DebugFile>,
    /// The planner's own.
    pub plan: P,
}

/// The ELF file of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugFile {
    /// Where it belongs.
    pub path: PathBuf,
    /// Its contents.
    pub bytes: Vec<u8>,
    /// The same for gdb, with addresses as they are in the process, and where that belongs.
    pub for_debugger: (PathBuf, Vec<u8>),
    /// Number of the image's first slice.
    pub slice: u32,
    /// The names of its other slices: links to it.
    pub links: Vec<PathBuf>,
}

/// What changes in a module.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ModuleReport {
    /// The crate's name.
    pub name: String,
    /// Functions with another body.
    pub changed: usize,
    /// Functions that are new.
    pub added: usize,
    /// Functions that are gone.
    pub removed: usize,
}

/// The body of a function that is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBody {
    /// Its name, demangled.
    pub name: String,
    /// Its address in the process.
    pub start: u64,
    /// Its length.
    pub len: u64,
}

/// Bodies that a patch brings, and how their first calls can be noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBodies {
    /// One for each function that changed or is new.
    pub bodies: Vec<NewBody>,
    /// Addresses of all words of slots that the patch sets.
    pub words: Vec<u64>,
}

/// A body of a function that changed or is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBody {
    /// The function's name, demangled.
    pub name: String,
    /// Its symbol.
    pub symbol: Arc<str>,
    /// Addresses of the words that lead to it, with what they hold until the first call.
    pub words: Vec<(u64, u64)>,
    /// There was another body before.
    pub replaces: bool,
}

/// A function that only `main` leads to, by itself or by other functions that only it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromMain {
    /// Its symbol.
    pub symbol: Arc<str>,
    /// Start and length of the body of `main` that runs.
    pub main: (u64, u64),
    /// Where the last of the calls of `main` that lead there returns to. None of them is in a loop.
    pub returns: u64,
}

/// What the worker reports of a job.
#[derive(Debug)]
pub enum Done<P> {
    /// Nothing of this is a file of the build.
    Irrelevant,
    /// These files are; the work begins.
    Begun(Begun),
    /// They are what was compiled last.
    Same,
    /// The program that a restart starts is linked.
    Linked,
    /// It is in the place of the one that runs.
    InPlace,
    /// There is nothing to load.
    Failed(BuildError),
    /// It was compiled and compared.
    Planned {
        /// What is to be done.
        outcome: Outcome<P>,
        /// How long the compilation took.
        compile: Duration,
        /// How long comparing and writing the debug file took.
        diff: Duration,
        /// Dependents were left out.
        deferred: bool,
    },
}

/// The beginning of work on changed files.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The files.
    pub paths: Vec<PathBuf>,
    /// When they were saved.
    pub saved: std::time::SystemTime,
    /// When the work began.
    pub at: std::time::SystemTime,
}

/// Why the program cannot take new code in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAgent {
    /// The code of the refusal.
    pub code: crate::codes::Code,
    /// In words.
    pub message: String,
}

/// Work for the worker.
#[derive(Debug)]
pub enum Job<P> {
    /// These files changed.
    Changed {
        /// The changes, from the first event to the last.
        batch: super::batch::Batch,
        /// Of the process; without it nothing can be loaded.
        hello: Result<Hello, NoAgent>,
        /// To stop it.
        cancel: CancelToken,
    },
    /// Nothing else is to be done: compile what was left out.
    Deferred {
        /// Of the process.
        hello: Result<Hello, NoAgent>,
        /// To stop it.
        cancel: CancelToken,
    },
    /// Link the program that a restart starts.
    Link {
        /// Only if these files changed.
        batch: Option<super::batch::Batch>,
        /// The compiler's messages are shown.
        shown: bool,
        /// To stop it.
        cancel: CancelToken,
    },
    /// Put it in the place of the one that runs.
    PutInPlace,
    /// The plan's patch was applied.
    Commit(P),
    /// The plan's patch was not applied.
    Abandon(P),
    /// Which of these functions does only `main` lead to?
    OnlyFromMain {
        /// Symbols.
        functions: Vec<Arc<str>>,
        /// Nothing else was replaced with them.
        alone: bool,
        /// Of the process.
        hello: Hello,
    },
}
