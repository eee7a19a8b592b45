//! Which old symbols the names in new libraries mean.

use hashbrown::{HashMap, HashSet};
use liveswap_runtime::{
    ChangedModule, Detached, KnownSymbol, Name, Note, ProcId, SymbolId, SymbolPlan,
};

use crate::align::{Item, Kind, align};
use crate::c_name::{self, CName};
use crate::closures::Closure;
use crate::facts::Facts;

/// Everything that is known about a reload.
pub(crate) struct Matching<'a> {
    /// Facts of the new libraries.
    new: Vec<&'a Facts>,
    /// Facts of all libraries that run.
    loaded: Vec<&'a Facts>,
    plan: SymbolPlan,
    closures_in_flight: bool,
    /// The C files of the module that is matched told which globals belong to procs, before and now.
    owners_are_known: bool,
}

/// An old or new symbol, in the order of the source.
struct Placed<'a> {
    item: u64,
    name: &'a [u8],
    known: Option<&'a KnownSymbol>,
}

/// Plans a reload. Tells, too, whether closures of the running images may go on in their old code.
pub(crate) fn plan(
    changed: &[ChangedModule],
    added: &[Note],
    loaded: &[Note],
) -> (SymbolPlan, bool) {
    let notes = changed.iter().filter_map(|module| module.new.as_ref());
    let mut matching = Matching {
        new: notes
            .chain(added)
            .filter_map(|note| Facts::of(Some(note)))
            .collect(),
        loaded: loaded
            .iter()
            .filter_map(|note| Facts::of(Some(note)))
            .collect(),
        plan: SymbolPlan::default(),
        closures_in_flight: false,
        owners_are_known: false,
    };
    let changed_names: HashSet<&[u8]> = changed.iter().map(|module| &*module.module).collect();
    for (at, module) in changed.iter().enumerate() {
        let Some(facts) = Facts::of(module.new.as_ref()) else {
            continue;
        };
        let Some(symbols) = &facts.symbols else {
            tracing::debug!(module = %module.module, "no symbol table: matching by order");
            matching.plan.by_order.push(at);
            continue;
        };
        let old = Facts::of(module.old.as_ref());
        matching.owners_are_known =
            facts.owners_are_known && old.is_some_and(|old| old.owners_are_known);
        // The module's own symbols may be defined in the libraries of others too (inline procs).
        let own = |symbol: &&KnownSymbol| symbol.owner == module.module;
        let names = matching.unstable_names();
        matching.group(module.symbols.iter().filter(own).collect(), names);
        // What it defines for modules that do not change themselves: instances of its generic procs,
        // for the main program above all.
        let mut others: HashMap<&[u8], Vec<&KnownSymbol>> = HashMap::new();
        for symbol in &module.symbols {
            if !changed_names.contains(&*symbol.owner) {
                others.entry(&symbol.owner).or_default().push(symbol);
            }
        }
        for symbols_of_other in others.into_values() {
            let defined = symbols.procs.intersection(&symbols.unstable);
            matching.group(symbols_of_other, defined.map(|name| &**name).collect());
        }
    }
    (matching.plan, matching.closures_in_flight)
}

