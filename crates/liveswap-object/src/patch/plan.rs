//! The way from new objects to a patch, and to the archives for what the process never needed before.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use crate::names;
use crate::patch::changes::{self, Refusal, Source};
use crate::patch::collect::Builder;
use crate::patch::{Identities, Member, NewObject, NewUnit, Planned, Room, Supply};
use crate::patch::{renewed, statics};
use crate::program::index::LiveParts;
use crate::program::{LiveObject, Program};

/// Compares new objects with what is live, and makes the patch to the next generation.
///
/// `units` are all crates that were compiled, with the objects whose bytes changed.
///
/// # Errors
/// If the next generation would not be safe or not complete; the program stays as it is.
pub fn plan(
    program: &Program,
    units: &[NewUnit],
    identities: &Identities,
    supply: &dyn Supply,
    room: &Room,
) -> Result<Planned, Refusal> {
    let mut members: Vec<Member> = Vec::new();
    let mut units = Cow::Borrowed(units);
    loop {
        match attempt(program, &units, &members, identities, supply, room)? {
            Attempt::Done(planned) => return Ok(*planned),
            Attempt::Users(users) => {
                for (unit, cgu) in users {
                    take_in(program, supply, units.to_mut(), &unit, &cgu)?;
                }
            }
            Attempt::Missing(missing) => {
                let before = members.len();
                for symbol in missing {
                    pull(program, supply, &symbol, &mut members)?;
                }
                if members.len() == before {
                    return Err(Refusal::NotUnderstood(
                        "archive members do not define what their index says".into(),
                    ));
                }
            }
        }
    }
}

enum Attempt {
    Done(Box<Planned>),
    /// Symbols that only archives have.
    Missing(Vec<String>),
    /// Live objects that have to be looked through as well: unit and name.
    Users(Vec<(Arc<str>, Arc<str>)>),
}

/// Adds a live object to those that are compared.
fn take_in(
    program: &Program,
    supply: &dyn Supply,
    units: &mut Vec<NewUnit>,
    unit: &Arc<str>,
    cgu: &Arc<str>,
) -> Result<(), Refusal> {
    let Some(live) = supply.live_object(cgu) else {
        return Err(Refusal::NotUnderstood(format!(
            "the object {cgu} cannot be read again"
        )));
    };
    let place = match units.iter().position(|known| known.unit == *unit) {
        Some(place) => place,
        None => {
            let of_unit = |(cgu, object): (&Arc<str>, &LiveObject)| {
                (object.unit == *unit).then(|| Arc::clone(cgu))
            };
            units.push(NewUnit {
                unit: Arc::clone(unit),
                name: live.crate_name,
                optimised: program
                    .objects
                    .get(cgu)
                    .is_some_and(|object| object.optimised),
                changed: Vec::new(),
                all: program.objects.iter().filter_map(of_unit).collect(),
            });
            units.len() - 1
        }
    };
    units[place].changed.push(NewObject {
        cgu: Arc::clone(cgu),
        bytes: live.bytes,
    });
    Ok(())
}

/// Adds the member that defines `symbol`, and those that it needs in turn. A symbol that no archive
/// has is left to the shared libraries.
fn pull(
    program: &Program,
    supply: &dyn Supply,
    symbol: &str,
    members: &mut Vec<Member>,
) -> Result<(), Refusal> {
    let mut wanted = vec![symbol.to_owned()];
    let mut seen: HashSet<String> = HashSet::new();
    while let Some(symbol) = wanted.pop() {
        if !seen.insert(symbol.clone())
            || program.executable.symbol(&symbol).is_some()
            || program.executable.imports(&symbol)
            || program.brought.contains_key(&*symbol)
        {
            continue;
        }
        let Some(member) = supply.member_defining(&symbol) else {
            continue;
        };
        let known = members
            .iter()
            .any(|other| other.archive == member.archive && other.name == member.name);
        if known {
            continue;
        }
        if program
            .members
            .contains(&(Arc::clone(&member.archive), Arc::clone(&member.name)))
        {
            return Err(Refusal::Ambiguous(names::for_people(&symbol)));
        }
        let object = crate::elf::Elf::parse(&member.bytes)?;
        wanted.extend(
            object
                .symbols
                .iter()
                .filter(|symbol| symbol.undefined && !symbol.name.is_empty())
                .map(|symbol| symbol.name.to_owned()),
        );
        members.push(member);
    }
    Ok(())
}

fn attempt(
    program: &Program,
    units: &[NewUnit],
    members: &[Member],
    identities: &Identities,
    supply: &dyn Supply,
    room: &Room,
) -> Result<Attempt, Refusal> {
    let mut sources = Vec::new();
    for (n, unit) in units.iter().enumerate() {
        for object in &unit.changed {
            let cgu = Some(Arc::clone(&object.cgu));
            sources.push(Source::read(
                cgu,
                n,
                unit.optimised,
                &object.bytes,
                &identities.renamed,
            )?);
        }
    }
    for member in members {
        sources.push(Source::read(
            None,
            usize::MAX,
            true,
            &member.bytes,
            &identities.renamed,
        )?);
    }
    not_replaceable(program, units, &sources)?;
    let statics = statics::find(program, units, &sources, identities)?;
    let users = renewed::users(program, units, &statics.renewed);
    if !users.is_empty() {
        let owned = users.into_iter();
        let owned = owned.map(|(unit, cgu)| (Arc::clone(unit), Arc::clone(cgu)));
        return Ok(Attempt::Users(owned.collect()));
    }
    let changes = changes::find(program, units, &sources, identities, &statics.renewed)?;
    let mut builder = Builder::new(program, &sources, changes, &statics);
    builder.collect(&statics)?;
    // What no archive has is a matter of the shared libraries.
    let missing: Vec<String> = builder
        .missing
        .iter()
        .filter(|name| supply.member_defining(name).is_some())
        .cloned()
        .collect();
    if !missing.is_empty() {
        return Ok(Attempt::Missing(missing));
    }
    builder
        .finish(units, members, statics, room)
        .map(|planned| Attempt::Done(Box::new(planned)))
}

/// Refuses changes of code that has no section of its own.
fn not_replaceable(
    program: &Program,
    units: &[NewUnit],
    sources: &[Source<'_>],
) -> Result<(), Refusal> {
    let live = LiveParts::of(program, |index| &index.other_code);
    for source in sources.iter().filter(|source| source.cgu.is_some()) {
        let unit = &units[source.unit];
        for code in &source.index.other_code {
            if !live.contains(&unit.unit, code) {
                return Err(Refusal::NotReplaceable(format!(
                    "code in `{}` of crate {} changed; it belongs to no function that can be replaced (global assembly?)",
                    code.0, unit.name
                )));
            }
        }
    }
    Ok(())
}
