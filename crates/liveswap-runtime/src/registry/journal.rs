//! The journal of a module's `DatInit000`: what it asked for, and what it was answered.
//!
//! The protocol runs `DatInit000` of every module at every reload, and an unchanged image asks the same
//! questions again, with the same string constants. As long as the answers still hold, a question is
//! recognised by the addresses of its strings (in memory that cannot change) and its place in the
//! sequence: no name is read, hashed or compared, and no symbol is touched. This is what keeps a reload
//! cheap in programs with many modules.

use super::{Caller, GlobalId, ModuleId, ProcId, Registry};
use crate::SymbolRef;
use crate::dialect::SymbolId;
use crate::image::ImageId;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    RegisterProc { target: usize },
    GetProc,
    RegisterGlobal { size: isize, marker: usize },
    GetGlobal,
}

#[derive(Debug)]
struct Entry {
    strings: (usize, usize),
    question: Question,
    /// The address that was handed out.
    answer: usize,
    symbol: SymbolId,
}

/// What one image's `DatInit000` did.
#[derive(Debug)]
pub(super) struct Journal {
    image: ImageId,
    entries: Vec<Entry>,
    /// Modules whose symbols were asked for, and the version of their names then.
    owners: Vec<(ModuleId, u32)>,
}

/// What is done with the questions of the `DatInit000` under way.
#[derive(Debug, Default)]
pub(super) enum JournalMode {
    #[default]
    Off,
    Recording(ModuleId, Journal),
    /// The next question should be the journal's entry of this number.
    Replaying(ModuleId, Journal, usize),
}

impl Registry {
    /// `DatInit000` of a module begins.
    pub(crate) fn begin_dat_init(&mut self, id: ModuleId) {
        self.end_dat_init();
        let module = self.module(id);
        let Some(image) = &module.image else { return };
        let holds = module.journal.as_ref().is_some_and(|journal| {
            journal.image == image.id
                && journal
                    .owners
                    .iter()
                    .all(|(owner, names)| self.module(*owner).names == *names)
        });
        let fresh = Journal {
            image: image.id,
            entries: Vec::new(),
            owners: Vec::new(),
        };
        let known = self.module_mut(id).journal.take();
        self.journal_mode = match known.filter(|_| holds) {
            Some(journal) => JournalMode::Replaying(id, journal, 0),
            None => JournalMode::Recording(id, fresh),
        };
    }

    /// Whichever `DatInit000` was under way has returned.
    pub(crate) fn end_dat_init(&mut self) {
        match std::mem::take(&mut self.journal_mode) {
            JournalMode::Off => {}
            JournalMode::Recording(id, journal) => self.module_mut(id).journal = Some(journal),
            JournalMode::Replaying(id, journal, at) => {
                if journal.entries.len() == at {
                    let generation = self.generation;
                    let module = self.module_mut(id);
                    module.journal = Some(journal);
                    module.replayed = Some(generation);
                } else {
                    self.leave_replay(id, &journal, at);
                }
            }
        }
    }

    /// The answer to a question that was asked at this place before.
    #[inline]
    pub(super) fn replay(&mut self, symbol: SymbolRef<'_>, question: Question) -> Option<usize> {
        let JournalMode::Replaying(_, journal, at) = &mut self.journal_mode else {
            return None;
        };
        if !self
            .context
            .is_some_and(|context| context.is_of_this_thread())
        {
            return None;
        }
        match journal.entries.get(*at) {
            Some(entry) if entry.strings == symbol.addresses() && entry.question == question => {
                *at += 1;
                Some(entry.answer)
            }
            _ => {
                self.break_replay();
                None
            }
        }
    }

    #[cold]
    fn break_replay(&mut self) {
        if let JournalMode::Replaying(id, journal, at) = std::mem::take(&mut self.journal_mode) {
            self.leave_replay(id, &journal, at);
        }
    }

    /// Notes an answer, if a journal is being written and the question will be recognisable.
    pub(super) fn record(
        &mut self,
        symbol: SymbolRef<'_>,
        owner: ModuleId,
        question: Question,
        answer: usize,
        id: SymbolId,
    ) {
        let of_this_thread = self
            .context
            .is_some_and(|context| context.is_of_this_thread());
        let JournalMode::Recording(module, _) = &self.journal_mode else {
            return;
        };
        if !of_this_thread {
            return;
        }
        let strings = symbol.addresses();
        let image = self.module(*module).image.as_ref();
        let constant =
            image.is_some_and(|image| image.is_constant(strings.0) && image.is_constant(strings.1));
        let names = self.module(owner).names;
        match &mut self.journal_mode {
            JournalMode::Recording(_, journal) if constant => {
                journal.entries.push(Entry {
                    strings,
                    question,
                    answer,
                    symbol: id,
                });
                if let Err(at) = journal
                    .owners
                    .binary_search_by_key(&owner, |(owner, _)| *owner)
                {
                    journal.owners.insert(at, (owner, names));
                }
            }
            // Strings that may change tell nothing: this module's questions are always answered anew.
            mode => *mode = JournalMode::Off,
        }
    }

    /// Another question than last time: what was asked so far counts as asked, the rest is answered
    /// anew, and the journal is of no use any more.
    fn leave_replay(&mut self, id: ModuleId, journal: &Journal, asked: usize) {
        let caller = self.caller_for(id);
        for entry in &journal.entries[..asked.min(journal.entries.len())] {
            match (entry.question, entry.symbol) {
                (Question::RegisterProc { target }, SymbolId::Proc(proc)) => {
                    self.apply_registration(proc, caller, crate::CodeAddress(target));
                }
                (Question::RegisterGlobal { .. }, SymbolId::Global(global)) => {
                    self.repeat_registration(global, caller);
                }
                _ => {}
            }
        }
    }

    fn repeat_registration(&mut self, id: GlobalId, caller: Caller) {
        let generation = self.generation;
        if let Some(global) = self.globals[id.0 as usize].as_mut() {
            for one in global
                .registrations
                .iter_mut()
                .filter(|one| one.by == caller.module)
            {
                one.pass = generation;
            }
        }
    }

    /// The registrations of procs that unchanged images repeated in this generation, as (proc,
    /// module, target), in the order in which they were repeated.
    pub(super) fn repeated_registrations(&self) -> impl Iterator<Item = (ProcId, ModuleId, usize)> {
        let replayed = (0u32..)
            .zip(&self.modules)
            .filter(|(_, module)| module.replayed == Some(self.generation));
        replayed.flat_map(|(n, module)| {
            let entries = module.journal.iter().flat_map(|journal| &journal.entries);
            entries.filter_map(move |entry| match (entry.question, entry.symbol) {
                (Question::RegisterProc { target }, SymbolId::Proc(proc)) => {
                    Some((proc, ModuleId(n), target))
                }
                _ => None,
            })
        })
    }
}
