//! The file itself: header, segment, sections, symbols.

use object::elf;

use super::{Contents, malformed};
use crate::Error;

const PAGE: usize = 0x1000;
const HEADER_SIZE: usize = 64;
const PROGRAM_HEADER_SIZE: usize = 56;
const SECTION_HEADER_SIZE: usize = 64;
const SYMBOL_SIZE: usize = 24;

#[derive(Default)]
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry_size: u64,
}

/// Puts the file together.
pub(super) fn write<'d, S>(
    contents: &Contents<'_, S>,
    debug: impl Iterator<Item = (&'static str, &'d [u8])>,
    aranges: &'d [u8],
) -> Result<Vec<u8>, Error> {
    let mut sections = vec![Section::default()];
    let mut out = vec![0; HEADER_SIZE + PROGRAM_HEADER_SIZE];
    // A loader maps whole pages, so the place in the file and the address agree within a page.
    out.resize(PAGE + (contents.address as usize & (PAGE - 1)), 0);
    let code_at = out.len();
    image_sections(contents, code_at as u64, &mut sections)?;
    out.extend_from_slice(contents.code);
    for (name, data) in debug.chain([(".debug_aranges", aranges)]) {
        if data.is_empty() {
            continue;
        }
        let strings = matches!(name, ".debug_str" | ".debug_line_str");
        sections.push(Section {
            name,
            kind: elf::SHT_PROGBITS.0,
            flags: if strings {
                bits(elf::SHF_MERGE) | bits(elf::SHF_STRINGS)
            } else {
                0
            },
            offset: out.len() as u64,
            size: data.len() as u64,
            align: 1,
            entry_size: u64::from(strings),
            ..Section::default()
        });
        out.extend_from_slice(data);
    }
    symbols(contents, &mut sections, &mut out)?;
    let names = section_names(&mut sections, &mut out);
    let headers_at = aligned(&mut out, 8);
    for (section, name) in sections.iter().zip(names) {
        section_header(&mut out, section, name);
    }
    let header = header(contents.machine, headers_at as u64, sections.len())?;
    out[..HEADER_SIZE].copy_from_slice(&header);
    let segment = segment(contents, code_at as u64);
    out[HEADER_SIZE..HEADER_SIZE + PROGRAM_HEADER_SIZE].copy_from_slice(&segment);
    Ok(out)
}

fn bits(flags: elf::SectionFlags) -> u64 {
    flags.0
}

fn aligned(out: &mut Vec<u8>, align: usize) -> usize {
    out.resize(out.len().next_multiple_of(align), 0);
    out.len()
}

/// Code, unwind information, and what may follow it. They do not overlap: debuggers map an address to one
/// section.
fn image_sections<S>(
    contents: &Contents<'_, S>,
    code_at: u64,
    sections: &mut Vec<Section>,
) -> Result<(), Error> {
    let size = contents.code.len() as u64;
    if contents.address.checked_add(size).is_none() {
        return Err(malformed("an image beyond the end of memory"));
    }
    let (start, length) = contents.eh_frame;
    let end = start
        .checked_add(length)
        .filter(|end| *end <= size)
        .ok_or_else(|| malformed("unwind information outside of the image"))?;
    let execute = bits(elf::SHF_ALLOC) | bits(elf::SHF_EXECINSTR);
    // Without unwind information all is code.
    let (start, end) = if length == 0 {
        (size, size)
    } else {
        (start, end)
    };
    let parts = [
        (".text", 0, start, execute),
        (".eh_frame", start, end, bits(elf::SHF_ALLOC)),
        (".text.rest", end, size, execute),
    ];
    for (name, from, to, flags) in parts {
        if from == to {
            continue;
        }
        let address = contents.address + from;
        sections.push(Section {
            name,
            kind: elf::SHT_PROGBITS.0,
            flags,
            address,
            offset: code_at + from,
            size: to - from,
            align: 1 << address.trailing_zeros().min(4),
            ..Section::default()
        });
    }
    Ok(())
}

