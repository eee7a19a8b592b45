//! Whether living data fits new code: layouts of types, tables of methods, types of statics, signatures.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use liveswap_object::layouts::{self, Change, ChangeKind, Layouts};
use liveswap_object::names;
use liveswap_object::patch::{NewUnit, Planned};

use super::Refused;
use crate::declared::{self, Difference, Unit};
use crate::model::CrateObjects;

/// What new objects and their sources tell, and where that differs from what living data may have.
pub struct Compared {
    /// Of the new objects.
    pub layouts: Layouts,
    /// Where declarations differ.
    pub declared: Difference,
    /// What the crates of the new objects declare, by unit.
    pub units: HashMap<String, Unit>,
    /// Types and traits.
    types: Vec<Change>,
    /// Statics of which neither the name nor the size tells that the type is another one.
    statics: Vec<(String, Change)>,
    /// Functions that other languages know, with another signature.
    signatures: Vec<(String, Change)>,
    /// What only sources tell.
    by_source: Option<Refused>,
}

/// What is live.
pub struct Live<'a> {
    /// What objects tell.
    pub layouts: &'a Layouts,
    /// What sources tell.
    pub declared: &'a declared::Live,
    /// Names of crates that have names of the standard library's.
    pub named_as_std: &'a [String],
}

/// Reads all new objects and compares them.
///
/// # Errors
/// If one is not understood.
pub fn compare(
    live: &Live<'_>,
    units: &[NewUnit],
    crates: &[CrateObjects],
) -> Result<Compared, Refused> {
    let mut new = Layouts::default();
    for object in units.iter().flat_map(|unit| &unit.changed) {
        let layouts = layouts::read(&object.bytes, live.named_as_std).map_err(|error| Refused {
            code: "LS0006",
            message: error.to_string(),
        })?;
        new.merge(&layouts);
    }
    let units: HashMap<String, Unit> = crates
        .iter()
        .map(|krate| {
            let known = live.declared.unit(&krate.unit);
            let unit = Unit::read(&krate.name, &krate.sources, known);
            (krate.unit.clone(), unit)
        })
        .collect();
    let declared = live.declared.compare(&units);
    let mut signatures = layouts::compare_signatures(live.layouts, &new);
    signatures.retain(|(symbol, _)| !names::is_mangled(symbol));
    Ok(Compared {
        types: layouts::compare(live.layouts, &new),
        statics: layouts::compare_statics(live.layouts, &named_without_types(&new)),
        signatures,
        by_source: by_source(live.layouts, &new, &declared),
        layouts: new,
        declared,
        units,
    })
}

/// Refuses what debug information does not tell apart, or does not tell.
fn by_source(old: &Layouts, new: &Layouts, declared: &Difference) -> Option<Refused> {
    let refused = |code, message| Some(Refused { code, message });
    if let Some((krate, name)) = declared.in_namesakes.first() {
        return refused(
            "LS0001",
            format!(
                "type `{name}` of a crate `{krate}` changed; there are several crates and types of these names, and debug information does not tell them apart"
            ),
        );
    }
    if let Some(name) = declared.representations.first() {
        return refused(
            "LS0001",
            format!(
                "`{name}` changed: it has another `#[repr]`, so it may be passed in another way"
            ),
        );
    }
    let mut types = declared.types.iter();
    if let Some(name) = types.find(|name| old.is_ambiguous(name) || new.is_ambiguous(name)) {
        return refused(
            "LS0001",
            format!(
                "a type `{name}` changed; there are several of this name in one scope, and debug information does not tell them apart"
            ),
        );
    }
    let mut traits = declared.traits.iter();
    if let Some(name) = traits.find(|name| old.lost_tables(new, name)) {
        return refused(
            "LS0002",
            format!(
                "trait `{name}` changed, and nothing makes trait objects of it any more: those that live cannot be compared"
            ),
        );
    }
    if declared.conventions_of_any() {
        return refused(
            "LS0012",
            "functions whose names a macro makes are called in another way (`#[track_caller]` or `extern`)".to_owned(),
        );
    }
    let functions = new
        .contracts
        .keys()
        .filter(|symbol| !names::is_mangled(symbol));
    for symbol in functions.filter(|symbol| old.contracts.contains_key(*symbol)) {
        let (before, after) = declared.convention(symbol);
        if before != after {
            return refused(
                "LS0012",
                format!("`{symbol}` is called in another way than before"),
            );
        }
    }
    None
}

