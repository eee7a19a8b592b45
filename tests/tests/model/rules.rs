//! The rules of reloading as a plain model: sets, maps and a depth-first walk.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use crate::spec::{GlobalId, ModuleId, ProcId, SYSTEM, Spec, name};

/// What lies in the place of a module's library.
#[derive(Clone, Debug)]
pub enum File {
    Good(Spec),
    /// Not fit to be loaded; the refusal names this step.
    Broken(&'static str),
}

/// A file and a number that no other file has.
#[derive(Clone, Debug)]
pub struct Version {
    pub file: File,
    pub stamp: u64,
}

/// A proc's slot, as a caller finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Live,
    Gone { since: i64 },
}

/// Why a call aborts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort {
    pub module: ModuleId,
    pub proc: ProcId,
    /// The generation since which the proc is gone, unless there never was one.
    pub since: Option<i64>,
}

/// What a reload has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub lines: Vec<String>,
    pub resized: Vec<Resized>,
    /// The module and step of a refusal.
    pub refused: Option<(ModuleId, &'static str)>,
}

/// A global that changed its size, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resized {
    pub module: ModuleId,
    pub global: GlobalId,
    pub from: usize,
    pub to: usize,
}

#[derive(Clone, Debug)]
struct Storage {
    length: usize,
    value: i64,
}

/// The model: the disk, the program, and what the run-time remembers.
#[derive(Clone, Debug)]
pub struct Model {
    pub disk: Vec<Version>,
    pub root_imports: Vec<ModuleId>,
    /// Handlers of the program itself: whether before, and the line.
    pub root_handlers: Vec<(bool, String)>,
    pub generation: i64,
    loaded: BTreeMap<ModuleId, (Spec, u64)>,
    slots: BTreeMap<(ModuleId, ProcId), Slot>,
    globals: BTreeMap<(ModuleId, GlobalId), Storage>,
    initialized: BTreeSet<ModuleId>,
}

impl Model {
    pub fn new(files: Vec<Spec>, root_imports: Vec<ModuleId>) -> Self {
        let disk = (1..)
            .zip(files)
            .map(|(stamp, spec)| Version {
                file: File::Good(spec),
                stamp,
            })
            .collect();
        Self {
            disk,
            root_imports,
            root_handlers: Vec::new(),
            generation: 0,
            loaded: BTreeMap::new(),
            slots: BTreeMap::new(),
            globals: BTreeMap::new(),
            initialized: BTreeSet::new(),
        }
    }

    pub fn is_loaded(&self, module: ModuleId) -> bool {
        self.loaded.contains_key(&module)
    }

    pub fn has_changed(&self, module: ModuleId) -> bool {
        self.loaded
            .get(&module)
            .is_some_and(|(_, stamp)| *stamp != self.disk[module].stamp)
    }

    pub fn reload_needed(&self) -> bool {
        self.loaded.keys().any(|&module| self.has_changed(module))
    }

    /// The start of the program.
    pub fn start(&mut self) -> Said {
        let mut said = Said::default();
        let graph = self.discover().expect("every file is good at first");
        self.commit(graph, &mut said);
        said.lines.push("top main".to_owned());
        said
    }

    pub fn reload(&mut self) -> Said {
        let mut said = Said::default();
        if !self.reload_needed() {
            return said;
        }
        let graph = match self.discover() {
            Ok(graph) => graph,
            Err(refused) => {
                said.refused = Some(refused);
                return said;
            }
        };
        let old: BTreeMap<ModuleId, Spec> = self
            .loaded
            .iter()
            .map(|(&module, (spec, _))| (module, spec.clone()))
            .collect();
        let walked: Result<Walked, Infallible> =
            walk(&self.root_imports, |module| Ok(old[&module].clone()));
        let Ok((old_order, _)) = walked;
        self.run_handlers(true, &old_order, &mut said);
        self.generation += 1;
        let order = graph.order.clone();
        self.commit(graph, &mut said);
        self.run_handlers(false, &order, &mut said);
        said
    }

    fn discover(&self) -> Result<Graph, (ModuleId, &'static str)> {
        let (order, specs) = walk(&self.root_imports, |module| {
            if let Some((spec, stamp)) = self.loaded.get(&module)
                && *stamp == self.disk[module].stamp
            {
                return Ok(spec.clone());
            }
            match &self.disk[module].file {
                File::Good(spec) => Ok(spec.clone()),
                File::Broken(step) => Err((module, *step)),
            }
        })?;
        Ok(Graph { order, specs })
    }

    fn commit(&mut self, graph: Graph, said: &mut Said) {
        let Graph { order, mut specs } = graph;
        let changed: Vec<ModuleId> = order
            .iter()
            .copied()
            .filter(|&module| !self.is_loaded(module) || self.has_changed(module))
            .collect();
        let disappeared: Vec<ModuleId> = self
            .loaded
            .keys()
            .copied()
            .filter(|module| !order.contains(module))
            .collect();
        for &module in &changed {
            said.lines.push(format!("hcr {}", name(module)));
            said.lines.push(format!("types {}", name(module)));
            let spec = specs.remove(&module).expect("a module of the graph");
            self.loaded.insert(module, (spec, self.disk[module].stamp));
        }
        said.lines.push(format!("dat {}", name(SYSTEM)));
        self.init(SYSTEM, said);
        for &module in order.iter().filter(|&&module| module != SYSTEM) {
            said.lines.push(format!("dat {}", name(module)));
        }
        said.lines.push("dat main".to_owned());
        for &module in changed.iter().filter(|&&module| module != SYSTEM) {
            self.init(module, said);
        }
        for module in disappeared {
            self.loaded.remove(&module);
            self.initialized.remove(&module);
        }
        self.clean_up();
    }

