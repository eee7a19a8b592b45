//! A relocatable ELF object as plain data.
//!
//! Everything that an object says is bounds-checked here, once; what comes out can be used without fear.

use object::elf;
use object::read::elf::{FileHeader, Rela as _, SectionHeader, Sym};
use object::{LittleEndian, SectionIndex};

use crate::Error;

/// Number of a section in its object.
pub type Section = usize;
/// Number of a symbol in its object's symbol table.
pub type SymbolIndex = usize;

/// A section with its bytes.
#[derive(Debug)]
pub struct SectionData<'a> {
    /// Its name.
    pub name: &'a str,
    /// `SHT_*`.
    pub kind: elf::SectionType,
    /// `SHF_*`.
    pub flags: elf::SectionFlags,
    /// Alignment in bytes, at least 1.
    pub align: u64,
    /// Size of an entry, for tables and mergeable sections.
    pub entry_size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// Its bytes; none for `SHT_NOBITS`.
    pub data: &'a [u8],
    /// Its size in memory.
    pub size: u64,
    /// Where its bytes stand in the file.
    pub offset: u64,
    /// The section with its relocations.
    pub relocated_by: Option<Section>,
}

impl SectionData<'_> {
    fn has(&self, flag: elf::SectionFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Whether it takes part in the program's memory.
    pub fn is_loaded(&self) -> bool {
        self.has(elf::SHF_ALLOC)
    }

    /// Whether it holds instructions.
    pub fn is_code(&self) -> bool {
        self.has(elf::SHF_EXECINSTR)
    }

    /// Whether the program may write to it. Data that is read-only after relocation counts as not writable.
    pub fn is_writable(&self) -> bool {
        self.has(elf::SHF_WRITE) && !self.name.starts_with(".data.rel.ro")
    }

    /// Whether it belongs to thread-local storage.
    pub fn is_thread_local(&self) -> bool {
        self.has(elf::SHF_TLS)
    }

    /// Whether the linker may merge equal elements of it.
    pub fn is_mergeable(&self) -> bool {
        self.has(elf::SHF_MERGE)
    }

    /// Whether its elements are strings that end with a zero.
    pub fn is_strings(&self) -> bool {
        self.has(elf::SHF_STRINGS)
    }

    /// Whether it tells unwinders about the code: it names code by place, not by meaning.
    pub fn is_unwind_information(&self) -> bool {
        self.name == ".eh_frame" || self.name.starts_with(".gcc_except_table")
    }
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name; empty for section symbols.
    pub name: &'a str,
    /// Offset in its section.
    pub value: u64,
    /// Size in bytes.
    pub size: u64,
    /// `STB_*`.
    pub binding: elf::SymbolBind,
    /// `STT_*`.
    pub kind: elf::SymbolType,
    /// `STV_*`.
    pub visibility: elf::SymbolVisibility,
    /// Where it is defined; `None` for undefined, absolute and common symbols.
    pub section: Option<Section>,
    /// Whether it is defined elsewhere.
    pub undefined: bool,
}

impl Symbol<'_> {
    /// Whether only its own object sees it.
    pub fn is_local(&self) -> bool {
        self.binding == elf::STB_LOCAL
    }

    /// Whether it stands for a section.
    pub fn is_section(&self) -> bool {
        self.kind == elf::STT_SECTION
    }

    /// Whether it is code.
    pub fn is_function(&self) -> bool {
        self.kind == elf::STT_FUNC
    }
}

/// A relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rela {
    /// Offset of the field in the section.
    pub offset: u64,
    /// `R_<machine>_*`.
    pub kind: elf::RelocationType,
    /// What it refers to.
    pub symbol: SymbolIndex,
    /// What is added.
    pub addend: i64,
}

/// A relocatable object.
#[derive(Debug)]
pub struct Elf<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// `EM_*`.
    pub machine: elf::Machine,
    /// Offset of the section headers in the file.
    pub headers_at: u64,
    /// All sections; number 0 is empty.
    pub sections: Vec<SectionData<'a>>,
    /// All symbols; number 0 is empty.
    pub symbols: Vec<Symbol<'a>>,
    /// The symbol table's section.
    pub symbol_table: Section,
}

const HEADER_SIZE: u64 = 64;
/// Sections of all sizes that a program can have can be added up, in whatever number.
const LARGEST_SECTION: u64 = 1 << 40;
/// Nobody aligns more, and nothing else is aligned more in memory.
const LARGEST_ALIGN: u64 = 1 << 16;
const RELA_SIZE: usize = 24;

