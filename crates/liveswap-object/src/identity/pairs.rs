//! What is the same function or static as before, although its symbol is another.
//!
//! A symbol's hash covers more than what makes a function: a new `impl` block above, or a closure with a reference for
//! a parameter in the body, give the same function another one. Such a function is recognised by path, generic
//! arguments and contract: what is live under the old symbol is led to the new body only if that takes what the
//! old one took.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::layouts::{ClosurePlace, Contracts, Layouts};
use crate::names;
use crate::patch::Renamed;
use crate::program::Program;

/// The same by path, generic arguments and contract: came under one symbol and went under another.
pub(super) fn functions(
    came: &[Arc<str>],
    went: &[Arc<str>],
    old: &Layouts,
    new: &Layouts,
    contracts: &Contracts<'_>,
    conventions: &dyn Fn(&str) -> (u64, u64),
) -> Renamed {
    let mut renamed = pairs(&by_instance(came, new), &by_instance(went, old));
    methods(came, went, old, new, &mut renamed);
    renamed.retain(|new, old| {
        conventions(old).0 == conventions(new).1 && contracts.same(old, new) == Some(true)
    });
    renamed
}

/// The same by path and type. (A hash of the type stands in older names; it also covers what comes before the
/// static in its file.)
pub fn statics(program: &Program, old: &Layouts, new: &Layouts) -> Renamed {
    let only_in = |one: &Layouts, other: &Layouts| -> Vec<(Arc<str>, String)> {
        let statics = one.statics.iter();
        statics
            .filter(|(name, _)| !other.statics.contains_key(*name))
            .map(|(name, type_name)| (name.as_str().into(), type_name.clone()))
            .collect()
    };
    let came = only_in(new, old);
    if came.is_empty() {
        return Renamed::new();
    }
    // The old names of one that was paired before are those of nothing now.
    let objects = program.objects.values();
    let defined = objects.flat_map(|object| object.index.statics.iter().map(|it| &*it.name));
    let defined: HashSet<&str> = defined.collect();
    let mut went = only_in(old, new);
    went.retain(|(name, _)| defined.contains(&**name));
    let by_path = |symbols: &[(Arc<str>, String)]| {
        let mut found: Groups<(String, String)> = Groups::new();
        for (symbol, type_name) in symbols {
            if let Some(path) = names::path(symbol) {
                let key = (path.into_owned(), type_name.clone());
                found.entry(key).or_default().insert(Arc::clone(symbol));
            }
        }
        found
    };
    pairs(&by_path(&came), &by_path(&went))
}

/// Symbols by what they have in common.
type Groups<K> = HashMap<K, HashSet<Arc<str>>>;

/// Path, generic arguments or place among closures, and signature.
type Instance = (String, String, String);

fn by_instance(symbols: &[Arc<str>], layouts: &Layouts) -> Groups<Instance> {
    let mut found = Groups::new();
    for symbol in symbols {
        let (Some(path), Some(contract)) = (names::path(symbol), layouts.contracts.get(symbol))
        else {
            continue;
        };
        let instance = match ClosurePlace::of(symbol, contract) {
            Some(place) => place.name(),
            None => contract.instance.to_string(),
        };
        let key = (path.into_owned(), instance, contract.to_string());
        found.entry(key).or_default().insert(Arc::clone(symbol));
    }
    found
}

/// One that came and one that went, where nothing else could be meant.
fn pairs<K: Eq + Hash>(came: &Groups<K>, went: &Groups<K>) -> Renamed {
    let only = |symbols: &HashSet<Arc<str>>| match symbols.len() {
        1 => symbols.iter().next().map(Arc::clone),
        _ => None,
    };
    came.iter()
        .filter_map(|(key, new)| Some((only(new)?, only(went.get(key)?)?)))
        .collect()
}

/// The methods that trait objects find their code by: one that a type has now in the place of the trait's own, or no
/// more, is what objects from before have to find.
fn methods(
    came: &[Arc<str>],
    went: &[Arc<str>],
    old: &Layouts,
    new: &Layouts,
    renamed: &mut Renamed,
) {
    let came: HashSet<&str> = came.iter().map(|symbol| &**symbol).collect();
    let went: HashSet<&str> = went.iter().map(|symbol| &**symbol).collect();
    let mut taken: HashSet<Arc<str>> = renamed.values().cloned().collect();
    for (name, table) in &new.vtables {
        let Some(before) = old.vtables.get(name) else {
            continue;
        };
        for (now, before) in table.methods.iter().zip(&before.methods) {
            let (now, before): (&str, &str) = (now, before);
            let is_same = came.contains(now)
                && went.contains(before)
                && !renamed.contains_key(now)
                && !taken.contains(before);
            if is_same {
                taken.insert(before.into());
                renamed.insert(now.into(), before.into());
            }
        }
    }
}
