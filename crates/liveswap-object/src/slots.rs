//! The object that the link stage adds to an executable: all its slots, the room for thread-locals that
//! later patches add, and the call that starts the agent.
//!
//! A slot is a jump through a word. The words are writable data, the slots are code that never changes.

use std::collections::HashMap;

use liveswap_protocol::start::{DESCRIPTOR_VERSION, Descriptor, START_SYMBOL, TLS_ROOM};
use object::elf;
use object::write::{
    Object, Relocation, SectionId, StandardSegment, Symbol, SymbolId, SymbolSection,
};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionFlags, SectionKind,
    SymbolFlags, SymbolKind, SymbolScope,
};

use crate::Error;
use crate::rewrite::SlotName;

/// Symbol of the room for thread-locals, [`TLS_ROOM`] bytes.
pub const TLS_ROOM_SYMBOL: &str = "__liveswap_tls_room";
/// Symbol of the [`Descriptor`].
pub const DESCRIPTOR_SYMBOL: &str = "__liveswap_descriptor";
/// Symbol of the first slot word; slot n's word is the n-th from it.
pub const WORDS_SYMBOL: &str = "__liveswap_words";
/// Symbol of the first slot.
pub const SLOTS_SYMBOL: &str = "__liveswap_slots";

/// Code of a machine that refers to its operands by relocations: bytes and (offset, kind, operand, addend).
struct Template {
    code: &'static [u8],
    fields: &'static [(u64, elf::RelocationType, Operand, i64)],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    Word,
    Descriptor,
    Start,
}

struct Machine {
    architecture: Architecture,
    /// Jumps through a word.
    slot: Template,
    /// Calls the agent with the descriptor; as a tail call, so that it returns to who called it.
    start: Template,
    address: elf::RelocationType,
}

const X86_64: Machine = Machine {
    architecture: Architecture::X86_64,
    slot: Template {
        // jmp *word(%rip); xchg %ax,%ax
        code: &[0xff, 0x25, 0, 0, 0, 0, 0x66, 0x90],
        fields: &[(2, elf::R_X86_64_PC32, Operand::Word, -4)],
    },
    start: Template {
        // lea descriptor(%rip),%rdi; jmp *liveswap_start@GOTPCREL(%rip)
        code: &[0x48, 0x8d, 0x3d, 0, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0],
        fields: &[
            (3, elf::R_X86_64_PC32, Operand::Descriptor, -4),
            (9, elf::R_X86_64_GOTPCREL, Operand::Start, -4),
        ],
    },
    address: elf::R_X86_64_64,
};

const AARCH64: Machine = Machine {
    architecture: Architecture::Aarch64,
    slot: Template {
        // adrp x16, word; ldr x16, [x16, :lo12:word]; br x16; nop
        code: &[
            0x10, 0, 0, 0x90, 0x10, 0x02, 0x40, 0xf9, 0, 0x02, 0x1f, 0xd6, 0x1f, 0x20, 0x03, 0xd5,
        ],
        fields: &[
            (0, elf::R_AARCH64_ADR_PREL_PG_HI21, Operand::Word, 0),
            (4, elf::R_AARCH64_LDST64_ABS_LO12_NC, Operand::Word, 0),
        ],
    },
    start: Template {
        // adrp x0, descriptor; add x0, x0, :lo12:descriptor; b liveswap_start
        code: &[0, 0, 0, 0x90, 0, 0, 0, 0x91, 0, 0, 0, 0x14],
        fields: &[
            (0, elf::R_AARCH64_ADR_PREL_PG_HI21, Operand::Descriptor, 0),
            (4, elf::R_AARCH64_ADD_ABS_LO12_NC, Operand::Descriptor, 0),
            (8, elf::R_AARCH64_JUMP26, Operand::Start, 0),
        ],
    },
    address: elf::R_AARCH64_ABS64,
};

