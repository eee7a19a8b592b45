//! What source files declare and debug information does not tell: how functions are called (`#[track_caller]`, `extern
//! "C"`), how types are represented (`#[repr(…)]`), which types share a name, what a trait consists of, and what is
//! initialised once.
//!
//! It reads tokens, not meanings: a name counts wherever it is declared in its crate. So a difference found here is a
//! reason to be careful with all that has the name, and what differs nowhere here is left to debug information.
//! Attributes are compared place by place: see [`places`].

mod once;
mod places;
mod read;
#[cfg(test)]
mod tests;
mod untyped;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use places::{Call, Calls, Item, Items, Places, Side};

use crate::model::SourceText;
use untyped::{Alias, Untyped};

/// By name, all declarations of it, each by what counts of it.
type Named = BTreeMap<String, Vec<String>>;

/// What one file declares, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Structs, enums and unions: their tokens.
    pub types: Named,
    /// Traits: the heads of their items, in order.
    pub traits: Named,
    /// What runs once for a value, by the function or static that it belongs to.
    pub once: Named,
    /// Types, with the `#[repr(…)]` of those that have one.
    pub representations: Items,
    /// Functions, with how those are called that are called in another way than usual.
    pub functions: Items,
    /// Calls of macros, by name.
    pub calls: BTreeMap<String, Vec<Call>>,
    /// Where one type is made of another.
    pub untyped: Option<Untyped>,
    /// Other names of types.
    pub aliases: Vec<Alias>,
}

/// What a macro gives a name to: it could be any.
pub const ANY: &str = "$";

impl Declared {
    /// Adds what needs no place.
    fn add(&mut self, other: &Declared) {
        let lists = [
            (&mut self.types, &other.types),
            (&mut self.traits, &other.traits),
            (&mut self.once, &other.once),
        ];
        for (own, other) in lists {
            for (name, declarations) in other {
                own.entry(name.clone())
                    .or_default()
                    .extend(declarations.iter().cloned());
            }
        }
    }

    fn sort(&mut self) {
        for list in [&mut self.types, &mut self.traits, &mut self.once] {
            for declarations in list.values_mut() {
                declarations.sort_unstable();
            }
        }
    }
}

/// What the live crates declare.
#[derive(Debug, Default)]
pub struct Live {
    /// By the key of the unit.
    units: HashMap<String, Unit>,
    /// Functions that are gone, by the key of the unit and name: how they were called. Some may still run, and one that
    /// comes back may be called otherwise.
    gone: HashMap<String, BTreeMap<String, Places>>,
    /// Where crates made one type of another, by name of the crate: what came of it may still be there.
    gone_untyped: BTreeMap<String, Untyped>,
}

/// What a crate declares, file by file.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    crate_name: String,
    files: HashMap<PathBuf, (Arc<str>, Arc<Declared>)>,
}

impl Unit {
    /// Reads the files whose text is not that of `known`.
    pub fn read(crate_name: &str, sources: &[SourceText], known: Option<&Unit>) -> Unit {
        let mut files = HashMap::new();
        for (path, text) in sources {
            let Some(text) = text else { continue };
            let known = known.and_then(|unit| unit.files.get(path));
            let declared = match known {
                Some((same, declared)) if same == text => Arc::clone(declared),
                _ => Arc::new(read::read(text)),
            };
            files.insert(path.clone(), (Arc::clone(text), declared));
        }
        Unit {
            crate_name: crate_name.to_owned(),
            files,
        }
    }

    /// What the files declare that are not as they are in another version of the unit.
    fn changed_from(&self, other: &Unit) -> Declared {
        let mut all = Declared::default();
        for (path, (_, declared)) in &self.files {
            let known = other.files.get(path);
            if known.is_none_or(|(_, known)| !Arc::ptr_eq(known, declared)) {
                all.add(declared);
            }
        }
        all.sort();
        all
    }

    fn has_type(&self, name: &str) -> bool {
        let mut files = self.files.values();
        files.any(|(_, declared)| declared.types.contains_key(name))
    }

    /// The items of one name in one of the lists.
    fn items<'u>(
        &'u self,
        list: fn(&Declared) -> &Items,
        name: &str,
    ) -> impl Iterator<Item = (&'u Path, &'u Item)> {
        self.files.iter().flat_map(move |(path, (_, declared))| {
            let items = list(declared).get(name).into_iter().flatten();
            items.map(|item| (&**path, item))
        })
    }

    fn functions(&self, calls: &Calls<'_>, name: &str) -> Places {
        calls.places(self.items(|declared| &declared.functions, name))
    }

    fn representations(&self, calls: &Calls<'_>, name: &str) -> Places {
        calls.places(self.items(|declared| &declared.representations, name))
    }

    /// The names in one of the lists; with `special` only those of which something is said that is not usual.
    fn names(&self, list: fn(&Declared) -> &Items, special: bool) -> BTreeSet<&str> {
        let declared = self.files.values().map(|(_, declared)| &**declared);
        let special = move |item: &Item| !special || !item.how.is_empty() || item.by.is_some();
        declared
            .flat_map(list)
            .filter(|(_, items)| items.iter().any(special))
            .map(|(name, _)| &**name)
            .collect()
    }
}

