//! What the program is once a patch is applied.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_protocol::patch::{Place, SLICE_SIZE};
use object::elf;

use crate::elf::Section;
use crate::names;
use crate::patch::changes::{Fate, FunctionChange, Refusal};
use crate::patch::collect::{Builder, SlotKind};
use crate::patch::first_call::Stub;
use crate::patch::goals::PieceIndex;
use crate::patch::statics::StaticChanges;
use crate::patch::{
    Defined, LedTo, Member, NewBody, NewUnit, Next, OldBody, Planned, Room, Takes, layout,
};
use crate::program::index::{LiveParts, StaticDefinition};
use crate::program::{
    FunctionKey, LiveFunction, LiveObject, LiveStatic, Program, Slot, StaticPlace, Superseded,
};

impl Builder<'_, '_> {
    pub fn finish(
        mut self,
        units: &[NewUnit],
        members: &[Member],
        statics: StaticChanges,
        room: &Room,
    ) -> Result<Planned, Refusal> {
        let image = layout::lay_out(&mut self, room)?;
        let base = u64::from(self.program.next_slice) * SLICE_SIZE;
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
            renamed: self.changes.renamed.clone(),
            superseded: std::mem::take(&mut self.changes.superseded),
            callers_left: std::mem::take(&mut self.changes.callers_left),
            taken: self.taken_again(),
            statics: statics.kept,
            ..Next::default()
        };
        let old_bodies = self.old_bodies(&next.superseded);
        for change in &self.changes.functions {
            let mut live = self.live_after(change, &place_of);
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
            collected: self.collected(units),
            renewed: statics.renewed,
            old_bodies,
            new_bodies: self.new_bodies(&image.stubs, base),
            changed: self.changed(),
            led_to: self.led_to()?,
            functions: self.defined(),
            came: self.names_of(Fate::New),
            went: self
                .changes
                .gone
                .iter()
                .map(|key| Arc::clone(&key.name))
                .collect(),
            placed: image.placed,
            symbols: image.symbols,
            slices: image.slices,
            next,
        })
    }

    fn old_bodies(&self, superseded: &[Superseded]) -> Vec<OldBody> {
        let functions = self.changes.functions.iter();
        let replaced = functions
            .clone()
            .filter(|change| matches!(change.fate, Fate::Replaced | Fate::Copied))
            .filter_map(|change| Some((&change.key, change.live.as_ref()?)));
        let left = superseded.iter().map(|it| (&it.key, &it.function));
        // One that is defined elsewhere now is not gone.
        let known: HashSet<&Arc<str>> = functions.map(|change| &change.key.name).collect();
        let moved: HashSet<&FunctionKey> = self.changes.moved.iter().collect();
        let gone = self.changes.gone.iter();
        let gone = gone.filter(|key| !known.contains(&key.name) && !moved.contains(key));
        let gone = gone.filter_map(|key| Some((key, self.program.functions.get(key)?)));
        let bodies = replaced.chain(left).chain(gone);
        let bodies = bodies.filter_map(|(key, function)| {
            let (place, len) = function.body?;
            Some(OldBody {
                symbol: Arc::clone(&key.name),
                name: names::for_people(&key.name),
                place,
                len,
            })
        });
        bodies.collect()
    }

    /// New elements of what is collected at the start.
    fn collected(&self, units: &[NewUnit]) -> Vec<(String, String)> {
        let live = LiveParts::of(self.program, |index| &index.collected);
        let mut found = Vec::new();
        for source in self.sources.iter().filter(|source| source.cgu.is_some()) {
            let unit = &units[source.unit];
            for one in &source.compared().collected {
                if !live.contains(&unit.unit, one) {
                    found.push((unit.name.clone(), one.0.to_string()));
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// Where the first call of each body that changed or is new can be noticed.
    fn new_bodies(&self, stubs: &[Stub], base: u64) -> Vec<NewBody> {
        if self.program.executable.machine != elf::EM_X86_64 {
            return Vec::new();
        }
        let mut words: HashMap<usize, Vec<(Place, Place)>> = HashMap::new();
        for stub in stubs {
            let of_function = words.entry(stub.change).or_default();
            let at = Place::Range(base + stub.offset);
            of_function.push((stub.word_at(self, base), at));
        }
        let functions = self.changes.functions.iter().enumerate();
        functions
            .filter(|(_, change)| matches!(change.fate, Fate::Replaced | Fate::New))
            .map(|(n, change)| NewBody {
                symbol: Arc::clone(&change.key.name),
                words: words.remove(&n).unwrap_or_default(),
                replaces: change.fate == Fate::Replaced,
            })
            .collect()
    }

    /// Functions with another body, whether or not the old one goes on beside it.
    fn changed(&self) -> Vec<Arc<str>> {
        let functions = self.changes.functions.iter();
        functions
            .filter(|change| {
                let is_other = self.changes.others.contains_key(&change.key.name);
                change.fate == Fate::Replaced || change.fate == Fate::New && is_other
            })
            .map(|change| Arc::clone(&change.key.name))
            .collect()
    }

    /// Statics that begin with the address of a function that changed.
    fn led_to(&self) -> Result<Vec<LedTo>, Refusal> {
        let changed = self.changes.functions.iter();
        let changed: HashSet<(usize, Section)> = changed
            .filter(|change| matches!(change.fate, Fate::Replaced | Fate::New))
            .map(|change| (change.source, change.section))
            .collect();
        let mut found = Vec::new();
        for (n, source) in self.sources.iter().enumerate() {
            for data in &source.index.statics {
                for rela in source.object.relocations(data.section)? {
                    let Some(function) = source.functions.meant_by(&source.object, rela.symbol)
                    else {
                        continue;
                    };
                    let symbol = &source.object.symbols[function];
                    if symbol
                        .section
                        .is_some_and(|section| changed.contains(&(n, section)))
                    {
                        found.push((Arc::clone(&data.name), symbol.name.into()));
                    }
                }
            }
        }
        Ok(found)
    }

    /// What was left behind and is current again.
    fn taken_again(&self) -> Vec<(Arc<str>, Takes)> {
        let others = self.changes.others.iter();
        others
            .filter_map(|(name, other)| Some((Arc::clone(name), other.takes?)))
            .collect()
    }

    /// All functions of new objects.
    fn defined(&self) -> Vec<Defined> {
        let functions = self.changes.functions.iter();
        functions
            .map(|change| {
                let index = &self.sources[change.source].index;
                let definition = &index.functions[change.definition];
                Defined {
                    symbol: Arc::clone(&change.key.name),
                    digest: definition.digest,
                    content: definition.content,
                }
            })
            .collect()
    }

    fn names_of(&self, fate: Fate) -> Vec<Arc<str>> {
        let functions = self.changes.functions.iter();
        functions
            .filter(|change| change.fate == fate)
            .map(|change| Arc::clone(&change.key.name))
            .collect()
    }

    fn live_after(
        &self,
        change: &FunctionChange,
        place_of: &dyn Fn(PieceIndex) -> Place,
    ) -> LiveFunction {
        let definition = &self.sources[change.source].index.functions[change.definition];
        let body = self
            .by_section
            .get(&(change.source, change.section))
            .filter(|_| change.fate != Fate::Same)
            .map(|piece| (place_of(*piece), self.pieces[*piece].size));
        let live = change.live.as_ref();
        LiveFunction {
            digest: definition.digest,
            content: definition.content,
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
                let follows = change.fate == Fate::Same || change.flips.contains(&slot);
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
            newest: definition.digest,
            renewable: definition.renewable,
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
            // One that is replaced is entered again by its new object.
            if units.iter().any(|unit| unit.lets_go(cgu, object)) {
                next.gone_objects.push(Arc::clone(cgu));
            }
        }
    }
}

impl Program {
    /// Enters that the process refused a patch. It may have mapped the image all the same, for initialisers to run:
    /// its place, and that of new thread-locals, are not used again.
    pub fn abandon(&mut self, planned: &Planned) {
        self.next_slice = self.next_slice.max(planned.next.next_slice);
        self.tls_used = self.tls_used.max(planned.next.tls_used);
    }
}
