//! Which slots are to lead to the new bodies.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::elf::Section;
use crate::patch::Renamed;
use crate::patch::changes::{Fate, FunctionChange, Source};
use crate::program::Program;
use crate::reference::{FunctionUse, function_use};

/// Decides for the functions of one object which slots shall lead to the new bodies.
pub(crate) fn decide_slots(
    program: &Program,
    source: &Source<'_>,
    renamed: &Renamed,
    functions: &mut [FunctionChange],
) {
    if !source.optimised {
        for change in functions.iter_mut() {
            if change.fate == Fate::Replaced {
                change.flips = change.slots.iter().collect();
                change.flips.extend(&change.older_slots);
            }
        }
        return;
    }
    let before = |name: &Arc<str>| Arc::clone(renamed.get(name).unwrap_or(name));
    let old = old_calls(program, source);
    let stays: HashSet<Arc<str>> = functions
        .iter()
        .filter(|change| change.fate == Fate::Same)
        .map(|change| before(&change.key.name))
        .collect();
    let below = below_old_callers(&old, &stays);
    let has_old_callers: Vec<bool> = functions
        .iter()
        .map(|change| below.contains(&before(&change.key.name)))
        .collect();
    let mut taken = AddressesTaken::of(source);
    for (change, has_old_callers) in functions.iter_mut().zip(&has_old_callers) {
        if change.fate == Fate::Replaced {
            flip(&mut taken, change, *has_old_callers);
        }
    }
    // Their internal slots stay as they are, or belong to what they were before (seen by others, or
    // in another object): those who are new call them by another one.
    let mut left_alone: HashSet<Arc<str>> = functions
        .iter()
        .filter(|change| change.slots.internal.is_none())
        .map(|change| Arc::clone(&change.key.name))
        .collect();
    // Callers that stay as they are have to call by other slots than before: they are copied. Their own
    // callers may then have to call the copy in turn.
    let calls = |change: &FunctionChange| {
        let definition = &source.index.functions[change.definition];
        definition.calls.as_slice()
    };
    let mut callers: HashMap<&Arc<str>, Vec<usize>> = HashMap::new();
    let mut to_copy: Vec<usize> = Vec::new();
    for (n, change) in functions.iter().enumerate() {
        if change.fate != Fate::Same {
            continue;
        }
        let calls = calls(change);
        for callee in calls {
            callers.entry(callee).or_default().push(n);
        }
        // A callee that came from another object, or went to one, has another slot there.
        let same_slots = match old.get(&before(&change.key.name)) {
            Some(old) => old.iter().cloned().eq(calls.iter().map(before)),
            None => calls.is_empty(),
        };
        if !same_slots || calls.iter().any(|name| left_alone.contains(name)) {
            to_copy.push(n);
        }
    }
    while let Some(n) = to_copy.pop() {
        let change = &mut functions[n];
        if change.fate != Fate::Same {
            continue;
        }
        change.fate = Fate::Copied;
        flip(&mut taken, change, has_old_callers[n]);
        if change.slots.internal.is_none() && left_alone.insert(Arc::clone(&change.key.name)) {
            to_copy.extend(callers.get(&change.key.name).into_iter().flatten());
        }
    }
}

/// Leads to the new body what may lead there.
fn flip(taken: &mut AddressesTaken<'_>, change: &mut FunctionChange, has_old_callers: bool) {
    if change.key.cgu.is_none() || taken.contains(change.section) {
        change.flips.extend(change.slots.public);
        change.flips.extend(change.slots.address);
        change.flips.extend(&change.older_slots);
    }
    if let Some(internal) = change.slots.internal {
        if has_old_callers {
            change.slots.internal = None;
        } else {
            change.flips.push(internal);
        }
    }
}

/// The functions of the object that is replaced, with the functions that each of them calls there.
type Calls<'a> = HashMap<Arc<str>, &'a [Arc<str>]>;

fn old_calls<'a>(program: &'a Program, source: &Source<'_>) -> Calls<'a> {
    source
        .cgu
        .as_ref()
        .and_then(|cgu| program.objects.get(cgu))
        .map(|object| object.index.functions.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|function| (Arc::clone(&function.name), function.calls.as_slice()))
        .collect()
}

/// Callees of callers that are no more as they were. Such a caller may be on a stack, and was compiled with what the
/// old callee was known to do. What is known of a function comes from those that it calls in turn: one
/// that only passes its arguments on looks the same, whether the last in the row reads them or not.
fn below_old_callers(old: &Calls<'_>, stays: &HashSet<Arc<str>>) -> HashSet<Arc<str>> {
    let mut below: HashSet<Arc<str>> = HashSet::new();
    let mut callers: Vec<&Arc<str>> = old.keys().filter(|name| !stays.contains(*name)).collect();
    while let Some(caller) = callers.pop() {
        for callee in old.get(caller).copied().unwrap_or_default() {
            if below.insert(Arc::clone(callee)) && stays.contains(callee) {
                callers.push(callee);
            }
        }
    }
    below
}

/// The functions of an object whose address it takes: the optimiser then leaves alone how they are called.
struct AddressesTaken<'a> {
    source: &'a Source<'a>,
    /// Their sections, once somebody asked.
    sections: Option<HashSet<Section>>,
}

impl<'a> AddressesTaken<'a> {
    fn of(source: &'a Source<'a>) -> AddressesTaken<'a> {
        AddressesTaken {
            source,
            sections: None,
        }
    }

    fn contains(&mut self, function: Section) -> bool {
        self.sections
            .get_or_insert_with(|| addresses_taken(self.source))
            .contains(&function)
    }
}

/// Looks through all relocations of an object, which are many.
fn addresses_taken(source: &Source<'_>) -> HashSet<Section> {
    let object = &source.object;
    let mut taken = HashSet::new();
    for (section, data) in object.sections.iter().enumerate() {
        // Debug information has most of the relocations, and takes no address.
        if !data.is_loaded() {
            continue;
        }
        for rela in object.relocations(section).iter().flatten() {
            if let Some(symbol) = source.functions.meant_by(object, rela.symbol)
                && function_use(object.machine, data, rela) == FunctionUse::Address
            {
                taken.extend(object.symbols[symbol].section);
            }
        }
    }
    taken
}
