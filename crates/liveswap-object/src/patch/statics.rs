//! Statics of new objects: which are new, and which changed in a way that live data does not allow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::elf::Section;
use crate::names;
use crate::patch::NewUnit;
use crate::patch::changes::{Refusal, Source};
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
    /// Those that the source no longer has.
    pub gone: Vec<Arc<str>>,
}

/// Compares the statics of new objects with those that are live.
pub(crate) fn find(
    program: &Program,
    units: &[NewUnit],
    sources: &[Source<'_>],
) -> Result<StaticChanges, Refusal> {
    let mut changes = StaticChanges::default();
    for (number, unit) in units.iter().enumerate() {
        one_unit(program, unit, number, sources, &mut changes)?;
    }
    Ok(changes)
}

fn one_unit(
    program: &Program,
    unit: &NewUnit,
    number: usize,
    sources: &[Source<'_>],
    changes: &mut StaticChanges,
) -> Result<(), Refusal> {
    let mut now: BTreeSet<Arc<str>> = BTreeSet::new();
    let mut added: BTreeMap<String, Arc<str>> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        if source.unit != number || source.cgu.is_none() {
            continue;
        }
        for definition in &source.index.statics {
            now.insert(Arc::clone(&definition.name));
            match program.statics.get(&definition.name) {
                Some(live) => kept(live, definition, changes)?,
                None => {
                    if program
                        .executable
                        .symbol(&definition.name)
                        .is_some_and(|symbol| symbol.ambiguous)
                    {
                        return Err(Refusal::Ambiguous(names::for_people(&definition.name)));
                    }
                    added.insert(
                        names::for_people(&definition.name),
                        Arc::clone(&definition.name),
                    );
                    changes
                        .new
                        .push((n, definition.section, definition.clone()));
                }
            }
        }
    }
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
        let replaced = unit.changed.iter().any(|new| new.cgu == *cgu);
        if replaced || !unit.all.contains(cgu) {
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
        if still.contains(&name) || !program.statics.contains_key(&name) {
            continue;
        }
        // The compiler's names contain a hash of the type: same path, other hash, other type.
        let path = names::for_people(&name);
        if added.contains_key(&path) && !kept_paths.contains(&path) {
            return Err(Refusal::StaticType {
                name: path,
                detail: "its live value cannot be read as the new type".into(),
            });
        }
        changes.gone.push(name);
    }
    Ok(())
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
    definition: &StaticDefinition,
    changes: &mut StaticChanges,
) -> Result<(), Refusal> {
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
    if live.initial != definition.digest
        && !is_call_site(&name)
        && !changes.initialisers.contains(&name)
    {
        changes.initialisers.push(name);
    }
    changes.kept.push((
        Arc::clone(&definition.name),
        LiveStatic {
            initial: definition.digest,
            present: true,
            ..live.clone()
        },
    ));
    Ok(())
}

/// Whether a static is what `tracing`'s macros keep of the line that they stand in: it changes with every
/// line added above, and nobody wrote its initialiser.
fn is_call_site(name: &str) -> bool {
    name.contains("::__CALLSITE")
}
