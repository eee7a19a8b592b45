//! The run-time's surface: what a door (a C ABI, a command's in-process part) calls.

use std::ptr::NonNull;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::dialect::{Build, Dialect};
use crate::discover::{self, RefusedFile};
use crate::error::Error;
use crate::image::{Entry, HandlerFn, Image, Linkage, ModuleCall};
use crate::registry::{GlobalMarker, Handler, Registered, Registry};
use crate::storage::Unmarked;
use crate::transaction::{Outcome, Transaction};
use crate::turn::Turn;
use crate::{CodeAddress, Name, Settings, SymbolRef};

/// What the collector has to look at.
#[derive(Debug, Default)]
pub struct Roots {
    /// Functions that show what globals refer to.
    pub markers: Vec<GlobalMarker>,
    /// Memory of globals that nobody shows the collector, and that may hold references.
    pub unmarked: Vec<Unmarked>,
    /// Environments of handlers that the run-time holds.
    pub environments: Vec<usize>,
    /// No image is closed while somebody goes through the markers in it.
    _images: Vec<Arc<Image>>,
}

/// What the main program tells at the start.
#[derive(Clone, Debug)]
pub struct Program {
    /// Modules that the main program imports, in order.
    pub imports: Vec<Name>,
    /// The main program's own name as a module.
    pub main: Name,
    /// The module that is initialised before all others.
    pub system: Name,
    /// `DatInit` of the main program.
    pub dat_init: Entry,
    /// How modules find the run-time's functions.
    pub linkage: Linkage,
}

/// A reload that did not come about. The old code goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub error: Error,
    /// The last reload was refused for the same reason, with the same file as it was then: a program
    /// that asks in a loop need not be told again.
    pub repeated: bool,
}

/// What became of the wish to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// No module changed; there is nothing to do.
    NothingChanged,
    /// A transaction is under way: make the calls that [`Runtime::next_call`] asks for.
    UnderWay,
}

/// State under the one lock. Module code never runs while it is held.
pub(crate) struct State {
    pub(crate) registry: Registry,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) program: Option<Program>,
    pub(crate) refused: Option<RefusedFile>,
    last_refusal: Option<(Error, Option<RefusedFile>)>,
    /// The thread whose turn it is to change the graph, and how deep its stack was when it began.
    pub(crate) turn: Option<Turn>,
    /// Threads that wait for their turn.
    pub(crate) waiting: usize,
    roots: (u64, Arc<Roots>),
}

impl State {
    /// The next who asks for the collector's roots gets new ones.
    pub(crate) fn forget_roots(&mut self) {
        self.roots = (u64::MAX, Arc::default());
    }
}

/// The hot code reloading run-time of one program.
pub struct Runtime {
    state: Mutex<State>,
    pub(crate) turn_over: Condvar,
    dialect: Box<dyn Dialect>,
    settings: Settings,
}

impl Runtime {
    /// A run-time without modules.
    pub fn new(settings: Settings, dialect: Box<dyn Dialect>) -> Runtime {
        Runtime {
            state: Mutex::new(State {
                registry: Registry::new(settings.clone()),
                transaction: None,
                program: None,
                refused: None,
                last_refusal: None,
                turn: None,
                waiting: 0,
                roots: (u64::MAX, Arc::default()),
            }),
            turn_over: Condvar::new(),
            dialect,
            settings,
        }
    }

