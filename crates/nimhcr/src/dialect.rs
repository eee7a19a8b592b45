//! What Nim adds to the module protocol.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::{HashMap, HashSet};
use liveswap_runtime::{
    ChangedModule, Detached, Dialect, KnownSymbol, Name, Note, ProcId, RemovedProc, SymbolId,
    SymbolPlan,
};

use crate::align::{Item, Kind, align};
use crate::c_file::{CFile, Definitions};
use crate::c_name::{self, CName};
use crate::closures::{self, Closures};
use crate::collector::{self, Nim};
use crate::layouts::{self, Layouts};
use crate::{door, elf_symbols};

pub(crate) struct NimDialect {
    nim: Arc<Nim>,
}

impl NimDialect {
    pub(crate) fn new(nim: Arc<Nim>) -> NimDialect {
        NimDialect { nim }
    }
}

/// What is noted of an image.
#[derive(Debug)]
struct Facts {
    /// `None` if the C file could not be read.
    closures: Option<Closures>,
    layouts: Layouts,
    /// Symbols with unstable names and stable procs, if the library has a symbol table; read when it
    /// replaces another.
    symbols: Option<Symbols>,
}

#[derive(Debug, Default)]
struct Symbols {
    /// Names of procs, without `_actual`.
    procs: HashSet<Vec<u8>>,
    /// Names that change from build to build, of procs and others, those of other modules included.
    unstable: HashSet<Vec<u8>>,
}

fn facts(note: Option<&Note>) -> Option<&Facts> {
    note?.downcast_ref()
}

fn is_closure(note: Option<&Note>, name: &[u8]) -> bool {
    let closures = facts(note).and_then(|facts| facts.closures.as_ref());
    closures.is_some_and(|closures| closures.contains_key(name))
}

impl Dialect for NimDialect {
    fn examine(&self, module: &Name, file: &[u8], replaces: bool) -> Option<Note> {
        // The first build is matched with nothing, and only one name is needed to know the compiler.
        let mut symbols = Symbols::default();
        let mut version_two = false;
        let readable = elf_symbols::for_each(file, |name, _| {
            let proc = name.strip_suffix(b"_actual");
            let name = proc.unwrap_or(name);
            if let Some(parsed) = CName::parse(name) {
                version_two |= parsed.version_two;
                if replaces {
                    symbols.unstable.insert(name.to_vec());
                }
            }
            if replaces && proc.is_some() {
                symbols.procs.insert(name.to_vec());
            }
        });
        if version_two {
            self.nim.version_two.store(true, Ordering::Relaxed);
        }
        let symbols = readable.map(|()| symbols);
        let (closures, layouts) = match CFile::of_library(module.as_path()) {
            Some(file) => {
                let definitions = Definitions::new(&file.text);
                (
                    Some(closures::of_file(&file, &definitions)),
                    layouts::of_file(&file, &definitions),
                )
            }
            None => Default::default(),
        };
        Some(Arc::new(Facts {
            closures,
            layouts,
            symbols,
        }))
    }

    fn match_symbols(&self, changed: &[ChangedModule], added: &[Note]) -> SymbolPlan {
        let mut plan = SymbolPlan::default();
        let new_facts: Vec<&Facts> = changed
            .iter()
            .filter_map(|module| facts(module.new.as_ref()))
            .chain(added.iter().filter_map(|note| facts(Some(note))))
            .collect();
        for (at, module) in changed.iter().enumerate() {
            let readable = facts(module.new.as_ref()).is_some_and(|facts| facts.symbols.is_some());
            if readable {
                match_module(module, &new_facts, &mut plan);
            } else {
                tracing::debug!(module = %module.module, "no symbol table: matching by order");
                plan.by_order.push(at);
            }
        }
        let mut types = BTreeSet::new();
        for module in changed {
            if let (Some(old), Some(new)) = (facts(module.old.as_ref()), facts(module.new.as_ref()))
            {
                types.extend(layouts::changed(&old.layouts, &new.layouts));
            }
        }
        if !types.is_empty() {
            let types = types.into_iter().collect::<Vec<_>>().join(", ");
            plan.notices.push(format!(
                "changed layout of {types}: objects on the heap that were made before keep the old one"
            ));
        }
        plan
    }

    fn notice(&self, text: &str) {
        door::say(text);
    }

    fn identity(&self, name: &[u8]) -> Vec<u8> {
        c_name::identity(name)
    }

    fn removed_proc(&self, name: &Name, note: Option<&Note>) -> RemovedProc {
        // Objects of a removed type may live on, and the collector goes through their markers.
        // `Dl_…` are functions of other libraries, which do not go away. Closures may be in flight.
        let needed =
            name.starts_with(b"Marker_ty") || name.starts_with(b"Dl_") || is_closure(note, name);
        if needed {
            RemovedProc::KeepsOldCode
        } else {
            RemovedProc::Gone
        }
    }

    fn keeps_global(&self, name: &[u8]) -> bool {
        // Type infos and their nodes: living objects and other type infos refer to them.
        (name.starts_with(b"NTI") || name.starts_with(b"TM__")) && CName::parse(name).is_none()
    }

    fn is_global_of_system(&self, name: &[u8]) -> bool {
        // Registered under the system module, asked for under os (1.6) or cmdline (2.x).
        matches!(name, b"cmdCount" | b"cmdLine")
    }