impl Live {
    /// The declarations of a unit.
    pub fn unit(&self, unit: &str) -> Option<&Unit> {
        self.units.get(unit)
    }

    /// Enters those of crates that are live now.
    pub fn enter(&mut self, units: impl IntoIterator<Item = (String, Unit)>) {
        let units: HashMap<String, Unit> = units.into_iter().collect();
        let calls = Calls::of(self.units.values());
        for (key, unit) in &units {
            let Some(before) = self.units.get(key) else {
                continue;
            };
            let gone = self.gone.entry(key.clone()).or_default();
            let is_other = |path: &Path, declared: &Arc<Declared>| {
                let now = unit.files.get(path);
                now.is_none_or(|(_, now)| !Arc::ptr_eq(now, declared))
            };
            for (path, (_, declared)) in &before.files {
                if !is_other(path, declared) {
                    continue;
                }
                if let Some(untyped) = &declared.untyped {
                    let of_crate = self.gone_untyped.entry(unit.crate_name.clone());
                    of_crate.or_default().add(untyped);
                }
                for (name, items) in &declared.functions {
                    let places = calls.places(items.iter().map(|item| (&**path, item)));
                    gone.entry(name.clone()).or_default().extend(places);
                }
            }
            // What stands there now is known from the unit.
            for (name, places) in &mut *gone {
                let now = unit.functions(&calls, name);
                places.retain(|place, _| !now.contains_key(place));
            }
            gone.retain(|_, places| !places.is_empty());
        }
        self.units.extend(units);
    }

    /// A crate that may lead to values of types by pointers that do not tell the type, or has done so, or will when its new
    /// sources are live. `types` are the names of the types in their scopes.
    pub fn crate_with_untyped<'u>(
        &'u self,
        now: &'u HashMap<String, Unit>,
        mut types: BTreeSet<String>,
    ) -> Option<&'u str> {
        let units = || self.units.values().chain(now.values());
        let files = |unit: &'u Unit| unit.files.values().map(|(_, declared)| declared);
        loop {
            let aliases = units().flat_map(files).flat_map(|it| &it.aliases);
            let more =
                aliases.filter(|(name, of)| !types.contains(name) && !of.is_disjoint(&types));
            let more: Vec<String> = more.map(|(name, _)| name.clone()).collect();
            if more.is_empty() {
                break;
            }
            types.extend(more);
        }
        let is_one = |untyped: &Untyped| untyped.any || !untyped.names.is_disjoint(&types);
        let mut units = units();
        let found = units.find(|unit| files(unit).filter_map(|it| it.untyped.as_ref()).any(is_one));
        let found = found.map(|unit| &*unit.crate_name);
        let mut gone = self.gone_untyped.iter();
        found.or_else(|| gone.find(|(_, it)| is_one(it)).map(|(name, _)| &**name))
    }

    /// Compares crates with what they are to be.
    pub fn compare(&self, now: &HashMap<String, Unit>) -> Difference {
        let mut difference = Difference::default();
        let calls = Calls::of(self.units.values());
        let new = |(key, unit)| now.get(key).unwrap_or(unit);
        let calls_now = Calls::of(self.units.iter().map(new));
        for (key, unit) in &self.units {
            let new = now.get(key);
            if let Some(new) = new {
                // What both have makes no difference.
                let (before, after) = (unit.changed_from(new), new.changed_from(unit));
                difference.compare(&before, &after);
                self.same_crate_name(key, unit, &before, &after, &mut difference);
            }
            let (before, after) = ((unit, &calls), (new.unwrap_or(unit), &calls_now));
            difference.compare_representations(before, after);
            difference.compare_functions(key, self.gone.get(key), before, after);
        }
        difference
    }

    /// Types that changed in one of several crates of one name, and that another one of them has as well.
    fn same_crate_name(
        &self,
        key: &str,
        unit: &Unit,
        before: &Declared,
        after: &Declared,
        difference: &mut Difference,
    ) {
        let namesakes = self
            .units
            .iter()
            .filter(|(other, namesake)| *other != key && namesake.crate_name == unit.crate_name);
        for (_, namesake) in namesakes {
            let changed = changed(&before.types, &after.types);
            let shared = changed.filter(|name| namesake.has_type(name));
            difference
                .in_namesakes
                .extend(shared.map(|name| (unit.crate_name.clone(), name.to_owned())));
        }
    }
}

