//! Checking that a file is a whole shared library for this process, before the loader sees it.
//!
//! The loader trusts what it maps: a library that is cut short or overwritten with zeros does not give
//! an error but takes the process down. What can be checked cheaply is checked here; damage inside of
//! code and data cannot be.

use std::ops::Range;

use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};
use object::{Endianness, elf};

use crate::error::Step;
use crate::image::EXPORTS;

/// Where the parts of a library will be, in the file's own terms.
#[derive(Debug)]
pub struct Segments {
    /// All of it.
    pub span: Span,
    /// Parts that are not writable.
    pub constant: Vec<Range<usize>>,
}

/// Lowest and end address.
pub type Span = (usize, usize);

/// What is wrong with a file.
#[derive(Debug)]
pub struct Flaw {
    /// In words.
    pub cause: String,
    /// The step that it belongs to.
    pub step: Step,
    /// More bytes could mend it.
    pub incomplete: bool,
}

impl Flaw {
    fn final_(cause: impl Into<String>) -> Flaw {
        Flaw {
            cause: cause.into(),
            step: Step::Check,
            incomplete: false,
        }
    }
    fn incomplete(cause: impl Into<String>) -> Flaw {
        Flaw {
            cause: cause.into(),
            step: Step::Check,
            incomplete: true,
        }
    }
}

#[cfg(target_pointer_width = "64")]
type Header = elf::FileHeader64<Endianness>;
#[cfg(target_pointer_width = "32")]
type Header = elf::FileHeader32<Endianness>;

const NATIVE_MACHINE: object::elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "x86") {
    elf::EM_386
} else {
    elf::EM_ARM
};

/// Checks that `bytes` are a whole shared library for this process.
pub fn check(bytes: &[u8]) -> Result<Segments, Flaw> {
    if bytes.is_empty() {
        return Err(Flaw::incomplete("the file is empty"));
    }
    let ident = bytes
        .get(..16)
        .ok_or_else(|| Flaw::incomplete("the file is cut short"))?;
    if ident.iter().all(|byte| *byte == 0) {
        return Err(Flaw::incomplete(
            "the file starts with zeros: it is not written yet",
        ));
    }
    if ident[..4] != elf::ELFMAG {
        return Err(Flaw::final_("not an ELF file"));
    }
    let native_class = if cfg!(target_pointer_width = "64") {
        elf::ELFCLASS64
    } else {
        elf::ELFCLASS32
    };
    if ident[4] != native_class.0 {
        return Err(Flaw::final_(format!(
            "a library for {}-bit processes, this one is {}-bit",
            if ident[4] == elf::ELFCLASS64.0 {
                64
            } else {
                32
            },
            usize::BITS
        )));
    }
    let header = Header::parse(bytes).map_err(|error| Flaw::incomplete(error.to_string()))?;
    let endian = header
        .endian()
        .map_err(|error| Flaw::final_(error.to_string()))?;
    if (endian == Endianness::Big) != cfg!(target_endian = "big") {
        return Err(Flaw::final_("a library of the other byte order"));
    }
    if header.e_machine(endian) != NATIVE_MACHINE {
        return Err(Flaw::final_(format!(
            "a library for another CPU (ELF machine {}, this process is {})",
            header.e_machine(endian).0,
            std::env::consts::ARCH
        )));
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(Flaw::final_("not a shared library"));
    }
    let cut_short = |what: &str| Flaw::incomplete(format!("the file is cut short: {what}"));
    let sections = header
        .section_headers(endian, bytes)
        .map_err(|error| cut_short(&error.to_string()))?;
    for section in sections {
        section
            .data(endian, bytes)
            .map_err(|_| cut_short("a section lies beyond its end"))?;
    }
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|error| cut_short(&error.to_string()))?;
    let mut span: Option<Span> = None;
    let mut constant = Vec::new();
    for segment in segments {
        segment
            .data(endian, bytes)
            .map_err(|()| cut_short("a segment lies beyond its end"))?;
        if segment.p_type(endian) == elf::PT_LOAD {
            let start = segment.p_vaddr(endian) as usize;
            let end = start.saturating_add(segment.p_memsz(endian) as usize);
            span = Some(span.map_or((start, end), |(low, high)| (low.min(start), high.max(end))));
            if !segment.p_flags(endian).contains(elf::PF_W) {
                constant.push(start..end);
            }
        }
    }
    let span = span.ok_or_else(|| cut_short("it has no segments to load"))?;
    check_dynamic(header, endian, bytes, span)?;
    check_exports(header, endian, bytes)?;
    Ok(Segments { span, constant })
}