fn symbols<S>(
    contents: &Contents<'_, S>,
    sections: &mut Vec<Section>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let offset = aligned(out, 8);
    let image = sections.len();
    out.resize(offset + SYMBOL_SIZE, 0);
    let mut names = vec![0];
    for (name, address, size) in contents.symbols {
        let home = sections[..image].iter().position(|section| {
            section.size > 0 && (section.address..section.address + section.size).contains(address)
        });
        let kind = match home {
            Some(home) if sections[home].name.starts_with(".text") => elf::STT_FUNC,
            _ => elf::STT_OBJECT,
        };
        let name_at = u32::try_from(names.len()).map_err(|_| malformed("too many symbols"))?;
        out.extend(name_at.to_le_bytes());
        out.push((elf::STB_GLOBAL.0 << 4) | kind.0);
        out.push(0);
        let home = home.and_then(|home| u16::try_from(home).ok());
        out.extend(home.unwrap_or(elf::SHN_ABS.0).to_le_bytes());
        out.extend(address.to_le_bytes());
        out.extend(size.to_le_bytes());
        // A zero inside would be the end of the name.
        names.extend(name.bytes().take_while(|byte| *byte != 0));
        names.push(0);
    }
    sections.push(Section {
        name: ".symtab",
        kind: elf::SHT_SYMTAB.0,
        offset: offset as u64,
        size: (out.len() - offset) as u64,
        link: sections.len() as u32 + 1,
        info: 1,
        align: 8,
        entry_size: SYMBOL_SIZE as u64,
        ..Section::default()
    });
    sections.push(Section {
        name: ".strtab",
        kind: elf::SHT_STRTAB.0,
        offset: out.len() as u64,
        size: names.len() as u64,
        align: 1,
        ..Section::default()
    });
    out.extend(names);
    Ok(())
}

/// Appends the names of the sections; gives where each stands.
fn section_names(sections: &mut Vec<Section>, out: &mut Vec<u8>) -> Vec<u32> {
    sections.push(Section {
        name: ".shstrtab",
        kind: elf::SHT_STRTAB.0,
        offset: out.len() as u64,
        align: 1,
        ..Section::default()
    });
    let mut places = Vec::with_capacity(sections.len());
    let mut names = Vec::new();
    for section in sections.iter() {
        places.push(names.len() as u32);
        names.extend_from_slice(section.name.as_bytes());
        names.push(0);
    }
    if let Some(section) = sections.last_mut() {
        section.size = names.len() as u64;
    }
    out.extend(names);
    places
}

fn section_header(out: &mut Vec<u8>, section: &Section, name: u32) {
    out.extend(name.to_le_bytes());
    out.extend(section.kind.to_le_bytes());
    for value in [section.flags, section.address, section.offset, section.size] {
        out.extend(value.to_le_bytes());
    }
    out.extend(section.link.to_le_bytes());
    out.extend(section.info.to_le_bytes());
    out.extend(section.align.to_le_bytes());
    out.extend(section.entry_size.to_le_bytes());
}

fn header(machine: u16, headers_at: u64, sections: usize) -> Result<[u8; HEADER_SIZE], Error> {
    let count = u16::try_from(sections).map_err(|_| malformed("too many sections"))?;
    let mut out = Vec::with_capacity(HEADER_SIZE);
    out.extend(elf::ELFMAG);
    out.extend([elf::ELFCLASS64.0, elf::ELFDATA2LSB.0, elf::EV_CURRENT.0]);
    out.resize(16, 0);
    out.extend(elf::ET_EXEC.0.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend((HEADER_SIZE as u64).to_le_bytes());
    out.extend(headers_at.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    for half in [
        HEADER_SIZE as u16,
        PROGRAM_HEADER_SIZE as u16,
        1,
        SECTION_HEADER_SIZE as u16,
        count,
        count - 1,
    ] {
        out.extend(half.to_le_bytes());
    }
    let mut header = [0; HEADER_SIZE];
    header.copy_from_slice(&out);
    Ok(header)
}

fn segment<S>(contents: &Contents<'_, S>, code_at: u64) -> [u8; PROGRAM_HEADER_SIZE] {
    let size = contents.code.len() as u64;
    let mut out = Vec::with_capacity(PROGRAM_HEADER_SIZE);
    out.extend(elf::PT_LOAD.0.to_le_bytes());
    out.extend((elf::PF_R.0 | elf::PF_X.0).to_le_bytes());
    for value in [
        code_at,
        contents.address,
        contents.address,
        size,
        size,
        PAGE as u64,
    ] {
        out.extend(value.to_le_bytes());
    }
    let mut segment = [0; PROGRAM_HEADER_SIZE];
    segment.copy_from_slice(&out);
    segment
}
