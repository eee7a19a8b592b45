//! Fills in what the pieces of an image refer to. What depends on addresses of the process becomes a
//! relocation of the patch; distances within the image are computed here.

use std::collections::BTreeMap;

use liveswap_protocol::patch::{Place, Relocation, RelocationKind, ThreadLocal as NewBytes};
use object::elf;

use crate::Error;
use crate::elf::Rela;
use crate::patch::changes::Refusal;
use crate::patch::collect::Builder;
use crate::patch::goals::{Goal, Reference};
use crate::patch::stub;
use crate::reference::{Meaning, ThreadLocal};

/// Key of a word that holds an address or an offset: it sorts, so that equal inputs give equal images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WordKey {
    Piece(usize, u64),
    Fixed(Place),
    Slot(usize),
    Import(u32),
    Absolute(u64),
    ThreadOffset(u64),
}

fn word_key(goal: Goal) -> Option<WordKey> {
    Some(match goal {
        Goal::Piece(piece, offset) => WordKey::Piece(piece, offset),
        Goal::Fixed(place) => WordKey::Fixed(place),
        Goal::Slot(slot) => WordKey::Slot(slot),
        Goal::Import(import) => WordKey::Import(import),
        Goal::Absolute(value) => WordKey::Absolute(value),
        Goal::Thread(offset) => WordKey::ThreadOffset(offset),
        Goal::Dropped => return None,
    })
}

/// Words and stubs that an image needs, with their offsets.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub words: BTreeMap<WordKey, u64>,
    /// By number of the import.
    pub stubs: BTreeMap<u32, u64>,
}

impl Words {
    pub fn needed_by(builder: &Builder<'_, '_>) -> Words {
        let mut needed = Words::default();
        for reference in builder.pieces.iter().flat_map(|piece| &piece.references) {
            match reference.meaning {
                Meaning::AddressWord
                | Meaning::AddressWordPage21
                | Meaning::AddressWordLow12
                | Meaning::ThreadLocal(ThreadLocal::OffsetWord) => {
                    if let Some(key) = word_key(reference.goal) {
                        needed.words.insert(key, 0);
                    }
                }
                Meaning::Call => {
                    if let Goal::Import(import) = reference.goal {
                        needed.stubs.insert(import, 0);
                        needed.words.insert(WordKey::Import(import), 0);
                    }
                }
                _ => {}
            }
        }
        needed
    }
}

/// Offset of the operand of the call that follows a dynamic thread-local reference.
pub(crate) fn tls_call_field(code: &[u8], rela: &Rela, how: ThreadLocal) -> Result<u64, Refusal> {
    let at = |offset: u64| -> &[u8] {
        usize::try_from(rela.offset + offset)
            .ok()
            .and_then(|start| code.get(start..))
            .unwrap_or_default()
    };
    let after = match how {
        ThreadLocal::GeneralDynamic => {
            let call = at(4);
            if call.starts_with(&[0x66, 0x66, 0x48, 0xe8])
                || call.starts_with(&[0x66, 0x48, 0xff, 0x15])
            {
                Some(8)
            } else {
                None
            }
        }
        _ => match at(4) {
            [0xe8, ..] => Some(5),
            [0xff, 0x15, ..] => Some(6),
            _ => None,
        },
    };
    after
        .map(|after| rela.offset + after)
        .ok_or_else(|| unknown_sequence(rela))
}

fn unknown_sequence(rela: &Rela) -> Refusal {
    Refusal::NotUnderstood(format!(
        "a thread-local is reached by an unknown sequence of instructions (relocation {})",
        rela.kind.0
    ))
}

/// Where a reference leads to, once the image is laid out.
#[derive(Clone, Copy)]
enum Address {
    Own(u64),
    Other(Place),
    Value(u64),
}

pub(crate) struct Filler<'f, 'b, 's> {
    builder: &'f Builder<'b, 's>,
    words: &'f Words,
    base: u64,
    data_offset: u64,
    code: Vec<u8>,
    data: Vec<u8>,
    relocations: Vec<Relocation>,
}

