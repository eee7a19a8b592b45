//! Which functions have to be replaced, and which of their slots are to lead to the new bodies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::Error;
use crate::elf::{Elf, Section};
use crate::functions::Functions;
use crate::names;
use crate::patch::flips::decide_slots;
use crate::patch::renewed::{Renewed, refers};
use crate::patch::{Identities, ModuleChange, NewUnit, Other, Renamed};
use crate::program::index::{FunctionDefinition, ObjectIndex};
use crate::program::target::Statics;
use crate::program::{FunctionKey, LiveFunction, Program, Slot, Slots, Superseded};

/// Why the next generation cannot be made of these objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A static changed its type: its storage would be read as something else.
    #[error("static `{name}` changed its type: {detail}")]
    StaticType {
        /// The static.
        name: String,
        /// How that was noticed.
        detail: String,
    },
    /// Nobody has this symbol.
    #[error("`{0}` is nowhere to be found")]
    Missing(String),
    /// Several things have this name.
    #[error("`{0}` could mean several things in the program")]
    Ambiguous(String),
    /// An object has something that is not understood.
    #[error("{0}")]
    NotUnderstood(String),
    /// Code changed that cannot be replaced.
    #[error("{0}")]
    NotReplaceable(String),
    /// The room for thread-locals is used up.
    #[error("no room is left for another thread-local of {0} bytes")]
    ThreadLocalRoom(u64),
    /// The range for images is used up.
    #[error("the address range for new code is used up")]
    Range,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::NotUnderstood(error.to_string())
    }
}

/// An object that the image is made of.
pub(crate) struct Source<'a> {
    /// Name of the codegen unit; `None` for members of archives.
    pub cgu: Option<Arc<str>>,
    pub unit: usize,
    pub optimised: bool,
    pub bytes: &'a Arc<[u8]>,
    pub object: Elf<'a>,
    pub functions: Functions,
    pub statics: Statics<'a>,
    pub index: ObjectIndex,
    /// The same, as if functions that have other symbols than before had kept them.
    as_before: Option<ObjectIndex>,
}

impl<'a> Source<'a> {
    pub fn read(
        cgu: Option<Arc<str>>,
        unit: usize,
        optimised: bool,
        bytes: &'a Arc<[u8]>,
        renamed: &Renamed,
    ) -> Result<Source<'a>, Error> {
        let object = Elf::parse(bytes)?;
        let functions = Functions::of(&object);
        let statics = Statics::of(&object);
        let none = Renamed::new();
        let of = |renamed| ObjectIndex::of(&object, &functions, &statics, optimised, renamed);
        let index = match &cgu {
            Some(_) => of(&none)?,
            None => ObjectIndex::default(),
        };
        let as_before = match &cgu {
            Some(_) if !renamed.is_empty() => Some(of(renamed)?),
            _ => None,
        };
        Ok(Source {
            cgu,
            unit,
            optimised,
            bytes,
            object,
            functions,
            statics,
            index,
            as_before,
        })
    }

    /// What is compared with what is live.
    pub fn compared(&self) -> &ObjectIndex {
        self.as_before.as_ref().unwrap_or(&self.index)
    }
}

/// What happens to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does what it did.
    Same,
    /// It does something else.
    Replaced,
    /// It does what it did, but has to call another function than before.
    Copied,
    /// There was no such function.
    New,
}

/// A function of a new object.
pub(crate) struct FunctionChange {
    pub source: usize,
    /// Number of its definition in the source's index.
    pub definition: usize,
    pub section: Section,
    pub key: FunctionKey,
    pub fate: Fate,
    /// What was live under its name.
    pub live: Option<LiveFunction>,
    /// Slots that shall lead to the new body.
    pub flips: Vec<Slot>,
    /// Its slots afterwards.
    pub slots: Slots,
    pub older_slots: Vec<Slot>,
}

