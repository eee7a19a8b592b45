//! What is the same function or static as before, although its symbol is another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_object::layouts::Layouts;
use liveswap_object::names;
use liveswap_object::patch::{Planned, Renamed};

/// The same by path, generic arguments and signature: came under one symbol and went under another.
pub fn functions(planned: &Planned, old: &Layouts, new: &Layouts) -> Renamed {
    let outside = |symbol: &&Arc<str>| !names::is_in_closure(symbol);
    let came = by_path(planned.came.iter().filter(outside), &new.signatures);
    let went = by_path(planned.went.iter().filter(outside), &old.signatures);
    let mut renamed = pairs(&came, &went);
    methods(planned, old, new, &mut renamed);
    renamed
}

/// The same by path and type. (A hash of the type stands in older names; it also covers what comes before the
/// static in its file.)
pub fn statics(old: &Layouts, new: &Layouts) -> Renamed {
    let only_in = |one: &Layouts, other: &Layouts| -> Vec<Arc<str>> {
        let names = one.statics.keys();
        names
            .filter(|name| !other.statics.contains_key(*name))
            .map(|name| name.as_str().into())
            .collect()
    };
    let came = only_in(new, old);
    if came.is_empty() {
        return Renamed::new();
    }
    let went = only_in(old, new);
    pairs(
        &by_path(came.iter(), &new.statics),
        &by_path(went.iter(), &old.statics),
    )
}

/// By path and what the debug information says: the symbols.
type ByPath<'a> = HashMap<(String, &'a str), HashSet<&'a Arc<str>>>;

fn by_path<'a>(
    symbols: impl Iterator<Item = &'a Arc<str>>,
    texts: &'a HashMap<String, String>,
) -> ByPath<'a> {
    let mut found = ByPath::new();
    for symbol in symbols {
        if let (Some(path), Some(text)) = (names::path(symbol), texts.get(&**symbol)) {
            let key = (path.into_owned(), text.as_str());
            found.entry(key).or_default().insert(symbol);
        }
    }
    found
}

/// One that came and one that went, where nothing else could be meant.
fn pairs(came: &ByPath<'_>, went: &ByPath<'_>) -> Renamed {
    let only = |symbols: &HashSet<&Arc<str>>| match symbols.len() {
        1 => symbols.iter().next().map(|symbol| Arc::clone(symbol)),
        _ => None,
    };
    came.iter()
        .filter_map(|(key, new)| Some((only(new)?, only(went.get(key)?)?)))
        .collect()
}

/// The methods that trait objects find their code by: one that a type has now in the place of the trait's own, or no
/// more, is what objects from before have to find.
fn methods(planned: &Planned, old: &Layouts, new: &Layouts, renamed: &mut Renamed) {
    let came: HashSet<&str> = planned.came.iter().map(|symbol| &**symbol).collect();
    let went: HashSet<&str> = planned.went.iter().map(|symbol| &**symbol).collect();
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
                && !taken.contains(before)
                && new.signatures.contains_key(now)
                && new.signatures.get(now) == old.signatures.get(before);
            if is_same {
                taken.insert(before.into());
                renamed.insert(now.into(), before.into());
            }
        }
    }
}