impl<'f, 'b, 's> Filler<'f, 'b, 's> {
    pub fn new(
        builder: &'f Builder<'b, 's>,
        words: &'f Words,
        base: u64,
        code_len: u64,
        data_offset: u64,
        data_len: u64,
    ) -> Filler<'f, 'b, 's> {
        Filler {
            builder,
            words,
            base,
            data_offset,
            code: vec![0; code_len as usize],
            data: vec![0; data_len as usize],
            relocations: Vec::new(),
        }
    }

    pub fn done(self) -> (Vec<u8>, Vec<u8>, Vec<Relocation>) {
        (self.code, self.data, self.relocations)
    }

    fn machine(&self) -> elf::Machine {
        self.builder.program.executable.machine
    }

    /// The bytes of the image from `offset` on.
    fn at(&mut self, offset: u64, len: usize) -> Result<&mut [u8], Refusal> {
        let (part, start) = match offset.checked_sub(self.data_offset) {
            Some(start) if !self.data.is_empty() => (&mut self.data, start),
            _ => (&mut self.code, offset),
        };
        let start = start as usize;
        part.get_mut(start..start + len)
            .ok_or_else(|| Refusal::from(Error::Malformed("a field outside of its section".into())))
    }

    pub fn pieces(&mut self) -> Result<(), Refusal> {
        for piece in &self.builder.pieces {
            self.at(piece.offset, piece.bytes.len())?
                .copy_from_slice(&piece.bytes);
            for reference in &piece.references {
                self.reference(piece.offset, reference)
                    .map_err(|refusal| match refusal {
                        Refusal::NotUnderstood(what) => Refusal::NotUnderstood(format!(
                            "{what} in {}",
                            self.builder.sources[piece.source].object.sections[piece.section].name
                        )),
                        other => other,
                    })?;
            }
        }
        for (key, offset) in &self.words.words {
            let goal = match *key {
                WordKey::Piece(piece, inner) => Goal::Piece(piece, inner),
                WordKey::Fixed(place) => Goal::Fixed(place),
                WordKey::Slot(slot) => Goal::Slot(slot),
                WordKey::Import(import) => Goal::Import(import),
                WordKey::Absolute(value) => Goal::Absolute(value),
                WordKey::ThreadOffset(inner) => {
                    let value = self.thread_offset(inner);
                    self.at(*offset, 8)?.copy_from_slice(&value.to_le_bytes());
                    continue;
                }
            };
            self.address64(*offset, goal, 0)?;
        }
        Ok(())
    }

    /// Writes the slots' code and the jumps to shared libraries.
    pub fn stubs(&mut self) -> Result<(), Refusal> {
        let machine = self.machine();
        let mut stubs: Vec<(u64, u64)> = self
            .builder
            .slots
            .iter()
            .map(|slot| (slot.offset, slot.word))
            .collect();
        for (import, offset) in &self.words.stubs {
            if let Some(word) = self.words.words.get(&WordKey::Import(*import)) {
                stubs.push((*offset, *word));
            }
        }
        for (offset, word) in stubs {
            self.put(offset, &stub::code(machine, offset, word)?)?;
        }
        Ok(())
    }

    /// Writes bytes.
    pub fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), Refusal> {
        self.at(at, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    pub fn thread_locals(&mut self) -> Result<Vec<NewBytes>, Refusal> {
        let mut found = Vec::new();
        for new in &self.builder.thread_locals {
            let mut pointers = Vec::new();
            for reference in &new.references {
                let (Meaning::Address64, target) =
                    (reference.meaning, self.address(reference.goal)?)
                else {
                    return Err(Refusal::NotUnderstood(
                        "a thread-local holds something else than an address".into(),
                    ));
                };
                let place = match target {
                    Address::Own(offset) => Place::Range(self.base + offset),
                    Address::Other(place) => place,
                    Address::Value(_) => continue,
                };
                pointers.push((reference.rela.offset as u32, place, reference.rela.addend));
            }
            found.push(NewBytes {
                offset: new.offset,
                bytes: new.bytes.clone(),
                pointers,
            });
        }
        Ok(found)
    }

    /// The functions that new archive members want to be called.
    pub fn initialisers(&mut self) -> Result<Vec<Place>, Refusal> {
        let mut found = Vec::new();
        for piece in &self.builder.pieces {
            let source = &self.builder.sources[piece.source];
            if source.cgu.is_some()
                || source.object.sections[piece.section].kind != elf::SHT_INIT_ARRAY
            {
                continue;
            }
            for reference in &piece.references {
                match self.address(reference.goal)? {
                    Address::Own(offset) => found.push(Place::Range(
                        (self.base + offset).wrapping_add_signed(reference.rela.addend),
                    )),
                    Address::Other(place) => found.push(place),
                    Address::Value(_) => {}
                }
            }
        }
        Ok(found)
    }

    fn address(&self, goal: Goal) -> Result<Address, Refusal> {
        Ok(match goal {
            Goal::Piece(piece, offset) => Address::Own(self.builder.pieces[piece].offset + offset),
            Goal::Slot(slot) => Address::Own(self.builder.slots[slot].offset),
            Goal::Fixed(place) => Address::Other(place),
            Goal::Import(import) => Address::Other(Place::Import(import)),
            Goal::Absolute(value) => Address::Value(value),
            Goal::Thread(_) | Goal::Dropped => {
                return Err(Refusal::NotUnderstood(
                    "the address of a thread-local".into(),
                ));
            }
        })
    }

    fn reference(&mut self, piece: u64, reference: &Reference) -> Result<(), Refusal> {
        let Reference {
            rela,
            meaning,
            goal,
        } = *reference;
        if goal == Goal::Dropped {
            return match meaning {
                Meaning::ThreadLocal(_) => {
                    Err(Refusal::Missing("a thread-local of a library".into()))
                }
                _ => Ok(()),
            };
        }
        let at = piece + rela.offset;
        match meaning {
            Meaning::Nothing => Ok(()),
            Meaning::Address64 => self.address64(at, goal, rela.addend),
            Meaning::Address32 => self.other(at, RelocationKind::Abs32, goal, rela.addend),
            Meaning::Address32Signed => {
                self.other(at, RelocationKind::Abs32Signed, goal, rela.addend)
            }
            Meaning::Distance64 => self.other(at, RelocationKind::Pc64, goal, rela.addend),
            Meaning::Distance32 => self.distance32(at, goal, rela.addend),
            Meaning::Call => {
                let goal_or_stub = match goal {
                    Goal::Import(import) => self.words.stubs.get(&import).copied(),
                    _ => None,
                };
                if self.machine() == elf::EM_AARCH64 {
                    return match goal_or_stub {
                        Some(stub) => {
                            self.relocate(
                                at,
                                RelocationKind::Aarch64Call26,
                                Place::Range(self.base + stub),
                                rela.addend,
                            );
                            Ok(())
                        }
                        None => self.other(at, RelocationKind::Aarch64Call26, goal, rela.addend),
                    };
                }
                match goal_or_stub {
                    Some(stub) => self.own_distance32(at, stub, rela.addend),
                    None => self.distance32(at, goal, rela.addend),
                }
            }
            Meaning::AddressWord => {
                let word = self.word(goal)?;
                self.own_distance32(at, word, rela.addend)
            }
            Meaning::Page21 => self.other(at, RelocationKind::Aarch64AdrpPage21, goal, rela.addend),
            Meaning::Low12 => self.other(at, RelocationKind::Aarch64AddLow12, goal, rela.addend),
            Meaning::ScaledLow12(scale) => self.other(
                at,
                RelocationKind::Aarch64LoadStoreLow12(scale),
                goal,
                rela.addend,
            ),
            Meaning::AddressWordPage21 | Meaning::AddressWordLow12 => {
                let word = self.word(goal)?;
                let kind = if meaning == Meaning::AddressWordPage21 {
                    RelocationKind::Aarch64AdrpPage21
                } else {
                    RelocationKind::Aarch64LoadStoreLow12(3)
                };
                self.relocate(at, kind, Place::Range(self.base + word), rela.addend);
                Ok(())
            }
            Meaning::ThreadLocal(how) => self.thread_local(at, how, goal, &rela),
        }
    }

    fn word(&self, goal: Goal) -> Result<u64, Refusal> {
        word_key(goal)
            .and_then(|key| self.words.words.get(&key).copied())
            .ok_or_else(|| Refusal::NotUnderstood("an address without a word".into()))
    }

    fn relocate(&mut self, at: u64, kind: RelocationKind, target: Place, addend: i64) {
        self.relocations.push(Relocation {
            at: at as u32,
            kind,
            target,
            addend,
        });
    }

    fn address64(&mut self, at: u64, goal: Goal, addend: i64) -> Result<(), Refusal> {
        match self.address(goal)? {
            Address::Value(value) => {
                let value = value.wrapping_add_signed(addend);
                self.at(at, 8)?.copy_from_slice(&value.to_le_bytes());
                Ok(())
            }
            _ => self.other(at, RelocationKind::Abs64, goal, addend),
        }
    }

    /// A field that the agent computes.
    fn other(
        &mut self,
        at: u64,
        kind: RelocationKind,
        goal: Goal,
        addend: i64,
    ) -> Result<(), Refusal> {
        let target = match self.address(goal)? {
            Address::Own(offset) => Place::Range(self.base + offset),
            Address::Other(place) => place,
            Address::Value(_) => {
                return Err(Refusal::NotUnderstood("an absolute symbol".into()));
            }
        };
        self.relocate(at, kind, target, addend);
        Ok(())
    }

    fn distance32(&mut self, at: u64, goal: Goal, addend: i64) -> Result<(), Refusal> {
        match self.address(goal)? {
            Address::Own(offset) => self.own_distance32(at, offset, addend),
            _ => self.other(at, RelocationKind::Pc32, goal, addend),
        }
    }

    fn own_distance32(&mut self, at: u64, target: u64, addend: i64) -> Result<(), Refusal> {
        let distance = i32::try_from(i128::from(target) + i128::from(addend) - i128::from(at))
            .map_err(|_| Refusal::NotUnderstood("an image of more than 2 GiB".into()))?;
        self.at(at, 4)?.copy_from_slice(&distance.to_le_bytes());
        Ok(())
    }

    fn thread_offset(&self, offset: u64) -> i64 {
        let executable = &self.builder.program.executable;
        executable
            .tls
            .from_thread_pointer(executable.machine, offset)
    }

    /// Thread-locals are all in the executable's block, at a fixed distance from the thread pointer:
    /// what asks for an address at run time is rewritten as a linker would (x86-64 psABI, "TLS relaxation").
    fn thread_local(
        &mut self,
        at: u64,
        how: ThreadLocal,
        goal: Goal,
        rela: &Rela,
    ) -> Result<(), Refusal> {
        let Goal::Thread(offset) = goal else {
            return Err(Refusal::NotUnderstood(
                "a thread-local reference to something else".into(),
            ));
        };
        if self.machine() != elf::EM_X86_64 {
            return Err(Refusal::NotUnderstood(
                "thread-locals of this machine".into(),
            ));
        }
        let from_pointer = |filler: &Self, addend: i64| -> Result<i32, Refusal> {
            let from_pointer = i128::from(filler.thread_offset(offset)) + i128::from(addend);
            i32::try_from(from_pointer)
                .map_err(|_| Refusal::NotUnderstood("thread-local storage of 2 GiB".into()))
        };
        match how {
            ThreadLocal::GeneralDynamic => {
                let value = from_pointer(self, rela.addend.saturating_add(4))?;
                let start = at.checked_sub(4).ok_or_else(|| unknown_sequence(rela))?;
                let code = self.at(start, 16)?;
                if !code.starts_with(&[0x66, 0x48, 0x8d, 0x3d]) {
                    return Err(unknown_sequence(rela));
                }
                // mov %fs:0,%rax; lea value(%rax),%rax
                code.copy_from_slice(&[
                    0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8d, 0x80, 0, 0, 0, 0,
                ]);
                code[12..].copy_from_slice(&value.to_le_bytes());
                Ok(())
            }
            ThreadLocal::LocalDynamic => {
                let start = at.checked_sub(3).ok_or_else(|| unknown_sequence(rela))?;
                let long = self.at(at + 4, 1)?[0] == 0xff;
                let code = self.at(start, if long { 13 } else { 12 })?;
                if !code.starts_with(&[0x48, 0x8d, 0x3d]) {
                    return Err(unknown_sequence(rela));
                }
                // mov %fs:0,%rax with prefixes that fill the room
                let prefixes = code.len() - 9;
                code[..prefixes].fill(0x66);
                code[prefixes..].copy_from_slice(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0]);
                Ok(())
            }
            ThreadLocal::BlockOffset32 | ThreadLocal::Offset32 => {
                let value = from_pointer(self, rela.addend)?;
                self.at(at, 4)?.copy_from_slice(&value.to_le_bytes());
                Ok(())
            }
            ThreadLocal::OffsetWord => {
                let word = self.word(goal)?;
                self.own_distance32(at, word, rela.addend)
            }
            ThreadLocal::BlockOffset64 | ThreadLocal::Offset64 => {
                let value = self.thread_offset(offset).wrapping_add(rela.addend);
                self.at(at, 8)?.copy_from_slice(&value.to_le_bytes());
                Ok(())
            }
        }
    }
}
