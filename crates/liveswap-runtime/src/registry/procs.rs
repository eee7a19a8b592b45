//! Procs: a permanent slot each, and the rules by which registrations decide its target.

use super::journal::Question;
use super::{Caller, ModuleId, Phase, Registry};
use crate::dialect::{Dialect, SymbolId, SymbolKind};
use crate::error::Error;
use crate::slots::{SlotError, SlotIndex, SlotTable};
use crate::{CodeAddress, Name, SymbolRef};

/// A proc that the run-time knows, for the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId(pub(crate) u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcState {
    /// Asked for, not registered yet.
    Pending,
    Live,
    /// Removed, but its old code may still be called.
    KeepsOldCode,
    Gone,
}

/// One registration: who says that the proc's code is at `target`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registration {
    target: CodeAddress,
    pub(super) by: Option<ModuleId>,
    /// Generation in which the registering image was loaded.
    loaded: u64,
    /// Generation in which the registration was made.
    pub(super) pass: u64,
    pub(super) phase: Phase,
}

#[derive(Debug)]
pub(crate) struct Proc {
    pub(super) module: ModuleId,
    pub(super) name: Name,
    pub(super) slot: SlotIndex,
    /// Slots that were handed out before it was known that they mean this proc.
    pub(super) aliases: Vec<SlotIndex>,
    pub(super) state: ProcState,
    /// The registration that decides the target.
    pub(super) best: Option<Registration>,
    /// The best of the current pass, where an older pass still decides.
    pub(super) candidate: Option<Registration>,
    born: u64,
    /// Its first name, by which the main program may ask, was taken away.
    renamed: bool,
}

impl Registry {
    /// Registers `target` as the code of a proc and returns the proc's permanent address.
    #[inline]
    pub(crate) fn register_proc(
        &mut self,
        dialect: &dyn Dialect,
        symbol: SymbolRef<'_>,
        target: CodeAddress,
    ) -> Result<CodeAddress, Error> {
        let question = Question::RegisterProc { target: target.0 };
        match self.replay(symbol, question) {
            Some(answer) => Ok(CodeAddress(answer)),
            None => self.register_proc_anew(dialect, symbol, target),
        }
    }

    fn register_proc_anew(
        &mut self,
        dialect: &dyn Dialect,
        symbol: SymbolRef<'_>,
        target: CodeAddress,
    ) -> Result<CodeAddress, Error> {
        let question = Question::RegisterProc { target: target.0 };
        let caller = self.caller();
        let module = self.module_id(symbol.module());
        let name = symbol.name();
        let id = match self.find_proc(caller, module, name) {
            Some(id) => self.claim_for(dialect, module, name, id),
            None => match self.claim_by_order(dialect, module, name, SymbolKind::Proc) {
                Some(SymbolId::Proc(id)) => {
                    self.set_proc_name(id, Name::new(name));
                    id
                }
                _ => self.new_proc(module, name)?,
            },
        };
        let slot = self.procs[id.0 as usize].slot;
        let address = self.slot_table()?.address(slot);
        if target.0 != 0 {
            self.apply_registration(id, caller, target);
        }
        dialect.proc_registered(name, address);
        self.record(symbol, module, question, address.0, SymbolId::Proc(id));
        Ok(address)
    }

    /// The permanent address of a proc, which may be registered later.
    #[inline]
    pub(crate) fn get_proc(&mut self, symbol: SymbolRef<'_>) -> Result<CodeAddress, Error> {
        match self.replay(symbol, Question::GetProc) {
            Some(answer) => Ok(CodeAddress(answer)),
            None => self.get_proc_anew(symbol),
        }
    }

    fn get_proc_anew(&mut self, symbol: SymbolRef<'_>) -> Result<CodeAddress, Error> {
        let caller = self.caller();
        let module = self.module_id(symbol.module());
        let id = match self.find_proc(caller, module, symbol.name()) {
            Some(id) => id,
            None => self.new_proc(module, symbol.name())?,
        };
        let slot = self.procs[id.0 as usize].slot;
        let address = self.slot_table()?.address(slot);
        self.record(
            symbol,
            module,
            Question::GetProc,
            address.0,
            SymbolId::Proc(id),
        );
        Ok(address)
    }

