//! Names that change from build to build: which old symbol a new name means.

use hashbrown::HashMap;
use std::collections::VecDeque;

use super::{ModuleId, ProcId, ProcState, Registry};
use crate::Name;
use crate::dialect::{
    ChangedModule, Detached, Dialect, KnownSymbol, SymbolId, SymbolKind, SymbolPlan,
};
use crate::image::Note;

impl Registry {
    /// What a dialect needs to know of a module that is about to be replaced.
    pub(crate) fn describe(&self, id: ModuleId, new: Option<Note>) -> ChangedModule {
        let module = self.module(id);
        let proc = |id: &ProcId, parked| KnownSymbol {
            id: SymbolId::Proc(*id),
            name: self.procs[id.0 as usize].name.clone(),
            owner: self.module(self.procs[id.0 as usize].module).name.clone(),
            parked,
        };
        let state = |id: &ProcId| self.procs[id.0 as usize].state;
        // What was only asked for says nothing about the module.
        let registered = |id: &&ProcId| state(id) != ProcState::Pending;
        let mut symbols: Vec<KnownSymbol> = module
            .procs
            .iter()
            .filter(registered)
            .map(|id| proc(id, false))
            .collect();
        // Whoever still runs the old code of a proc must not find himself in new code.
        let gone = |id: &&ProcId| state(id) == ProcState::Gone;
        symbols.extend(module.parked.iter().filter(gone).map(|id| proc(id, true)));
        symbols.extend(module.globals.iter().filter_map(|id| {
            let global = self.globals[id.0 as usize].as_ref()?;
            global.size.is_some().then(|| KnownSymbol {
                id: SymbolId::Global(*id),
                name: global.name.clone(),
                owner: module.name.clone(),
                parked: false,
            })
        }));
        // Generic and inline procs are registered under the names of the modules that use them.
        symbols.extend(module.registered.iter().filter_map(|symbol| match symbol {
            SymbolId::Proc(other) if self.procs[other.0 as usize].module != id => {
                Some(proc(other, false))
            }
            _ => None,
        }));
        symbols.sort_by_key(|symbol| match symbol.id {
            SymbolId::Proc(id) => (0, id.0),
            SymbolId::Global(id) => (1, id.0),
        });
        ChangedModule {
            module: module.name.clone(),
            old: match &module.image {
                Some(image) => image.note.clone(),
                None => module.former_note.clone(),
            },
            new,
            symbols,
        }
    }

    /// Carries out a plan: from now on the new names mean the old symbols.
    pub(crate) fn apply_plan(
        &mut self,
        dialect: &dyn Dialect,
        changed: &[(ModuleId, ChangedModule)],
        plan: SymbolPlan,
    ) {
        for detached in &plan.detached {
            self.detach(detached.proc);
        }
        for symbol in plan.removed {
            match symbol {
                SymbolId::Proc(id) => self.park(id),
                SymbolId::Global(id) => self.unlist_global(id),
            }
        }
        // Names may be exchanged among symbols: all are taken away before any is given.
        for (symbol, _) in &plan.renamed {
            match symbol {
                SymbolId::Proc(id) => self.unlist_proc(*id),
                SymbolId::Global(id) => self.unlist_global(*id),
            }
        }
        for (symbol, name) in plan.renamed {
            tracing::trace!(?symbol, %name, "goes on under another name");
            match symbol {
                SymbolId::Proc(id) => {
                    self.make_way_for_proc(self.procs[id.0 as usize].module, &name);
                    self.set_proc_name(id, name);
                }
                SymbolId::Global(id) => {
                    let module = self.globals[id.0 as usize]
                        .as_ref()
                        .map(|global| global.module);
                    if let Some(module) = module {
                        self.make_way_for_global(module, &name);
                        self.set_global_name(id, name);
                    }
                }
            }
        }
        for Detached { proc, successor } in plan.detached {
            if let Some(name) = successor {
                self.succeed(proc, &name);
            }
        }
        for at in plan.by_order {
            if let Some((module, description)) = changed.get(at) {
                self.match_by_order(dialect, *module, description);
            }
        }
    }

    fn detach(&mut self, id: ProcId) {
        self.park(id);
        let proc = &mut self.procs[id.0 as usize];
        if self.targets[id.0 as usize].is_some() {
            tracing::debug!(proc = %proc.name, "keeps its old code");
            proc.state = ProcState::KeepsOldCode;
        }
        proc.best = None;
        proc.candidate = None;
    }

    /// The main program's old name for a detached proc means its successor from now on.
    fn succeed(&mut self, old: ProcId, name: &Name) {
        let module = self.procs[old.0 as usize].module;
        let listed = self.listed_proc(module, name);
        // Without a free slot the main program goes on with the old code, as everybody may.
        let Some(new) = listed.or_else(|| self.new_proc(module, name).ok()) else {
            return;
        };
        for symbol in self
            .root_view
            .values_mut()
            .filter(|symbol| **symbol == SymbolId::Proc(old))
        {
            *symbol = SymbolId::Proc(new);
        }
    }

    /// A proc that has the name already is another one, which nobody will register any more.
    fn make_way_for_proc(&mut self, module: ModuleId, name: &Name) {
        if let Some(id) = self.listed_proc(module, name) {
            self.park(id);
        }
    }

    fn make_way_for_global(&mut self, module: ModuleId, name: &Name) {
        let hash = self.hash(name);
        let in_the_way = self.modules[module.0 as usize]
            .globals
            .find(hash, |id| {
                self.globals[id.0 as usize]
                    .as_ref()
                    .is_some_and(|global| global.name == *name)
            })
            .copied();
        if let Some(id) = in_the_way {
            self.unlist_global(id);
        }
    }

    /// The proc stays what it is, but its name is free for another one.
    fn park(&mut self, id: ProcId) {
        self.unlist_proc(id);
        let module = self.procs[id.0 as usize].module;
        self.modules[module.0 as usize].parked.push(id);
    }

    fn match_by_order(
        &mut self,
        dialect: &dyn Dialect,
        module: ModuleId,
        description: &ChangedModule,
    ) {
        let mut pool: HashMap<Vec<u8>, VecDeque<SymbolId>> = HashMap::new();
        for symbol in description.symbols.iter().filter(|symbol| !symbol.parked) {
            let kind = match symbol.id {
                SymbolId::Proc(_) => SymbolKind::Proc,
                SymbolId::Global(_) => SymbolKind::Global,
            };
            let identity = dialect.identity(&symbol.name, kind);
            if *identity == *symbol.name {
                continue;
            }
            match symbol.id {
                SymbolId::Proc(id) => self.park(id),
                SymbolId::Global(id) => self.unlist_global(id),
            }
            pool.entry(identity).or_default().push_back(symbol.id);
        }
        self.modules[module.0 as usize].by_order = Some(pool);
    }

    /// The passes are over: what was not claimed by order is cleaned up like any other symbol.
    pub(crate) fn end_matching(&mut self) {
        for module in &mut self.modules {
            module.by_order = None;
        }
    }
}
