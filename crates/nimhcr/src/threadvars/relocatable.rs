//! The relocatable object that a library was linked from, and where the linker put its code.
//!
//! A linked library no longer tells which of its instructions refer to a variable; the object that the
//! compiler leaves beside it does. That it is the same code is not believed but compared, byte by byte.

use object::Endianness;
use object::elf::{
    EM_X86_64, R_X86_64_64, R_X86_64_DTPOFF64, R_X86_64_GOTOFF64, R_X86_64_GOTPCREL,
    R_X86_64_GOTPCRELX, R_X86_64_PC64, R_X86_64_REX_GOTPCRELX, RelocationType, SHF_ALLOC,
    SHF_EXECINSTR, SHF_TLS, STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_OBJECT, STT_TLS,
};
use object::read::SectionIndex;
use object::read::elf::{FileHeader, Rela, SectionHeader, Sym};

use crate::elf_symbols::plain_name;

type Header = object::elf::FileHeader64<Endianness>;

/// A symbol that an object defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) name: Vec<u8>,
    /// Address in its section, in bytes.
    pub(crate) value: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    pub(crate) kind: SymbolKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolKind {
    Function,
    /// A variable that other objects may refer to.
    Variable,
    /// One of each thread.
    ThreadLocal,
}

/// A place in code that refers to a symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Offset in its section, in bytes.
    pub(crate) offset: u64,
    /// `R_X86_64_…`.
    pub(crate) kind: RelocationType,
    pub(crate) addend: i64,
    /// Index into [`Relocatable::symbols`]; `None` if it is another kind of symbol.
    pub(crate) symbol: Option<usize>,
}

/// A section of code.
#[derive(Debug)]
pub(crate) struct Code<'a> {
    bytes: &'a [u8],
    alignment: u64,
    pub(crate) references: Vec<Reference>,
}

/// What an object says.
#[derive(Debug)]
pub(crate) struct Relocatable<'a> {
    pub(crate) symbols: Vec<Symbol>,
    pub(crate) code: Vec<Code<'a>>,
    /// Symbols (by index) that something else than code refers to.
    pub(crate) in_data: Vec<usize>,
    /// Size of its thread-locals, in bytes.
    pub(crate) thread_local_size: u64,
}

impl<'a> Relocatable<'a> {
    /// Reads an object for x86-64; `None` if it is something else, or damaged.
    pub(crate) fn read(file: &'a [u8]) -> Option<Relocatable<'a>> {
        let header = Header::parse(file).ok()?;
        let endian = header.endian().ok()?;
        if header.e_machine.get(endian) != EM_X86_64 {
            return None;
        }
        let sections = header.sections(endian, file).ok()?;
        let table = sections
            .symbols(endian, file, object::elf::SHT_SYMTAB)
            .ok()?;
        let mut numbers = hashbrown::HashMap::new();
        let mut symbols = Vec::new();
        for (number, symbol) in table.iter().enumerate() {
            if symbol.is_undefined(endian) {
                continue;
            }
            let bind = symbol.st_bind();
            let kind = match symbol.st_type() {
                STT_FUNC => SymbolKind::Function,
                STT_OBJECT if bind == STB_GLOBAL => SymbolKind::Variable,
                STT_TLS if bind != STB_LOCAL => SymbolKind::ThreadLocal,
                _ => continue,
            };
            numbers.insert(number, symbols.len());
            symbols.push(Symbol {
                name: plain_name(table.symbol_name(endian, symbol).ok()?).to_vec(),
                value: symbol.st_value(endian),
                size: symbol.st_size(endian),
                kind,
            });
        }
        let mut read = Relocatable {
            symbols,
            code: Vec::new(),
            in_data: Vec::new(),
            thread_local_size: 0,
        };
        let flags = |section: &object::elf::SectionHeader64<Endianness>| section.sh_flags(endian);
        // Which section's relocations are where: the code comes first, they refer to it by its index.
        let mut code_at = hashbrown::HashMap::new();
        for (index, section) in sections.iter().enumerate() {
            if flags(section).contains(SHF_TLS) {
                read.thread_local_size += section.sh_size(endian);
            }
            if flags(section).contains(SHF_EXECINSTR | SHF_ALLOC) {
                code_at.insert(index, read.code.len());
                read.code.push(Code {
                    bytes: section.data(endian, file).ok()?,
                    alignment: section.sh_addralign(endian).max(1),
                    references: Vec::new(),
                });
            }
        }
        for section in sections.iter() {
            let Some((relocations, _)) = section.rela(endian, file).ok()? else {
                continue;
            };
            let target = section.sh_info(endian) as usize;
            let target_flags = sections.section(SectionIndex(target)).ok().map(flags)?;
            for relocation in relocations {
                let symbol = relocation.r_sym(endian, false) as usize;
                let symbol = numbers.get(&symbol).copied();
                match code_at.get(&target) {
                    Some(code) => read.code[*code].references.push(Reference {
                        offset: relocation.r_offset(endian),
                        kind: relocation.r_type(endian, false),
                        addend: relocation.r_addend(endian),
                        symbol,
                    }),
                    None if target_flags.contains(SHF_ALLOC) => read.in_data.extend(symbol),
                    None => {}
                }
            }
        }
        Some(read)
    }
}

impl Code<'_> {
    /// Where in `executable` (code of a library) this section is, if it is there exactly once: an
    /// offset in bytes. `address`: of the first byte, in the library's own terms.
    pub(crate) fn find_in(&self, executable: &[u8], address: u64) -> Option<u64> {
        let mut known = vec![true; self.bytes.len()];
        for reference in &self.references {
            let at = usize::try_from(reference.offset).ok()?;
            let (before, size) = linked_bytes(reference.kind);
            let (start, end) = (at.saturating_sub(before), at.checked_add(size)?);
            known.get_mut(start..end)?.fill(false);
        }
        // The longest run of bytes that the linker has left alone tells quickest where it is not.
        let stretches: Vec<(usize, usize)> = stretches(&known);
        let (start, end) = *stretches.iter().max_by_key(|(start, end)| end - start)?;
        let (rarest, rest) = (&self.bytes[start..end], &stretches);
        let mut found = None;
        let mut place = usize::try_from(address.next_multiple_of(self.alignment) - address).ok()?;
        while place + self.bytes.len() <= executable.len() {
            let here = &executable[place..place + self.bytes.len()];
            if &here[start..end] == rarest
                && rest
                    .iter()
                    .all(|(start, end)| here[*start..*end] == self.bytes[*start..*end])
                && found.replace(place as u64).is_some()
            {
                return None;
            }
            place += usize::try_from(self.alignment).ok()?;
        }
        found
    }
}