impl<'a> Matching<'a> {
    fn unstable_names(&self) -> HashSet<&'a [u8]> {
        let symbols = self.new.iter().filter_map(|facts| facts.symbols.as_ref());
        symbols
            .flat_map(|symbols| symbols.unstable.iter().map(|name| &**name))
            .collect()
    }

    fn is_proc(&self, name: &[u8]) -> bool {
        let mut symbols = self.new.iter().filter_map(|facts| facts.symbols.as_ref());
        symbols.any(|symbols| symbols.procs.contains(name))
    }

    fn closure(facts: &[&'a Facts], name: &[u8]) -> Option<&'a Closure> {
        let closures = facts.iter().filter_map(|facts| facts.closures.as_ref());
        let mut closures = closures.filter(|closures| !closures.is_empty());
        closures.find_map(|closures| closures.get(name))
    }

    fn body(facts: &[&Facts], name: &[u8]) -> Option<u64> {
        let mut facts = facts.iter().filter(|facts| !facts.bodies.is_empty());
        facts.find_map(|facts| facts.bodies.get(name).copied())
    }

    /// Matches the symbols of one module with those of `names` that have its owner.
    fn group(&mut self, symbols: Vec<&'a KnownSymbol>, names: HashSet<&'a [u8]>) {
        let mut old = Vec::new();
        let mut parked: HashMap<Vec<u8>, Vec<&KnownSymbol>> = HashMap::new();
        let mut owners = HashSet::new();
        for symbol in symbols {
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
        for symbols in [&mut old, &mut new] {
            symbols.sort_by(|a, b| (a.item, a.name).cmp(&(b.item, b.name)));
        }
        let mut matched = self.align(&old, &new);
        self.part_globals_of_other_procs(&old, &new, &mut matched);
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
            match known {
                Some(known) => self.goes_on(known, symbol.name),
                None => self.plan.new_procs += usize::from(self.is_proc(symbol.name)),
            }
        }
        // A name that goes on for another symbol must not be taken for the old one.
        let new_names: HashSet<&[u8]> = new.iter().map(|symbol| symbol.name).collect();
        for (o, symbol) in old.iter().enumerate() {
            if continued.contains(&o) {
                continue;
            }
            self.closures_in_flight |= Self::closure(&self.loaded, symbol.name).is_some();
            if let Some(known) = symbol.known
                && new_names.contains(symbol.name)
            {
                self.plan.removed.push(known.id);
            }
        }
    }

    /// A `{.global.}` variable belongs to its proc: it does not continue that of another proc (another
    /// instance of a generic one, for example), although both may have one name and one type.
    fn part_globals_of_other_procs(
        &self,
        old: &[Placed<'_>],
        new: &[Placed<'_>],
        matched: &mut [Option<usize>],
    ) {
        let proc = |facts: &[&Facts], symbol: &Placed<'_>| {
            let mut owners = facts.iter().map(|facts| &facts.globals_of_procs);
            let owner = owners.find_map(|owners| owners.get(symbol.name))?;
            Some(c_name::identity(owner))
        };
        let mut parted = Vec::new();
        for (n, partner) in matched.iter_mut().enumerate() {
            let Some(o) = *partner else { continue };
            let owner = proc(&self.new, &new[n]);
            let before = proc(&self.loaded, &old[o]);
            let differs = match (&owner, &before) {
                (Some(owner), Some(before)) => owner != before,
                // Their hashes would differ if they told anything.
                _ => owner.is_some() != before.is_some() && self.owners_are_known,
            };
            if differs {
                *partner = None;
                parted.push((n, owner));
            }
        }
        if parted.is_empty() {
            return;
        }
        let mut taken: HashSet<usize> = matched.iter().flatten().copied().collect();
        for (n, owner) in parted {
            let identity = c_name::identity_of_variable(new[n].name);
            let partner = (0..old.len()).find(|o| {
                !taken.contains(o)
                    && c_name::identity_of_variable(old[*o].name) == identity
                    && proc(&self.loaded, &old[*o]) == owner
            });
            taken.extend(partner);
            matched[n] = partner;
        }
    }

    /// For every new symbol the old one that it continues.
    fn align(&self, old: &[Placed<'_>], new: &[Placed<'_>]) -> Vec<Option<usize>> {
        let item = |facts: &[&Facts], symbol: &Placed<'_>, proc: bool| {
            let name = CName::parse(symbol.name);
            let anonymous = proc && name.as_ref().is_some_and(CName::is_anonymous);
            Item {
                identity: if proc {
                    c_name::identity(symbol.name)
                } else {
                    c_name::identity_of_variable(symbol.name)
                },
                body: anonymous.then(|| Self::body(facts, symbol.name)).flatten(),
                kind: match (anonymous, proc) {
                    (true, _) => Kind::Anonymous,
                    (false, true) => Kind::Proc,
                    (false, false) => Kind::Global,
                },
            }
        };
        let is_known_proc = |symbol: &Placed<'_>| {
            let known = symbol.known;
            known.is_some_and(|known| matches!(known.id, SymbolId::Proc(_)))
        };
        let same_names =
            || old.len() == new.len() && old.iter().zip(new).all(|(o, n)| o.name == n.name);
        let has_anonymous = || {
            let mut names = new.iter().filter_map(|symbol| CName::parse(symbol.name));
            names.any(|name| name.is_anonymous())
        };
        // Most edits change bodies and no names: then there is nothing to align.
        if same_names() && !has_anonymous() {
            return (0..new.len()).map(Some).collect();
        }
        let old_items: Vec<Item> = old
            .iter()
            .map(|symbol| item(&self.loaded, symbol, is_known_proc(symbol)))
            .collect();
        let new_items: Vec<Item> = new
            .iter()
            .map(|symbol| item(&self.new, symbol, self.is_proc(symbol.name)))
            .collect();
        align(&old_items, &new_items)
    }

    /// A symbol goes on under a name, unless who is in the middle of it must not.
    fn goes_on(&mut self, known: &KnownSymbol, name: &[u8]) {
        let old = Self::closure(&self.loaded, &known.name);
        match (known.id, old, Self::closure(&self.new, name)) {
            (SymbolId::Proc(proc), Some(old), Some(new)) if !old.may_go_on_in(new) => {
                let successor = old.environment_survives(new);
                self.detach(proc, successor.then(|| Name::new(name)));
            }
            // What is called without an environment must not reach code that looks for one.
            (SymbolId::Proc(proc), None, Some(_)) if self.closures_are_known() => {
                self.detach(proc, None);
            }
            _ if *known.name != *name || known.parked => {
                self.plan.renamed.push((known.id, Name::new(name)));
            }
            _ => {}
        }
    }

    /// Whether the C files of the running libraries could be read, as far as those of the new ones can.
    fn closures_are_known(&self) -> bool {
        self.loaded.iter().any(|facts| facts.closures.is_some())
    }

    fn detach(&mut self, proc: ProcId, successor: Option<Name>) {
        self.closures_in_flight = true;
        self.plan.new_procs += 1;
        self.plan.detached.push(Detached { proc, successor });
    }
}