    pub(super) fn apply_registration(&mut self, id: ProcId, caller: Caller, target: CodeAddress) {
        let new = Registration {
            target,
            by: caller.module,
            loaded: caller.loaded,
            pass: self.generation,
            phase: caller.phase,
        };
        let proc = &mut self.procs[id.0 as usize];
        // Several modules may carry a copy of the same inline proc, and all of them register it at
        // every reload: the copy in the newest image counts, whatever the order.
        let decides = match &proc.best {
            None => true,
            Some(best) => {
                caller.phase == Phase::Outside || best.by == new.by || new.loaded >= best.loaded
            }
        };
        if decides {
            self.decide(id, new);
        } else if proc
            .candidate
            .is_none_or(|other| other.pass != new.pass || new.loaded >= other.loaded)
        {
            proc.candidate = Some(new);
        }
    }

    /// A registration that a module repeated without being looked at, as the proc's best.
    pub(super) fn decide_for_repeated(&mut self, id: ProcId, by: ModuleId, target: usize) {
        let registration = Registration {
            target: CodeAddress(target),
            by: Some(by),
            loaded: self.module(by).loaded,
            pass: self.generation,
            phase: Phase::DatInit,
        };
        self.decide(id, registration);
    }

    /// The target of a registration becomes the proc's.
    pub(super) fn decide(&mut self, id: ProcId, registration: Registration) {
        let n = id.0 as usize;
        let before = self.procs[n].best.replace(registration);
        if let Some(by) = registration.by
            && before.is_none_or(|before| before.by != Some(by))
        {
            self.modules[by.0 as usize]
                .registered
                .push(SymbolId::Proc(id));
        }
        self.procs[n].state = ProcState::Live;
        if self.targets[n] != Some(registration.target) {
            self.lead(id, Some(registration.target));
        }
    }

    /// Points the proc's slots to `target`, or to the stub that reports that the proc is gone.
    pub(super) fn lead(&mut self, id: ProcId, target: Option<CodeAddress>) {
        self.targets[id.0 as usize] = target;
        let Some(slots) = &self.slots else { return };
        let proc = &self.procs[id.0 as usize];
        for slot in std::iter::once(proc.slot).chain(proc.aliases.iter().copied()) {
            match target {
                Some(target) => slots.publish(slot, target),
                None => slots.retire(slot, self.generation),
            }
        }
    }

    pub(super) fn find_proc(
        &self,
        caller: Caller,
        module: ModuleId,
        name: &[u8],
    ) -> Option<ProcId> {
        if self.sees_as_root(caller)
            && let Some(SymbolId::Proc(id)) = self.root_view.get(&(module, Name::new(name)))
        {
            return Some(*id);
        }
        self.listed_proc(module, name)
    }

    /// The proc that the newest images mean by this name.
    pub(super) fn listed_proc(&self, module: ModuleId, name: &[u8]) -> Option<ProcId> {
        let hash = self.hash(name);
        let table = &self.modules[module.0 as usize].procs;
        table
            .find(hash, |id| *self.procs[id.0 as usize].name == *name)
            .copied()
    }

    pub(super) fn new_proc(&mut self, module: ModuleId, name: &[u8]) -> Result<ProcId, Error> {
        let name = Name::new(name);
        let owner = self.modules[module.0 as usize].name.clone();
        let mb = self.settings.slot_table_mb;
        let slots = self.slot_table()?;
        let slot = slots.allocate(&owner, &name).map_err(|error| match error {
            SlotError::Full => Error::SlotsFull {
                slots: slots.capacity(),
                mb,
                proc: name.clone(),
                module: owner,
            },
            SlotError::Memory(error) => Error::SlotMemory(error.to_string()),
        })?;
        let id = ProcId(self.procs.len() as u32);
        self.procs.push(Proc {
            module,
            name: name.clone(),
            slot,
            aliases: Vec::new(),
            state: ProcState::Pending,
            best: None,
            candidate: None,
            born: self.generation,
            renamed: false,
        });
        self.targets.push(None);
        self.insert_proc(module, id);
        Ok(id)
    }