    /// One module's Init000.
    fn init(&mut self, module: ModuleId, said: &mut Said) {
        said.lines.push(format!("init {}", name(module)));
        let (spec, _) = self.loaded[&module].clone();
        for (&id, global) in &spec.globals {
            let old = self.globals.get(&(module, id));
            if let Some(old) = old
                && old.length != global.length
            {
                said.resized.push(Resized {
                    module,
                    global: id,
                    from: old.length * 8,
                    to: global.length * 8,
                });
            }
            if old.is_none_or(|old| old.length != global.length) {
                said.lines.push(format!("fresh {}.g{id}", name(module)));
                let storage = Storage {
                    length: global.length,
                    value: global.initial,
                };
                self.globals.insert((module, id), storage);
            }
        }
        if self.initialized.insert(module) {
            said.lines
                .push(format!("top {} {}", name(module), spec.top));
        }
    }

    /// Symbols exist if the code of the new generation has them.
    fn clean_up(&mut self) {
        let loaded = &self.loaded;
        self.globals.retain(|(module, id), _| {
            loaded
                .get(module)
                .is_some_and(|(spec, _)| spec.globals.contains_key(id))
        });
        for (&module, (spec, _)) in loaded {
            for &proc in spec.procs.keys() {
                self.slots.insert((module, proc), Slot::Live);
            }
        }
        for ((module, proc), slot) in &mut self.slots {
            let live = loaded
                .get(module)
                .is_some_and(|(spec, _)| spec.procs.contains_key(proc));
            if !live && *slot == Slot::Live {
                *slot = Slot::Gone {
                    since: self.generation,
                };
            }
        }
    }

    fn run_handlers(&mut self, before: bool, order: &[ModuleId], said: &mut Said) {
        let when = if before { "before" } else { "after" };
        for &module in order {
            let handlers = self.loaded[&module].0.handlers.clone();
            for handler in handlers.iter().filter(|handler| handler.before == before) {
                let mut line = format!("{when} {} {}", name(module), handler.tag);
                if let Some(proc) = handler.calls {
                    let value = self
                        .call(module, proc, 0)
                        .expect("a proc of its own module");
                    line.push_str(&format!(": {value}"));
                }
                said.lines.push(line);
            }
        }
        let of_root = self.root_handlers.iter().filter(|(is, _)| *is == before);
        said.lines.extend(of_root.map(|(_, line)| line.clone()));
    }

    /// Calls a proc, with all that it changes; a call that would abort may change something too, so
    /// it is tried on a clone.
    pub fn call(&mut self, module: ModuleId, proc: ProcId, x: i64) -> Result<i64, Abort> {
        let abort = |since| Abort {
            module,
            proc,
            since,
        };
        match self.slots.get(&(module, proc)) {
            None => return Err(abort(None)),
            Some(Slot::Gone { since }) => return Err(abort(Some(*since))),
            Some(Slot::Live) => {}
        }
        let spec = self.loaded[&module].0.procs[&proc];
        let mut value = spec.constant;
        if let Some(global) = spec.raises {
            let storage = self.globals.get_mut(&(module, global));
            let storage = storage.expect("a proc uses globals that its module has");
            storage.value += 1;
            value += storage.value;
        }
        if let Some((other, callee)) = spec.calls
            && x > 0
        {
            value += 2 * self.call(other, callee, x - 1)?;
        }
        Ok(value)
    }
}

/// The modules that the root reaches, leaves first, and their code in the new generation.
struct Graph {
    order: Vec<ModuleId>,
    specs: BTreeMap<ModuleId, Spec>,
}

type Walked = (Vec<ModuleId>, BTreeMap<ModuleId, Spec>);

/// Walks the import graph depth first; each module comes after those that it imports, except where
/// a cycle makes that impossible.
fn walk<E>(roots: &[ModuleId], spec_of: impl Fn(ModuleId) -> Result<Spec, E>) -> Result<Walked, E> {
    fn visit<E>(
        modules: &[ModuleId],
        spec_of: &impl Fn(ModuleId) -> Result<Spec, E>,
        walked: &mut Walked,
    ) -> Result<(), E> {
        for &module in modules {
            if walked.1.contains_key(&module) {
                continue;
            }
            let spec = spec_of(module)?;
            let imports = spec.imports.clone();
            walked.1.insert(module, spec);
            visit(&imports, spec_of, walked)?;
            walked.0.push(module);
        }
        Ok(())
    }
    let mut walked = Walked::default();
    visit(roots, &spec_of, &mut walked)?;
    Ok(walked)
}