/// What differs between the declarations of two generations.
#[derive(Debug, Default)]
pub struct Difference {
    /// Types of which declarations differ.
    pub types: BTreeSet<String>,
    /// Types that are represented otherwise than before.
    pub representations: BTreeSet<String>,
    /// Traits whose items differ.
    pub traits: BTreeSet<String>,
    /// Functions and statics whose initialisers differ that run once for a value.
    pub once: BTreeSet<String>,
    /// Types that differ in one of several crates of one name and that others of them have: crate and type.
    pub in_namesakes: BTreeSet<(String, String)>,
    /// How functions are called, by name and unit: before and now.
    conventions: BTreeMap<String, BTreeMap<String, (u64, u64)>>,
}

impl Difference {
    fn compare(&mut self, before: &Declared, after: &Declared) {
        let owned = |name: &str| name.to_owned();
        self.types
            .extend(changed(&before.types, &after.types).map(owned));
        self.traits
            .extend(changed(&before.traits, &after.traits).map(owned));
        // What only one side has is no value that stays.
        let once = changed(&before.once, &after.once)
            .filter(|name| before.once.contains_key(*name) && after.once.contains_key(*name));
        self.once.extend(once.map(owned));
    }

    fn compare_representations(
        &mut self,
        (before, calls): (&Unit, &Calls<'_>),
        (after, calls_now): (&Unit, &Calls<'_>),
    ) {
        let list: fn(&Declared) -> &Items = |declared| &declared.representations;
        for name in &before.names(list, true) | &after.names(list, true) {
            let places = before.representations(calls, name);
            if places::is_changed(&places, &after.representations(calls_now, name)) {
                self.representations.insert(name.to_owned());
            }
        }
    }

    fn compare_functions(
        &mut self,
        key: &str,
        gone: Option<&BTreeMap<String, Places>>,
        (before, calls): (&Unit, &Calls<'_>),
        (after, calls_now): (&Unit, &Calls<'_>),
    ) {
        let list: fn(&Declared) -> &Items = |declared| &declared.functions;
        let any = before.functions(calls, ANY);
        let any_now = after.functions(calls_now, ANY);
        // What macros make may have any name.
        let any_is_special = any
            .values()
            .chain(any_now.values())
            .any(|how| places::is_special(how));
        let mut names = &before.names(list, !any_is_special) | &after.names(list, !any_is_special);
        names.extend(gone.into_iter().flatten().map(|(name, _)| &**name));
        let none = Places::new();
        for name in names {
            let known = gone.and_then(|gone| gone.get(name)).unwrap_or(&none);
            let (named, named_now) = match name {
                ANY => (any.clone(), any_now.clone()),
                _ => (
                    before.functions(calls, name),
                    after.functions(calls_now, name),
                ),
            };
            let others = |any| if name == ANY { &none } else { any };
            let before = Side {
                named: &named,
                any: others(&any),
            };
            let after = Side {
                named: &named_now,
                any: others(&any_now),
            };
            let found = places::conventions(known, before, after);
            if found != (0, 0) {
                let units = self.conventions.entry(name.to_owned()).or_default();
                units.insert(key.to_owned(), found);
            }
        }
    }

    /// How the functions of this name are called, as digests: before and now.
    pub fn convention(&self, name: &str) -> (u64, u64) {
        let Some(units) = self.conventions.get(name) else {
            return (0, 0);
        };
        let before = units.iter().map(|(key, (before, _))| (&**key, *before));
        let now = units.iter().map(|(key, (_, now))| (&**key, *now));
        (digest(before), digest(now))
    }

    /// Whether functions that macros give names to are called otherwise.
    pub fn conventions_of_any(&self) -> bool {
        let (before, after) = self.convention(ANY);
        before != after
    }
}

/// The names of which declarations differ.
fn changed<'n>(before: &'n Named, after: &'n Named) -> impl Iterator<Item = &'n str> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let others = after
        .iter()
        .filter(|(name, declarations)| before.get(*name) != Some(declarations));
    others
        .map(|(name, _)| &**name)
        .chain(gone.map(|name| &**name))
}

/// 0 for what is called as usual.
fn digest<'k>(units: impl Iterator<Item = (&'k str, u64)>) -> u64 {
    let units: Vec<(&str, u64)> = units.filter(|(_, digest)| *digest != 0).collect();
    if units.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    units.hash(&mut hasher);
    hasher.finish()
}
