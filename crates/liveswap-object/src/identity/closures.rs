//! Which closure is which: by body and place, not by number.
//!
//! The compiler numbers the closures of a function from its beginning. One that is inserted, removed or moved gives its
//! number, and with it symbols and types, to a neighbour; values that live would run the neighbour's code. So where the
//! closures of a function are not the ones before, number by number, one that has another body under its number
//! is another closure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use crate::layouts::{Contract, Contracts, EnvironmentPlace, Layouts};
use crate::patch::Defined;
use crate::program::Program;
use crate::program::digest::Digest;

/// The closures of one function, those in closures included, by their numbers from the outermost on.
#[derive(Default)]
struct Closures<'l> {
    all: BTreeMap<Vec<u32>, Closure<'l>>,
}

/// What is known of a closure.
#[derive(Default)]
struct Closure<'l> {
    /// What its own function does, wherever it stands. The optimiser may have made it part of others.
    own: BTreeSet<u128>,
    /// What the functions do that work on it.
    users: BTreeSet<u128>,
    /// The names of its environment.
    names: BTreeSet<&'l str>,
    /// Whether it has others in it. The optimiser makes these part of functions that nothing here tells of.
    is_outer: bool,
}

/// Closures beside each other, by number: what each does with all that is in it.
type Trees = BTreeMap<u32, u64>;

impl<'l> Closures<'l> {
    /// The closures right in the one with this place; in the function itself for an empty one.
    fn within(&self, around: &[u32]) -> Trees {
        let mut hashers: BTreeMap<u32, DefaultHasher> = BTreeMap::new();
        for (chain, closure) in &self.all {
            if let Some([number, rest @ ..]) = chain.strip_prefix(around) {
                let hasher = hashers.entry(*number).or_default();
                let does = match closure.own.is_empty() {
                    true => &closure.users,
                    false => &closure.own,
                };
                (rest, does).hash(hasher);
            }
        }
        let trees = hashers.into_iter();
        trees
            .map(|(number, hasher)| (number, hasher.finish()))
            .collect()
    }

    /// The names of a closure and of all that is in it.
    fn names(&self, place: &[u32]) -> impl Iterator<Item = &'l str> {
        let all = self.all.iter();
        all.filter(move |(chain, _)| chain.starts_with(place))
            .flat_map(|(_, closure)| closure.names.iter().copied())
    }

    /// The types of what a closure holds.
    fn captures(&self, place: &[u32], side: &Side<'l>) -> BTreeSet<&'l str> {
        let names = self
            .all
            .get(place)
            .into_iter()
            .flat_map(|closure| &closure.names);
        names.flat_map(|name| side.layouts.held_by(name)).collect()
    }

    /// The numbers of closures in this place that what is known here does not tell apart for certain: the optimiser made
    /// them, or what is in them, part of other functions.
    fn uncertain(&self, around: &[u32]) -> impl Iterator<Item = u32> {
        self.all.iter().filter_map(move |(chain, closure)| {
            let is_uncertain = closure.is_outer || closure.own.is_empty();
            match chain.strip_prefix(around) {
                Some([number]) if is_uncertain => Some(*number),
                _ => None,
            }
        })
    }
}

/// The closures of one compilation, by function.
struct Side<'l> {
    layouts: &'l Layouts,
    /// Environments that have others in them.
    outer: HashSet<String>,
    places: HashMap<&'l str, Option<EnvironmentPlace>>,
}

impl<'l> Side<'l> {
    fn new(layouts: &'l Layouts) -> Side<'l> {
        Side {
            layouts,
            outer: layouts.outer_closures(),
            places: HashMap::new(),
        }
    }

    fn contract(&self, symbol: &str) -> Option<&'l Contract> {
        self.layouts.contracts.get(symbol)
    }

    fn place(&mut self, environment: &'l str) -> Option<&EnvironmentPlace> {
        let place = self.places.entry(environment);
        place
            .or_insert_with(|| EnvironmentPlace::of(environment))
            .as_ref()
    }

    /// Enters what a function does for all closures that it works on; only for those of functions that are there
    /// already, unless it `adds`.
    fn enter(
        &mut self,
        into: &mut HashMap<String, Closures<'l>>,
        adds: bool,
        symbol: &str,
        (digest, content): (Digest, Option<Digest>),
    ) {
        let Some(contract) = self.contract(symbol) else {
            return;
        };
        for name in contract.works_on() {
            let is_outer = self.outer.contains(&**name);
            let Some(place) = self.place(name) else {
                continue;
            };
            if adds && !into.contains_key(&place.function) {
                into.insert(place.function.clone(), Closures::default());
            }
            let Some(closures) = into.get_mut(&place.function) else {
                continue;
            };
            let closure = closures.all.entry(place.chain.clone()).or_default();
            closure.names.insert(name);
            closure.is_outer |= is_outer;
            if contract.own.as_ref() == Some(name) {
                closure.own.insert(content.unwrap_or(digest).0);
            } else {
                closure.users.insert(digest.0);
            }
        }
    }
}

/// Closures that are others now, by the lasting names of their environments.
#[derive(Default)]
pub(super) struct Displaced {
    /// All of them.
    pub others: HashSet<String>,
    /// Those that what is known does not tell apart for certain.
    pub uncertain: HashSet<String>,
    /// Functions whose closures do not have the numbers that they had.
    pub renumbered: HashSet<String>,
}

