//! A transaction: the passes of the protocol as a queue of steps.
//!
//! The queue lives in the run-time's state and not on the stack, so that module code which leaves a
//! call by an exception or `longjmp` skips nothing of ours, and the next transaction knows exactly
//! what was left open.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::discover::{NewImage, Prepared};
use crate::image::{HandlerFn, Image, ModuleCall};
use crate::registry::{Buried, Context, Handler, ModuleId, Phase, Retired, Scope};
use crate::runtime::{Runtime, State};
use crate::sys;

/// The steps, in the order of the seed's `hcrInit` and `hcrPerformCodeReload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    BeforeHandlers,
    Commit,
    HcrInit(ModuleId),
    TypeInfos(ModuleId),
    DatInit(ModuleId),
    MainDatInit,
    Init(ModuleId),
    Initialised(ModuleId),
    CleanSymbols,
    AfterHandlers,
    RemoveModules,
    CloseImages,
    Complete,
}

/// What is given back at the end of a reload. Fields are dropped in order: destructors of images may
/// look at globals.
#[derive(Debug)]
pub(crate) struct Closing {
    pub(crate) images: Vec<Arc<Image>>,
    pub(crate) memory: Vec<Buried>,
}

/// What a step comes to.
pub(crate) enum Outcome {
    /// This call has to be made before the next step.
    Call(ModuleCall),
    /// These are to be dropped, outside of the lock.
    Close(Closing),
    Done,
    Complete,
}

/// A start or a reload that is under way.
#[derive(Debug)]
pub(crate) struct Transaction {
    steps: VecDeque<Step>,
    /// Handlers to run before the next step.
    handlers: VecDeque<HandlerFn>,
    /// Until the commit.
    prepared: Option<Prepared>,
    to_init: HashSet<ModuleId>,
    is_reload: bool,
}

impl Transaction {
    /// The start of the program.
    pub(crate) fn start(prepared: Prepared) -> Transaction {
        Transaction::new(prepared, false)
    }

    /// A reload.
    pub(crate) fn reload(prepared: Prepared) -> Transaction {
        Transaction::new(prepared, true)
    }

    fn new(prepared: Prepared, is_reload: bool) -> Transaction {
        let steps = if is_reload {
            &[Step::BeforeHandlers, Step::Commit][..]
        } else {
            &[Step::Commit]
        };
        Transaction {
            steps: steps.iter().copied().collect(),
            handlers: VecDeque::new(),
            to_init: prepared.to_init.iter().copied().collect(),
            prepared: Some(prepared),
            is_reload,
        }
    }

    /// The passes over the modules.
    fn plan_passes(&mut self, order: &[ModuleId], to_init: &[ModuleId], system: Option<ModuleId>) {
        let steps = &mut self.steps;
        for id in to_init {
            steps.extend([Step::HcrInit(*id), Step::TypeInfos(*id)]);
        }
        // The system module is always initialised whole before any other, also when it is unchanged.
        for id in order.iter().filter(|id| Some(**id) == system) {
            steps.extend([Step::DatInit(*id), Step::Init(*id), Step::Initialised(*id)]);
        }
        steps.extend(
            order
                .iter()
                .filter(|id| Some(**id) != system)
                .map(|id| Step::DatInit(*id)),
        );
        steps.push_back(Step::MainDatInit);
        for id in to_init.iter().filter(|id| Some(**id) != system) {
            steps.extend([Step::Init(*id), Step::Initialised(*id)]);
        }
        steps.push_back(Step::CleanSymbols);
        if self.is_reload {
            steps.push_back(Step::AfterHandlers);
        }
        steps.extend([Step::RemoveModules, Step::CloseImages, Step::Complete]);
    }
}

impl State {
    /// Carries out the next step of the transaction under way.
    pub(crate) fn step(&mut self, runtime: &Runtime) -> Outcome {
        // Whichever call was asked for last has returned.
        self.registry.end_dat_init();
        let Some(transaction) = &mut self.transaction else {
            return Outcome::Complete;
        };
        if let Some(handler) = transaction.handlers.pop_front() {
            self.set_context(None, Phase::Outside);
            tracing::debug!(function = ?handler.function, "handler");
            return Outcome::Call(ModuleCall::Handler(handler));
        }
        let step = transaction.steps.pop_front().unwrap_or(Step::Complete);
        self.perform(runtime, step)
    }

