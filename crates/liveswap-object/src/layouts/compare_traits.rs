//! Tables of methods: a trait whose methods have another number or order breaks every trait object that lives.

use super::{Change, ChangeKind, Layouts, VTable};

/// The implementations whose trait has other methods than before; one report for each trait.
pub(super) fn traits(old: &Layouts, new: &Layouts) -> Vec<Change> {
    let mut found: Vec<(&str, Change)> = Vec::new();
    let mut tables: Vec<_> = new.vtables.iter().collect();
    tables.sort_by_key(|(name, _)| *name);
    for (name, new) in tables {
        let Some(old) = old.vtables.get(name).filter(|old| *old != new) else {
            continue;
        };
        let trait_name = trait_of(name);
        if found.iter().any(|(other, _)| *other == trait_name) {
            continue;
        }
        if let Some((member, old, new)) = difference(name, old, new) {
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

/// The trait of `<T as Trait>`.
fn trait_of(name: &str) -> &str {
    name.rsplit_once(" as ")
        .map_or(name, |(_, rest)| rest.strip_suffix('>').unwrap_or(rest))
}

fn difference(name: &str, old: &VTable, new: &VTable) -> Option<(Option<String>, String, String)> {
    if old.methods.len() != new.methods.len() {
        let (old, new) = (old.methods.len(), new.methods.len());
        return Some((None, old.to_string(), new.to_string()));
    }
    let implementer = name
        .strip_prefix('<')
        .and_then(|rest| rest.split_once(" as "));
    let implementer = implementer.map_or("", |(implementer, _)| implementer);
    (0..old.methods.len()).find_map(|slot| {
        if old.methods[slot] == new.methods[slot] {
            return None;
        }
        let old = method(old, slot, implementer)?;
        let new = method(new, slot, implementer)?;
        (old != new).then_some((Some(slot.to_string()), old, new))
    })
}

/// The name of the method in a slot. Optimisation lets functions of equal code share one symbol, in which
/// case the symbol may be that of another method: then it tells nothing.
fn method(table: &VTable, slot: usize, implementer: &str) -> Option<String> {
    let symbol = &table.methods[slot];
    let shared = table
        .methods
        .iter()
        .filter(|other| *other == symbol)
        .count()
        > 1;
    if symbol.is_empty() || shared {
        return None;
    }
    let path = readable(symbol);
    if let Some((other, _)) = path
        .strip_prefix('<')
        .and_then(|rest| rest.split_once(" as "))
    {
        let generic = other.len() <= 2;
        if other != implementer && !generic {
            return None;
        }
    }
    let name = path.rsplit("::").find(|part| !part.ends_with('>'))?;
    Some(name.to_owned())
}

/// The demangled name; the older mangling needs its end back.
fn readable(symbol: &str) -> String {
    if symbol.starts_with("_ZN") && !symbol.ends_with('E') {
        let whole = format!("{symbol}E");
        return format!("{:#}", rustc_demangle::demangle(&whole));
    }
    format!("{:#}", rustc_demangle::demangle(symbol))
}
