//! What the run-time knows: modules, procs, globals, handlers. Pure bookkeeping under one lock; no
//! code of a module ever runs from here.

mod buried;
mod clean;
mod globals;
mod journal;
mod procs;
mod rename;

use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

pub(crate) use buried::Buried;
pub(crate) use clean::Scope;
pub use globals::GlobalId;
pub(crate) use globals::{Global, GlobalMarker, Registered};
pub use procs::ProcId;
pub(crate) use procs::{Proc, ProcState};

use crate::dialect::{Dialect, SymbolId};
use crate::image::{HandlerFn, Image, ImageId, MAIN_PROGRAM};
use crate::slots::SlotTable;
use crate::storage::Unmarked;
use crate::{Name, Settings, sys};

/// Index of a module; modules are never forgotten, because their slots are permanent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ModuleId(pub(crate) u32);

/// The pass of the protocol in which a symbol was registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Outside of all passes: by the running program.
    Outside,
    /// `HcrInit000` and `HcrCreateTypeInfos`: run for new and changed modules.
    TypeInfos,
    /// `DatInit000`: run for all modules every time.
    DatInit,
    /// `Init000`: run for new and changed modules, and for the system module every time.
    Init,
}

/// Who registers or asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The module whose code runs, if a pass is under way on this thread.
    pub(crate) module: Option<ModuleId>,
    pub(crate) phase: Phase,
    pub(crate) image: ImageId,
    /// Generation in which that image was loaded.
    pub(crate) loaded: u64,
}

/// A before- or after-handler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler {
    pub(crate) before: bool,
    pub(crate) call: HandlerFn,
}

/// A module and what is registered under its name.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: Name,
    procs: HashTable<ProcId>,
    globals: HashTable<GlobalId>,
    /// Procs that were removed and whose names mean other procs now.
    parked: Vec<ProcId>,
    /// Set while new names of this module can only be matched by order: the old symbols by identity.
    by_order: Option<HashMap<Vec<u8>, std::collections::VecDeque<SymbolId>>>,
    pub(crate) image: Option<Arc<Image>>,
    /// What was noted of the image that the module had before it was removed.
    former_note: Option<crate::image::Note>,
    /// Generation in which `image` was loaded.
    pub(crate) loaded: u64,
    /// Generation in which the module was last reached from the root.
    pub(crate) seen: u64,
    /// Changes whenever a name of a symbol of this module gets another meaning, or a global another
    /// place.
    names: u32,
    /// What is registered by this module, under its own name or another's.
    registered: Vec<SymbolId>,
    journal: Option<journal::Journal>,
    /// Generation in which `DatInit000` did exactly what its journal says.
    replayed: Option<u64>,
    /// Modules that the image imports.
    pub(crate) imports: Arc<[ModuleId]>,
    /// Its `Init000` has not run to its end yet.
    pub(crate) uninitialised: bool,
    pub(crate) handlers: Vec<Handler>,
}

/// An image that was replaced or whose module was removed.
#[derive(Debug)]
pub(crate) struct Retired {
    pub(crate) module: ModuleId,
    pub(crate) image: Arc<Image>,
}

/// Where a pass stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) thread: usize,
    pub(crate) module: Option<ModuleId>,
    pub(crate) phase: Phase,
}

impl Context {
    fn is_of_this_thread(&self) -> bool {
        self.thread == sys::process::thread_id()
    }
}

pub(crate) struct Registry {
    pub(crate) settings: Settings,
    modules: Vec<Module>,
    by_name: HashTable<ModuleId>,
    /// Consecutive calls are mostly about the same module.
    latest: ModuleId,
    procs: Vec<Proc>,
    /// Where each proc leads, for searching.
    targets: Vec<Option<crate::CodeAddress>>,
    globals: Vec<Option<Global>>,
    free_globals: Vec<GlobalId>,
    /// Images that were told the place of a global before it got another size.
    told_too_early: Vec<ImageId>,
    journal_mode: journal::JournalMode,
    hasher: DefaultHashBuilder,
    pub(crate) slots: Option<SlotTable>,
    /// The names that the main program was built with, where they mean something else by now.
    root_view: HashMap<(ModuleId, Name), SymbolId>,
    pub(crate) by_hash: HashMap<Name, ModuleId>,
    pub(crate) generation: u64,
    pub(crate) root: Option<ModuleId>,
    pub(crate) system: Option<ModuleId>,
    pub(crate) context: Option<Context>,
    pub(crate) retired: Vec<Retired>,
    buried: Vec<Buried>,
    /// Grows whenever the collector's roots change.
    pub(crate) roots_version: u64,
}

impl Registry {
    pub(crate) fn new(settings: Settings) -> Registry {
        Registry {
            settings,
            modules: Vec::new(),
            by_name: HashTable::new(),
            latest: ModuleId(0),
            procs: Vec::new(),
            targets: Vec::new(),
            globals: Vec::new(),
            free_globals: Vec::new(),
            told_too_early: Vec::new(),
            journal_mode: journal::JournalMode::Off,
            hasher: DefaultHashBuilder::default(),
            slots: None,
            root_view: HashMap::new(),
            by_hash: HashMap::new(),
            generation: 0,
            root: None,
            system: None,
            context: None,
            retired: Vec::new(),
            buried: Vec::new(),
            roots_version: 0,
        }
    }

    fn hash(&self, name: &[u8]) -> u64 {
        self.hasher.hash_one(name)
    }

    /// The module of this name, new if need be.
    pub(crate) fn module_id(&mut self, name: &[u8]) -> ModuleId {
        if self
            .modules
            .get(self.latest.0 as usize)
            .is_some_and(|module| *module.name == *name)
        {
            return self.latest;
        }
        let id = self
            .find_module(name)
            .unwrap_or_else(|| self.add_module(name));
        self.latest = id;
        id
    }