    #[inline]
    pub(crate) fn registry(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// The settings that the run-time was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes a module known by name (`hcrAddModule`).
    pub fn add_module(&self, module: &[u8]) {
        self.registry().registry.module_id(module);
    }

    /// Registers the newest code of a proc and returns its permanent address (`hcrRegisterProc`).
    ///
    /// # Errors
    /// [`Error::SlotsFull`] or [`Error::SlotMemory`].
    #[inline]
    pub fn register_proc(
        &self,
        symbol: SymbolRef<'_>,
        target: CodeAddress,
    ) -> Result<CodeAddress, Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            trace("register proc", symbol);
        }
        self.registry()
            .registry
            .register_proc(self.dialect(), symbol, target)
    }

    /// The permanent address of a proc, registered already or not (`hcrGetProc`).
    ///
    /// # Errors
    /// As [`Runtime::register_proc`].
    #[inline]
    pub fn get_proc(&self, symbol: SymbolRef<'_>) -> Result<CodeAddress, Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            trace("get proc", symbol);
        }
        self.registry().registry.get_proc(symbol)
    }

    /// An address to hand out when there is no slot: calling it ends the process with a message.
    ///
    /// # Errors
    /// [`Error::SlotMemory`].
    pub fn overflow_stub(&self) -> Result<CodeAddress, Error> {
        let mut state = self.registry();
        let slots = state.registry.slot_table()?;
        slots
            .overflow_stub()
            .map_err(|error| Error::SlotMemory(error.to_string()))
    }

    /// Registers a global of `size` bytes (`hcrRegisterGlobal`). `tell` receives its permanent
    /// address before the collector can see `marker`. Returns whether the caller has to initialise
    /// it, and its former size if that changed.
    ///
    /// # Errors
    /// [`Error::GlobalMemory`].
    pub fn register_global(
        &self,
        symbol: SymbolRef<'_>,
        size: isize,
        marker: Option<GlobalMarker>,
        tell: impl FnOnce(NonNull<u8>),
    ) -> Result<(bool, Option<usize>), Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            trace("register global", symbol);
        }
        let mut state = self.registry();
        let Registered {
            address,
            first,
            resized_from,
        } = state
            .registry
            .register_global(self.dialect(), symbol, size, marker)?;
        tell(address);
        Ok((first, resized_from))
    }

    /// The permanent address of a global (`hcrGetGlobal`). A global that is not registered yet gets
    /// zeroed room ahead of its registration.
    ///
    /// # Errors
    /// [`Error::GlobalMemory`].
    pub fn get_global(&self, symbol: SymbolRef<'_>) -> Result<NonNull<u8>, Error> {
        if tracing::enabled!(tracing::Level::TRACE) {
            trace("get global", symbol);
        }
        self.registry().registry.get_global(self.dialect(), symbol)
    }

    /// Registers a handler (`hcrAddEventHandler`): for the module whose `Init000` runs, otherwise
    /// for the main program.
    pub fn add_handler(&self, before: bool, call: HandlerFn) {
        self.dialect.handler_added(call.environment as usize);
        self.registry()
            .registry
            .add_handler(Handler { before, call });
    }

    /// The number of the program's code version (`hcrGeneration`).
    pub fn generation(&self) -> u64 {
        self.registry().registry.generation
    }

    /// Whether the file of the module with this signature hash is no longer the one that runs
    /// (`hcrHasModuleChanged`); false for a hash that no module has.
    pub fn has_module_changed(&self, hash: &[u8]) -> bool {
        let found = {
            let state = self.registry();
            let id = state.registry.by_hash.get(&Name::new(hash));
            id.and_then(|id| {
                let module = state.registry.module(*id);
                Some((Arc::clone(module.image.as_ref()?), module.name.clone()))
            })
        };
        // Asking the file system is not done under the lock.
        found.is_some_and(|(image, name)| image.is_outdated(&name))
    }

    /// Whether a reload would do anything (`hcrReloadNeeded`).
    pub fn reload_needed(&self) -> bool {
        self.notice_exception();
        let (known, unfinished_business) = {
            let state = self.registry();
            let registry = &state.registry;
            // While modules are being initialised, that is no reason to begin again.
            let left = state.transaction.is_none()
                && registry
                    .loaded_modules()
                    .any(|id| registry.module(id).uninitialised);
            (registry.known_images(), left)
        };
        // Asking the file system is not done under the lock. A build that is not complete yet is
        // nothing to reload.
        let changed = known.iter().any(|(_, name, image)| image.is_outdated(name));
        unfinished_business
            || (changed && !matches!(discover::build(self, &known), Build::Unfinished(_)))
    }

    pub(crate) fn is_started(&self) -> bool {
        self.registry().program.is_some()
    }

    /// What the collector has to look at now.
    pub fn roots(&self) -> Arc<Roots> {
        let mut state = self.registry();
        if state.roots.0 != state.registry.roots_version {
            let (markers, environments) = state.registry.roots();
            let version = state.registry.roots_version;
            let roots = Roots {
                markers,
                unmarked: state.registry.unmarked(self.dialect()),
                environments,
                _images: state.registry.images().cloned().collect(),
            };
            state.roots = (version, Arc::new(roots));
        }
        Arc::clone(&state.roots.1)
    }

    /// Begins the program (`hcrInit`): loads all modules. Make the calls that
    /// [`Runtime::next_call`] asks for, to the end.
    ///
    /// # Errors
    /// [`Error::Module`] if a module cannot be loaded, [`Error::Order`] if the program began before.
    pub fn begin(&self, program: Program) -> Result<(), Error> {
        self.take_turn()?;
        let result = self.prepare_start(program);
        if result.is_err() {
            self.end_turn();
        }
        result
    }

    fn prepare_start(&self, program: Program) -> Result<(), Error> {
        {
            let mut state = self.registry();
            if state.program.is_some() {
                return Err(Error::Order("the program was started before"));
            }
            let root = state.registry.module_id(&program.main);
            state.registry.root = Some(root);
            let system = state.registry.module_id(&program.system);
            state.registry.system = Some(system);
        }
        tracing::debug!(main = %program.main, "start");
        {
            let mut state = self.registry();
            let imports = state.registry.module_ids(&program.imports);
            if let Some(root) = state.registry.root {
                state.registry.module_mut(root).imports = imports;
            }
        }
        let prepared = discover::discover(self)?;
        let mut state = self.registry();
        state.program = Some(program);
        state.transaction = Some(Transaction::start(prepared));
        Ok(())
    }

    /// Begins a reload (`hcrPerformCodeReload`). After [`Begin::UnderWay`] make the calls that
    /// [`Runtime::next_call`] asks for, to the end. A reload that another thread began is waited for.
    ///
    /// # Errors
    /// A [`Refusal`] with [`Error::Module`] if a module cannot be loaded, [`Error::Nested`] if a reload
    /// asks for a reload, [`Error::Order`] before the start. The old code goes on.
    pub fn begin_reload(&self) -> Result<Begin, Refusal> {
        let result = self.take_turn().and_then(|()| {
            let result = self.prepare_reload();
            if !matches!(result, Ok(Begin::UnderWay)) {
                self.end_turn();
            }
            result
        });
        result.map_err(|error| {
            let mut state = self.registry();
            let refusal = Some((error.clone(), state.refused.clone()));
            let repeated = state.last_refusal == refusal;
            state.last_refusal = refusal;
            Refusal { error, repeated }
        })
    }

    fn prepare_reload(&self) -> Result<Begin, Error> {
        let prepared = discover::discover(self)?;
        let mut state = self.registry();
        state.refused = None;
        state.last_refusal = None;
        if prepared.to_init.is_empty() {
            tracing::debug!("no changes");
            return Ok(Begin::NothingChanged);
        }
        tracing::debug!(generation = state.registry.generation + 1, "reload");
        state.transaction = Some(Transaction::reload(prepared));
        Ok(Begin::UnderWay)
    }

    /// The next call that the transaction under way has to make; `None` when it is complete. Module
    /// code may leave such a call by `longjmp` or by unwinding: the next transaction then mends what
    /// was left open.
    pub fn next_call(&self) -> Option<ModuleCall> {
        loop {
            let mut state = self.registry();
            match state.step(self) {
                Outcome::Call(call) => return Some(call),
                Outcome::Close(closing) => {
                    // Closing libraries runs their destructors: not under the lock.
                    drop(state);
                    for image in &closing.images {
                        tracing::debug!(image = ?image.id, "close");
                    }
                    tracing::debug!(globals = closing.memory.len(), "free");
                    drop(closing);
                }
                Outcome::Done => {}
                Outcome::Complete => {
                    state.transaction = None;
                    drop(state);
                    self.end_turn();
                    return None;
                }
            }
        }
    }

    /// Releases everything: globals, images, private copies. Slots stay, and lead to a message.
    /// No code of a module may run or be called after this.
    pub fn shutdown(&self) {
        let (images, memory) = {
            let mut state = self.registry();
            state.transaction = None;
            state.forget_roots();
            state.registry.release_all()
        };
        tracing::debug!(images = images.len(), "shut down");
        drop(images);
        drop(memory);
    }
}

/// What modules ask for, one line a request: the seed's own trace.
#[cold]
fn trace(what: &str, symbol: SymbolRef<'_>) {
    tracing::trace!(
        module = %Name::new(symbol.module()),
        name = %Name::new(symbol.name()),
        "{what}"
    );
}