/// Makes the object with these slots for `machine` (`EM_X86_64`, `EM_AARCH64`).
///
/// A slot that is named twice is made once, for the body that is named first.
///
/// # Errors
/// For another machine, or if the object would be too large for its format.
pub fn object(machine: elf::Machine, slots: &[SlotName]) -> Result<Vec<u8>, Error> {
    let machine = match machine {
        elf::EM_X86_64 => &X86_64,
        elf::EM_AARCH64 => &AARCH64,
        other => {
            return Err(Error::Malformed(format!(
                "machine {other} is not supported"
            )));
        }
    };
    let mut maker = Maker::new(machine);
    maker.slots(slots)?;
    maker.tls_room();
    maker.descriptor()?;
    maker
        .object
        .write()
        .map_err(|error| Error::Malformed(error.to_string()))
}

struct Maker<'a> {
    machine: &'a Machine,
    object: Object<'static>,
    code: SectionId,
    words: SectionId,
    words_symbol: SymbolId,
    slots_symbol: SymbolId,
}

impl<'a> Maker<'a> {
    fn new(machine: &'a Machine) -> Maker<'a> {
        let mut object = Object::new(BinaryFormat::Elf, machine.architecture, Endianness::Little);
        let section = |object: &mut Object<'static>,
                       name: &str,
                       kind: SectionKind,
                       flags: elf::SectionFlags,
                       sh: elf::SectionType| {
            let id = object.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
            object.section_mut(id).flags = SectionFlags::Elf {
                sh_type: sh,
                sh_flags: flags,
            };
            id
        };
        let code = section(
            &mut object,
            ".text.liveswap_slots",
            SectionKind::Text,
            elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            elf::SHT_PROGBITS,
        );
        let words = section(
            &mut object,
            ".data.liveswap_words",
            SectionKind::Data,
            elf::SHF_ALLOC | elf::SHF_WRITE,
            elf::SHT_PROGBITS,
        );
        section(
            &mut object,
            ".note.GNU-stack",
            SectionKind::Other,
            elf::SectionFlags(0),
            elf::SHT_PROGBITS,
        );
        let words_symbol = hidden(&mut object, WORDS_SYMBOL, words, 0, 0, SymbolKind::Data);
        let slots_symbol = hidden(&mut object, SLOTS_SYMBOL, code, 0, 0, SymbolKind::Data);
        Maker {
            machine,
            object,
            code,
            words,
            words_symbol,
            slots_symbol,
        }
    }

    fn slots(&mut self, slots: &[SlotName]) -> Result<(), Error> {
        let mut bodies: HashMap<&str, SymbolId> = HashMap::new();
        let mut made: HashMap<&str, ()> = HashMap::new();
        for slot in slots {
            if made.insert(&slot.name, ()).is_some() {
                continue;
            }
            let body = *bodies
                .entry(&slot.body)
                .or_insert_with(|| undefined(&mut self.object, &slot.body));
            let word = self.object.append_section_data(self.words, &[0; 8], 8);
            relocate(
                &mut self.object,
                self.words,
                word,
                self.machine.address,
                body,
                0,
            )?;
            let at = self.emit(&self.machine.slot, |operand, maker| match operand {
                Operand::Word => (maker.words_symbol, word as i64),
                Operand::Descriptor | Operand::Start => (maker.slots_symbol, 0),
            })?;
            let size = self.machine.slot.code.len() as u64;
            let symbol = self.object.add_symbol(Symbol {
                name: slot.name.as_bytes().to_vec(),
                value: at,
                size,
                kind: SymbolKind::Text,
                scope: SymbolScope::Dynamic,
                weak: false,
                section: SymbolSection::Section(self.code),
                flags: SymbolFlags::None,
            });
            self.object.symbol_mut(symbol).flags = SymbolFlags::Elf {
                st_info: elf::STB_GLOBAL | elf::STT_FUNC,
                st_other: elf::SymbolOther(slot.visibility.0),
            };
        }
        Ok(())
    }

    /// Appends a template's code; returns where it begins.
    fn emit(
        &mut self,
        template: &Template,
        operand: impl Fn(Operand, &mut Self) -> (SymbolId, i64),
    ) -> Result<u64, Error> {
        let at = self.object.append_section_data(self.code, template.code, 8);
        for (offset, kind, what, addend) in template.fields {
            let (symbol, distance) = operand(*what, self);
            relocate(
                &mut self.object,
                self.code,
                at + offset,
                *kind,
                symbol,
                addend + distance,
            )?;
        }
        Ok(at)
    }

    fn tls_room(&mut self) {
        let id = self.object.add_section(
            Vec::new(),
            b".tdata.liveswap_room".to_vec(),
            SectionKind::Tls,
        );
        self.object
            .append_section_data(id, &vec![0; TLS_ROOM as usize], 64);
        hidden(
            &mut self.object,
            TLS_ROOM_SYMBOL,
            id,
            0,
            TLS_ROOM,
            SymbolKind::Tls,
        );
    }

    fn descriptor(&mut self) -> Result<(), Error> {
        let section = self.object.add_section(
            Vec::new(),
            b".data.rel.ro.liveswap_descriptor".to_vec(),
            SectionKind::ReadOnlyDataWithRel,
        );
        let words_len = self.object.section_mut(self.words).data().len() as i64;
        let slots_len = self.object.section_mut(self.code).data().len() as i64;
        let size = size_of::<Descriptor>();
        let mut bytes = DESCRIPTOR_VERSION.to_le_bytes().to_vec();
        bytes.resize(size, 0);
        self.object.append_section_data(section, &bytes, 8);
        let header = undefined(&mut self.object, "__ehdr_start");
        for (field, symbol, addend) in [
            (8, header, 0),
            (16, self.words_symbol, 0),
            (24, self.words_symbol, words_len),
            (32, self.slots_symbol, 0),
            (40, self.slots_symbol, slots_len),
        ] {
            relocate(
                &mut self.object,
                section,
                field,
                self.machine.address,
                symbol,
                addend,
            )?;
        }
        // Their sizes tell which addresses are slots.
        self.object.symbol_mut(self.words_symbol).size = words_len as u64;
        self.object.symbol_mut(self.slots_symbol).size = slots_len as u64;
        let descriptor = hidden(
            &mut self.object,
            DESCRIPTOR_SYMBOL,
            section,
            0,
            size as u64,
            SymbolKind::Data,
        );
        let start = undefined(&mut self.object, START_SYMBOL);
        let at = self.emit(&self.machine.start, |operand, maker| match operand {
            Operand::Descriptor => (descriptor, 0),
            Operand::Start => (start, 0),
            Operand::Word => (maker.words_symbol, 0),
        })?;
        let call = hidden(
            &mut self.object,
            "__liveswap_start_call",
            self.code,
            at,
            self.machine.start.code.len() as u64,
            SymbolKind::Text,
        );
        let segment = self.object.segment_name(StandardSegment::Data).to_vec();
        let array = self
            .object
            .add_section(segment, b".init_array".to_vec(), SectionKind::Other);
        self.object.section_mut(array).flags = SectionFlags::Elf {
            sh_type: elf::SHT_INIT_ARRAY,
            sh_flags: elf::SHF_ALLOC | elf::SHF_WRITE,
        };
        self.object.append_section_data(array, &[0; 8], 8);
        relocate(&mut self.object, array, 0, self.machine.address, call, 0)
    }
}

fn hidden(
    object: &mut Object<'static>,
    name: &str,
    section: SectionId,
    value: u64,
    size: u64,
    kind: SymbolKind,
) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value,
        size,
        kind,
        scope: SymbolScope::Linkage,
        weak: false,
        section: SymbolSection::Section(section),
        flags: SymbolFlags::None,
    })
}