impl<'a> Elf<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// For everything that is not a whole, little-endian, 64-bit ELF object of a known machine.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, Error> {
        type Header = elf::FileHeader64<LittleEndian>;
        let bad = |error: object::read::Error| Error::Malformed(error.to_string());
        let header = Header::parse(bytes).map_err(bad)?;
        let endian = header.endian().map_err(bad)?;
        if header.e_type(endian) != elf::ET_REL {
            return Err(Error::Malformed("not a relocatable object".into()));
        }
        let table = header.sections(endian, bytes).map_err(bad)?;
        let mut sections = Vec::with_capacity(table.len());
        for section in table.iter() {
            let name = table.section_name(endian, section).map_err(bad)?;
            let (offset, _) = section.file_range(endian).unwrap_or((0, 0));
            let (align, size) = (section.sh_addralign(endian).max(1), section.sh_size(endian));
            if !align.is_power_of_two() || align > LARGEST_ALIGN || size > LARGEST_SECTION {
                return Err(Error::Malformed(format!(
                    "a section of {size} bytes that is aligned to {align}"
                )));
            }
            sections.push(SectionData {
                name: text(name)?,
                kind: section.sh_type(endian),
                flags: section.sh_flags(endian),
                align,
                entry_size: section.sh_entsize(endian),
                link: section.sh_link(endian),
                info: section.sh_info(endian),
                data: section.data(endian, bytes).map_err(bad)?,
                size,
                offset,
                relocated_by: None,
            });
        }
        for n in 0..sections.len() {
            if sections[n].kind == elf::SHT_REL {
                return Err(Error::Malformed("REL relocations".into()));
            }
            if sections[n].kind == elf::SHT_RELA {
                let target = sections[n].info as usize;
                let target = sections
                    .get_mut(target)
                    .ok_or_else(|| Error::Malformed("relocations of no section".into()))?;
                target.relocated_by = Some(n);
            }
        }
        let symbols_table = table.symbols(endian, bytes, elf::SHT_SYMTAB).map_err(bad)?;
        let mut symbols = Vec::with_capacity(symbols_table.len());
        symbols.push(Symbol {
            name: "",
            value: 0,
            size: 0,
            binding: elf::STB_LOCAL,
            kind: elf::STT_NOTYPE,
            visibility: elf::STV_DEFAULT,
            section: None,
            undefined: true,
        });
        for (index, symbol) in symbols_table.enumerate() {
            if index.0 == 0 {
                continue;
            }
            if symbol.st_shndx(endian) == elf::SHN_COMMON {
                // It is in no section, and its value is no address.
                return Err(Error::Unsupported {
                    what: "a common symbol".into(),
                    section: "COMMON".into(),
                });
            }
            let name = symbols_table.symbol_name(endian, symbol).map_err(bad)?;
            let section = symbols_table
                .symbol_section(endian, symbol, index)
                .map_err(bad)?
                .map(|SectionIndex(index)| index);
            let value = symbol.st_value(endian);
            if let Some(section) = section {
                let section: &SectionData<'_> = sections
                    .get(section)
                    .ok_or_else(|| Error::Malformed("a symbol in no section".into()))?;
                if value > section.size {
                    return Err(Error::Malformed(format!(
                        "a symbol behind the end of {}",
                        section.name
                    )));
                }
            }
            symbols.push(Symbol {
                name: text(name)?,
                value,
                size: symbol.st_size(endian),
                binding: symbol.st_bind(),
                kind: symbol.st_type(),
                visibility: symbol.st_visibility(),
                section,
                undefined: symbol.is_undefined(endian),
            });
        }
        let symbol_table = sections
            .iter()
            .position(|section| section.kind == elf::SHT_SYMTAB)
            .ok_or_else(|| Error::Malformed("no symbol table".into()))?;
        let headers_at = header.e_shoff(endian);
        if headers_at < HEADER_SIZE {
            return Err(Error::Malformed("section headers inside the header".into()));
        }
        Ok(Elf {
            bytes,
            machine: header.e_machine(endian),
            headers_at,
            sections,
            symbols,
            symbol_table,
        })
    }

    /// The relocations of a section, in the order of the file.
    ///
    /// # Errors
    /// If one names a symbol that does not exist or a field outside of the section.
    pub fn relocations(&self, section: Section) -> Result<Vec<Rela>, Error> {
        let Some(table) = self.sections[section].relocated_by else {
            return Ok(Vec::new());
        };
        let data = self.sections[table].data;
        if !data.len().is_multiple_of(RELA_SIZE) {
            return Err(Error::Malformed("relocations of a wrong size".into()));
        }
        let entries = object::slice_from_all_bytes::<elf::Rela64<LittleEndian>>(data)
            .map_err(|()| Error::Malformed("relocations that are cut off".into()))?;
        let size = self.sections[section].size;
        entries
            .iter()
            .map(|entry| {
                let rela = Rela {
                    offset: entry.r_offset(LittleEndian),
                    kind: entry.r_type(LittleEndian, false),
                    symbol: entry.r_sym(LittleEndian, false) as usize,
                    addend: entry.r_addend(LittleEndian),
                };
                if rela.symbol >= self.symbols.len() || rela.offset >= size {
                    return Err(Error::Malformed(format!(
                        "a relocation out of bounds in {}",
                        self.sections[section].name
                    )));
                }
                Ok(rela)
            })
            .collect()
    }
}

fn text(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::Malformed("a name that is not UTF-8".into()))
}