/// All changes.
pub(crate) struct Changes {
    pub functions: Vec<FunctionChange>,
    pub by_key: HashMap<FunctionKey, usize>,
    pub gone: Vec<FunctionKey>,
    /// Keys under which what is live is no longer known: it has another one now.
    pub moved: Vec<FunctionKey>,
    pub renamed: Renamed,
    /// Functions that are others under the same symbols.
    pub others: HashMap<Arc<str>, Other>,
    /// Versions of functions that are left behind.
    pub superseded: Vec<Superseded>,
    /// Functions whose internal slots stay with earlier bodies, with the codegen units of these.
    pub callers_left: Vec<(Arc<str>, Arc<str>)>,
    pub modules: Vec<ModuleChange>,
}

impl Changes {
    /// Whether new objects define a global function of this name.
    pub fn by_name(&self, name: &str) -> bool {
        self.by_key.contains_key(&FunctionKey {
            name: name.into(),
            cgu: None,
        })
    }
}

/// Compares the functions of new objects with those that are live.
pub(crate) fn find(
    program: &Program,
    units: &[NewUnit],
    sources: &[Source<'_>],
    identities: &Identities,
    renewed: &Renewed,
) -> Result<Changes, Error> {
    let mut changes = Changes {
        functions: Vec::new(),
        by_key: HashMap::new(),
        gone: Vec::new(),
        moved: Vec::new(),
        renamed: identities.renamed.clone(),
        others: identities.others.clone(),
        superseded: Vec::new(),
        callers_left: Vec::new(),
        modules: Vec::new(),
    };
    let mut leaving: HashMap<_, Vec<_>> = HashMap::new();
    for unit in units {
        for (cgu, definition) in outgoing(program, unit).definitions {
            let of_name = leaving.entry(&*definition.name).or_default();
            of_name.push((cgu, definition));
        }
    }
    let all = All {
        identities,
        renewed,
        leaving,
        keys_now: sources.iter().flat_map(keys_of).collect(),
    };
    for (number, unit) in units.iter().enumerate() {
        one_unit(program, unit, number, sources, &all, &mut changes)?;
    }
    for (n, change) in changes.functions.iter().enumerate() {
        changes.by_key.insert(change.key.clone(), n);
    }
    Ok(changes)
}

/// The objects of a unit that are replaced or gone.
struct Outgoing<'a> {
    cgus: HashSet<&'a str>,
    definitions: Vec<(&'a Arc<str>, &'a FunctionDefinition)>,
}

fn outgoing<'a>(program: &'a Program, unit: &'a NewUnit) -> Outgoing<'a> {
    let mut found = Outgoing {
        cgus: HashSet::new(),
        definitions: Vec::new(),
    };
    for (cgu, object) in &program.objects {
        if unit.lets_go(cgu, object) {
            found.cgus.insert(cgu);
            found.definitions.extend(
                object
                    .index
                    .functions
                    .iter()
                    .map(|function| (cgu, function)),
            );
        }
    }
    found
}

fn key_of(definition: &FunctionDefinition, cgu: &Arc<str>) -> FunctionKey {
    FunctionKey {
        name: Arc::clone(&definition.name),
        cgu: definition.local.then(|| Arc::clone(cgu)),
    }
}

/// What is known of all units together.
struct All<'a> {
    identities: &'a Identities,
    renewed: &'a Renewed,
    /// Functions of objects that are replaced or gone, by name. A function can go from one crate to another: `#[inline]`
    /// brings it to those who use it.
    leaving: HashMap<&'a str, Vec<(&'a Arc<str>, &'a FunctionDefinition)>>,
    keys_now: HashSet<FunctionKey>,
}

fn keys_of(source: &Source<'_>) -> Vec<FunctionKey> {
    let functions = source.cgu.iter().flat_map(|cgu| {
        let functions = source.index.functions.iter();
        functions.map(move |definition| key_of(definition, cgu))
    });
    functions.collect()
}

