//! What the references of an image mean: something in the image, something that exists, or something that
//! has to be brought.

use std::sync::Arc;

use liveswap_protocol::patch::{Import, Place};

use crate::elf::{Rela, Section};
use crate::names;
use crate::patch::changes::{Fate, Refusal};
use crate::patch::collect::{Builder, SlotKind};
use crate::patch::goals::{Goal, NewSlot};
use crate::program::target::{Target, target};
use crate::program::{FunctionKey, StaticPlace};
use crate::reference::FunctionUse;

impl Builder<'_, '_> {
    pub fn goal(&mut self, source: usize, section: Section, rela: &Rela) -> Result<Goal, Refusal> {
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
                        .then(|| self.existing(symbol.name))
                        .flatten();
                    return match elsewhere {
                        Some(place) => Ok(Goal::Fixed(place)),
                        None => Ok(Goal::Piece(self.piece(source, section)?, offset)),
                    };
                }
                match self.live_static(name) {
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

    /// Where a static is that stays where it is.
    fn live_static(&self, name: &str) -> Option<StaticPlace> {
        let statics = &self.program.statics;
        let before = || statics.get(self.changes.renamed.get(name)?);
        let live = statics.get(name).or_else(before)?;
        (!self.new_statics.contains_key(name)).then_some(live.place)
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
        // Code that was compiled before a function got another symbol uses the one from then.
        let mut name_now: Arc<str> = name.into();
        for _ in 0..self.program.renamed.len() {
            match self.program.renamed.get(&name_now) {
                Some(now) if !self.changes.by_name(name) => name_now = Arc::clone(now),
                _ => break,
            }
        }
        if let Some(now) = self.renamed_from.get(&name_now) {
            name_now = Arc::clone(now);
        }
        let key = FunctionKey {
            name: name_now,
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
        if let Some(StaticPlace::Memory(place)) = self.live_static(name) {
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
        Ok(Goal::Import(self.import(name, weak)))
    }

    /// The number of an import. It may be missing only if nobody needs it for certain.
    fn import(&mut self, name: &str, weak: bool) -> u32 {
        if let Some(number) = self.import_numbers.get(name) {
            self.imports[*number as usize].weak &= weak;
            return *number;
        }
        let number = self.imports.len() as u32;
        self.imports.push(Import {
            name: name.to_owned(),
            weak,
        });
        self.import_numbers.insert(name.to_owned(), number);
        number
    }

    /// What a thread-local reference means.
    pub fn thread_goal(
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
            if let Some(StaticPlace::ThreadLocal(offset)) = self.live_static(name) {
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
}

fn plus(place: Place, offset: u64) -> Place {
    match place {
        Place::Executable(at) => Place::Executable(at + offset),
        Place::Range(at) => Place::Range(at + offset),
        Place::Import(import) => Place::Import(import),
    }
}
