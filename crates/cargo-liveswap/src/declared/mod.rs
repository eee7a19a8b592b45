//! What source files declare and debug information does not tell: how functions are called (`#[track_caller]`, `extern
//! "C"`), how types are represented (`#[repr(…)]`), which types share a name, and what a trait consists of.
//!
//! It reads tokens, not meanings: a name counts wherever it is declared in its crate. So a difference found here is a
//! reason to be careful with all that has the name, and what differs nowhere here is left to debug information.

mod read;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::PathBuf;
use std::sync::Arc;

use crate::model::SourceText;

/// By name, all declarations of it, each by what counts of it.
type Named = BTreeMap<String, Vec<String>>;

/// What one file declares, or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Structs, enums and unions: their tokens.
    pub types: Named,
    /// Of those that have one, the `#[repr(…)]`.
    pub representations: Named,
    /// Traits: the heads of their items, in order.
    pub traits: Named,
    /// Functions that are called in another way than usual: how.
    pub conventions: Named,
}

/// What a macro gives a name to: it could be any.
pub const ANY: &str = "$";

impl Declared {
    fn add(&mut self, other: &Declared) {
        let lists = [
            (&mut self.types, &other.types),
            (&mut self.representations, &other.representations),
            (&mut self.traits, &other.traits),
            (&mut self.conventions, &other.conventions),
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
        let lists = [
            &mut self.types,
            &mut self.representations,
            &mut self.traits,
            &mut self.conventions,
        ];
        for list in lists {
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

    fn all(&self) -> Declared {
        let mut all = Declared::default();
        for (_, declared) in self.files.values() {
            all.add(declared);
        }
        all.sort();
        all
    }
}

impl Live {
    /// The declarations of a unit.
    pub fn unit(&self, unit: &str) -> Option<&Unit> {
        self.units.get(unit)
    }

    /// Enters those of crates that are live now.
    pub fn enter(&mut self, units: impl IntoIterator<Item = (String, Unit)>) {
        self.units.extend(units);
    }

    /// Compares crates with what they are to be.
    pub fn compare(&self, now: &HashMap<String, Unit>) -> Difference {
        let mut difference = Difference::default();
        for (key, unit) in &self.units {
            let before = unit.all();
            let after = now.get(key).map(Unit::all);
            for (name, how) in &before.conventions {
                let all = difference.conventions.entry(name.clone()).or_default();
                all.0.extend(how.iter().cloned());
            }
            let after = match after {
                Some(after) => {
                    difference.compare(&before, &after);
                    self.same_crate_name(key, unit, &before, &after, &mut difference);
                    after
                }
                None => before,
            };
            for (name, how) in &after.conventions {
                let all = difference.conventions.entry(name.clone()).or_default();
                all.1.extend(how.iter().cloned());
            }
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
            let others = namesake.all();
            let changed = changed(&before.types, &after.types);
            let shared = changed.filter(|name| others.types.contains_key(*name));
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
    /// Types that are as many as before, with other representations.
    pub representations: BTreeSet<String>,
    /// Traits whose items differ.
    pub traits: BTreeSet<String>,
    /// Types that differ in one of several crates of one name and that others of them have: crate and type.
    pub in_namesakes: BTreeSet<(String, String)>,
    /// How functions are called, before and now.
    conventions: BTreeMap<String, (Vec<String>, Vec<String>)>,
}

impl Difference {
    fn compare(&mut self, before: &Declared, after: &Declared) {
        let owned = |name: &str| name.to_owned();
        self.types
            .extend(changed(&before.types, &after.types).map(owned));
        self.traits
            .extend(changed(&before.traits, &after.traits).map(owned));
        let count = |declared: &Declared, name: &str| declared.types.get(name).map_or(0, Vec::len);
        let representations = changed(&before.representations, &after.representations);
        let kept = representations.filter(|name| {
            let known = count(before, name);
            known > 0 && known == count(after, name)
        });
        self.representations.extend(kept.map(owned));
    }

    /// How the functions of this name are called, as digests: before and now.
    pub fn convention(&self, name: &str) -> (u64, u64) {
        match self.conventions.get(name) {
            Some((before, after)) => (digest(before), digest(after)),
            None => (0, 0),
        }
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
fn digest(how: &[String]) -> u64 {
    if how.is_empty() {
        return 0;
    }
    let mut how: Vec<&String> = how.iter().collect();
    how.sort_unstable();
    let mut hasher = DefaultHasher::new();
    how.hash(&mut hasher);
    hasher.finish()
}