fn one_unit(
    program: &Program,
    unit: &NewUnit,
    number: usize,
    sources: &[Source<'_>],
    all: &All<'_>,
    changes: &mut Changes,
) -> Result<(), Error> {
    let identities = all.identities;
    let outgoing = outgoing(program, unit);
    let mut module = ModuleChange {
        name: unit.name.clone(),
        ..ModuleChange::default()
    };
    let own = sources.iter().filter(|source| source.unit == number);
    let keys_now: HashSet<FunctionKey> = own.flat_map(keys_of).collect();
    let names_now: HashSet<&Arc<str>> = keys_now.iter().map(|key| &key.name).collect();
    let first = changes.functions.len();
    for (n, source) in sources.iter().enumerate() {
        let Some(cgu) = source.cgu.as_ref().filter(|_| source.unit == number) else {
            continue;
        };
        let begin = changes.functions.len();
        for (number, definition) in source.index.functions.iter().enumerate() {
            let key = key_of(definition, cgu);
            let (live, moved) = match identities.others.get(&key.name) {
                Some(other) => {
                    changes.superseded.extend(left_behind(program, &key, other));
                    (taken_again(program, &key, source, other), None)
                }
                None => counterpart(program, &key, (source, number), all),
            };
            changes.moved.extend(moved);
            let fate = match &live {
                None => Fate::New,
                Some(live) if live.digest != source.compared().functions[number].digest => {
                    Fate::Replaced
                }
                Some(_) if refers(source, definition.section, all.renewed)? => Fate::Replaced,
                Some(_) => Fate::Same,
            };
            let live_slots = live.as_ref().map(|live| live.slots.clone());
            changes.functions.push(FunctionChange {
                source: n,
                definition: number,
                section: definition.section,
                older_slots: live
                    .as_ref()
                    .map(|live| live.older_slots.clone())
                    .unwrap_or_default(),
                slots: live_slots.unwrap_or_default(),
                key,
                fate,
                live,
                flips: Vec::new(),
            });
        }
        decide_slots(
            program,
            source,
            &identities.renamed,
            &mut changes.functions[begin..],
        );
        let left = changes.functions[begin..].iter().filter(|change| {
            change.live.is_some()
                && change.slots.internal.is_none()
                && has_internal_slot(program, &change.key)
        });
        for change in left {
            let name = &change.key.name;
            // The compiler may have moved it to another object.
            let homes = all.leaving.get(&**name).into_iter().flatten();
            let homes = homes.map(|(cgu, _)| *cgu).chain([cgu]);
            let left = homes.map(|cgu| (Arc::clone(name), Arc::clone(cgu)));
            changes.callers_left.extend(left);
        }
    }
    for change in &changes.functions[first..] {
        let name = names::for_people(&change.key.name);
        match change.fate {
            Fate::Replaced => module.changed.push(name),
            Fate::New if identities.others.contains_key(&change.key.name) => {
                module.changed.push(name)
            }
            Fate::New => module.added.push(name),
            Fate::Copied => module.copied.push(name),
            Fate::Same => {}
        }
    }
    // Made when there is something to ask it: a unit can have very many functions.
    let mut staying_names = None;
    let moved: HashSet<&FunctionKey> = changes.moved.iter().collect();
    for (cgu, definition) in &outgoing.definitions {
        let key = key_of(definition, cgu);
        let mut stays = || {
            let names = staying_names.get_or_insert_with(|| staying(program, unit, &outgoing));
            key.cgu.is_none() && names.contains(&key.name)
        };
        if !keys_now.contains(&key) && !stays() {
            if !names_now.contains(&definition.name) && !moved.contains(&key) {
                module.removed.push(names::for_people(&definition.name));
            }
            changes.gone.push(key);
        }
    }
    module.changed.sort();
    module.changed.dedup();
    changes.modules.push(module);
    Ok(())
}

/// Global functions that objects of the unit define which stay as they are. (A local one belongs to its object.)
fn staying<'a>(
    program: &'a Program,
    unit: &NewUnit,
    outgoing: &Outgoing<'_>,
) -> HashSet<&'a Arc<str>> {
    let objects = program.objects.iter();
    objects
        .filter(|(cgu, object)| object.unit == unit.unit && !outgoing.cgus.contains(&***cgu))
        .flat_map(|(_, object)| &object.index.functions)
        .filter(|function| !function.local)
        .map(|function| &function.name)
        .collect()
}

