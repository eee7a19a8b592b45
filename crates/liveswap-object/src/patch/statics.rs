//! Statics of new objects: which are new, and which changed in a way that live data does not allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::elf::Section;
use crate::names;
use crate::patch::changes::{Refusal, Source};
use crate::patch::renewed::{Renewed, refers};
use crate::patch::{Identities, NewUnit, Renamed};
use crate::program::digest::Digest;
use crate::program::index::StaticDefinition;
use crate::program::{LiveStatic, Program, StaticPlace};

/// What is to be done about statics.
#[derive(Debug, Default)]
pub(crate) struct StaticChanges {
    /// New ones: source, section, definition.
    pub new: Vec<(usize, Section, StaticDefinition)>,
    /// Those whose initialiser changed, as people call them.
    pub initialisers: Vec<String>,
    /// What is known of the statics that stay.
    pub kept: Vec<(Arc<str>, LiveStatic)>,
    /// Symbols of what is another thing from now on.
    pub renewed: Renewed,
}

/// Compares the statics of new objects with those that are live.
pub(crate) fn find(
    program: &Program,
    units: &[NewUnit],
    sources: &[Source<'_>],
    identities: &Identities,
) -> Result<StaticChanges, Refusal> {
    let live = Live {
        program,
        renamed: &identities.renamed,
    };
    let mut changes = StaticChanges {
        renewed: identities.others.keys().cloned().collect(),
        ..StaticChanges::default()
    };
    while renew(&live, sources, &mut changes.renewed)? {}
    for (number, unit) in units.iter().enumerate() {
        one_unit(&live, unit, number, sources, &mut changes)?;
    }
    Ok(changes)
}

/// The live statics, also by the names that they have from now on.
struct Live<'a> {
    program: &'a Program,
    renamed: &'a Renamed,
}

impl<'a> Live<'a> {
    fn get(&self, name: &Arc<str>) -> Option<&'a LiveStatic> {
        let name = self.renamed.get(name).unwrap_or(name);
        self.program.statics.get(name)
    }
}

/// Adds the statics that are others now, because of what they hold or refer to. Tells whether there were any.
fn renew(live: &Live<'_>, sources: &[Source<'_>], renewed: &mut Renewed) -> Result<bool, Refusal> {
    let mut found = false;
    for source in sources.iter().filter(|source| source.cgu.is_some()) {
        for definition in &source.compared().statics {
            let Some(live) = live.get(&definition.name) else {
                continue;
            };
            if definition.renewable
                && live.renewable
                && !renewed.contains(&definition.name)
                && (live.initial != definition.digest
                    || live.size != definition.size
                    || refers(source, definition.section, renewed)?)
            {
                renewed.insert(Arc::clone(&definition.name));
                found = true;
            }
        }
    }
    Ok(found)
}

fn one_unit(
    live: &Live<'_>,
    unit: &NewUnit,
    number: usize,
    sources: &[Source<'_>],
    changes: &mut StaticChanges,
) -> Result<(), Refusal> {
    let program = live.program;
    let mut now: BTreeSet<Arc<str>> = BTreeSet::new();
    // By path: whether all of its statics can be renewed.
    let mut added: BTreeMap<String, bool> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        if source.unit != number || source.cgu.is_none() {
            continue;
        }
        for (number, definition) in source.index.statics.iter().enumerate() {
            now.insert(Arc::clone(&definition.name));
            now.extend(live.renamed.get(&definition.name).cloned());
            let known = live.get(&definition.name);
            match known.filter(|_| !changes.renewed.contains(&definition.name)) {
                Some(live) => kept(live, source, number, changes)?,
                None => {
                    let ambiguous = program
                        .executable
                        .symbol(&definition.name)
                        .is_some_and(|symbol| symbol.ambiguous);
                    if known.is_none() && ambiguous {
                        return Err(Refusal::Ambiguous(names::for_people(&definition.name)));
                    }
                    *added
                        .entry(names::for_people(&definition.name))
                        .or_insert(true) &= definition.renewable;
                    changes
                        .new
                        .push((n, definition.section, definition.clone()));
                }
            }
        }
    }
    namesakes(program, unit, number, sources)?;
    if unit.optimised {
        same_parts(program, &now)?;
    }
    let mut still: BTreeSet<Arc<str>> = now;
    let mut gone: BTreeSet<Arc<str>> = BTreeSet::new();
    for (cgu, object) in &program.objects {
        if object.unit != unit.unit {
            continue;
        }
        let names = object.index.statics.iter().map(|data| &data.name);
        if unit.lets_go(cgu, object) {
            gone.extend(names.map(Arc::clone));
        } else {
            still.extend(names.map(Arc::clone));
        }
    }
    let kept_paths: BTreeSet<String> = still
        .iter()
        .filter(|name| program.statics.contains_key(*name))
        .map(|name| names::for_people(name))
        .collect();
    for name in gone {
        if still.contains(&name) {
            continue;
        }
        let Some(live) = program.statics.get(&name) else {
            continue;
        };
        // The compiler's names contain a hash of the type: same path, other hash, other type.
        let path = names::for_people(&name);
        if added
            .get(&path)
            .is_some_and(|renewable| !(*renewable && live.renewable))
            && !kept_paths.contains(&path)
        {
            return Err(Refusal::StaticType {
                name: path,
                detail: "its live value cannot be read as the new type".into(),
            });
        }
    }
    Ok(())
}

