//! Types that have another layout than before, where no value from before can meet new code.
//!
//! What works on values of such a type has another contract now, so it gets new slots, and values from before stay with
//! the code that made them, as those of closures do. That separates the two only where all ways to a value are told by
//! types. It does not where both reach the same place: a static, or memory of which nobody knows the type.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::layouts::{Contract, Layouts, Reach, implementation, is_environment};
use crate::names;
use crate::patch::Planned;
use crate::program::Program;

/// Types with another layout, and what leads to their values.
#[derive(Debug)]
pub struct ChangedTypes {
    /// Their names.
    pub names: HashSet<Arc<str>>,
    pub(super) reach: Reach,
}

impl ChangedTypes {
    /// Prepares to tell old values from new ones.
    ///
    /// `planned` is what would be planned if symbols were identities.
    ///
    /// # Errors
    /// If values from before could get to new code; the text says how.
    pub fn find(
        program: &Program,
        old: &Layouts,
        new: &Layouts,
        planned: &Planned,
        names: HashSet<Arc<str>>,
    ) -> Result<ChangedTypes, String> {
        if program.objects.values().any(|object| object.optimised) {
            return Err("the optimiser does not tell what works on values of it".to_owned());
        }
        let several = |name: &&Arc<str>| old.layouts(name).len() > 1 || new.layouts(name).len() > 1;
        if let Some(name) = names.iter().find(several) {
            return Err(format!("there are several types `{name}`"));
        }
        let changed = ChangedTypes {
            reach: Reach::to(&names, [old, new]),
            names,
        };
        match changed.way_to_values(program, old, new, planned) {
            Some(way) => Err(way),
            None => Ok(changed),
        }
    }

    /// Adds what leads to values of the same types after another change.
    pub fn add(&mut self, later: ChangedTypes) {
        self.names.extend(later.names);
        self.reach.add(later.reach);
    }

    /// The names in their scopes of all types that lead to values, but for those of the standard library.
    pub fn names_in_scope(&self) -> BTreeSet<String> {
        let names = self.reach.names().filter(|name| !is_of_std(name));
        names
            .map(names::last_part)
            .map(|name| name.split('<').next().unwrap_or_default().to_owned())
            .collect()
    }

    /// A way by which code that comes later could get to values from before.
    pub fn later_way_to_values(&self, new: &Layouts) -> Option<String> {
        self.by_type_id(new.vtables.keys())
            .or_else(|| self.by_conjuring(new.contracts.iter()))
    }

    fn by_type_id<'n>(&self, tables: impl Iterator<Item = &'n String>) -> Option<String> {
        let tables = tables.filter_map(|name| implementation(name));
        let mut as_any = tables.filter(|(_, implemented)| *implemented == "core::any::Any");
        let (name, _) = as_any.find(|(of, _)| self.reach.leads(of))?;
        Some(format!(
            "a value of it may be asked for its type (`{name}`, by `Any`)"
        ))
    }

    fn by_conjuring<'n>(
        &self,
        contracts: impl Iterator<Item = (&'n Arc<str>, &'n Contract)>,
    ) -> Option<String> {
        let conjurers = contracts.filter(|(_, contract)| self.conjures(contract));
        let name = names::for_people(conjurers.map(|(symbol, _)| symbol).min()?);
        Some(format!(
            "`{name}` may get at values of it by untyped pointers"
        ))
    }

    /// A way by which old and new code could get to the same value.
    fn way_to_values(
        &self,
        program: &Program,
        old: &Layouts,
        new: &Layouts,
        planned: &Planned,
    ) -> Option<String> {
        // One that is new has no value from before.
        let statics = old.statics.iter();
        let mut holders: Vec<&String> = statics
            .filter(|(symbol, type_name)| {
                let is_table = program
                    .statics
                    .get(&***symbol)
                    .is_some_and(|it| it.renewable);
                !is_table && self.reach.leads(type_name)
            })
            .map(|(symbol, _)| symbol)
            .collect();
        holders.sort_unstable();
        if let Some(symbol) = holders.first() {
            let name = names::for_people(symbol);
            return Some(format!("static `{name}` may hold values of it"));
        }
        let tables = old.vtables.keys().chain(new.vtables.keys());
        if let Some(way) = self.by_type_id(tables) {
            return Some(way);
        }
        // They could stay with their code, but most are kept, and would never run new code again.
        let mut kept: Vec<&str> = old
            .vtables
            .keys()
            .filter_map(|name| implementation(name))
            .filter(|(of, implemented)| !is_of_std(implemented) && !is_environment(of))
            .map(|(of, _)| of)
            .filter(|of| self.reach.leads(of))
            .collect();
        kept.sort_unstable();
        if let Some(name) = kept.first() {
            return Some(format!("there may be trait objects of `{name}`"));
        }
        let contracts = old.contracts.iter().chain(&new.contracts);
        if let Some(way) = self.by_conjuring(contracts) {
            return Some(way);
        }
        // Of what is not told nothing can be said.
        let untold = planned.functions.iter().find(|defined| {
            let is_known = new.contracts.contains_key(&*defined.symbol);
            !is_known && planned.changed.contains(&defined.symbol)
        });
        untold.map(|defined| {
            let name = names::for_people(&defined.symbol);
            format!("debug information does not tell what `{name}` works on")
        })
    }

    /// Whether a function may find a value without being given what leads to one.
    fn conjures(&self, contract: &Contract) -> bool {
        // Maps from types to values ask for it.
        if contract.instance.starts_with("of<") && self.reach.is_instance(contract) {
            return true;
        }
        if !self.reach.gives(contract) || self.reach.is_given(contract) || contract.own.is_some() {
            return false;
        }
        let is_erased = |name: &str| name.contains("dyn ") || name.contains('*');
        let refers = |name: &str| name.contains(['&', '*']) || name.contains("NonNull<");
        let mut parameters = contract.parameters.iter();
        contract.result.as_deref().is_some_and(refers)
            || parameters.any(|parameter| is_erased(&parameter.type_name))
    }
}

fn is_of_std(name: &str) -> bool {
    // The maps of the standard library are that crate's.
    names::is_of_std(name) || name.starts_with("hashbrown::")
}
