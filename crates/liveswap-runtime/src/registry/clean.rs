//! Clean-up after the passes: what was not registered again by those who should have is gone.

use std::collections::HashSet;
use std::sync::Arc;

use super::globals::marker_address;
use super::procs::{ProcId, Registration};
use super::{GlobalId, Handler, ModuleId, Phase, ProcState, Registry, Retired};
use crate::dialect::{Dialect, RemovedProc};
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
            Phase::DatInit => true,
            Phase::TypeInfos => initialised.contains(&by),
            Phase::Init => initialised.contains(&by) || Some(by) == self.system,
        }
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
        self.clean_procs(dialect, initialised, scope);
        self.clean_globals(dialect, initialised, scope);
        self.roots_version += 1;
    }

    fn clean_procs(
        &mut self,
        dialect: &dyn Dialect,
        initialised: &HashSet<ModuleId>,
        scope: Scope,
    ) {
        for n in 0..self.procs.len() {
            let id = ProcId(n as u32);
            let candidate = self.procs[n].candidate.take();
            let Some(Registration {
                by, phase, pass, ..
            }) = self.procs[n].best
            else {
                continue;
            };
            if !self.is_stale(by, phase, pass, initialised, scope) {
                continue;
            }
            match candidate.filter(|candidate| candidate.pass == self.generation) {
                Some(candidate) => self.decide(id, candidate),
                None => self.remove_proc(dialect, id),
            }
        }
    }

    /// Nobody registers the proc any more.
    pub(super) fn remove_proc(&mut self, dialect: &dyn Dialect, id: ProcId) {
        let proc = &self.procs[id.0 as usize];
        let image = proc.target.and_then(|target| self.image_at(target));
        let note = image.and_then(|image| image.note.as_ref());
        let fate = dialect.removed_proc(&proc.name, note);
        tracing::debug!(proc = %proc.name, ?fate, "clean up");
        let generation = self.generation;
        let Some(slots) = &self.slots else { return };
        let proc = &mut self.procs[id.0 as usize];
        proc.best = None;
        match fate {
            RemovedProc::Gone => {
                proc.state = ProcState::Gone;
                proc.publish(slots, None, generation);
            }
            RemovedProc::KeepsOldCode => proc.state = ProcState::KeepsOldCode,
        }
    }

    fn clean_globals(
        &mut self,
        dialect: &dyn Dialect,
        initialised: &HashSet<ModuleId>,
        scope: Scope,
    ) {
        for n in 0..self.globals.len() {
            let Some(mut global) = self.globals[n].take() else {
                continue;
            };
            let before = global.registrations.len();
            global
                .registrations
                .retain(|one| !self.is_stale(one.by, one.phase, one.pass, initialised, scope));
            let gone = before > 0 && global.registrations.is_empty();
            let removed = gone && !dialect.keeps_global(&global.name);
            if gone {
                tracing::debug!(global = %global.name, removed, "clean up");
            }
            self.globals[n] = Some(global);
            if removed {
                self.remove_global(GlobalId(n as u32));
            }
        }
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
        let mut newer = std::collections::HashMap::<ModuleId, usize>::new();
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
        let by_proc = || self.procs.iter().filter_map(|proc| proc.target);
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

    /// Everything is released: slots lead to their stubs, globals and images are given back.
    pub(crate) fn release_all(&mut self) -> Vec<Arc<Image>> {
        let generation = self.generation;
        if let Some(slots) = &self.slots {
            for proc in &mut self.procs {
                if proc.target.is_some() {
                    proc.state = ProcState::Gone;
                    proc.best = None;
                    proc.publish(slots, None, generation);
                }
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
            images.extend(module.image.take());
        }
        self.globals.clear();
        self.root_view.clear();
        self.by_hash.clear();
        self.buried.clear();
        self.roots_version += 1;
        images
    }
}