/// Refuses when it cannot be told which of several statics of one path is which. Those of one function, out of a macro
/// for instance, are told apart by their number; one that is inserted or removed gives it, and so the value, to the
/// next.
fn namesakes(
    program: &Program,
    unit: &NewUnit,
    number: usize,
    sources: &[Source<'_>],
) -> Result<(), Refusal> {
    let mut before: Namesakes = BTreeMap::new();
    let mut after: Namesakes = BTreeMap::new();
    let enter = |all: &mut Namesakes, definition: &StaticDefinition| {
        if !definition.renewable {
            let path = names::path(&definition.name);
            let path = path.map_or_else(|| definition.name.to_string(), |path| path.into_owned());
            let of_path = all.entry(path).or_default();
            of_path.insert(Arc::clone(&definition.name), definition.content);
        }
    };
    for (cgu, object) in &program.objects {
        if object.unit == unit.unit {
            for definition in &object.index.statics {
                enter(&mut before, definition);
                if !unit.lets_go(cgu, object) {
                    enter(&mut after, definition);
                }
            }
        }
    }
    for source in sources {
        if source.unit == number && source.cgu.is_some() {
            for definition in &source.index.statics {
                enter(&mut after, definition);
            }
        }
    }
    for (path, before) in before {
        let Some(after) = after.get(&path) else {
            continue;
        };
        if before.len().max(after.len()) > 1 && !are_certain(&before, after) {
            return Err(Refusal::Ambiguous(names::for_people(&path)));
        }
    }
    Ok(())
}

/// Statics by path: their symbols, and what they hold at first.
type Namesakes = BTreeMap<String, BTreeMap<Arc<str>, Digest>>;

/// Whether each static with a symbol of before is the one that it was.
fn are_certain(before: &BTreeMap<Arc<str>, Digest>, after: &BTreeMap<Arc<str>, Digest>) -> bool {
    let same_number = before.keys().eq(after.keys());
    let others = |all: &BTreeMap<Arc<str>, Digest>, but: &Arc<str>, digest: Digest| {
        let mut others = all.iter().filter(|(name, _)| *name != but);
        others.any(|(_, other)| *other == digest)
    };
    before.iter().all(|(name, was)| match after.get(name) {
        None => true,
        // The first value does not tell it from the one that came or went.
        Some(is) if is == was => {
            same_number || !(others(before, name, *was) || others(after, name, *was))
        }
        Some(is) => same_number && !others(before, name, *is) && !others(after, name, *was),
    })
}

/// Refuses when the optimiser made other parts of a static than before. What the live parts hold
/// is not all that the static should hold: nobody kept what nobody read.
fn same_parts(program: &Program, now: &BTreeSet<Arc<str>>) -> Result<(), Refusal> {
    let mut parts_now: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in now {
        parts_now
            .entry(names::whole_static(name))
            .or_default()
            .insert(name);
    }
    let mut parts_live: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for name in program.statics.keys() {
        let whole = names::whole_static(name);
        if parts_now.contains_key(whole) {
            parts_live.entry(whole).or_default().insert(name);
        }
    }
    for (whole, live) in parts_live {
        if parts_now.get(whole).is_some_and(|now| *now != live) {
            return Err(Refusal::StaticType {
                name: names::for_people(whole),
                detail: "the optimiser keeps other parts of it than before".into(),
            });
        }
    }
    Ok(())
}

fn kept(
    live: &LiveStatic,
    source: &Source<'_>,
    number: usize,
    changes: &mut StaticChanges,
) -> Result<(), Refusal> {
    let definition = &source.index.statics[number];
    let name = names::for_people(&definition.name);
    let was_thread_local = matches!(live.place, StaticPlace::ThreadLocal(_));
    if live.size != definition.size || was_thread_local != definition.thread_local {
        return Err(Refusal::StaticType {
            name,
            detail: format!(
                "it has {} bytes and is to have {}",
                live.size, definition.size
            ),
        });
    }
    let now = source.compared().statics[number].digest;
    // One that is the first again is no news.
    let is_other = now != live.initial && now != live.newest
        || refers(source, definition.section, &changes.renewed)?;
    if is_other && !changes.initialisers.contains(&name) {
        changes.initialisers.push(name);
    }
    changes.kept.push((
        Arc::clone(&definition.name),
        LiveStatic {
            // The same under the names of now, if it is.
            initial: if now == live.initial {
                definition.digest
            } else {
                live.initial
            },
            newest: definition.digest,
            renewable: definition.renewable && live.renewable,
            ..live.clone()
        },
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statics_of_one_path_are_told_apart_by_what_they_begin_with() {
        let statics = |list: &[(&str, u128)]| -> BTreeMap<Arc<str>, Digest> {
            let list = list.iter();
            list.map(|(name, digest)| (Arc::from(*name), Digest(*digest)))
                .collect()
        };
        let one = statics(&[("a", 1)]);
        let two = statics(&[("a", 1), ("b", 1)]);
        let both = statics(&[("a", 1), ("b", 2)]);
        for (before, after, certain) in [
            (&two, &two, true),
            (&one, &two, false),
            (&two, &one, false),
            (&one, &both, true),
            (&both, &one, true),
            (&both, &statics(&[("a", 2)]), false),
            (&both, &statics(&[("a", 2), ("b", 1)]), false),
            (&both, &statics(&[("a", 3), ("b", 2)]), true),
            (&one, &statics(&[("a", 3), ("b", 1)]), false),
        ] {
            assert_eq!(are_certain(before, after), certain, "{before:?} {after:?}");
        }
    }
}
