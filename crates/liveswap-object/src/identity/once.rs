//! Code that runs once and has probably run: initialisers of lazy values.

use std::collections::{BTreeSet, HashSet};

use crate::layouts::{Layouts, without_numbers};
use crate::names;
use crate::patch::Planned;

/// What changed and runs no more for values that exist, as people call it: the static, or the function that
/// the initialiser stands in.
pub fn initialisers(planned: &Planned, old: &Layouts, new: &Layouts) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let changed = || planned.changed.iter().chain(&planned.came);
    if changed().next().is_none() {
        return found;
    }
    let statics = old.statics.keys();
    let statics: HashSet<String> = statics.map(|name| names::for_people(name)).collect();
    let given = given_to_once(old, new);
    for symbol in changed() {
        let path = names::for_people(symbol);
        if let Some(owner) = owner_of_initialiser(&path) {
            if statics.iter().any(|name| name.starts_with(owner)) {
                found.insert(owner.to_owned());
            }
            continue;
        }
        let Some(end) = path
            .find("::{{closure}}")
            .or_else(|| path.find("::{closure"))
        else {
            continue;
        };
        let owner = &path[..end];
        let contract = new.contracts.get(symbol);
        let own = contract.and_then(|contract| contract.own.as_deref());
        let is_given = own.is_some_and(|own| given.contains(&*without_numbers(own)));
        if statics.contains(owner) || is_given {
            found.insert(owner.to_owned());
        }
    }
    for (name, function) in &planned.led_to {
        let is_lazy = old.statics.get(&**name).is_some_and(|it| is_lazy(it));
        if is_lazy && old.contracts.contains_key(function) {
            found.insert(names::for_people(name));
        }
    }
    found
}

/// The environments of closures that are given to functions which call them once, if at all.
fn given_to_once<'l>(old: &'l Layouts, new: &'l Layouts) -> HashSet<&'l str> {
    let instances = old.contracts.iter().chain(&new.contracts);
    let instances = instances.filter(|(symbol, contract)| {
        // To demangle all names would take too long.
        (symbol.contains("once") || symbol.contains("lazy"))
            && contract.instance.contains("_env#")
            && is_once(&names::for_people(symbol))
    });
    instances
        .flat_map(|(_, contract)| {
            let arguments = contract
                .instance
                .split_once('<')
                .map_or("", |(_, rest)| rest);
            arguments.trim_end_matches('>').split(", ")
        })
        .filter(|argument| argument.contains("_env#"))
        .collect()
}

/// The thread-local or `lazy_static!` that a function initialises.
fn owner_of_initialiser(path: &str) -> Option<&str> {
    if let Some((owner, _)) = path.split_once("::__rust_std_internal_init_fn") {
        return Some(owner);
    }
    let (deref, _) = path.split_once("::__static_ref_initialize")?;
    let owner = deref.strip_prefix('<')?;
    Some(owner.split_once(" as ").map_or(owner, |(owner, _)| owner))
}

/// Whether a function is one of those that call what they are given at most once for each value.
fn is_once(path: &str) -> bool {
    [
        "sync::once::Once",
        "once_lock::OnceLock",
        "lazy_lock::LazyLock",
        "cell::once::OnceCell",
        "cell::lazy::LazyCell",
        "once_cell::",
        "tokio::sync::once_cell",
    ]
    .iter()
    .any(|part| path.contains(part))
}

/// Whether values of a type make what they hold when it is asked for.
fn is_lazy(type_name: &str) -> bool {
    type_name.contains("lazy_lock::LazyLock<")
        || type_name.contains("cell::lazy::LazyCell<")
        || type_name.contains("once_cell::sync::Lazy<")
        || type_name.contains("once_cell::unsync::Lazy<")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initialisers_belong_to_what_they_initialise() {
        for (path, owner) in [
            ("app::T::__rust_std_internal_init_fn", Some("app::T")),
            (
                "<app::NAMES as core::ops::deref::Deref>::deref::__static_ref_initialize",
                Some("app::NAMES"),
            ),
            ("app::init", None),
        ] {
            assert_eq!(owner_of_initialiser(path), owner);
        }
    }
}