/// The loader trusts the dynamic section; a damaged one takes the process down.
fn check_dynamic(
    header: &Header,
    endian: Endianness,
    bytes: &[u8],
    span: Span,
) -> Result<(), Flaw> {
    let damaged = |what: &str| Flaw::incomplete(format!("the file is damaged: {what}"));
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|error| damaged(&error.to_string()))?;
    let dynamic = segments
        .iter()
        .find_map(|segment| segment.dynamic(endian, bytes).transpose())
        .ok_or_else(|| damaged("it has no dynamic section"))?
        .map_err(|error| damaged(&error.to_string()))?;
    let value = |tag| dynamic.iter().find(|entry| entry.d_tag(endian) == tag);
    for (tag, name) in [(elf::DT_STRTAB, "string"), (elf::DT_SYMTAB, "symbol")] {
        let address = value(tag).map(|entry| entry.d_val(endian) as usize);
        if !address.is_some_and(|address| (span.0..span.1).contains(&address)) {
            return Err(damaged(&format!(
                "its dynamic section names no {name} table"
            )));
        }
    }
    let ends = dynamic
        .iter()
        .any(|entry| entry.d_tag(endian) == elf::DT_NULL);
    if ends {
        Ok(())
    } else {
        Err(damaged("its dynamic section does not end"))
    }
}

/// The exports of the protocol, if the file has them, must be code. Files without section headers
/// cannot be asked; the loader will tell.
fn check_exports(header: &Header, endian: Endianness, bytes: &[u8]) -> Result<(), Flaw> {
    /// No function of these begins with as many zeros.
    const NEVER_CODE: [u8; 16] = [0; 16];
    let damaged = |what: String| Flaw::incomplete(format!("the file is damaged: {what}"));
    let unreadable = |error: object::read::Error| damaged(error.to_string());
    let sections = header.sections(endian, bytes).map_err(unreadable)?;
    let symbols = sections
        .symbols(endian, bytes, elf::SHT_DYNSYM)
        .map_err(unreadable)?;
    let segments = header.program_headers(endian, bytes).map_err(unreadable)?;
    let mut found = [false; EXPORTS.len()];
    for symbol in symbols.iter().skip(1) {
        let name = symbols.symbol_name(endian, symbol).map_err(unreadable)?;
        let export = EXPORTS.iter().position(|export| export.to_bytes() == name);
        let Some(export) = export.filter(|_| !symbol.is_undefined(endian)) else {
            continue;
        };
        found[export] = true;
        let address = symbol.st_value(endian);
        let code = segments
            .iter()
            .filter(|segment| segment.p_flags(endian).contains(elf::PF_X))
            .filter_map(|segment| {
                let at = address.checked_sub(segment.p_vaddr(endian))?;
                segment.data(endian, bytes).ok()?.get(at as usize..)
            })
            .next();
        let name = String::from_utf8_lossy(name);
        match code {
            None => return Err(damaged(format!("{name} is no code"))),
            Some(code) if code.starts_with(&NEVER_CODE) => {
                return Err(damaged(format!("{name} is empty")));
            }
            Some(_) => {}
        }
    }
    match found.iter().position(|found| !found) {
        Some(missing) if !symbols.is_empty() => Err(Flaw {
            step: Step::Exports,
            ..Flaw::final_(format!("no symbol {}", EXPORTS[missing].to_string_lossy()))
        }),
        _ => Ok(()),
    }
}