    fn handler_added(&self, environment: usize) {
        collector::hold(&self.nim, environment, true);
    }

    fn handler_dropped(&self, environment: usize) {
        collector::hold(&self.nim, environment, false);
    }
}

/// An old or new symbol, in the order of the source.
struct Placed<'a> {
    item: u64,
    name: &'a [u8],
    known: Option<&'a KnownSymbol>,
}

impl Placed<'_> {
    fn sort(symbols: &mut [Placed<'_>]) {
        symbols.sort_by(|a, b| (a.item, a.name).cmp(&(b.item, b.name)));
    }
}

fn match_module(module: &ChangedModule, new_facts: &[&Facts], plan: &mut SymbolPlan) {
    let mut old = Vec::new();
    let mut parked: HashMap<Vec<u8>, Vec<&KnownSymbol>> = HashMap::new();
    let mut owners = HashSet::new();
    for symbol in &module.symbols {
        let Some(name) = CName::parse(&symbol.name) else {
            continue;
        };
        owners.insert(name.owner);
        if symbol.parked {
            parked.entry(name.identity()).or_default().push(symbol);
        } else {
            old.push(Placed {
                item: name.item,
                name: &symbol.name,
                known: Some(symbol),
            });
        }
    }
    // Names of this module may be defined in the libraries of others too: inline and generic procs.
    let symbols = || new_facts.iter().filter_map(|facts| facts.symbols.as_ref());
    let names: HashSet<&[u8]> = symbols()
        .flat_map(|symbols| symbols.unstable.iter().map(|name| &**name))
        .collect();
    let mut new: Vec<Placed<'_>> = names
        .into_iter()
        .filter_map(|name| CName::parse(name).map(|parsed| (name, parsed)))
        .filter(|(_, parsed)| owners.contains(parsed.owner))
        .map(|(name, parsed)| Placed {
            item: parsed.item,
            name,
            known: None,
        })
        .collect();
    Placed::sort(&mut old);
    Placed::sort(&mut new);
    let is_proc = |name: &[u8]| symbols().any(|symbols| symbols.procs.contains(name));
    let item = |name: &[u8], proc: bool| Item {
        identity: c_name::identity(name),
        kind: match CName::parse(name) {
            Some(name) if proc && name.is_anonymous() => Kind::Anonymous,
            _ if proc => Kind::Proc,
            _ => Kind::Global,
        },
    };
    let is_known_proc = |symbol: &Placed<'_>| {
        symbol
            .known
            .is_some_and(|known| matches!(known.id, SymbolId::Proc(_)))
    };
    // Most edits change bodies and no names: then there is nothing to align.
    let same_names = old.len() == new.len() && old.iter().zip(&new).all(|(o, n)| o.name == n.name);
    let matched: Vec<Option<usize>> = if same_names {
        (0..new.len()).map(Some).collect()
    } else {
        let old_items: Vec<Item> = old
            .iter()
            .map(|symbol| item(symbol.name, is_known_proc(symbol)))
            .collect();
        let new_items: Vec<Item> = new
            .iter()
            .map(|symbol| item(symbol.name, is_proc(symbol.name)))
            .collect();
        align(&old_items, &new_items)
    };

    let old_closures = facts(module.old.as_ref()).and_then(|facts| facts.closures.as_ref());
    let new_closures = || new_facts.iter().filter_map(|facts| facts.closures.as_ref());
    let new_closure = |name: &[u8]| new_closures().find_map(|closures| closures.get(name));
    let mut continued = HashSet::new();
    for (symbol, partner) in new.iter().zip(&matched) {
        let known = match partner {
            Some(o) => {
                continued.insert(*o);
                old[*o].known
            }
            None => parked
                .get_mut(&c_name::identity(symbol.name))
                .and_then(Vec::pop),
        };
        let Some(known) = known else {
            plan.new_procs += usize::from(is_proc(symbol.name));
            continue;
        };
        let old_closure = old_closures.and_then(|closures| closures.get(&*known.name));
        match (known.id, old_closure, new_closure(symbol.name)) {
            (SymbolId::Proc(proc), Some(old), Some(new)) if !old.may_go_on_in(new) => {
                let successor = old.environment_survives(new);
                detach(plan, proc, successor.then(|| Name::new(symbol.name)));
            }
            // What is called without an environment must not reach code that looks for one.
            (SymbolId::Proc(proc), None, Some(_)) if old_closures.is_some() => {
                detach(plan, proc, None);
            }
            _ if *known.name != *symbol.name || known.parked => {
                plan.renamed.push((known.id, Name::new(symbol.name)));
            }
            _ => {}
        }
    }
    // A name that goes on for another symbol must not be taken for the old one.
    let new_names: HashSet<&[u8]> = new.iter().map(|symbol| symbol.name).collect();
    for (o, symbol) in old.iter().enumerate() {
        if let Some(known) = symbol.known
            && !continued.contains(&o)
            && new_names.contains(symbol.name)
        {
            plan.removed.push(known.id);
        }
    }
}

fn detach(plan: &mut SymbolPlan, proc: ProcId, successor: Option<Name>) {
    plan.new_procs += 1;
    plan.detached.push(Detached { proc, successor });
}
