//! Who may still reach a function that has another contract now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::Error;
use crate::names;
use crate::patch::{Planned, Supply};
use crate::program::Program;
use crate::program::callers::References;

use super::Settled;

/// Functions that the program has with another contract now and that somebody may hold or call as they were: those whose
/// address is somewhere, or that are called by such a function.
///
/// # Errors
/// If a live object is not understood.
pub fn held(
    program: &Program,
    settled: &Settled,
    planned: &Planned,
    supply: &dyn Supply,
) -> Result<Vec<Arc<str>>, Error> {
    let came: HashSet<_> = planned
        .came
        .iter()
        .filter_map(|it| names::path(it))
        .collect();
    let others = &settled.identities.others;
    let wanted: Vec<&Arc<str>> = settled
        .left
        .iter()
        .filter(|symbol| settled.plain.contains(&***symbol))
        .filter(|symbol| {
            others.contains_key(*symbol)
                || names::path(symbol).is_some_and(|path| came.contains(&path))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let left: HashSet<&str> = settled.left.iter().map(|symbol| &**symbol).collect();
    let mut references = References::default();
    for (cgu, object) in &program.objects {
        let functions = object.index.functions.iter().map(|function| &function.name);
        let mut names = functions.chain(&object.index.foreign);
        if names.any(|name| left.contains(&**name))
            && let Some(live) = supply.live_object(cgu)
        {
            references.add(&live.bytes, &|_| true)?;
        }
    }
    let mut held: HashSet<&str> = HashSet::new();
    let mut callees: HashMap<&str, Vec<&str>> = HashMap::new();
    for function in &left {
        if references.is_taken(function) {
            held.insert(function);
        }
        for caller in references.callers(function) {
            callees.entry(caller).or_default().push(function);
        }
    }
    let mut waiting: Vec<&str> = held.iter().copied().collect();
    while let Some(caller) = waiting.pop() {
        for callee in callees.get(caller).into_iter().flatten() {
            if held.insert(callee) {
                waiting.push(callee);
            }
        }
    }
    let held = wanted
        .into_iter()
        .filter(|symbol| held.contains(&***symbol));
    Ok(held.cloned().collect())
}