/// Which bytes around a reference the linker may have changed: how many before, how many from there.
fn linked_bytes(kind: RelocationType) -> (usize, usize) {
    match kind {
        R_X86_64_64 | R_X86_64_PC64 | R_X86_64_GOTOFF64 | R_X86_64_DTPOFF64 => (0, 8),
        // The instruction itself may become another one.
        R_X86_64_GOTPCREL | R_X86_64_GOTPCRELX | R_X86_64_REX_GOTPCRELX => (3, 4),
        _ => (0, 4),
    }
}

/// The runs of `true`, as start and end.
fn stretches(known: &[bool]) -> Vec<(usize, usize)> {
    let mut stretches = Vec::new();
    let mut start = None;
    for (at, known) in known.iter().chain([&false]).enumerate() {
        match (known, start) {
            (true, None) => start = Some(at),
            (false, Some(begin)) => {
                stretches.push((begin, at));
                start = None;
            }
            _ => {}
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8], references: &[(u64, RelocationType)]) -> Vec<u8> {
        let code = Code {
            bytes,
            alignment: 4,
            references: references
                .iter()
                .map(|(offset, kind)| Reference {
                    offset: *offset,
                    kind: *kind,
                    addend: 0,
                    symbol: None,
                })
                .collect(),
        };
        let text = b"....abcdWXYZefgh....abcdWXYZefgX";
        code.find_in(text, 0x1000)
            .map_or(Vec::new(), |at| vec![at as u8])
    }

    #[test]
    fn code_is_found_although_the_linker_filled_in_its_references() {
        let pc32 = object::elf::R_X86_64_PC32;
        assert_eq!(code(b"abcd....efgh", &[(4, pc32)]), [4]);
        assert_eq!(code(b"abcd....efgX", &[(4, pc32)]), [20]);
    }

    #[test]
    fn code_that_is_there_twice_or_not_at_all_is_not_found() {
        let pc32 = object::elf::R_X86_64_PC32;
        assert_eq!(code(b"abcd....efg.", &[(4, pc32), (11, pc32)]), []);
        assert_eq!(code(b"abcd....efg", &[(4, pc32)]), []);
        assert_eq!(code(b"abcq....efgh", &[(4, pc32)]), []);
    }

    #[test]
    fn what_is_no_object_is_not_read() {
        assert!(Relocatable::read(b"\x7fELF").is_none());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(Relocatable::read(&own[..own.len() / 2]).is_none());
    }
}
