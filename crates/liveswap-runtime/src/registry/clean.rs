//! Clean-up after the passes: what was not registered again by those who should have is gone.

use hashbrown::{HashMap, HashSet};
use std::sync::Arc;

use super::globals::{GlobalRegistration, marker_address};
use super::procs::{ProcId, Registration};
use super::{Buried, GlobalId, Handler, ModuleId, Phase, ProcState, Registry, Retired};
use crate::dialect::{Dialect, Removed, RemovedProc, SymbolId};
use crate::image::Image;
use crate::settings::KeepImages;

/// Which symbols a clean-up may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of modules that are still imported: before the after-handlers.
    Imported,
    /// All, those of modules that are no longer imported included.
    Everything,
}

impl Registry {
    /// Whether a registration should have been repeated by now: `DatInit000` of all modules ran, and
    /// the other entry points of the modules in `initialised`.
    fn is_stale(
        &self,
        by: Option<ModuleId>,
        phase: Phase,
        pass: u64,
        initialised: &HashSet<ModuleId>,
        scope: Scope,
    ) -> bool {
        let Some(by) = by else { return false };
        if pass == self.generation {
            return false;
        }
        if !self.is_imported(by) {
            return scope == Scope::Everything;
        }
        match phase {
            Phase::Outside => false,
            Phase::DatInit => self.module(by).replayed != Some(self.generation),
            Phase::TypeInfos => initialised.contains(&by),
            Phase::Init => initialised.contains(&by) || Some(by) == self.system,
        }
    }

    /// Whether the module may have registrations that it should have repeated.
    fn may_be_stale(&self, id: ModuleId, initialised: &HashSet<ModuleId>) -> bool {
        !self.is_imported(id)
            || initialised.contains(&id)
            || Some(id) == self.system
            || self.module(id).replayed != Some(self.generation)
    }

    /// Whether the module was reached from the root in the newest generation.
    pub(crate) fn is_imported(&self, module: ModuleId) -> bool {
        Some(module) == self.root || {
            let module = self.module(module);
            // A module without an image is nobody's import: somebody registers under its name.
            module.seen == self.generation || (module.image.is_none() && module.seen == 0)
        }
    }

    /// Removes the procs and globals that are gone.
    pub(crate) fn clean_symbols(
        &mut self,
        dialect: &dyn Dialect,
        initialised: &HashSet<ModuleId>,
        scope: Scope,
    ) {
        let mut orphans = Vec::new();
        for n in 0..self.modules.len() {
            let id = ModuleId(n as u32);
            if !self.may_be_stale(id, initialised) {
                continue;
            }
            let mut registered = std::mem::take(&mut self.modules[n].registered);
            // A symbol is listed again when it comes back to this module from another one.
            let mut seen = HashSet::new();
            registered.retain(|symbol| match symbol {
                _ if !seen.insert(*symbol) => false,
                SymbolId::Proc(proc) => {
                    let Some(best) = self.procs[proc.0 as usize].best else {
                        return false;
                    };
                    let Registration {
                        by, phase, pass, ..
                    } = best;
                    if by != Some(id) {
                        return false;
                    }
                    let stale = self.is_stale(by, phase, pass, initialised, scope);
                    if stale {
                        orphans.push(*proc);
                    }
                    !stale
                }
                SymbolId::Global(global) => {
                    !self.clean_global(dialect, *global, id, initialised, scope)
                }
            });
            registered.append(&mut self.modules[n].registered);
            self.modules[n].registered = registered;
        }
        self.adopt_or_remove(dialect, orphans);
        self.roots_version += 1;
    }

    /// Procs whose best registration was not repeated go on with another one of this generation, if
    /// there is one.
    fn adopt_or_remove(&mut self, dialect: &dyn Dialect, orphans: Vec<ProcId>) {
        if orphans.is_empty() {
            return;
        }
        let mut repeated: HashMap<ProcId, (ModuleId, usize)> = HashMap::new();
        let wanted: HashSet<ProcId> = orphans.iter().copied().collect();
        for (proc, by, target) in self.repeated_registrations() {
            let newer =
                |other: &(ModuleId, usize)| self.module(by).loaded >= self.module(other.0).loaded;
            if wanted.contains(&proc) && repeated.get(&proc).is_none_or(newer) {
                repeated.insert(proc, (by, target));
            }
        }
        for id in orphans {
            let candidate = self.procs[id.0 as usize].candidate.take();
            match candidate.filter(|candidate| candidate.pass == self.generation) {
                Some(candidate) => self.decide(id, candidate),
                None => match repeated.get(&id) {
                    Some((by, target)) => self.decide_for_repeated(id, *by, *target),
                    None => self.remove_proc(dialect, id),
                },
            }
        }
    }