    pub(super) fn insert_proc(&mut self, module: ModuleId, id: ProcId) {
        let (hasher, procs) = (&self.hasher, &self.procs);
        let hash_of =
            |id: &ProcId| std::hash::BuildHasher::hash_one(hasher, &*procs[id.0 as usize].name);
        self.modules[module.0 as usize]
            .procs
            .insert_unique(hash_of(&id), id, hash_of);
    }

    /// Takes a proc out of its module's table, if it is there under its name.
    pub(super) fn unlist_proc(&mut self, id: ProcId) {
        let (module, name) = {
            let proc = &self.procs[id.0 as usize];
            (proc.module, proc.name.clone())
        };
        let hash = self.hash(&name);
        if let Ok(entry) = self.modules[module.0 as usize]
            .procs
            .find_entry(hash, |other| *other == id)
        {
            entry.remove();
        }
        let owner = &mut self.modules[module.0 as usize];
        owner.parked.retain(|other| *other != id);
        owner.names += 1;
        let proc = &mut self.procs[id.0 as usize];
        if proc.born == 0 && !std::mem::replace(&mut proc.renamed, true) {
            self.root_view
                .entry((module, name))
                .or_insert(SymbolId::Proc(id));
        }
    }

    pub(super) fn set_proc_name(&mut self, id: ProcId, name: Name) {
        self.unlist_proc(id);
        let module = self.procs[id.0 as usize].module;
        if let Some(slots) = &self.slots {
            slots.rename(self.procs[id.0 as usize].slot, &name);
        }
        self.procs[id.0 as usize].name = name;
        self.insert_proc(module, id);
    }

    /// A name of a module without symbols was asked for before it was registered: the slot that was
    /// handed out becomes one more of the proc that the name turns out to mean.
    fn claim_for(
        &mut self,
        dialect: &dyn Dialect,
        module: ModuleId,
        name: &[u8],
        listed: ProcId,
    ) -> ProcId {
        if self.procs[listed.0 as usize].state != ProcState::Pending {
            return listed;
        }
        let Some(SymbolId::Proc(id)) = self.claim_by_order(dialect, module, name, SymbolKind::Proc)
        else {
            return listed;
        };
        self.unlist_proc(listed);
        let mut slots = std::mem::take(&mut self.procs[listed.0 as usize].aliases);
        slots.push(self.procs[listed.0 as usize].slot);
        self.procs[id.0 as usize].aliases.append(&mut slots);
        self.set_proc_name(id, Name::new(name));
        id
    }

    pub(super) fn claim_by_order(
        &mut self,
        dialect: &dyn Dialect,
        module: ModuleId,
        name: &[u8],
        kind: SymbolKind,
    ) -> Option<SymbolId> {
        let pool = self.modules[module.0 as usize].by_order.as_mut()?;
        pool.get_mut(&dialect.identity(name, kind))?.pop_front()
    }

    /// The slot table, reserved when the first proc needs it.
    pub(crate) fn slot_table(&mut self) -> Result<&mut SlotTable, Error> {
        match &mut self.slots {
            Some(slots) => Ok(slots),
            empty => {
                // A limit on address space (`ulimit -v`) may allow a smaller table.
                let mut mb = self.settings.slot_table_mb;
                let table = loop {
                    match SlotTable::new(mb << 20) {
                        Ok(table) => break table,
                        Err(_) if mb > 1 => mb /= 2,
                        Err(error) => {
                            return Err(Error::SlotMemory(format!(
                                "cannot reserve {mb} MB of addresses: {error}"
                            )));
                        }
                    }
                };
                if mb < self.settings.slot_table_mb {
                    tracing::warn!(mb, "less room for slots than wanted");
                    self.settings.slot_table_mb = mb;
                }
                Ok(empty.insert(table))
            }
        }
    }
}