fn undefined(object: &mut Object<'static>, name: &str) -> SymbolId {
    object.add_symbol(Symbol {
        name: name.as_bytes().to_vec(),
        value: 0,
        size: 0,
        kind: SymbolKind::Unknown,
        scope: SymbolScope::Unknown,
        weak: false,
        section: SymbolSection::Undefined,
        flags: SymbolFlags::None,
    })
}

fn relocate(
    object: &mut Object<'static>,
    section: SectionId,
    offset: u64,
    kind: elf::RelocationType,
    symbol: SymbolId,
    addend: i64,
) -> Result<(), Error> {
    object
        .add_relocation(
            section,
            Relocation {
                offset,
                symbol,
                addend,
                flags: RelocationFlags::Elf { r_type: kind },
            },
        )
        .map_err(|error| Error::Malformed(error.to_string()))
}

/// Size in bytes of a slot.
pub fn slot_size(machine: elf::Machine) -> u64 {
    let machine = if machine == elf::EM_AARCH64 {
        &AARCH64
    } else {
        &X86_64
    };
    machine.slot.code.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Elf;

    fn names() -> Vec<SlotName> {
        ["f", "g", "f"]
            .iter()
            .map(|name| SlotName {
                name: (*name).to_owned(),
                body: format!("{name}.actual"),
                visibility: elf::STV_HIDDEN,
            })
            .collect()
    }

    /// Offset, kind, symbol, addend.
    type Field = (u64, u32, String, i64);

    /// Code of the slots section and its relocations.
    fn code(machine: elf::Machine) -> (Vec<u8>, Vec<Field>) {
        let bytes = super::object(machine, &names()).unwrap();
        let object = Elf::parse(&bytes).unwrap();
        let section = object
            .sections
            .iter()
            .position(|section| section.name == ".text.liveswap_slots")
            .unwrap();
        let relocations = object
            .relocations(section)
            .unwrap()
            .iter()
            .map(|rela| {
                let name = object.symbols[rela.symbol].name.to_owned();
                (rela.offset, rela.kind.0, name, rela.addend)
            })
            .collect();
        (object.sections[section].data.to_vec(), relocations)
    }

    #[test]
    fn slots_of_x86_64() {
        let (code, relocations) = code(elf::EM_X86_64);
        assert_eq!(code[..8], [0xff, 0x25, 0, 0, 0, 0, 0x66, 0x90]);
        assert_eq!(code[8..16], code[..8]);
        let word = |at, n: i64| (at, elf::R_X86_64_PC32.0, WORDS_SYMBOL.to_owned(), n * 8 - 4);
        assert_eq!(relocations[..2], [word(2, 0), word(10, 1)]);
        // Two slots and the call of the agent: a name that comes twice has one slot.
        assert_eq!(code.len(), 16 + 13);
        assert_eq!(
            relocations[3],
            (
                16 + 9,
                elf::R_X86_64_GOTPCREL.0,
                START_SYMBOL.to_owned(),
                -4
            )
        );
    }

    #[test]
    fn slots_of_aarch64() {
        let (code, relocations) = code(elf::EM_AARCH64);
        // adrp x16, 0; ldr x16, [x16]; br x16; nop (assembled with GNU as)
        assert_eq!(
            code[..16],
            [
                0x10, 0, 0, 0x90, 0x10, 0x02, 0x40, 0xf9, 0, 0x02, 0x1f, 0xd6, 0x1f, 0x20, 0x03,
                0xd5
            ]
        );
        let words = WORDS_SYMBOL.to_owned();
        assert_eq!(
            relocations[..4],
            [
                (0, elf::R_AARCH64_ADR_PREL_PG_HI21.0, words.clone(), 0),
                (4, elf::R_AARCH64_LDST64_ABS_LO12_NC.0, words.clone(), 0),
                (16, elf::R_AARCH64_ADR_PREL_PG_HI21.0, words.clone(), 8),
                (20, elf::R_AARCH64_LDST64_ABS_LO12_NC.0, words, 8),
            ]
        );
        assert_eq!(
            relocations[6],
            (32 + 8, elf::R_AARCH64_JUMP26.0, START_SYMBOL.to_owned(), 0)
        );
    }

    #[test]
    fn other_machines_are_refused() {
        assert!(super::object(elf::EM_386, &names()).is_err());
    }
}
