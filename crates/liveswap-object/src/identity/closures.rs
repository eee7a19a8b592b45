//! Which closure is which: by body and place, not by number.
//!
//! The compiler numbers the closures of a function from its beginning. One that is inserted, removed or moved gives its
//! number, and with it symbols and types, to a neighbour; values that live would run the neighbour's code. So where the
//! closures of a function are not the ones before, number by number, one that has another body under its number
//! is another closure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::layouts::{ClosurePlace, Layouts};
use crate::program::Program;
use crate::program::digest::Digest;

/// The closures of one function, by number: what each does.
type Bodies = BTreeMap<u32, Digest>;

/// The lasting names of environments whose closure is another one now.
///
/// `now` has the functions of all new objects; `gone` those that no object has any more.
pub(super) fn displaced(
    program: &Program,
    old: &Layouts,
    new: &Layouts,
    now: &HashMap<Arc<str>, Digest>,
    gone: &HashSet<&str>,
) -> HashSet<String> {
    let mut owners: HashMap<String, (Bodies, Bodies)> = HashMap::new();
    // Closures that are back: their values from before wait for the same one.
    let mut back: Vec<ClosurePlace> = Vec::new();
    for (symbol, digest) in now {
        let Some(place) = place(new, symbol) else {
            continue;
        };
        let gone = program.gone.get(symbol);
        let gone = gone.and_then(|key| program.functions.get(key));
        if gone.is_some_and(|gone| gone.digest != *digest) {
            back.push(place.clone());
        }
        let (_, bodies) = owners.entry(place.owner).or_default();
        bodies.insert(place.number, *digest);
    }
    for symbol in gone {
        if let Some(place) = place(old, symbol) {
            owners.entry(place.owner).or_default();
        }
    }
    if owners.is_empty() {
        return HashSet::new();
    }
    for (key, live) in &program.functions {
        if !live.present {
            continue;
        }
        let Some(place) = place(old, &key.name) else {
            continue;
        };
        let Some((before, after)) = owners.get_mut(&place.owner) else {
            continue;
        };
        before.insert(place.number, live.digest);
        if !now.contains_key(&key.name) && !gone.contains(&*key.name) {
            // Its object stays as it is.
            after.entry(place.number).or_insert(live.digest);
        }
    }
    let mut found: HashSet<String> = back.iter().map(ClosurePlace::name).collect();
    for (owner, (before, after)) in owners {
        let name = |number: u32| {
            let owner = owner.clone();
            ClosurePlace { owner, number }.name()
        };
        found.extend(others(&before, &after).into_iter().map(name));
    }
    found
}

fn place(layouts: &Layouts, symbol: &str) -> Option<ClosurePlace> {
    ClosurePlace::of(symbol, layouts.contracts.get(symbol)?)
}

/// The numbers under which there is another closure now.
fn others(before: &Bodies, after: &Bodies) -> Vec<u32> {
    let stays = |number: &u32| match (before.get(number), after.get(number)) {
        (Some(before), Some(after)) => before == after,
        _ => false,
    };
    let changed = |bodies: &Bodies| -> HashSet<Digest> {
        let bodies = bodies.iter().filter(|(number, _)| !stays(number));
        bodies.map(|(_, digest)| *digest).collect()
    };
    let (left, came) = (changed(before), changed(after));
    let same_numbers = before.keys().eq(after.keys());
    let common = before.keys().filter(|number| after.contains_key(number));
    common
        .filter(|number| !stays(number))
        .filter(|number| {
            // With as many as before, those that stand nowhere else were edited in place.
            !same_numbers || came.contains(&before[number]) || left.contains(&after[number])
        })
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(list: &[(u32, u128)]) -> Bodies {
        list.iter()
            .map(|(number, digest)| (*number, Digest(*digest)))
            .collect()
    }

    #[test]
    fn closures_are_known_by_body_and_place() {
        let old = bodies(&[(0, 1), (1, 2), (2, 3)]);
        for (new, expected, why) in [
            (bodies(&[(0, 1), (1, 2), (2, 3)]), vec![], "nothing changed"),
            (bodies(&[(0, 1), (1, 9), (2, 3)]), vec![], "edited in place"),
            (bodies(&[(0, 8), (1, 9), (2, 7)]), vec![], "all edited"),
            (bodies(&[(0, 2), (1, 1), (2, 3)]), vec![0, 1], "swapped"),
            (
                bodies(&[(0, 2), (1, 9), (2, 3)]),
                vec![0, 1],
                "swapped and edited",
            ),
            (
                bodies(&[(0, 9), (1, 1), (2, 2), (3, 3)]),
                vec![0, 1, 2],
                "inserted",
            ),
            (bodies(&[(0, 2), (1, 3)]), vec![0, 1], "the first is gone"),
            (bodies(&[(0, 1), (1, 2)]), vec![], "the last is gone"),
            (
                bodies(&[(0, 1), (1, 2), (2, 3), (3, 4)]),
                vec![],
                "one behind all",
            ),
            (
                bodies(&[(0, 1), (1, 9), (2, 3), (3, 4)]),
                vec![1],
                "edited, and one more",
            ),
        ] {
            assert_eq!(others(&old, &new), expected, "{why}");
        }
    }
}
