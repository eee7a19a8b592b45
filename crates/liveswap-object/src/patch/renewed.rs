//! What is another thing from now on under the same symbol: it gets another place, and everybody who refers to
//! it has to be replaced to refer to that.
//!
//! A static that nobody can have written to is such a thing when its initialiser changes. It has no value to keep,
//! and code compiled with it may have its new contents built in.

use std::collections::HashSet;
use std::sync::Arc;

use crate::Error;
use crate::elf::Section;
use crate::patch::NewUnit;
use crate::patch::changes::Source;
use crate::program::Program;
use crate::program::target::{Target, target};

/// Symbols of such things.
pub(crate) type Renewed = HashSet<Arc<str>>;

/// Whether a section refers to one of them, by itself or by data without a name.
pub(crate) fn refers(
    source: &Source<'_>,
    section: Section,
    renewed: &Renewed,
) -> Result<bool, Error> {
    if renewed.is_empty() {
        return Ok(false);
    }
    let object = &source.object;
    let mut seen = HashSet::from([section]);
    let mut work = vec![section];
    while let Some(section) = work.pop() {
        for rela in object.relocations(section)? {
            let name = match target(object, &source.functions, &source.statics, section, &rela) {
                Target::Function { symbol, .. } => object.symbols[symbol].name,
                Target::Static { name, .. } | Target::Elsewhere { name, .. } => name,
                Target::Anonymous { section, .. } => {
                    if seen.insert(section) {
                        work.push(section);
                    }
                    continue;
                }
                Target::Inside { .. } | Target::Absolute(_) => continue,
            };
            if renewed.contains(name) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Live objects that stay as they are, but use or define one of these symbols: unit and name.
pub(crate) fn users<'a>(
    program: &'a Program,
    units: &[NewUnit],
    renewed: &Renewed,
) -> Vec<(&'a Arc<str>, &'a Arc<str>)> {
    if renewed.is_empty() {
        return Vec::new();
    }
    let objects = program.objects.iter();
    let mut users: Vec<_> = objects
        .filter(|(cgu, object)| !units.iter().any(|unit| unit.lets_go(cgu, object)))
        .filter(|(_, object)| {
            // A function can be another one by what it works on, although its object stays as it is.
            let own = object.index.functions.iter().map(|function| &function.name);
            let mut names = own.chain(&object.index.foreign);
            names.any(|name| renewed.contains(name))
        })
        .map(|(cgu, object)| (&object.unit, cgu))
        .collect();
    users.sort_unstable();
    users
}