    fn perform(&mut self, runtime: &Runtime, step: Step) -> Outcome {
        tracing::trace!(?step, "step");
        match step {
            Step::BeforeHandlers | Step::AfterHandlers => {
                let handlers = self.handlers(step == Step::BeforeHandlers);
                if let Some(transaction) = &mut self.transaction {
                    transaction.handlers = handlers;
                }
                Outcome::Done
            }
            Step::Commit => {
                self.commit(runtime);
                Outcome::Done
            }
            Step::HcrInit(id) => self.call(id, Phase::TypeInfos, "HcrInit000", |image, state| {
                let linkage = state.program.as_ref()?.linkage;
                Some(ModuleCall::HcrInit(image.exports.hcr_init, linkage))
            }),
            Step::TypeInfos(id) => {
                self.call(id, Phase::TypeInfos, "HcrCreateTypeInfos", |image, _| {
                    Some(ModuleCall::Entry(image.exports.type_infos))
                })
            }
            Step::DatInit(id) => {
                self.registry.begin_dat_init(id);
                self.call(id, Phase::DatInit, "DatInit000", |image, _| {
                    Some(ModuleCall::Entry(image.exports.dat_init))
                })
            }
            Step::Init(id) => {
                // Its handlers are those that it registers now.
                let handlers = std::mem::take(&mut self.registry.module_mut(id).handlers);
                drop_handlers(runtime, &handlers);
                self.call(id, Phase::Init, "Init000", |image, _| {
                    Some(ModuleCall::Entry(image.exports.init))
                })
            }
            Step::MainDatInit => {
                tracing::debug!("DatInit000 of the main program");
                self.set_context(self.registry.root, Phase::DatInit);
                match &self.program {
                    Some(program) => Outcome::Call(ModuleCall::Entry(program.dat_init)),
                    None => Outcome::Done,
                }
            }
            Step::Initialised(id) => {
                self.registry.module_mut(id).uninitialised = false;
                self.tell_again(id);
                Outcome::Done
            }
            Step::CleanSymbols => {
                self.registry.context = None;
                let initialised = self.initialised();
                let dialect = runtime.dialect();
                self.registry
                    .clean_symbols(dialect, &initialised, Scope::Imported);
                self.registry.end_matching();
                Outcome::Done
            }
            Step::RemoveModules => {
                let initialised = self.initialised();
                let dropped = self
                    .registry
                    .remove_modules(runtime.dialect(), &initialised);
                drop_handlers(runtime, &dropped);
                Outcome::Done
            }
            Step::CloseImages => {
                let images = self.registry.take_closable();
                if !images.is_empty() {
                    let ids: Vec<_> = images.iter().map(|image| image.id).collect();
                    self.registry.forget_images(&ids);
                    // Nobody must find what is about to be closed among the collector's roots.
                    self.forget_roots();
                }
                let closed: Vec<&Image> = images.iter().map(|image| &**image).collect();
                let memory = self.registry.take_buried(&closed);
                Outcome::Close(Closing { images, memory })
            }
            Step::Complete => {
                tracing::info!(generation = self.registry.generation, "the code is live");
                Outcome::Complete
            }
        }
    }

    /// Modules that import each other: some were initialised before `owner`, and were told places of
    /// its globals that it has just moved because their sizes changed. They ask again.
    fn tell_again(&mut self, owner: ModuleId) {
        let told = self.registry.take_told_too_early();
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        for id in told {
            let is_due = transaction.steps.contains(&Step::Init(id));
            if id != owner && !is_due && transaction.to_init.contains(&id) {
                transaction.steps.push_front(Step::Initialised(id));
                transaction.steps.push_front(Step::Init(id));
            }
        }
    }

    fn call(
        &mut self,
        id: ModuleId,
        phase: Phase,
        what: &str,
        call: impl FnOnce(&Image, &State) -> Option<ModuleCall>,
    ) -> Outcome {
        let module = self.registry.module(id);
        tracing::debug!(module = %module.name, "{what}");
        let call = module.image.as_ref().and_then(|image| call(image, self));
        self.set_context(Some(id), phase);
        call.map_or(Outcome::Done, Outcome::Call)
    }

    fn set_context(&mut self, module: Option<ModuleId>, phase: Phase) {
        let thread = sys::process::thread_id();
        self.registry.context = Some(Context {
            thread,
            module,
            phase,
        });
    }

