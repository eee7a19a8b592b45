//! What is said of items of one name, by where they stand: so nothing compares equal that moved from one item to
//! another.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::Path;

use super::{ANY, Unit};

/// An item of which a file says how it is called or represented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The modules, blocks and functions around it.
    pub place: String,
    /// Empty for what is as usual.
    pub how: String,
    /// What else decides that.
    pub by: Option<By>,
}

/// A macro of which the calls decide how an item is called or represented.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub name: String,
    /// Any word may: it is no whole attribute that is passed to the macro.
    pub any_word: bool,
}

/// A call of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of the tokens.
    pub digest: u64,
    /// It mentions an attribute that counts, or passes on what it does not show.
    pub counts: bool,
    /// The macro that passes on its own arguments with this call.
    pub passed_by: Option<String>,
}

/// By name.
pub type Items = BTreeMap<String, Vec<Item>>;

/// The items of one name: by file and place, what is said of all that stand there, in order.
pub type Places = BTreeMap<(String, String), Vec<String>>;

/// All calls of macros, by name.
pub struct Calls<'u>(HashMap<&'u str, Vec<&'u Call>>);

impl<'u> Calls<'u> {
    /// Those in some units: a macro may be called in another crate.
    pub fn of(units: impl Iterator<Item = &'u Unit>) -> Self {
        let mut files: Vec<_> = units.flat_map(|unit| &unit.files).collect();
        files.sort_unstable_by_key(|(path, _)| *path);
        let mut calls = Calls(HashMap::new());
        for (name, all) in files
            .into_iter()
            .flat_map(|(_, (_, declared))| &declared.calls)
        {
            calls.0.entry(name).or_default().extend(all);
        }
        calls
    }

    /// What is said of an item, calls included.
    fn how(&self, item: &Item) -> String {
        let Some(by) = &item.by else {
            return item.how.clone();
        };
        let mut hasher = DefaultHasher::new();
        let mut found = false;
        let mut known: Vec<&str> = vec![&by.name];
        let mut next = 0;
        while let Some(name) = known.get(next) {
            next += 1;
            for call in self.0.get(name).into_iter().flatten() {
                if by.any_word || call.counts {
                    call.digest.hash(&mut hasher);
                    found = true;
                }
                let outer = call.passed_by.as_deref();
                known.extend(outer.filter(|outer| !known.contains(outer)));
            }
        }
        match found {
            true => format!("{} by {:x}", item.how, hasher.finish()),
            false => item.how.clone(),
        }
    }

    /// The items of one name, by place.
    pub fn places<'i>(&self, items: impl Iterator<Item = (&'i Path, &'i Item)>) -> Places {
        let mut places = Places::new();
        for (file, item) in items {
            let key = (file.to_string_lossy().into_owned(), item.place.clone());
            places.entry(key).or_default().push(self.how(item));
        }
        places
    }
}

/// Whether something is said of it that is not usual.
pub fn is_special(how: &[String]) -> bool {
    how.iter().any(|how| !how.is_empty())
}

/// 0 for what is as usual everywhere.
pub fn digest<'p>(
    places: impl IntoIterator<Item = (&'p (String, String), &'p Vec<String>)>,
) -> u64 {
    let special: BTreeMap<_, _> = places
        .into_iter()
        .filter(|(_, how)| is_special(how))
        .collect();
    if special.is_empty() {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    special.hash(&mut hasher);
    hasher.finish()
}

/// What of the items of one name stands on one side only.
struct Moves<'p> {
    gone: Vec<&'p [String]>,
    come: Vec<&'p [String]>,
}

impl<'p> Moves<'p> {
    fn of(before: &'p Places, after: &'p Places) -> Self {
        let only = |one: &'p Places, other: &Places| {
            let places = one.iter().filter(|(place, _)| !other.contains_key(*place));
            places.map(|(_, how)| &**how).collect()
        };
        Moves {
            gone: only(before, after),
            come: only(after, before),
        }
    }

    /// Something may have moved from one place to another and have changed on the way: a header is spelled otherwise, a
    /// module has another file.
    fn may_hide_change(&self) -> bool {
        !self.gone.is_empty()
            && !self.come.is_empty()
            && differ(self.gone.iter().chain(&self.come).copied())
    }
}

fn differ<'p>(all: impl Iterator<Item = &'p [String]>) -> bool {
    let all: BTreeSet<&String> = all.flatten().collect();
    all.len() > 1
}

/// Whether something else is said of an item than before. What is only new or gone makes no other item change.
pub fn is_changed(before: &Places, after: &Places) -> bool {
    let mut common = before.iter();
    common.any(|(place, how)| {
        after
            .get(place)
            .is_some_and(|now| now != how && (is_special(how) || is_special(now)))
    }) || Moves::of(before, after).may_hide_change()
}

/// The places of functions: of those of one name and of those that macros give names to.
#[derive(Clone, Copy)]
pub struct Side<'p> {
    pub named: &'p Places,
    pub any: &'p Places,
}

/// How functions of one name are called, before and now. The digests differ if that of one function changed, and they
/// are those of all places with what is known of each: so that an edit that is taken back gives the digest that was
/// before it. What is new or gone counts on both sides, as does what was at places that are gone (`known`), since older
/// code may still be live there.
pub fn conventions(known: &Places, before: Side<'_>, after: Side<'_>) -> (u64, u64) {
    let moves = Moves::of(before.named, after.named);
    let mut digests = (digest(before.named), digest(after.named));
    if moves.may_hide_change() {
        return digests;
    }
    // What went may be made by a macro now, and what came may have been.
    let made = |own: &Vec<&[String]>, any: &Places| {
        let any = any.values().map(|how| &**how);
        !own.is_empty() && any.clone().next().is_some() && differ(own.iter().copied().chain(any))
    };
    if made(&moves.gone, after.any) {
        digests.1 = by_macro(after);
        return digests;
    }
    if made(&moves.come, before.any) {
        digests.0 = by_macro(before);
        return digests;
    }
    // The last one counts that says something of a place.
    let all = |sources: [&Places; 3]| {
        let all: Places = sources.into_iter().flatten().map(owned).collect();
        digest(&all)
    };
    (
        all([after.named, known, before.named]),
        all([known, before.named, after.named]),
    )
}

fn owned<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// Of functions of which some may be made by a macro: never the digest of such that all are declared.
fn by_macro(side: Side<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    ANY.hash(&mut hasher);
    (digest(side.named), digest(side.any)).hash(&mut hasher);
    hasher.finish()
}
