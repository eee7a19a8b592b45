//! Whether living data fits new code: layouts of types, tables of methods, types of statics, signatures.

use std::collections::HashMap;

use liveswap_object::layouts::{self, Change, ChangeKind, Layouts};
use liveswap_object::names;
use liveswap_object::patch::{NewUnit, Planned};

use super::Refused;

/// What new objects tell, and where that differs from what living data may have.
pub struct Compared {
    /// Of the new objects.
    pub layouts: Layouts,
    /// Types and traits.
    types: Vec<Change>,
    /// Statics of which neither the name nor the size tells that the type is another one.
    statics: Vec<(String, Change)>,
    /// Functions that other languages know, with another signature.
    signatures: Vec<(String, Change)>,
}

/// Reads all new objects and compares them.
///
/// # Errors
/// If one is not understood.
pub fn compare(live: &Layouts, units: &[NewUnit]) -> Result<Compared, Refused> {
    let mut new = Layouts::default();
    for object in units.iter().flat_map(|unit| &unit.changed) {
        let layouts = layouts::read(&object.bytes).map_err(|error| Refused {
            code: "LS0006",
            message: error.to_string(),
        })?;
        new.merge(&layouts);
    }
    let mut signatures = layouts::compare_signatures(live, &new);
    signatures.retain(|(symbol, _)| !names::is_mangled(symbol));
    Ok(Compared {
        types: layouts::compare(live, &new),
        statics: layouts::compare_statics(live, &named_without_types(&new)),
        signatures,
        layouts: new,
    })
}

impl Compared {
    /// Refuses what living data does not survive.
    pub fn check(&self, planned: Option<&Planned>) -> Result<(), Refused> {
        let is_other =
            |symbol: &str| planned.is_some_and(|planned| planned.renewed.contains(symbol));
        let statics = self.statics.iter();
        let statics = statics.filter(|(symbol, _)| !is_other(symbol));
        let others = statics.chain(&self.signatures).map(|(_, change)| change);
        let changes: Vec<&Change> = self.types.iter().chain(others).collect();
        let causes: Vec<&Change> = changes.iter().copied().filter(|one| one.cause).collect();
        let Some(first) = causes.first().or(changes.first()) else {
            return Ok(());
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
