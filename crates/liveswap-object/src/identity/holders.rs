//! Who may still reach a function that has another contract now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::Error;
use crate::elf::Elf;
use crate::functions::Functions;
use crate::names;
use crate::patch::{Planned, Supply};
use crate::program::Program;
use crate::reference::{FunctionUse, function_use};

use super::Settled;

/// Who refers to a function.
enum Referrer {
    /// This one calls it.
    Caller(Arc<str>),
    /// Its address is somewhere: in a table of methods, in a static, in a value.
    Address,
}

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
        .filter(|symbol| settled.is_plain(symbol))
        .filter(|symbol| {
            others.contains_key(*symbol)
                || names::path(symbol).is_some_and(|path| came.contains(&path))
        })
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let left: HashSet<&str> = settled.left.iter().map(|symbol| &**symbol).collect();
    let referrers = referrers(program, &left, supply)?;
    let mut held: HashSet<&str> = HashSet::new();
    let mut waiting: Vec<&str> = Vec::new();
    let mut callees: HashMap<&str, Vec<&str>> = HashMap::new();
    for (callee, referrers) in &referrers {
        for referrer in referrers {
            match referrer {
                Referrer::Address => {
                    if held.insert(callee) {
                        waiting.push(callee);
                    }
                }
                Referrer::Caller(caller) => callees.entry(caller).or_default().push(callee),
            }
        }
    }
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

/// Who refers to these functions, in the live objects.
fn referrers(
    program: &Program,
    functions: &HashSet<&str>,
    supply: &dyn Supply,
) -> Result<HashMap<String, Vec<Referrer>>, Error> {
    let mut found: HashMap<String, Vec<Referrer>> = HashMap::new();
    for (cgu, object) in &program.objects {
        let index = &object.index;
        let mut names = index.functions.iter().map(|function| &function.name);
        let mentions = names.any(|name| functions.contains(&**name))
            || index.foreign.iter().any(|name| functions.contains(&**name));
        let live = if mentions {
            supply.live_object(cgu)
        } else {
            None
        };
        let Some(live) = live else { continue };
        let object = Elf::parse(&live.bytes)?;
        let own = Functions::of(&object);
        for (section, data) in object.sections.iter().enumerate() {
            if !data.is_loaded() || data.is_unwind_information() {
                continue;
            }
            let caller = own.in_section(section);
            for rela in object.relocations(section)? {
                let symbol = own.meant_by(&object, rela.symbol).unwrap_or(rela.symbol);
                let name = object.symbols[symbol].name;
                if !functions.contains(name) {
                    continue;
                }
                let is_call = function_use(object.machine, data, &rela) == FunctionUse::Call;
                let referrer = match caller.filter(|_| is_call) {
                    Some(caller) => Referrer::Caller(object.symbols[caller].name.into()),
                    None => Referrer::Address,
                };
                found.entry(name.to_owned()).or_default().push(referrer);
            }
        }
    }
    Ok(found)
}