    /// Nobody registers the proc any more.
    fn remove_proc(&mut self, dialect: &dyn Dialect, id: ProcId) {
        let proc = &self.procs[id.0 as usize];
        let image = self.targets[id.0 as usize].and_then(|target| self.image_at(target));
        let fate = dialect.removed_proc(&Removed {
            module: &self.module(proc.module).name,
            name: &proc.name,
            note: image.and_then(|image| image.note.as_ref()),
            on_behalf: proc.best.is_some_and(|best| best.by != Some(proc.module)),
        });
        tracing::debug!(proc = %proc.name, ?fate, "clean up");
        let proc = &mut self.procs[id.0 as usize];
        proc.best = None;
        match fate {
            RemovedProc::Gone => {
                proc.state = ProcState::Gone;
                self.lead(id, None);
            }
            RemovedProc::KeepsOldCode => proc.state = ProcState::KeepsOldCode,
        }
    }

    /// Forgets a module's registration of a global if it is stale; with the last one goes the global.
    fn clean_global(
        &mut self,
        dialect: &dyn Dialect,
        id: GlobalId,
        by: ModuleId,
        initialised: &HashSet<ModuleId>,
        scope: Scope,
    ) -> bool {
        let Some(global) = self.globals[id.0 as usize].as_ref() else {
            return true;
        };
        let Some(at) = global
            .registrations
            .iter()
            .position(|one| one.by == Some(by))
        else {
            return true;
        };
        let GlobalRegistration { phase, pass, .. } = global.registrations[at];
        if !self.is_stale(Some(by), phase, pass, initialised, scope) {
            return false;
        }
        if let Some(global) = self.globals[id.0 as usize].as_mut() {
            let last = global.registrations.len() == 1;
            let kept = dialect.keeps_global(&global.name);
            if last {
                tracing::debug!(global = %global.name, kept, "clean up");
            }
            if last && !kept {
                // With its registration: the collector still needs the marker.
                self.remove_global(id);
            } else {
                global.registrations.remove(at);
            }
        }
        true
    }

    /// Retires the modules that are no longer imported. Returns their handlers.
    pub(crate) fn remove_modules(
        &mut self,
        dialect: &dyn Dialect,
        initialised: &HashSet<ModuleId>,
    ) -> Vec<Handler> {
        let gone: Vec<ModuleId> = self
            .loaded_modules()
            .filter(|id| !self.is_imported(*id))
            .collect();
        if gone.is_empty() {
            return Vec::new();
        }
        self.clean_symbols(dialect, initialised, Scope::Everything);
        let mut handlers = Vec::new();
        for id in gone {
            let module = self.module_mut(id);
            tracing::debug!(module = %module.name, "no longer imported");
            handlers.append(&mut module.handlers);
            module.uninitialised = false;
            if let Some(image) = module.image.take() {
                module.former_note = image.note.clone();
                self.by_hash.retain(|_, module| *module != id);
                self.retired.push(Retired { module: id, image });
            }
        }
        handlers
    }

    /// Takes the images out of the registry that may be closed: not among the newest of their module
    /// that are to be kept, and referred to by no slot, marker or handler.
    pub(crate) fn take_closable(&mut self) -> Vec<Arc<Image>> {
        let KeepImages::Newest(keep) = self.settings.keep_images else {
            return Vec::new();
        };
        // Newest last: count from the end.
        let mut newer = HashMap::<ModuleId, usize>::new();
        let mut closable = Vec::new();
        for n in (0..self.retired.len()).rev() {
            let count = newer.entry(self.retired[n].module).or_default();
            *count += 1;
            if *count > keep && !self.is_referred_to(&self.retired[n].image) {
                closable.push(self.retired.remove(n).image);
            }
        }
        closable
    }

    fn is_referred_to(&self, image: &Image) -> bool {
        let by_proc = || self.targets.iter().copied().flatten();
        let by_marker = || {
            let registrations = self.globals.iter().flatten().flat_map(|g| &g.registrations);
            registrations
                .filter_map(|one| one.marker)
                .map(marker_address)
        };
        let by_handler = || {
            let handlers = self.modules.iter().flat_map(|module| &module.handlers);
            handlers.map(|handler| crate::CodeAddress(handler.call.function as usize))
        };
        by_proc()
            .chain(by_marker())
            .chain(by_handler())
            .any(|address| image.contains(address))
    }

    /// Everything is released: slots lead to their stubs; images and the memory of globals are given
    /// back, to be dropped in this order, because destructors of images may look at globals.
    pub(crate) fn release_all(&mut self) -> (Vec<Arc<Image>>, Vec<Buried>) {
        for n in 0..self.procs.len() {
            if self.targets[n].is_some() {
                self.procs[n].state = ProcState::Gone;
                self.procs[n].best = None;
                self.lead(ProcId(n as u32), None);
            }
        }
        let mut images: Vec<Arc<Image>> = self
            .retired
            .drain(..)
            .map(|retired| retired.image)
            .collect();
        for module in &mut self.modules {
            module.handlers.clear();
            module.globals.clear();
            module.registered.clear();
            module.journal = None;
            images.extend(module.image.take());
        }
        let mut memory = std::mem::take(&mut self.buried);
        let globals = std::mem::take(&mut self.globals);
        memory.extend(globals.into_iter().flatten().map(Buried::new));
        self.free_globals.clear();
        self.root_view.clear();
        self.by_hash.clear();
        self.roots_version += 1;
        (images, memory)
    }
}