/// Finds closures whose place is another one's now.
///
/// `now` has the functions of all new objects; `gone` those that no object has any more.
pub(super) fn displaced(
    program: &Program,
    contracts: &Contracts<'_>,
    now: &HashMap<Arc<str>, &Defined>,
    gone: &HashSet<&str>,
) -> Displaced {
    let (mut old, mut new) = (Side::new(contracts.old()), Side::new(contracts.new_ones()));
    let mut before: HashMap<String, Closures<'_>> = HashMap::new();
    let mut after: HashMap<String, Closures<'_>> = HashMap::new();
    let mut found = Displaced::default();
    let live = program.functions.iter().filter(|(_, live)| live.present);
    let live = live.filter_map(|(key, _)| old.contract(&key.name));
    let new_ones = now.keys().filter_map(|symbol| new.contract(symbol));
    let owned: HashSet<&Arc<str>> = new_ones
        .chain(live)
        .filter_map(|it| it.own.as_ref())
        .collect();
    // Those that are back with another body, by function.
    let mut back: Vec<(String, String)> = Vec::new();
    for (symbol, defined) in now {
        // One that is back: its values from before wait for the same one.
        let gone = program.gone.get(symbol);
        let gone = gone.and_then(|key| program.functions.get(key));
        if let Some(contract) = new.contract(symbol)
            && gone.is_some_and(|gone| gone.digest != defined.digest)
        {
            // Where the optimiser left no function of the closure's own, any that works on it tells.
            let told = contract.works_on().filter(|name| match &contract.own {
                Some(own) => own == *name,
                None => !owned.contains(name),
            });
            for name in told {
                let place = EnvironmentPlace::of(name);
                let lasting = contracts.lasting_name(name, false).into_owned();
                back.extend(place.map(|place| (place.function, lasting)));
            }
        }
        let does = (defined.digest, defined.content);
        new.enter(&mut after, true, symbol, does);
    }
    before.extend(
        after
            .keys()
            .map(|function| (function.clone(), Closures::default())),
    );
    for symbol in gone {
        let names = old
            .contract(symbol)
            .into_iter()
            .flat_map(Contract::works_on);
        for name in names {
            if let Some(place) = old.place(name) {
                before.entry(place.function.clone()).or_default();
            }
        }
    }
    if before.is_empty() {
        found.others.extend(back.into_iter().map(|(_, name)| name));
        return found;
    }
    for (key, live) in &program.functions {
        if !live.present {
            continue;
        }
        let symbol = &*key.name;
        let does = (live.digest, live.content);
        old.enter(&mut before, false, symbol, does);
        if !now.contains_key(symbol) && !gone.contains(symbol) {
            // Its object stays as it is.
            old.enter(&mut after, false, symbol, does);
        }
    }
    let is_optimised = program.objects.values().any(|object| object.optimised);
    let none = Closures::default();
    for (function, before) in &before {
        let after = after.get(function).unwrap_or(&none);
        let mut waiting = vec![Vec::new()];
        while let Some(around) = waiting.pop() {
            let (trees, now) = (before.within(&around), after.within(&around));
            let mut others = others(&trees, &now);
            if !others.is_empty() || !trees.keys().eq(now.keys()) {
                found.renumbered.insert(function.clone());
            }
            let uncertain: HashSet<u32> = before
                .uncertain(&around)
                .chain(after.uncertain(&around))
                .collect();
            let is_changed = |number: &&u32| now.get(number) != trees.get(number);
            let changed: Vec<u32> = trees.keys().filter(is_changed).copied().collect();
            if !trees.keys().eq(now.keys()) {
                if is_optimised {
                    // What is in a closure may be part of instances that do not show here.
                    others.extend(trees.keys());
                }
                others.extend(&uncertain);
            } else if changed.len() > 1 && changed.iter().any(|number| uncertain.contains(number)) {
                // They may have changed places, where they hold the same.
                let captures = |number: u32| {
                    let mut place = around.clone();
                    place.push(number);
                    [(before, &old), (after, &new)]
                        .map(|(closures, side)| closures.captures(&place, side))
                };
                let is_alike = |number: &u32| {
                    let own = captures(*number);
                    let mut rest = changed.iter().filter(|other| *other != number);
                    rest.any(|other| {
                        let other = captures(*other);
                        own[0] == other[1] || own[1] == other[0]
                    })
                };
                others.extend(changed.iter().copied().filter(is_alike));
            }
            for number in trees.keys().filter(|number| now.contains_key(number)) {
                let mut place = around.clone();
                place.push(*number);
                if others.contains(number) {
                    let names = before.names(&place).map(|name| (name, true));
                    let names_now = after.names(&place).map(|name| (name, false));
                    for (name, of_old) in names.chain(names_now) {
                        let name = contracts.lasting_name(name, of_old).into_owned();
                        if uncertain.contains(number) {
                            found.uncertain.insert(name.clone());
                        }
                        found.others.insert(name);
                    }
                } else if trees[number] != now[number] {
                    waiting.push(place);
                }
            }
        }
    }
    // While numbers have stood for the same closures all along, it was edited in place meanwhile.
    let is_other = |function: &String| {
        found.renumbered.contains(function) || program.renumbered.contains(function)
    };
    back.retain(|(function, _)| is_other(function));
    found.others.extend(back.into_iter().map(|(_, name)| name));
    found
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
