//! Which closure is which: by body and place, not by number.
//!
//! The compiler numbers the closures of a function from its beginning. One that is inserted, removed or moved gives its
//! number, and with it symbols and types, to a neighbour; values that live would run the neighbour's code. So where the
//! closures of a function are not the ones before, number by number, one that has another body under its number
//! is another closure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use crate::layouts::{ClosurePlace, Layouts};
use crate::names;
use crate::patch::Defined;
use crate::program::Program;
use crate::program::digest::Digest;

/// The closures of one function, those in closures included: what each does, wherever it stands, and the lasting name of
/// its environment.
#[derive(Default)]
struct Closures {
    all: BTreeMap<Vec<u32>, (Digest, String)>,
    /// Those that have others in them. The optimiser makes these part of functions that nothing here tells of.
    outer: HashSet<Vec<u32>>,
}

/// Closures beside each other, by number: what each does with all that is in it.
type Trees = BTreeMap<u32, u64>;

impl Closures {
    /// The closures right in the one with this place; in the function itself for an empty one.
    fn within(&self, around: &[u32]) -> Trees {
        let mut hashers: BTreeMap<u32, DefaultHasher> = BTreeMap::new();
        for (chain, (digest, _)) in &self.all {
            if let Some([number, rest @ ..]) = chain.strip_prefix(around) {
                let hasher = hashers.entry(*number).or_default();
                (rest, digest).hash(hasher);
            }
        }
        let trees = hashers.into_iter();
        trees
            .map(|(number, hasher)| (number, hasher.finish()))
            .collect()
    }

    /// The names of a closure and of all that is in it.
    fn names(&self, place: &[u32]) -> impl Iterator<Item = String> {
        let all = self.all.iter();
        all.filter(move |(chain, _)| chain.starts_with(place))
            .map(|(_, (_, name))| name.clone())
    }
}

/// The lasting names of environments whose closure is another one now.
///
/// `now` has the functions of all new objects; `gone` those that no object has any more.
pub(super) fn displaced(
    program: &Program,
    old: &Layouts,
    new: &Layouts,
    now: &HashMap<Arc<str>, &Defined>,
    gone: &HashSet<&str>,
) -> HashSet<String> {
    let mut functions: HashMap<String, (Closures, Closures)> = HashMap::new();
    // Closures that are back: their values from before wait for the same one.
    let mut found: HashSet<String> = HashSet::new();
    let enter = |closures: &mut Closures,
                 chain: Vec<u32>,
                 digest: Option<Digest>,
                 place: &ClosurePlace,
                 is_outer: bool| {
        if is_outer {
            closures.outer.insert(chain.clone());
        }
        let entry = closures.all.entry(chain);
        entry.or_insert((digest.unwrap_or(Digest(0)), place.name()));
    };
    let (old_outer, new_outer) = (old.outer_closures(), new.outer_closures());
    let is_outer = |layouts: &Layouts, outer: &HashSet<String>, symbol: &str| {
        let contract = layouts.contracts.get(symbol);
        let own = contract.and_then(|contract| contract.own.as_deref());
        own.is_some_and(|own| outer.contains(own))
    };
    for (symbol, defined) in now {
        let Some(place) = place(new, symbol) else {
            continue;
        };
        let gone = program.gone.get(symbol);
        let gone = gone.and_then(|key| program.functions.get(key));
        if gone.is_some_and(|gone| gone.digest != defined.digest) {
            found.insert(place.name());
        }
        let (function, chain) = place.chain();
        let (_, after) = functions.entry(function).or_default();
        let outer = is_outer(new, &new_outer, symbol);
        enter(after, chain, defined.content, &place, outer);
    }
    for symbol in gone {
        if let Some(place) = place(old, symbol) {
            functions.entry(place.chain().0).or_default();
        }
    }
    if functions.is_empty() {
        return found;
    }
    for (key, live) in &program.functions {
        if !live.present || !names::is_closure(&key.name) {
            continue;
        }
        let Some(place) = place(old, &key.name) else {
            continue;
        };
        let (function, chain) = place.chain();
        let Some((before, after)) = functions.get_mut(&function) else {
            continue;
        };
        if !now.contains_key(&key.name) && !gone.contains(&*key.name) {
            // Its object stays as it is.
            let outer = is_outer(old, &old_outer, &key.name);
            enter(after, chain.clone(), live.content, &place, outer);
        }
        let outer = is_outer(old, &old_outer, &key.name);
        enter(before, chain, live.content, &place, outer);
    }
    let is_optimised = program.objects.values().any(|object| object.optimised);
    for (before, after) in functions.values() {
        let mut waiting = vec![Vec::new()];
        while let Some(around) = waiting.pop() {
            let (trees, now) = (before.within(&around), after.within(&around));
            let mut others = others(&trees, &now);
            if !trees.keys().eq(now.keys()) {
                if is_optimised {
                    // What is in a closure may be part of instances that do not show here.
                    others.extend(trees.keys());
                }
                let outer = before.outer.union(&after.outer);
                let outer = outer.filter_map(|place| match place.strip_prefix(&*around) {
                    Some([number]) => Some(*number),
                    _ => None,
                });
                others.extend(outer);
            }
            for number in trees.keys().filter(|number| now.contains_key(number)) {
                let mut place = around.clone();
                place.push(*number);
                if others.contains(number) {
                    found.extend(before.names(&place));
                    found.extend(after.names(&place));
                } else if trees[number] != now[number] {
                    waiting.push(place);
                }
            }
        }
    }
    found
}

fn place(layouts: &Layouts, symbol: &str) -> Option<ClosurePlace> {
    ClosurePlace::of(symbol, layouts.contracts.get(symbol)?)
}

/// The numbers under which there is another closure now.
fn others(before: &Trees, after: &Trees) -> Vec<u32> {
    let stays = |number: &u32| match (before.get(number), after.get(number)) {
        (Some(before), Some(after)) => before == after,
        _ => false,
    };
    let changed = |trees: &Trees| -> HashSet<u64> {
        let trees = trees.iter().filter(|(number, _)| !stays(number));
        trees.map(|(_, digest)| *digest).collect()
    };
    let (left, came) = (changed(before), changed(after));
    // With as many as before, and none that stood elsewhere, those that changed were edited in place.
    if before.keys().eq(after.keys()) && left.is_disjoint(&came) {
        return Vec::new();
    }
    let common = before.keys().filter(|number| after.contains_key(number));
    common.filter(|number| !stays(number)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(list: &[(u32, u64)]) -> Trees {
        list.iter().copied().collect()
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
                bodies(&[(0, 9), (1, 3), (2, 4)]),
                vec![0, 1, 2],
                "the first edited, the second gone",
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