    /// The modules that this transaction initialised.
    fn initialised(&self) -> HashSet<ModuleId> {
        let Some(transaction) = &self.transaction else {
            return HashSet::new();
        };
        let done = |id: &ModuleId| !self.registry.module(*id).uninitialised;
        transaction.to_init.iter().copied().filter(done).collect()
    }

    /// The new images take the place of the old ones. Nothing here can fail.
    fn commit(&mut self, runtime: &Runtime) {
        let Some(transaction) = &mut self.transaction else {
            return;
        };
        let Some(prepared) = transaction.prepared.take() else {
            return;
        };
        let registry = &mut self.registry;
        if transaction.is_reload {
            registry.generation += 1;
        }
        transaction.plan_passes(&prepared.order, &prepared.to_init, registry.system);
        for notice in &prepared.plan.notices {
            runtime.dialect().notice(notice);
        }
        registry.apply_plan(runtime.dialect(), &prepared.changed, prepared.plan);
        let generation = registry.generation;
        for NewImage { id, image, imports } in prepared.images {
            let hash = image.hash.clone();
            let module = registry.module_mut(id);
            if let Some(note) = &image.note {
                runtime.dialect().committed(&module.name, note);
            }
            module.imports = imports;
            module.loaded = generation;
            module.uninitialised = true;
            let handlers = std::mem::take(&mut module.handlers);
            let old = module.image.replace(Arc::new(image));
            drop_handlers(runtime, &handlers);
            registry.roots_version += 1;
            registry.by_hash.retain(|_, module| *module != id);
            registry.by_hash.insert(hash, id);
            if let Some(image) = old {
                registry.retired.push(Retired { module: id, image });
            }
        }
        for id in prepared.order {
            registry.module_mut(id).seen = generation;
        }
    }

    /// Handlers of all imported modules: the leaves of the import tree first, the root last, top to
    /// bottom within a module.
    fn handlers(&self, before: bool) -> VecDeque<HandlerFn> {
        if !self.registry.has_handlers() {
            return VecDeque::new();
        }
        let mut handlers = VecDeque::new();
        if let Some(root) = self.registry.root {
            self.collect_handlers(root, before, &mut HashSet::new(), &mut handlers);
        }
        handlers
    }

    fn collect_handlers(
        &self,
        id: ModuleId,
        before: bool,
        visited: &mut HashSet<ModuleId>,
        handlers: &mut VecDeque<HandlerFn>,
    ) {
        if visited.insert(id) {
            for import in self.registry.module(id).imports.iter() {
                self.collect_handlers(*import, before, visited, handlers);
            }
            self.push_handlers(id, before, handlers);
        }
    }

    fn push_handlers(&self, id: ModuleId, before: bool, handlers: &mut VecDeque<HandlerFn>) {
        let of_kind = |handler: &&Handler| handler.before == before;
        let module = self.registry.module(id);
        handlers.extend(
            module
                .handlers
                .iter()
                .filter(of_kind)
                .map(|handler| handler.call),
        );
    }

    /// Ends a transaction that module code left in the middle. Modules that are not initialised yet
    /// are so by the next reload; what needs no module code is done now. Returns images that never
    /// ran.
    pub(crate) fn abandon(&mut self, runtime: &Runtime) -> Vec<Image> {
        self.registry.end_dat_init();
        self.registry.context = None;
        let Some(transaction) = &mut self.transaction else {
            return Vec::new();
        };
        tracing::warn!("module code left the last reload by an exception");
        transaction.handlers.clear();
        let never_ran = match transaction.prepared.take() {
            Some(prepared) => prepared.images.into_iter().map(|new| new.image).collect(),
            None => Vec::new(),
        };
        let left: Vec<Step> = transaction.steps.drain(..).collect();
        if let Some(Step::Initialised(id)) = left.first() {
            self.registry.forget_half_initialised(*id);
        }
        // Symbols whose modules had no chance to register them are not gone.
        let all_registered = !left
            .iter()
            .any(|step| matches!(step, Step::DatInit(_) | Step::MainDatInit));
        for step in left {
            match step {
                // Old images are closed by the next reload: the exception may refer to them.
                Step::CleanSymbols | Step::RemoveModules if all_registered => {
                    self.perform(runtime, step);
                }
                _ => {}
            }
        }
        self.registry.end_matching();
        self.transaction = None;
        never_ran
    }
}

fn drop_handlers(runtime: &Runtime, handlers: &[Handler]) {
    for handler in handlers {
        runtime
            .dialect()
            .handler_dropped(handler.call.environment as usize);
    }
}
