//! Tables of methods: a trait whose methods have another number, order or signature breaks every trait object
//! that lives.

use super::{Change, ChangeKind, Contract, Layouts, VTable, implementation, is_environment};
use crate::names;

/// The implementations whose trait has other methods than before; one report for each trait.
pub(super) fn traits(old: &Layouts, new: &Layouts) -> Vec<Change> {
    let mut found: Vec<(&str, Change)> = Vec::new();
    let mut tables: Vec<_> = new.vtables.iter().collect();
    tables.sort_by_key(|(name, _)| *name);
    for (name, table) in tables {
        let Some(known) = old.vtables.get(name) else {
            continue;
        };
        let trait_name = trait_of(name);
        if found.iter().any(|(other, _)| *other == trait_name) {
            continue;
        }
        let found_in = |(member, old, new)| (Some(member), old, new);
        let by_name = difference(name, known, table);
        if let Some((member, old, new)) =
            by_name.or_else(|| signature(known, table, old, new).map(found_in))
        {
            let change = Change {
                kind: ChangeKind::Trait,
                type_name: name.clone(),
                member,
                old,
                new,
                cause: true,
            };
            found.push((trait_name, change));
        }
    }
    let mut traits: Vec<_> = new.traits.iter().collect();
    traits.sort();
    for (name, slots) in traits {
        let Some(known) = old.traits.get(name).filter(|known| *known != slots) else {
            continue;
        };
        if found.iter().any(|(other, _)| other == name) {
            continue;
        }
        // Drop glue, size and alignment are no methods.
        let methods = |slots: u64| slots.saturating_sub(3).to_string();
        let change = Change {
            kind: ChangeKind::Trait,
            type_name: format!("dyn {name}"),
            member: None,
            old: methods(*known),
            new: methods(*slots),
            cause: true,
        };
        found.push((name, change));
    }
    found.into_iter().map(|(_, change)| change).collect()
}

/// The implementations, `<T as Trait>`, whose values have something to do when they are dropped, and had nothing, or the
/// other way round. The tables of trait objects from before do not know of it.
pub fn changed_drops(old: &Layouts, new: &Layouts) -> Vec<String> {
    let tables = new.vtables.iter();
    let found = tables.filter(|(name, table)| {
        let known = old.vtables.get(*name);
        known.is_some_and(|known| known.drops != table.drops)
    });
    // What a closure holds is said of the closure.
    let mut found: Vec<String> = found
        .map(|(name, _)| name.clone())
        .filter(|name| !is_environment(name))
        .collect();
    found.sort();
    found
}

/// The trait of `<T as Trait>`.
fn trait_of(name: &str) -> &str {
    implementation(name).map_or(name, |(_, of)| of)
}

fn difference(name: &str, old: &VTable, new: &VTable) -> Option<(Option<String>, String, String)> {
    if old.methods.len() != new.methods.len() {
        let (old, new) = (old.methods.len(), new.methods.len());
        return Some((None, old.to_string(), new.to_string()));
    }
    let implementer = implementation(name).map_or("", |(of, _)| without_arguments(of));
    (0..old.methods.len()).find_map(|slot| {
        if without_hash(&old.methods[slot]) == without_hash(&new.methods[slot]) {
            return None;
        }
        let old = method(old, slot, implementer)?;
        let new = method(new, slot, implementer)?;
        (old != new).then_some((Some(slot.to_string()), old, new))
    })
}

fn without_arguments(path: &str) -> &str {
    path.split('<').next().unwrap_or_default()
}

/// The first method that is called otherwise than before: its name, how it was, how it is. A trait object from
/// before leads to the old method, and new code calls that as the new one.
fn signature(
    old: &VTable,
    new: &VTable,
    old_layouts: &Layouts,
    new_layouts: &Layouts,
) -> Option<(String, String, String)> {
    old.methods.iter().zip(&new.methods).find_map(|(old, new)| {
        if old.is_empty() || new.is_empty() {
            return None;
        }
        let was = old_layouts.contracts.get(&**old)?;
        // A method in an object that did not change.
        let known = new_layouts.contracts.get(&**new);
        let is = known.or_else(|| old_layouts.contracts.get(&**new))?;
        // What a closure holds is in the type of `self`, or `self` is left out: that is said of the closure.
        let parameters = |contract: &Contract| {
            let parameters = contract.parameters.iter();
            let types = parameters.map(|parameter| parameter.type_name.clone());
            types
                .filter(|name| !is_environment(name))
                .collect::<Vec<_>>()
        };
        let is_own = was.own.is_some() && is.own.is_some();
        let comparable = if is_own || was.digest != 0 || is.digest != 0 {
            let result = |contract: &Contract| {
                let result = contract.result.clone();
                result.filter(|name| !is_environment(name))
            };
            parameters(was) != parameters(is) || result(was) != result(is)
        } else {
            !was.same_types(is)
        };
        (comparable || was.permutes(is)).then(|| {
            let path = readable(without_hash(new));
            let name = last_part(&path).unwrap_or(&path).to_owned();
            // Names count only where they say what moved.
            if comparable {
                (name, was.to_string(), is.to_string())
            } else {
                (name, with_names(was), with_names(is))
            }
        })
    })
}

/// The name of the method in a slot. Optimisation lets functions of equal code share one symbol, in which
/// case the symbol may be that of another method: then it tells nothing.
fn method(table: &VTable, slot: usize, implementer: &str) -> Option<String> {
    let symbol = without_hash(&table.methods[slot]);
    let same = table.methods.iter();
    let shared = same.filter(|other| without_hash(other) == symbol).count() > 1;
    if symbol.is_empty() || shared {
        return None;
    }
    let path = readable(symbol);
    let last = last_part(&path)?;
    if let Some((other, _)) = implementation(&path) {
        let other = without_arguments(other);
        // A parameter of the `impl` stands for any type, and has no path.
        let is_parameter = !other.is_empty() && !other.contains("::");
        if other != implementer && !is_parameter {
            return None;
        }
    }
    Some(last.to_owned())
}

/// `area` of `<a::Square as a::Shape>::area`.
fn last_part(path: &str) -> Option<&str> {
    path.rsplit("::").find(|part| !part.ends_with('>'))
}

/// A name without the hash that changes with the types of the function.
fn without_hash(symbol: &str) -> &str {
    names::without_hash(symbol).unwrap_or(symbol)
}

/// The demangled name; the older mangling needs its end back.
fn readable(symbol: &str) -> String {
    if symbol.starts_with("_ZN") && !symbol.ends_with('E') {
        let whole = format!("{symbol}E");
        return format!("{:#}", rustc_demangle::demangle(&whole));
    }
    format!("{:#}", rustc_demangle::demangle(symbol))
}

/// The signature with the names of the parameters.
fn with_names(contract: &Contract) -> String {
    let parameters = contract.parameters.iter();
    let parameters: Vec<String> = parameters
        .map(|parameter| match &*parameter.name {
            "" => parameter.type_name.to_string(),
            name => format!("{name}: {}", parameter.type_name),
        })
        .collect();
    let mut text = format!("fn({})", parameters.join(", "));
    if let Some(result) = &contract.result {
        text.push_str(&format!(" -> {result}"));
    }
    text
}
