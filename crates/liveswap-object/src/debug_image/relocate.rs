//! The debug sections of several objects, one after the other, with their references put right.

use object::elf;

use super::{KINDS, malformed};
use crate::Error;
use crate::elf::{Elf, Section};

/// The concatenated sections, in the order of [`KINDS`].
#[derive(Default)]
pub(super) struct DebugSections([Vec<u8>; KINDS.len()]);

const RELA_SIZE: usize = 24;

/// What a symbol stands for.
#[derive(Clone, Copy)]
enum Target {
    /// Nobody has asked yet.
    Unknown,
    /// An address, or an offset in a concatenated debug section.
    At(u64),
    /// It is not in the patch, nor in the process under a name.
    Gone,
}

impl DebugSections {
    /// The sections with their names.
    pub(super) fn parts(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        KINDS.into_iter().zip(self.0.iter().map(Vec::as_slice))
    }

    /// Appends an object's sections. Gives where its `.debug_info` begins, or nothing if it has none that
    /// can be read.
    pub(super) fn add(
        &mut self,
        object: &Elf<'_>,
        address_of: &dyn Fn(Section) -> Option<u64>,
        resolve: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<Option<u64>, Error> {
        // Per section of the object: which kind it is, and where in it it begins.
        let mut copied: Vec<Option<(usize, u64)>> = vec![None; object.sections.len()];
        for (n, section) in object.sections.iter().enumerate() {
            if section.is_loaded() || section.kind == elf::SHT_NOBITS {
                continue;
            }
            let Some(kind) = KINDS.iter().position(|kind| *kind == section.name) else {
                continue;
            };
            if section.flags.contains(elf::SHF_COMPRESSED) {
                return Ok(None);
            }
            copied[n] = Some((kind, 0));
        }
        if !copied.iter().flatten().any(|(kind, _)| *kind == 0) {
            return Ok(None);
        }
        let info_at = self.0[0].len() as u64;
        for (section, place) in object.sections.iter().zip(&mut copied) {
            if let Some((kind, at)) = place {
                let out = &mut self.0[*kind];
                *at = out.len() as u64;
                out.extend_from_slice(section.data);
                // 32-bit DWARF is what compilers write; its offsets end here.
                if u32::try_from(out.len()).is_err() {
                    return Err(malformed("too much debug information"));
                }
            }
        }
        let mut targets = Targets {
            object,
            copied: &copied,
            address_of,
            resolve,
            known: vec![Target::Unknown; object.symbols.len()],
        };
        for (n, place) in copied.iter().enumerate() {
            let (Some((kind, at)), Some(table)) = (place, object.sections[n].relocated_by) else {
                continue;
            };
            let data = &mut self.0[*kind][*at as usize..];
            let relocations = object.sections[table].data;
            let gone = tombstone(KINDS[*kind]);
            let section = KINDS[*kind];
            apply(
                data,
                relocations,
                object.machine,
                section,
                gone,
                &mut targets,
            )?;
        }
        Ok(Some(info_at))
    }
}

/// What linkers write for the address of something that they left out. Zeros would end the lists of the
/// old formats.
fn tombstone(section: &str) -> u64 {
    u64::from(matches!(section, ".debug_ranges" | ".debug_loc"))
}

struct Targets<'a> {
    object: &'a Elf<'a>,
    copied: &'a [Option<(usize, u64)>],
    address_of: &'a dyn Fn(Section) -> Option<u64>,
    resolve: &'a dyn Fn(&str) -> Option<u64>,
    known: Vec<Target>,
}

impl Targets<'_> {
    fn get(&mut self, symbol: usize) -> Result<Option<u64>, Error> {
        let known = *self
            .known
            .get(symbol)
            .ok_or_else(|| malformed("a relocation to no symbol"))?;
        match known {
            Target::At(value) => Ok(Some(value)),
            Target::Gone => Ok(None),
            Target::Unknown => {
                let found = self.find(symbol);
                self.known[symbol] = found.map_or(Target::Gone, Target::At);
                Ok(found)
            }
        }
    }

    fn find(&self, index: usize) -> Option<u64> {
        let symbol = &self.object.symbols[index];
        let Some(section) = symbol.section else {
            // A function's old body or its slot is not what the debug information describes.
            if symbol.name.is_empty() || symbol.is_function() {
                return None;
            }
            return (self.resolve)(symbol.name);
        };
        if let Some((_, at)) = self.copied[section] {
            return Some(at.wrapping_add(symbol.value));
        }
        if let Some(address) = (self.address_of)(section) {
            return Some(address.wrapping_add(symbol.value));
        }
        let data = &self.object.sections[section];
        if data.is_code() || !data.is_loaded() {
            return None;
        }
        if !symbol.is_section() {
            return (self.resolve)(symbol.name);
        }
        // Statics have a section each; the process knows them by name.
        let named = self
            .object
            .symbols
            .iter()
            .find(|other| other.section == Some(section) && !other.is_section())?;
        let address = (self.resolve)(named.name)?;
        Some(address.wrapping_sub(named.value))
    }
}

fn apply(
    data: &mut [u8],
    relocations: &[u8],
    machine: elf::Machine,
    section: &str,
    gone: u64,
    targets: &mut Targets<'_>,
) -> Result<(), Error> {
    let (entries, rest) = relocations.as_chunks::<RELA_SIZE>();
    if !rest.is_empty() {
        return Err(malformed("relocations of a wrong size"));
    }
    for entry in entries {
        let (fields, _) = entry.as_chunks::<8>();
        let [offset, info, addend] = fields else {
            continue;
        };
        let offset = u64::from_le_bytes(*offset);
        let info = u64::from_le_bytes(*info);
        let addend = u64::from_le_bytes(*addend);
        let kind = (info & 0xffff_ffff) as u32;
        let Some(width) = width(machine, kind) else {
            return Err(Error::Unsupported {
                what: format!("relocation of type {kind}"),
                section: section.to_owned(),
            });
        };
        if width == 0 {
            continue;
        }
        let value = match targets.get((info >> 32) as usize)? {
            Some(target) => target.wrapping_add(addend),
            None => gone,
        };
        let field = usize::try_from(offset)
            .ok()
            .and_then(|start| data.get_mut(start..)?.get_mut(..width))
            .ok_or_else(|| malformed(format!("a relocation out of bounds in {section}")))?;
        let bytes = value.to_le_bytes();
        if width == 4 && value > u64::from(u32::MAX) && (value as i64) < i64::from(i32::MIN) {
            return Err(malformed(format!("a value that does not fit in {section}")));
        }
        field.copy_from_slice(&bytes[..width]);
    }
    Ok(())
}

/// How many bytes a relocation writes; none for unknown ones, 0 for those that do nothing.
fn width(machine: elf::Machine, kind: u32) -> Option<usize> {
    match machine {
        elf::EM_X86_64 => match elf::RelocationType(kind) {
            elf::R_X86_64_NONE => Some(0),
            elf::R_X86_64_64 | elf::R_X86_64_DTPOFF64 => Some(8),
            elf::R_X86_64_32 | elf::R_X86_64_32S | elf::R_X86_64_DTPOFF32 => Some(4),
            _ => None,
        },
        elf::EM_AARCH64 => match elf::RelocationType(kind) {
            elf::R_AARCH64_NONE => Some(0),
            elf::R_AARCH64_ABS64 | elf::R_AARCH64_TLS_DTPREL => Some(8),
            elf::R_AARCH64_ABS32 => Some(4),
            _ => None,
        },
        _ => None,
    }
}
