//! Collects what an image needs: the functions that changed, and from there on everything that they
//! refer to and the process does not have yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_protocol::patch::{Import, Place};

use crate::elf::{Rela, Section};
use crate::names;
use crate::patch::changes::{self, Changes, Fate, FunctionChange, Refusal, Source};
use crate::patch::goals::{Goal, NewSlot, NewThreadLocal, Part, Piece, PieceIndex, Reference};
use crate::patch::statics::{self, StaticChanges};
use crate::patch::{Archives, Member, NewUnit, Next, Planned, Room, fields, layout, unwind};
use crate::program::index::StaticDefinition;
use crate::program::target::{Target, target};
use crate::program::{
    FunctionKey, LiveFunction, LiveObject, LiveStatic, Program, Slot, StaticPlace,
};
use crate::reference::{FunctionUse, Meaning, ThreadLocal, meaning};

/// Compares new objects with what is live, and makes the patch to the next generation.
///
/// `units` are all crates that were compiled, with the objects whose bytes changed.
///
/// # Errors
/// If the next generation would not be safe or not complete; the program stays as it is.
pub fn plan(
    program: &Program,
    units: &[NewUnit],
    archives: &dyn Archives,
    room: &Room,
) -> Result<Planned, Refusal> {
    let mut members: Vec<Member> = Vec::new();
    loop {
        match attempt(program, units, &members, archives, room)? {
            Attempt::Done(planned) => return Ok(*planned),
            Attempt::Missing(missing) => {
                let before = members.len();
                for symbol in missing {
                    pull(program, archives, &symbol, &mut members)?;
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
}

/// Adds the member that defines `symbol`, and those that it needs in turn. A symbol that no archive
/// has is left to the shared libraries.
fn pull(
    program: &Program,
    archives: &dyn Archives,
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
        let Some(member) = archives.member_defining(&symbol) else {
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
    archives: &dyn Archives,
    room: &Room,
) -> Result<Attempt, Refusal> {
    let mut sources = Vec::new();
    for (n, unit) in units.iter().enumerate() {
        for object in &unit.changed {
            let cgu = Some(Arc::clone(&object.cgu));
            sources.push(Source::read(cgu, n, unit.optimised, &object.bytes)?);
        }
    }
    for member in members {
        sources.push(Source::read(None, usize::MAX, true, &member.bytes)?);
    }
    not_replaceable(program, units, &sources)?;
    let statics = statics::find(program, units, &sources)?;
    let changes = changes::find(program, units, &sources);
    let mut builder = Builder::new(program, &sources, changes, &statics);
    builder.collect(&statics)?;
    // What no archive has is a matter of the shared libraries.
    let missing: Vec<String> = builder
        .missing
        .iter()
        .filter(|name| archives.member_defining(name).is_some())
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
    for source in sources.iter().filter(|source| source.cgu.is_some()) {
        let unit = &units[source.unit];
        for code in &source.index.other_code {
            let known = program
                .objects
                .values()
                .filter(|object| object.unit == unit.unit)
                .any(|object| object.index.other_code.contains(code));
            if !known {
                return Err(Refusal::NotReplaceable(format!(
                    "code in `{}` of crate {} changed; it belongs to no function that can be replaced (global assembly?)",
                    code.0, unit.name
                )));
            }
        }
    }
    Ok(())
}

/// Which of a function's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SlotKind {
    Public,
    Internal,
    Address,
}

pub(crate) struct Builder<'b, 's> {
    pub program: &'b Program,
    pub sources: &'b [Source<'s>],
    pub changes: Changes,
    pub pieces: Vec<Piece>,
    by_section: HashMap<(usize, Section), PieceIndex>,
    pub slots: Vec<NewSlot>,
    new_slots: HashMap<(FunctionKey, SlotKind), usize>,
    pub imports: Vec<Import>,
    missing: HashSet<String>,
    new_statics: HashMap<Arc<str>, (usize, Section)>,
    member_symbols: HashMap<&'b str, (usize, usize)>,
    pub thread_locals: Vec<NewThreadLocal>,
    thread_local_of: HashMap<(usize, Section), u64>,
    tls_used: u64,
    work: Vec<PieceIndex>,
}

impl<'b, 's> Builder<'b, 's> {
    fn new(
        program: &'b Program,
        sources: &'b [Source<'s>],
        changes: Changes,
        statics: &StaticChanges,
    ) -> Builder<'b, 's> {
        let mut member_symbols = HashMap::new();
        for (n, source) in sources.iter().enumerate() {
            if source.cgu.is_some() {
                continue;
            }
            for (index, symbol) in source.object.symbols.iter().enumerate() {
                if symbol.section.is_some() && !symbol.is_local() && !symbol.name.is_empty() {
                    member_symbols.entry(symbol.name).or_insert((n, index));
                }
            }
        }
        Builder {
            program,
            sources,
            changes,
            pieces: Vec::new(),
            by_section: HashMap::new(),
            slots: Vec::new(),
            new_slots: HashMap::new(),
            imports: Vec::new(),
            missing: HashSet::new(),
            new_statics: statics
                .new
                .iter()
                .map(|(source, section, definition)| {
                    (Arc::clone(&definition.name), (*source, *section))
                })
                .collect(),
            member_symbols,
            thread_locals: Vec::new(),
            thread_local_of: HashMap::new(),
            tls_used: program.tls_used,
            work: Vec::new(),
        }
    }

    fn collect(&mut self, statics: &StaticChanges) -> Result<(), Refusal> {
        for n in 0..self.changes.functions.len() {
            if self.changes.functions[n].fate != Fate::Same {
                let change = &self.changes.functions[n];
                let (source, section) = (change.source, change.section);
                self.piece(source, section)?;
            }
        }
        for (source, section, definition) in &statics.new {
            if definition.thread_local {
                self.thread_local(*source, *section)?;
            } else {
                self.piece(*source, *section)?;
            }
        }
        for (n, source) in self.sources.iter().enumerate() {
            if source.cgu.is_none() {
                self.whole_member(n)?;
            }
        }
        self.work_off()?;
        self.frames()
    }

    /// Takes over all that an archive member has: the process has nothing of it.
    fn whole_member(&mut self, source: usize) -> Result<(), Refusal> {
        let object = &self.sources[source].object;
        for (section, data) in object.sections.iter().enumerate() {
            let content = data.kind == object::elf::SHT_PROGBITS
                || data.kind == object::elf::SHT_NOBITS
                || data.kind == object::elf::SHT_INIT_ARRAY;
            if !data.is_loaded() || !content || data.is_unwind_information() || data.size == 0 {
                continue;
            }
            if data.name.starts_with(".debug") || data.name.starts_with(".note") {
                continue;
            }
            if data.is_thread_local() {
                self.thread_local(source, section)?;
            } else {
                self.piece(source, section)?;
            }
        }
        Ok(())
    }

    fn work_off(&mut self) -> Result<(), Refusal> {
        while let Some(piece) = self.work.pop() {
            let (source, section) = (self.pieces[piece].source, self.pieces[piece].section);
            let relocations = self.sources[source].object.relocations(section)?;
            let references = self.references(source, section, &relocations)?;
            self.pieces[piece].references = references;
        }
        Ok(())
    }

    /// Adds unwind information for the code in the image.
    fn frames(&mut self) -> Result<(), Refusal> {
        let mut by_source: HashMap<usize, HashSet<Section>> = HashMap::new();
        for piece in &self.pieces {
            if piece.part == Part::Code {
                by_source
                    .entry(piece.source)
                    .or_default()
                    .insert(piece.section);
            }
        }
        let mut sources: Vec<_> = by_source.into_iter().collect();
        sources.sort_unstable_by_key(|(source, _)| *source);
        for (source, sections) in sources {
            let Some(frames) = unwind::frames(&self.sources[source].object, &sections)? else {
                continue;
            };
            let references = self.references(source, frames.section, &frames.relocations)?;
            self.pieces.push(Piece {
                source,
                section: frames.section,
                part: Part::Frames,
                size: frames.bytes.len() as u64,
                bytes: frames.bytes,
                align: 8,
                references,
                offset: 0,
            });
        }
        // Tables of exceptions that the frames refer to.
        self.work_off()
    }

    /// The piece for a section; it is made when it is first asked for.
    fn piece(&mut self, source: usize, section: Section) -> Result<PieceIndex, Refusal> {
        if let Some(piece) = self.by_section.get(&(source, section)) {
            return Ok(*piece);
        }
        let data = &self.sources[source].object.sections[section];
        let unsupported = |what: &str| {
            Refusal::NotUnderstood(format!("{what} {} is needed by new code", data.name))
        };
        if !data.is_loaded() {
            return Err(unsupported("the unloaded section"));
        }
        if data.is_thread_local() {
            return Err(unsupported("the address of the thread-local section"));
        }
        let part = if data.is_code() {
            Part::Code
        } else if data.is_writable() {
            Part::Writable
        } else {
            Part::ReadOnly
        };
        let piece = self.pieces.len();
        self.pieces.push(Piece {
            source,
            section,
            part,
            bytes: data.data.to_vec(),
            size: data.size,
            align: data.align,
            references: Vec::new(),
            offset: 0,
        });
        self.by_section.insert((source, section), piece);
        self.work.push(piece);
        Ok(piece)
    }

    /// The place in the threads' blocks of a new thread-local.
    fn thread_local(&mut self, source: usize, section: Section) -> Result<u64, Refusal> {
        if let Some(offset) = self.thread_local_of.get(&(source, section)) {
            return Ok(*offset);
        }
        let data = &self.sources[source].object.sections[section];
        let room = self.program.executable.tls_room;
        let offset = (room + self.tls_used).next_multiple_of(data.align);
        let end = offset + data.size - room;
        if end > liveswap_protocol::start::TLS_ROOM || data.align > 64 {
            return Err(Refusal::ThreadLocalRoom(data.size));
        }
        self.tls_used = end;
        self.thread_local_of.insert((source, section), offset);
        let mut bytes = data.data.to_vec();
        bytes.resize(data.size as usize, 0);
        let relocations = self.sources[source].object.relocations(section)?;
        let references = self.references(source, section, &relocations)?;
        self.thread_locals.push(NewThreadLocal {
            offset,
            bytes,
            references,
        });
        Ok(offset)
    }

    fn references(
        &mut self,
        source: usize,
        section: Section,
        relocations: &[Rela],
    ) -> Result<Vec<Reference>, Refusal> {
        let object = &self.sources[source].object;
        let mut references: Vec<Reference> = Vec::with_capacity(relocations.len());
        let mut dropped: Option<u64> = None;
        for rela in relocations {
            let Some(meaning) = meaning(object.machine, rela.kind) else {
                return Err(Refusal::NotUnderstood(format!(
                    "a relocation of kind {} in section {}",
                    rela.kind.0, object.sections[section].name
                )));
            };
            let goal = if meaning == Meaning::Nothing || dropped == Some(rela.offset) {
                Goal::Dropped
            } else if let Meaning::ThreadLocal(how) = meaning {
                if matches!(how, ThreadLocal::GeneralDynamic | ThreadLocal::LocalDynamic) {
                    // The call of `__tls_get_addr` that follows is rewritten as well.
                    dropped = Some(fields::tls_call_field(
                        object.sections[section].data,
                        rela,
                        how,
                    )?);
                }
                if how == ThreadLocal::LocalDynamic {
                    Goal::Thread(0)
                } else {
                    self.thread_goal(source, section, rela)?
                }
            } else {
                self.goal(source, section, rela)?
            };
            references.push(Reference {
                rela: *rela,
                meaning,
                goal,
            });
        }
        Ok(references)
    }

    fn goal(&mut self, source: usize, section: Section, rela: &Rela) -> Result<Goal, Refusal> {
        let from = &self.sources[source];
        let object = &from.object;
        match target(object, &from.functions, &from.statics, section, rela) {
            Target::Absolute(value) => Ok(Goal::Absolute(value)),
            Target::Function { symbol, how } => self.function(source, symbol, how),
            Target::Inside { section, offset } => {
                // Only what belongs to a body refers into it, so the body is part of the image.
                Ok(Goal::Piece(self.piece(source, section)?, offset))
            }
            Target::Anonymous { section, offset } => {
                Ok(Goal::Piece(self.piece(source, section)?, offset))
            }
            Target::Static {
                name,
                section,
                offset,
            } => {
                if from.cgu.is_none() {
                    let symbol = &object.symbols[rela.symbol];
                    let elsewhere = (!symbol.is_local() && !symbol.is_section())
                        .then(|| self.existing(name))
                        .flatten();
                    return match elsewhere {
                        Some(place) => Ok(Goal::Fixed(place)),
                        None => Ok(Goal::Piece(self.piece(source, section)?, offset)),
                    };
                }
                match self.program.statics.get(name).map(|live| live.place) {
                    Some(StaticPlace::Memory(place)) => Ok(Goal::Fixed(plus(place, offset))),
                    Some(StaticPlace::ThreadLocal(_)) => Err(Refusal::NotUnderstood(format!(
                        "the address of thread-local {} is taken as if it were a static",
                        names::for_people(name)
                    ))),
                    None => Ok(Goal::Piece(self.piece(source, section)?, offset)),
                }
            }
            Target::Elsewhere { name, weak } => self.elsewhere(source, rela, name, weak),
        }
    }

    fn existing(&self, name: &str) -> Option<Place> {
        if let Some(StaticPlace::Memory(place)) = self.program.brought.get(name) {
            return Some(*place);
        }
        let symbol = self.program.executable.symbol(name)?;
        (!symbol.ambiguous && !symbol.thread_local).then_some(Place::Executable(symbol.value))
    }

    fn function(
        &mut self,
        source: usize,
        symbol: usize,
        how: FunctionUse,
    ) -> Result<Goal, Refusal> {
        let from = &self.sources[source];
        let object = &from.object;
        let name = object.symbols[symbol].name;
        let local = object.symbols[symbol].is_local();
        let Some(cgu) = &from.cgu else {
            if !local && let Some(place) = self.existing(name) {
                return Ok(Goal::Fixed(place));
            }
            let section = object.symbols[symbol].section.unwrap_or_default();
            return Ok(Goal::Piece(self.piece(source, section)?, 0));
        };
        let key = FunctionKey {
            name: name.into(),
            cgu: local.then(|| Arc::clone(cgu)),
        };
        let kind = match how {
            FunctionUse::Call if from.optimised => SlotKind::Internal,
            _ if !local => SlotKind::Public,
            _ if from.optimised => SlotKind::Address,
            _ => SlotKind::Internal,
        };
        let Some(change) = self.changes.by_key.get(&key).copied() else {
            return Err(Refusal::NotUnderstood(format!(
                "{} is not among the functions of its object",
                names::for_people(name)
            )));
        };
        self.slot_of_change(change, kind)
    }

    fn slot_of_change(&mut self, change: usize, kind: SlotKind) -> Result<Goal, Refusal> {
        let function = &self.changes.functions[change];
        let known = match kind {
            SlotKind::Public => function.slots.public,
            // A function that was not local before may have only a public slot, and the other way round.
            SlotKind::Internal if !self.sources[function.source].optimised => {
                function.slots.internal.or(function.slots.public)
            }
            SlotKind::Internal => function.slots.internal,
            SlotKind::Address => function.slots.address.or(function.slots.public),
        };
        if let Some(slot) = known {
            return Ok(Goal::Fixed(slot.address));
        }
        let key = (function.key.clone(), kind);
        if let Some(slot) = self.new_slots.get(&key) {
            return Ok(Goal::Slot(*slot));
        }
        let (source, section) = (function.source, function.section);
        let body = match (
            function.fate,
            function.live.as_ref().and_then(|live| live.body),
        ) {
            (Fate::Same, Some((place, _))) => Goal::Fixed(place),
            _ => Goal::Piece(self.piece(source, section)?, 0),
        };
        Ok(Goal::Slot(self.new_slot(key, body)))
    }

    fn new_slot(&mut self, key: (FunctionKey, SlotKind), body: Goal) -> usize {
        let slot = self.slots.len();
        self.slots.push(NewSlot {
            body,
            offset: 0,
            word: 0,
        });
        self.new_slots.insert(key, slot);
        slot
    }

    /// What a symbol means that its object does not define.
    fn elsewhere(
        &mut self,
        source: usize,
        rela: &Rela,
        name: &str,
        weak: bool,
    ) -> Result<Goal, Refusal> {
        let key = FunctionKey {
            name: name.into(),
            cgu: None,
        };
        if let Some(change) = self.changes.by_key.get(&key).copied() {
            return self.slot_of_change(change, SlotKind::Public);
        }
        if let Some(live) = self.program.functions.get(&key) {
            if let Some(slot) = live.slots.public {
                return Ok(Goal::Fixed(slot.address));
            }
            if let Some((body, _)) = live.body {
                let key = (key, SlotKind::Public);
                let slot = match self.new_slots.get(&key) {
                    Some(slot) => *slot,
                    None => self.new_slot(key, Goal::Fixed(body)),
                };
                return Ok(Goal::Slot(slot));
            }
        }
        if let Some(live) = self.program.statics.get(name)
            && let StaticPlace::Memory(place) = live.place
        {
            return Ok(Goal::Fixed(place));
        }
        if let Some((source, section)) = self.new_statics.get(name).copied() {
            return Ok(Goal::Piece(self.piece(source, section)?, 0));
        }
        if let Some(place) = self.existing(name) {
            return Ok(Goal::Fixed(place));
        }
        if self
            .program
            .executable
            .symbol(name)
            .is_some_and(|symbol| symbol.ambiguous)
        {
            return Err(Refusal::Ambiguous(names::for_people(name)));
        }
        if let Some((member, symbol)) = self.member_symbols.get(name).copied() {
            let symbol = &self.sources[member].object.symbols[symbol];
            let (section, offset) = (symbol.section.unwrap_or_default(), symbol.value);
            return Ok(Goal::Piece(self.piece(member, section)?, offset));
        }
        // Defined by the object itself, but known by name (`DW.ref.…`).
        if let Some(own) = self.sources[source].object.symbols[rela.symbol].section {
            return Ok(Goal::Piece(self.piece(source, own)?, 0));
        }
        if !self.program.executable.imports(name) {
            self.missing.insert(name.to_owned());
        }
        let import = self
            .imports
            .iter()
            .position(|import| import.name == name)
            .unwrap_or_else(|| {
                self.imports.push(Import {
                    name: name.to_owned(),
                    weak,
                });
                self.imports.len() - 1
            });
        Ok(Goal::Import(import as u32))
    }

    /// What a thread-local reference means.
    fn thread_goal(
        &mut self,
        source: usize,
        section: Section,
        rela: &Rela,
    ) -> Result<Goal, Refusal> {
        let from = &self.sources[source];
        let object = &from.object;
        let symbol = &object.symbols[rela.symbol];
        let offset_in_section = symbol.value;
        let (name, own) = match target(object, &from.functions, &from.statics, section, rela) {
            Target::Static { name, section, .. } => (name, Some(section)),
            Target::Anonymous { section, .. } => (symbol.name, Some(section)),
            Target::Elsewhere { name, .. } => (name, None),
            _ => {
                return Err(Refusal::NotUnderstood(format!(
                    "a thread-local reference to something else in {}",
                    object.sections[section].name
                )));
            }
        };
        if own.is_none() || from.cgu.is_some() {
            if let Some(live) = self.program.statics.get(name)
                && let StaticPlace::ThreadLocal(offset) = live.place
            {
                return Ok(Goal::Thread(offset + offset_in_section));
            }
            if let Some(StaticPlace::ThreadLocal(offset)) = self.program.brought.get(name) {
                return Ok(Goal::Thread(*offset));
            }
        }
        if let Some(own) = own {
            return Ok(Goal::Thread(
                self.thread_local(source, own)? + offset_in_section,
            ));
        }
        if let Some((source, section)) = self.new_statics.get(name).copied() {
            return Ok(Goal::Thread(self.thread_local(source, section)?));
        }
        if let Some((member, symbol)) = self.member_symbols.get(name).copied() {
            let symbol = &self.sources[member].object.symbols[symbol];
            let (section, offset) = (symbol.section.unwrap_or_default(), symbol.value);
            return Ok(Goal::Thread(self.thread_local(member, section)? + offset));
        }
        match self.program.executable.symbol(name) {
            Some(symbol) if symbol.ambiguous => Err(Refusal::Ambiguous(names::for_people(name))),
            Some(symbol) if symbol.thread_local => Ok(Goal::Thread(symbol.value)),
            _ => {
                self.missing.insert(name.to_owned());
                // Decided in the next attempt; without one it is refused when it is filled in.
                Ok(Goal::Dropped)
            }
        }
    }

    fn finish(
        mut self,
        units: &[NewUnit],
        members: &[Member],
        statics: StaticChanges,
        room: &Room,
    ) -> Result<Planned, Refusal> {
        let image = layout::lay_out(&mut self, room)?;
        let base = u64::from(self.program.next_slice) * liveswap_protocol::patch::SLICE_SIZE;
        let place_of = |piece: PieceIndex| Place::Range(base + self.pieces[piece].offset);
        let slot_at = |slot: usize| Slot {
            address: Place::Range(base + self.slots[slot].offset),
            word: Place::Range(base + self.slots[slot].word),
        };
        let mut next = Next {
            next_slice: self.program.next_slice + image.slices,
            tls_used: self.tls_used,
            gone_functions: self.changes.gone.clone(),
            moved_functions: self.changes.moved.clone(),
            gone_statics: statics.gone,
            statics: statics.kept,
            ..Next::default()
        };
        let mut old_bodies = Vec::new();
        for change in &self.changes.functions {
            let mut live = self.live_after(change, &place_of);
            if change.fate == Fate::Replaced
                && let Some(old) = &change.live
                && let Some((place, len)) = old.body
            {
                old_bodies.push(crate::patch::OldBody {
                    name: names::for_people(&change.key.name),
                    place,
                    len,
                });
            }
            for (kind, slot) in [
                (SlotKind::Public, &mut live.slots.public),
                (SlotKind::Internal, &mut live.slots.internal),
                (SlotKind::Address, &mut live.slots.address),
            ] {
                if let Some(new) = self.new_slots.get(&(change.key.clone(), kind)) {
                    *slot = Some(slot_at(*new));
                }
            }
            next.functions.push((change.key.clone(), live));
        }
        for ((key, kind), slot) in &self.new_slots {
            if *kind == SlotKind::Public
                && !self.changes.by_key.contains_key(key)
                && let Some(live) = self.program.functions.get(key)
            {
                let mut live = live.clone();
                live.slots.public = Some(slot_at(*slot));
                next.functions.push((key.clone(), live));
            }
        }
        for (source, section, definition) in &statics.new {
            next.statics.push((
                Arc::clone(&definition.name),
                self.new_static(*source, *section, definition, base)?,
            ));
        }
        self.remember_members(members, base, &mut next);
        self.remember_objects(units, &mut next);
        let modules = std::mem::take(&mut self.changes.modules);
        Ok(Planned {
            patch: image.patch,
            modules,
            initialisers: statics.initialisers,
            old_bodies,
            placed: image.placed,
            symbols: image.symbols,
            slices: image.slices,
            next,
        })
    }

    fn live_after(
        &self,
        change: &FunctionChange,
        place_of: &dyn Fn(PieceIndex) -> Place,
    ) -> LiveFunction {
        let definition = self.sources[change.source]
            .index
            .functions
            .iter()
            .find(|function| function.name == change.key.name);
        let body = self
            .by_section
            .get(&(change.source, change.section))
            .filter(|_| change.fate != Fate::Same)
            .map(|piece| (place_of(*piece), self.pieces[*piece].size));
        let live = change.live.as_ref();
        LiveFunction {
            digest: definition
                .map(|definition| definition.digest)
                .or(live.map(|live| live.digest))
                .unwrap_or(crate::program::digest::Digest(0)),
            body: body.or(live.and_then(|live| live.body)),
            slots: change.slots.clone(),
            older_slots: self.older_slots(change),
            present: true,
        }
    }

    /// Slots that no longer have a name of their own, but still have to follow the function.
    fn older_slots(&self, change: &FunctionChange) -> Vec<Slot> {
        let mut older = change.older_slots.clone();
        if let Some(live) = &change.live {
            let kept: Vec<Slot> = change.slots.iter().collect();
            for slot in live.slots.iter() {
                let follows = change.fate != Fate::Replaced || change.flips.contains(&slot);
                if follows && !kept.contains(&slot) && !older.contains(&slot) {
                    older.push(slot);
                }
            }
        }
        older
    }

    fn new_static(
        &self,
        source: usize,
        section: Section,
        definition: &StaticDefinition,
        base: u64,
    ) -> Result<LiveStatic, Refusal> {
        let place = if definition.thread_local {
            self.thread_local_of
                .get(&(source, section))
                .map(|offset| StaticPlace::ThreadLocal(*offset))
        } else {
            self.by_section
                .get(&(source, section))
                .map(|piece| StaticPlace::Memory(Place::Range(base + self.pieces[*piece].offset)))
        };
        let place = place.ok_or_else(|| Refusal::Missing(names::for_people(&definition.name)))?;
        Ok(LiveStatic {
            place,
            size: definition.size,
            initial: definition.digest,
            present: true,
        })
    }

    fn remember_members(&self, members: &[Member], base: u64, next: &mut Next) {
        for (name, (source, symbol)) in &self.member_symbols {
            let symbol = &self.sources[*source].object.symbols[*symbol];
            let Some(section) = symbol.section else {
                continue;
            };
            let place = if let Some(offset) = self.thread_local_of.get(&(*source, section)) {
                StaticPlace::ThreadLocal(offset + symbol.value)
            } else if let Some(piece) = self.by_section.get(&(*source, section)) {
                StaticPlace::Memory(Place::Range(
                    base + self.pieces[*piece].offset + symbol.value,
                ))
            } else {
                continue;
            };
            next.brought.push((Arc::from(*name), place));
        }
        for member in members {
            next.members
                .push((Arc::clone(&member.archive), Arc::clone(&member.name)));
        }
    }

    fn remember_objects(&self, units: &[NewUnit], next: &mut Next) {
        for source in self.sources {
            if let Some(cgu) = &source.cgu {
                next.objects.push((
                    Arc::clone(cgu),
                    LiveObject {
                        unit: Arc::clone(&units[source.unit].unit),
                        optimised: source.optimised,
                        index: source.index.clone(),
                    },
                ));
            }
        }
        for (cgu, object) in &self.program.objects {
            let unit = units.iter().find(|unit| unit.unit == object.unit);
            if unit.is_some_and(|unit| !unit.all.contains(cgu)) {
                next.gone_objects.push(Arc::clone(cgu));
            }
        }
    }
}

fn plus(place: Place, offset: u64) -> Place {
    match place {
        Place::Executable(at) => Place::Executable(at + offset),
        Place::Range(at) => Place::Range(at + offset),
        Place::Import(import) => Place::Import(import),
    }
}
