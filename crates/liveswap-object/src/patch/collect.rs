//! Collects what an image needs: the functions that changed, and from there on everything that they
//! refer to and the process does not have yet.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_protocol::patch::Import;

use crate::elf::{Rela, Section};
use crate::patch::changes::{Changes, Fate, Refusal, Source};
use crate::patch::fields;
use crate::patch::goals::{Goal, NewSlot, NewThreadLocal, Part, Piece, PieceIndex, Reference};
use crate::patch::statics::StaticChanges;
use crate::patch::unwind;
use crate::program::{FunctionKey, Program};
use crate::reference::{Meaning, ThreadLocal, meaning};

/// Which of a function's slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SlotKind {
    Public,
    Internal,
    Address,
}

pub(crate) struct Builder<'b, 's> {
    pub program: &'b Program,
    pub sources: &'b [Source<'s>],
    pub changes: Changes,
    pub pieces: Vec<Piece>,
    pub by_section: HashMap<(usize, Section), PieceIndex>,
    pub slots: Vec<NewSlot>,
    pub new_slots: HashMap<(FunctionKey, SlotKind), usize>,
    pub imports: Vec<Import>,
    /// Numbers of the imports, by name.
    pub import_numbers: HashMap<String, u32>,
    /// Symbols that functions and statics had before, with those that they have now.
    pub renamed_from: HashMap<Arc<str>, Arc<str>>,
    pub missing: HashSet<String>,
    pub new_statics: HashMap<Arc<str>, (usize, Section)>,
    pub member_symbols: HashMap<&'b str, (usize, usize)>,
    pub thread_locals: Vec<NewThreadLocal>,
    pub thread_local_of: HashMap<(usize, Section), u64>,
    pub tls_used: u64,
    work: Vec<PieceIndex>,
}

impl<'b, 's> Builder<'b, 's> {
    pub fn new(
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
        let renamed = changes.renamed.iter();
        let renamed_from = renamed
            .map(|(now, before)| (Arc::clone(before), Arc::clone(now)))
            .collect();
        Builder {
            program,
            sources,
            changes,
            renamed_from,
            pieces: Vec::new(),
            by_section: HashMap::new(),
            slots: Vec::new(),
            new_slots: HashMap::new(),
            imports: Vec::new(),
            import_numbers: HashMap::new(),
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

    pub fn collect(&mut self, statics: &StaticChanges) -> Result<(), Refusal> {
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
    pub fn piece(&mut self, source: usize, section: Section) -> Result<PieceIndex, Refusal> {
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
    pub fn thread_local(&mut self, source: usize, section: Section) -> Result<u64, Refusal> {
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
}
