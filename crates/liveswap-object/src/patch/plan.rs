//! The way from new objects to a patch, and to the archives for what the process never needed before.

use std::collections::HashSet;
use std::sync::Arc;

use crate::names;
use crate::patch::changes::{self, Changes, Refusal, Source};
use crate::patch::collect::Builder;
use crate::patch::renewed;
use crate::patch::statics::{self, StaticChanges};
use crate::patch::{Identities, Member, NewObject, NewUnit, Planned, Room, Supply};
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
    let plan = Plan {
        program,
        identities,
        supply,
        room,
    };
    let mut sources = Vec::new();
    for (number, unit) in units.iter().enumerate() {
        for object in &unit.changed {
            sources.push(plan.read(number, unit, object)?);
        }
    }
    plan.compare(units, sources)
}

/// What stays the same while the sources become more: live objects that have to be looked through as well, and members
/// of archives. Each is read once, and lives as long as the call that added it; the rest is done from there.
struct Plan<'p> {
    program: &'p Program,
    identities: &'p Identities,
    supply: &'p dyn Supply,
    room: &'p Room,
}

impl Plan<'_> {
    fn read<'a>(
        &self,
        number: usize,
        unit: &NewUnit,
        object: &'a NewObject,
    ) -> Result<Source<'a>, Refusal> {
        let cgu = Some(Arc::clone(&object.cgu));
        let renamed = &self.identities.renamed;
        let source = Source::read(cgu, number, unit.optimised, &object.bytes, renamed)?;
        Ok(source)
    }

    /// Finds what changed.
    fn compare(&self, units: &[NewUnit], sources: Vec<Source<'_>>) -> Result<Planned, Refusal> {
        not_replaceable(self.program, units, &sources)?;
        let statics = statics::find(self.program, units, &sources, self.identities)?;
        let users = renewed::users(self.program, units, &statics.renewed);
        if !users.is_empty() {
            let mut units = units.to_vec();
            let mut taken_in = Vec::with_capacity(users.len());
            for (unit, cgu) in users {
                taken_in.push(take_in(self.program, self.supply, &mut units, unit, cgu)?);
            }
            let mut sources: Vec<Source<'_>> = sources;
            for (number, object) in &taken_in {
                sources.push(self.read(*number, &units[*number], object)?);
            }
            return self.compare(&units, sources);
        }
        let (identities, renewed) = (self.identities, &statics.renewed);
        let changes = changes::find(self.program, units, &sources, identities, renewed)?;
        self.build(units, sources, &[], changes, statics)
    }

    /// Makes the image.
    fn build(
        &self,
        units: &[NewUnit],
        sources: Vec<Source<'_>>,
        members: &[Member],
        changes: Changes,
        statics: StaticChanges,
    ) -> Result<Planned, Refusal> {
        let mut builder = Builder::new(self.program, &sources, changes, &statics);
        builder.collect(&statics)?;
        // What no archive has is a matter of the shared libraries.
        let mut missing: Vec<String> = builder
            .missing
            .iter()
            .filter(|name| self.supply.member_defining(name).is_some())
            .cloned()
            .collect();
        if missing.is_empty() {
            return builder.finish(units, members, statics, self.room);
        }
        missing.sort_unstable();
        // Members change nothing of what was compared.
        let changes = builder.changes;
        let mut all = members.to_vec();
        for symbol in missing {
            pull(self.program, self.supply, &symbol, &mut all)?;
        }
        let pulled = &all[members.len()..];
        if pulled.is_empty() {
            return Err(Refusal::NotUnderstood(
                "archive members do not define what their index says".into(),
            ));
        }
        let mut sources: Vec<Source<'_>> = sources;
        for member in pulled {
            let renamed = &self.identities.renamed;
            sources.push(Source::read(
                None,
                usize::MAX,
                true,
                &member.bytes,
                renamed,
            )?);
        }
        self.build(units, sources, &all, changes, statics)
    }
}

/// Adds a live object to those that are compared; gives it with the number of its unit.
fn take_in(
    program: &Program,
    supply: &dyn Supply,
    units: &mut Vec<NewUnit>,
    unit: &Arc<str>,
    cgu: &Arc<str>,
) -> Result<(usize, NewObject), Refusal> {
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
    let object = NewObject {
        cgu: Arc::clone(cgu),
        bytes: live.bytes,
    };
    units[place].changed.push(object.clone());
    Ok((place, object))
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
