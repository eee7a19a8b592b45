//! The debug sections of an object, with offsets into each other filled in.

use std::borrow::Cow;

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use crate::Error;
use crate::elf::{Elf, Section, SymbolIndex};

pub(super) fn malformed(what: &str) -> Error {
    Error::Malformed(format!("debug information: {what}"))
}

/// The sections that tell about types.
pub(super) struct Sections<'a> {
    pub info: Cow<'a, [u8]>,
    /// Number of the section `info` comes from.
    pub info_section: Section,
    pub abbrev: &'a [u8],
    pub strings: &'a [u8],
    pub line_strings: &'a [u8],
    pub string_offsets: Cow<'a, [u8]>,
    /// Number of the section with addresses.
    pub addresses: Option<Section>,
    /// Whether they are the split-off part, for which other defaults hold.
    pub split: bool,
}

impl<'a> Sections<'a> {
    /// Those of an object; nothing if there are none.
    ///
    /// # Errors
    /// If they cannot be read, for instance because they are compressed.
    pub(super) fn of_object(object: &Elf<'a>) -> Result<Option<Sections<'a>>, Error> {
        let named = |name: &str| {
            let mut sections = object.sections.iter();
            sections.position(|section| section.name == name && section.kind != elf::SHT_NOBITS)
        };
        let data = |name: &str| named(name).map_or(&[][..], |n| object.sections[n].data);
        let Some(info) = named(".debug_info") else {
            return Ok(None);
        };
        if object.sections[info].flags.contains(elf::SHF_COMPRESSED) {
            return Err(malformed("it is compressed"));
        }
        Ok(Some(Sections {
            info: relocated(object, info)?,
            info_section: info,
            abbrev: data(".debug_abbrev"),
            strings: data(".debug_str"),
            line_strings: data(".debug_line_str"),
            string_offsets: match named(".debug_str_offsets") {
                Some(section) => relocated(object, section)?,
                None => Cow::Borrowed(&[]),
            },
            addresses: named(".debug_addr"),
            split: false,
        }))
    }

    /// Those that were split off into a file of their own, which has no relocations. The addresses stayed in
    /// the object.
    pub(super) fn of_split(file: &'a [u8], object: &Elf<'_>) -> Result<Sections<'a>, Error> {
        let bad = |error: object::read::Error| malformed(&error.to_string());
        let header = elf::FileHeader64::<LittleEndian>::parse(file).map_err(bad)?;
        let endian = header.endian().map_err(bad)?;
        let table = header.sections(endian, file).map_err(bad)?;
        let data = |name: &[u8]| match table.section_by_name(endian, name) {
            Some((_, section)) => section.data(endian, file).map_err(bad),
            None => Ok(&[][..]),
        };
        let mut sections = object.sections.iter();
        Ok(Sections {
            info: Cow::Borrowed(data(b".debug_info.dwo")?),
            info_section: 0,
            abbrev: data(b".debug_abbrev.dwo")?,
            strings: data(b".debug_str.dwo")?,
            line_strings: &[],
            string_offsets: Cow::Borrowed(data(b".debug_str_offsets.dwo")?),
            addresses: sections.position(|section| section.name == ".debug_addr"),
            split: true,
        })
    }
}

/// The bytes of a section with its 32-bit fields filled in: they are offsets into other debug sections.
fn relocated<'a>(object: &Elf<'a>, section: Section) -> Result<Cow<'a, [u8]>, Error> {
    let data = object.sections[section].data;
    let entries = entries(object, section);
    if entries.is_empty() {
        return Ok(Cow::Borrowed(data));
    }
    let wanted = match object.machine {
        elf::EM_X86_64 => elf::R_X86_64_32.0,
        elf::EM_AARCH64 => elf::R_AARCH64_ABS32.0,
        _ => return Err(malformed("an unknown machine")),
    };
    let mut data = data.to_vec();
    for entry in entries {
        let entry = Entry::read(entry);
        if entry.kind != wanted {
            continue;
        }
        let symbol = object
            .symbols
            .get(entry.symbol)
            .ok_or_else(|| malformed("a relocation to no symbol"))?;
        let value = symbol.value.wrapping_add(entry.addend) as u32;
        usize::try_from(entry.offset)
            .ok()
            .and_then(|start| data.get_mut(start..)?.first_chunk_mut::<4>())
            .ok_or_else(|| malformed("a relocation out of bounds"))?
            .copy_from_slice(&value.to_le_bytes());
    }
    Ok(Cow::Owned(data))
}

/// A relocation as the file has it.
pub(super) struct Entry {
    pub offset: u64,
    pub kind: u32,
    pub symbol: SymbolIndex,
    pub addend: u64,
}

impl Entry {
    fn read(entry: &[u8; 24]) -> Entry {
        let word = |at: usize| {
            let bytes = entry[at..].first_chunk::<8>();
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        let info = word(8);
        Entry {
            offset: word(0),
            kind: info as u32,
            symbol: (info >> 32) as usize,
            addend: word(16),
        }
    }
}

fn entries<'a>(object: &Elf<'a>, section: Section) -> &'a [[u8; 24]] {
    let table = object.sections.get(section).and_then(|s| s.relocated_by);
    table.map_or(&[], |table| object.sections[table].data.as_chunks().0)
}

/// The relocation of the field at an offset. Compilers write relocations in the order of their fields.
pub(super) fn relocation_at(object: &Elf<'_>, section: Section, offset: u64) -> Option<Entry> {
    let entries = entries(object, section);
    let found = entries.binary_search_by_key(&offset, |entry| Entry::read(entry).offset);
    Some(Entry::read(entries.get(found.ok()?)?))
}
