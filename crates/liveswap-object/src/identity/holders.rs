//! Who may still reach a function that has another contract now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::Error;
use crate::names;
use crate::patch::{Planned, Supply};
use crate::program::Program;
use crate::program::callers::References;

use super::Settled;

/// Functions that somebody may hold or call as they were.
#[derive(Debug, Default)]
pub struct Held {
    /// The program has them with another contract now, and their address is somewhere, or they are called by such a
    /// function.
    pub with_another_contract: Vec<Arc<str>>,
    /// They are gone, and code took their address.
    pub gone: Vec<Arc<str>>,
}

/// Finds them.
///
/// # Errors
/// If a live object is not understood.
pub fn held(
    program: &Program,
    settled: &Settled,
    planned: &Planned,
    supply: &dyn Supply,
) -> Result<Held, Error> {
    let came: HashSet<_> = planned
        .came
        .iter()
        .filter_map(|it| names::path(it))
        .collect();
    let others = &settled.identities.others;
    let plain = settled.left.iter();
    let plain = plain.filter(|symbol| settled.plain.contains(&***symbol));
    let (wanted, gone): (Vec<&Arc<str>>, Vec<&Arc<str>>) = plain.partition(|symbol| {
        others.contains_key(*symbol) || names::path(symbol).is_some_and(|path| came.contains(&path))
    });
    if wanted.is_empty() && gone.is_empty() {
        return Ok(Held::default());
    }
    let left: HashSet<&str> = settled.left.iter().map(|symbol| &**symbol).collect();
    let mut references = References::default();
    // Tables that nobody writes to are replaced with their contents, and objects of traits are told by their type.
    let mut of_code = References::default();
    for (cgu, object) in &program.objects {
        let functions = object.index.functions.iter().map(|function| &function.name);
        let mut names = functions.chain(&object.index.foreign);
        if names.any(|name| left.contains(&**name))
            && let Some(live) = supply.live_object(cgu)
        {
            if !wanted.is_empty() {
                references.add(&live.bytes, &|_| true)?;
            }
            if !gone.is_empty() {
                of_code.add(&live.bytes, &|function| function.is_some())?;
            }
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
    let gone = gone.into_iter().filter(|symbol| of_code.is_taken(symbol));
    Ok(Held {
        with_another_contract: held.cloned().collect(),
        gone: gone.cloned().collect(),
    })
}