/// Whether code of the function's object may call it by a slot of its own, as what it is or was.
fn has_internal_slot(program: &Program, key: &FunctionKey) -> bool {
    let known = program.superseded.get(&key.name).into_iter().flatten();
    let known = known.map(|it| &it.function);
    let mut known = known.chain(program.functions.get(key));
    known.any(|function| function.slots.internal.is_some())
}

/// What is live under a function's key and belongs to another function from now on.
fn left_behind(program: &Program, key: &FunctionKey, other: &Other) -> Option<Superseded> {
    let function = program.functions.get(key)?;
    Some(Superseded {
        version: other.leaves,
        displaced: other.displaced,
        key: key.clone(),
        function: function.clone(),
    })
}

/// What was left behind of the version that a function has again: all slots that lead to it follow from now on. Those
/// who called it within an optimised object may be on a stack, so its internal slot is left alone.
fn taken_again(
    program: &Program,
    key: &FunctionKey,
    source: &Source<'_>,
    other: &Other,
) -> Option<LiveFunction> {
    let takes = other.takes?;
    let known = program.superseded.get(&key.name)?.iter();
    let mut known: Vec<&Superseded> = known.filter(|it| it.is_taken(&takes)).collect();
    // The newest of the same object first.
    known.sort_by_key(|it| it.key == *key);
    let newest = known.pop()?;
    let mut live = newest.function.clone();
    for older in known {
        let slots = &older.function.slots;
        live.older_slots.extend(slots.public);
        live.older_slots.extend(slots.address);
        live.older_slots
            .extend(slots.internal.filter(|_| !source.optimised));
        live.older_slots.extend(&older.function.older_slots);
    }
    if source.optimised {
        live.slots.internal = None;
    }
    Some(live)
}

/// What is live for a function: under its own key, or, because the compiler moved it to another
/// object or made it global or local, under another, which is told as well.
fn counterpart(
    program: &Program,
    key: &FunctionKey,
    (source, number): (&Source<'_>, usize),
    all: &All<'_>,
) -> (Option<LiveFunction>, Option<FunctionKey>) {
    let known = all.identities.renamed.get(&key.name);
    if known.is_none()
        && let Some(live) = program.functions.get(key)
    {
        let mut live = live.clone();
        let definition = &source.compared().functions[number];
        // What it calls may have gone and come back as well, as something else.
        let same = live.digest == definition.digest && definition.calls.is_empty();
        if source.optimised && !live.present && !same {
            // Who called it before it was gone may still be on a stack, and know more of it than its slot tells.
            live.slots.internal = None;
        }
        return (Some(live), None);
    }
    let name = known.unwrap_or(&key.name);
    let gone = program.gone.get(name).filter(|_| known.is_none());
    let Some((moved, live, home)) = all
        .leaving
        .get(&**name)
        .into_iter()
        .flatten()
        .map(|(cgu, definition)| (key_of(definition, cgu), Some(*cgu)))
        .filter(|(other, _)| !all.keys_now.contains(other))
        // It was gone for some generations.
        .chain(gone.map(|other| (other.clone(), None)))
        .find_map(|(other, home)| {
            let live = program.functions.get(&other)?;
            Some((other, live, home))
        })
    else {
        return (None, None);
    };
    let mut live = live.clone();
    if key.cgu.is_none() {
        // Global from now on: one of its slots becomes the public one.
        live.slots.public = live
            .slots
            .public
            .or(live.slots.address)
            .or(live.slots.internal.filter(|_| !source.optimised));
    }
    // Its own object may go on calling it as before, if only its symbol is another.
    let stayed = known.is_some() && moved.cgu.is_some() == key.cgu.is_some();
    if source.optimised && !(stayed && home == source.cgu.as_ref()) {
        live.slots.internal = None;
    }
    (Some(live), Some(moved))
}
