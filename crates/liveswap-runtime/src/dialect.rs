//! What a compiler's output adds to the module protocol.
//!
//! The run-time identifies symbols by module and name. A compiler whose names change between builds,
//! whose collector needs certain procs, or whose libraries disagree about an owner says so here.

use std::ptr::NonNull;

use crate::image::Note;
use crate::registry::{GlobalId, ProcId};
use crate::{CodeAddress, Name};

/// A symbol that the run-time knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SymbolId {
    /// A proc.
    Proc(ProcId),
    /// A global.
    Global(GlobalId),
}

/// A symbol of a module that is about to be replaced.
#[derive(Clone, Debug)]
pub struct KnownSymbol {
    /// Its identity in the run-time.
    pub id: SymbolId,
    /// The name by which the images before the reload know it.
    pub name: Name,
    /// The module under whose name it is registered.
    pub owner: Name,
    /// It was removed by an earlier reload and its name may mean something else by now.
    pub parked: bool,
}

/// A module that is about to be replaced.
#[derive(Clone, Debug)]
pub struct ChangedModule {
    /// The module.
    pub module: Name,
    /// What was noted of the image that runs now.
    pub old: Option<Note>,
    /// What was noted of the image that replaces it.
    pub new: Option<Note>,
    /// The symbols registered under the module's name, and those that it registered under the names of
    /// others, in the order of their first registration.
    pub symbols: Vec<KnownSymbol>,
}

/// A proc that keeps its old code for whoever holds its address. Its name, if it is registered again,
/// means a new proc.
#[derive(Clone, Debug)]
pub struct Detached {
    /// The old proc.
    pub proc: ProcId,
    /// Name of the new proc that takes its place for the main program, which asks by the old name.
    pub successor: Option<Name>,
}

/// Which old symbol a new name means.
#[derive(Clone, Debug, Default)]
pub struct SymbolPlan {
    /// The symbol goes on under this name.
    pub renamed: Vec<(SymbolId, Name)>,
    /// Procs that keep their old code for whoever holds their address.
    pub detached: Vec<Detached>,
    /// Symbols that are gone although their name goes on, for another symbol.
    pub removed: Vec<SymbolId>,
    /// Modules (by index) whose new names cannot be known ahead: the n-th registration of an
    /// identity takes the n-th old symbol of that identity.
    pub by_order: Vec<usize>,
    /// What the user should know once the reload takes effect.
    pub notices: Vec<String>,
    /// How many procs the run-time does not know yet, as far as can be told.
    pub new_procs: usize,
}

/// What becomes of a proc whose module no longer registers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemovedProc {
    /// A call ends the process with a message.
    Gone,
    /// It keeps its old code, whose image then stays mapped.
    KeepsOldCode,
}

/// How far a build is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Build {
    /// Nobody can tell.
    Unknown,
    /// All libraries are in place.
    Complete,
    /// This module's library is still to come.
    Unfinished(Name),
}

/// A proc that nobody registers any more.
#[derive(Clone, Copy, Debug)]
pub struct Removed<'a> {
    /// The module under whose name it was registered.
    pub module: &'a Name,
    /// Its name in the image that holds its code.
    pub name: &'a Name,
    /// What was noted of that image.
    pub note: Option<&'a Note>,
    /// It was registered by another module on behalf of its own.
    pub on_behalf: bool,
}

/// A module's file that is about to be loaded.
#[derive(Debug)]
pub struct Examined<'a> {
    /// The module.
    pub module: &'a Name,
    /// The content of its file: what is loaded is a private copy of this.
    pub file: &'a mut Vec<u8>,
    /// What was noted of the image that it replaces.
    pub old: Option<Note>,
    /// The program runs already.
    pub reload: bool,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    /// A proc.
    Proc,
    /// A global.
    Global,
}

/// What a compiler's output adds to the module protocol. The defaults add nothing.
pub trait Dialect: Send + Sync + 'static {
    /// Looks at a module's file before it is loaded, and may change the private copy that will be loaded.
    fn examine(&self, _module: &mut Examined<'_>) -> Option<Note> {
        None
    }

    /// A private copy was loaded at `base` (the difference between addresses in the process and in the
    /// file); none of its code has run but constructors and the protocol's two getters.
    ///
    /// # Errors
    /// Why the image cannot be used: the reload is refused.
    fn loaded(&self, _note: &Note, _base: usize) -> Result<(), String> {
        Ok(())
    }

    /// All images of a start or reload are loaded (`new`, by their notes); `loaded` are those that run. What they
    /// need of each other beyond what the loader does can be filled in.
    ///
    /// # Errors
    /// The image (its index) that cannot be used, and why: the reload is refused.
    fn link(&self, _new: &[Option<Note>], _loaded: &[Note]) -> Result<(), (usize, String)> {
        Ok(())
    }

    /// The image with this note takes its module's place now.
    fn committed(&self, _module: &Name, _note: &Note) {}

    /// How far the build is that the files of these modules come from (each with what was noted of its
    /// running image). Asked when a file changed: libraries of two builds must not be mixed.
    fn build(&self, _modules: &[(Name, Option<Note>)]) -> Build {
        Build::Unknown
    }

    /// Decides which old symbols the new names mean. `added` are notes of modules that are new,
    /// `loaded` those of all images that run.
    fn match_symbols(
        &self,
        _changed: &[ChangedModule],
        _added: &[Note],
        _loaded: &[Note],
    ) -> SymbolPlan {
        SymbolPlan::default()
    }

    /// The module that a symbol belongs to, whatever module it is registered under.
    fn home(&self, _name: &[u8]) -> Option<&'static [u8]> {
        None
    }

    /// A proc got its address. Nothing of the run-time may be called from here.
    fn proc_registered(&self, _name: &[u8], _address: CodeAddress) {}

    /// A global got its address. Nothing of the run-time may be called from here.
    fn global_registered(&self, _name: &[u8], _address: NonNull<u8>) {}

    /// The part of a name that does not change from build to build.
    fn identity(&self, name: &[u8], _kind: SymbolKind) -> Vec<u8> {
        name.to_vec()
    }

    /// Decides what becomes of a proc that nobody registers any more.
    fn removed_proc(&self, _proc: &Removed<'_>) -> RemovedProc {
        RemovedProc::Gone
    }

    /// Whether living data may go on referring to a global that no module registers any more, so
    /// that it must stay, and be the same if it returns.
    fn keeps_global(&self, _name: &[u8]) -> bool {
        false
    }

    /// Whether a global of this name that was registered without a marker may hold references of a collector's.
    fn holds_unmarked(&self, _name: &[u8]) -> bool {
        false
    }

    /// Memory (`size` bytes, never given back) where a global lies already that is registered for the first time.
    fn memory_of_global(&self, _name: &[u8], _size: usize) -> Option<NonNull<u8>> {
        None
    }

    /// Whether a global of this name is the system module's, also when another module claims it.
    fn is_global_of_system(&self, _name: &[u8]) -> bool {
        false
    }

    /// Tells the user something.
    fn notice(&self, _text: &str) {}

    /// A handler with this environment is held by the run-time from now on.
    fn handler_added(&self, _environment: usize) {}

    /// A handler with this environment is no longer held.
    fn handler_dropped(&self, _environment: usize) {}
}

/// Names are stable and nothing is added: C, and whoever speaks the protocol by hand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl Dialect for Plain {}