    /// The modules of these names, in order.
    pub(crate) fn module_ids(&mut self, names: &[Name]) -> Arc<[ModuleId]> {
        names.iter().map(|name| self.module_id(name)).collect()
    }

    fn find_module(&self, name: &[u8]) -> Option<ModuleId> {
        let hash = self.hash(name);
        self.by_name
            .find(hash, |id| *self.modules[id.0 as usize].name == *name)
            .copied()
    }

    fn add_module(&mut self, name: &[u8]) -> ModuleId {
        let id = ModuleId(self.modules.len() as u32);
        self.modules.push(Module {
            name: Name::new(name),
            procs: HashTable::new(),
            globals: HashTable::new(),
            parked: Vec::new(),
            by_order: None,
            image: None,
            former_note: None,
            loaded: 0,
            seen: 0,
            names: 0,
            registered: Vec::new(),
            journal: None,
            replayed: None,
            imports: Arc::from([]),
            uninitialised: false,
            handlers: Vec::new(),
        });
        let (hasher, modules) = (&self.hasher, &self.modules);
        self.by_name.insert_unique(hasher.hash_one(name), id, |id| {
            hasher.hash_one(&*modules[id.0 as usize].name)
        });
        id
    }

    pub(crate) fn module(&self, id: ModuleId) -> &Module {
        &self.modules[id.0 as usize]
    }

    pub(crate) fn module_mut(&mut self, id: ModuleId) -> &mut Module {
        &mut self.modules[id.0 as usize]
    }

    /// All modules that have an image.
    pub(crate) fn loaded_modules(&self) -> impl Iterator<Item = ModuleId> {
        (0u32..)
            .zip(&self.modules)
            .filter(|(_, module)| module.image.is_some())
            .map(|(n, _)| ModuleId(n))
    }

    /// All modules that have an image, with it.
    pub(crate) fn known_images(&self) -> Vec<(ModuleId, Name, Arc<Image>)> {
        let known = |id| {
            let module = self.module(id);
            Some((id, module.name.clone(), Arc::clone(module.image.as_ref()?)))
        };
        self.loaded_modules().filter_map(known).collect()
    }

    /// Who is calling: the module of the pass under way on this thread, otherwise the main program.
    pub(crate) fn caller(&self) -> Caller {
        let outside = Caller {
            module: None,
            phase: Phase::Outside,
            image: MAIN_PROGRAM,
            loaded: self.generation,
        };
        match self.context {
            Some(context) if context.phase != Phase::Outside && context.is_of_this_thread() => {
                match context.module {
                    Some(module) => Caller {
                        phase: context.phase,
                        ..self.caller_for(module)
                    },
                    None => outside,
                }
            }
            _ => outside,
        }
    }

    /// A module's `DatInit000`.
    fn caller_for(&self, id: ModuleId) -> Caller {
        let module = self.module(id);
        Caller {
            module: Some(id),
            phase: Phase::DatInit,
            image: module.image.as_ref().map_or(MAIN_PROGRAM, |image| image.id),
            loaded: module.loaded,
        }
    }

    /// Whether the caller's names are those of the first build: the main program is never reloaded.
    fn sees_as_root(&self, caller: Caller) -> bool {
        !self.root_view.is_empty() && (caller.module.is_none() || caller.module == self.root)
    }

    /// The image that holds an address, among those that are mapped.
    fn image_at(&self, address: crate::CodeAddress) -> Option<&Arc<Image>> {
        self.images().find(|image| image.contains(address))
    }

    /// Registers a handler for the module whose `Init000` runs, otherwise for the root.
    pub(crate) fn add_handler(&mut self, handler: Handler) {
        let caller = self.caller();
        let owner = match caller.phase {
            Phase::Init => caller.module,
            _ => None,
        };
        if let Some(owner) = owner.or(self.root) {
            self.module_mut(owner).handlers.push(handler);
            self.roots_version += 1;
        }
    }

    /// Whether the module has, or had before it was removed, symbols that a new image may continue.
    pub(crate) fn has_history(&self, id: ModuleId) -> bool {
        let module = self.module(id);
        module.image.is_some() || module.former_note.is_some()
    }

    /// Whether any module has a handler.
    pub(crate) fn has_handlers(&self) -> bool {
        self.modules
            .iter()
            .any(|module| !module.handlers.is_empty())
    }

    /// All images that are mapped.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Arc<Image>> {
        self.modules
            .iter()
            .filter_map(|module| module.image.as_ref())
            .chain(self.retired.iter().map(|retired| &retired.image))
    }

    /// Memory of globals that the collector has to look at itself.
    pub(crate) fn unmarked(&self, dialect: &dyn Dialect) -> Vec<Unmarked> {
        let globals = self.globals.iter().flatten();
        globals
            .filter_map(|global| global.unmarked(dialect))
            .chain(
                self.buried
                    .iter()
                    .filter_map(|buried| buried.unmarked(dialect)),
            )
            .collect()
    }

    /// The collector's roots: markers of globals, and environments of handlers.
    pub(crate) fn roots(&self) -> (Vec<GlobalMarker>, Vec<usize>) {
        let markers = self
            .globals
            .iter()
            .flatten()
            .flat_map(|global| global.registrations.iter().filter_map(|one| one.marker))
            .chain(
                self.buried
                    .iter()
                    .flat_map(|buried| buried.markers.iter().copied()),
            )
            .collect();
        let environments = self
            .modules
            .iter()
            .flat_map(|module| &module.handlers)
            .map(|handler| handler.call.environment as usize)
            .filter(|environment| *environment != 0)
            .collect();
        (markers, environments)
    }
}
