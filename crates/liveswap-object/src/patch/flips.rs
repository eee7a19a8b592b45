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
    for (change, has_old_callers) in functions.iter_mut().zip(&has_old_callers) {
        if change.fate == Fate::Replaced {
            flip(source, change, *has_old_callers);
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
    loop {
        let mut copied = false;
        for (change, has_old_callers) in functions.iter_mut().zip(&has_old_callers) {
            if change.fate != Fate::Same {
                continue;
            }
            let calls = source.index.functions[change.definition].calls.as_slice();
            // A callee that came from another object, or went to one, has another slot there.
            let same_slots = match old.get(&before(&change.key.name)) {
                Some(old) => old.iter().cloned().eq(calls.iter().map(before)),
                None => calls.is_empty(),
            };
            if !same_slots || calls.iter().any(|name| left_alone.contains(name)) {
                change.fate = Fate::Copied;
                flip(source, change, *has_old_callers);
                if change.slots.internal.is_none() {
                    left_alone.insert(Arc::clone(&change.key.name));
                }
                copied = true;
            }
        }
        if !copied {
            return;
        }
    }
}

/// Leads to the new body what may lead there.
fn flip(source: &Source<'_>, change: &mut FunctionChange, has_old_callers: bool) {
    if change.key.cgu.is_none() || address_is_taken(source, change.section) {
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

/// Whether an object takes the address of one of its functions: the optimiser then leaves alone how it is called.
fn address_is_taken(source: &Source<'_>, function: Section) -> bool {
    let object = &source.object;
    (0..object.sections.len()).any(|section| {
        let Ok(relocations) = object.relocations(section) else {
            return false;
        };
        relocations.iter().any(|rela| {
            source
                .functions
                .meant_by(object, rela.symbol)
                .is_some_and(|symbol| object.symbols[symbol].section == Some(function))
                && function_use(object.machine, &object.sections[section], rela)
                    == FunctionUse::Address
        })
    })
}