impl Compared {
    /// How a function is called, as far as debug information does not say it: before and now.
    pub fn convention(&self, symbol: &str) -> (u64, u64) {
        self.declared
            .convention(names::last_part(&names::for_people(symbol)))
    }

    /// Adds what is initialised once by what the source says, where objects did not tell.
    pub fn add_initialisers(&self, known: &mut BTreeSet<String>) {
        for name in &self.declared.once {
            let is_it = |owner: &String| names::last_part(owner) == name;
            if !known.iter().any(is_it) {
                known.insert(name.clone());
            }
        }
    }

    /// The types that have another layout, if nothing else stands against new code.
    pub fn changed_types(&self, planned: &Planned) -> Option<HashSet<Arc<str>>> {
        let all_else_fits = self.by_source.is_none()
            && self.signatures.is_empty()
            && self.kept_statics(Some(planned)).next().is_none()
            && self
                .types
                .iter()
                .all(|change| change.kind != ChangeKind::Trait);
        let names = self
            .types
            .iter()
            .map(|change| Arc::from(&*change.type_name));
        (all_else_fits && !self.types.is_empty()).then(|| names.collect())
    }

    /// Statics of another type that are the same in the plan.
    fn kept_statics<'a>(
        &'a self,
        planned: Option<&'a Planned>,
    ) -> impl Iterator<Item = &'a (String, Change)> {
        let is_other =
            move |symbol: &str| planned.is_some_and(|planned| planned.renewed.contains(symbol));
        let statics = self.statics.iter();
        statics.filter(move |(symbol, _)| !is_other(symbol))
    }

    /// Refuses for what [`Compared::check`] does, and says in which way values from before get to new code.
    pub fn refused_for(&self, planned: Option<&Planned>, way: &str) -> Refused {
        match self.check(planned) {
            Err(mut refused) => {
                refused.message.push_str("; ");
                refused.message.push_str(way);
                refused
            }
            Ok(()) => Refused {
                code: "LS0001",
                message: way.to_owned(),
            },
        }
    }

    /// Refuses what living data does not survive.
    pub fn check(&self, planned: Option<&Planned>) -> Result<(), Refused> {
        let statics = self.kept_statics(planned);
        let others = statics.chain(&self.signatures).map(|(_, change)| change);
        let changes: Vec<&Change> = self.types.iter().chain(others).collect();
        let causes: Vec<&Change> = changes.iter().copied().filter(|one| one.cause).collect();
        let Some(first) = causes.first().or(changes.first()) else {
            return self.by_source.clone().map_or(Ok(()), Err);
        };
        let code = match first.kind {
            ChangeKind::Trait => "LS0002",
            ChangeKind::Static => "LS0003",
            ChangeKind::Signature => "LS0012",
            _ => "LS0001",
        };
        let mut message = first.to_string();
        let mut others: Vec<&str> = causes.iter().map(|change| &*change.type_name).collect();
        others.retain(|name| *name != first.type_name);
        others.sort_unstable();
        others.dedup();
        if !others.is_empty() {
            message.push_str(&format!(" (also changed: `{}`)", others.join("`, `")));
        }
        Err(Refused { code, message })
    }
}

/// The types of statics whose names do not tell them: legacy mangling puts a hash of the type into the name.
fn named_without_types(layouts: &Layouts) -> Layouts {
    let statics = layouts.statics.iter();
    let statics: HashMap<String, String> = statics
        .filter(|(name, _)| !name.starts_with("_ZN"))
        .map(|(name, text)| (name.clone(), text.clone()))
        .collect();
    let mut found = Layouts::default();
    found.statics = statics;
    found
}
