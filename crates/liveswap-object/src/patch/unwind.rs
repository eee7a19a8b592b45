//! The part of an object's `.eh_frame` that describes the functions of an image.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::Error;
use crate::elf::{Elf, Rela, Section};

/// Unwind information of some functions of one object.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The section that it comes from.
    pub section: Section,
    /// Its bytes, without the terminator.
    pub bytes: Vec<u8>,
    /// Its relocations, with offsets in `bytes`.
    pub relocations: Vec<Rela>,
}

/// Collects it for the functions with these sections.
pub(crate) fn frames(
    object: &Elf<'_>,
    functions: &HashSet<Section>,
) -> Result<Option<Frames>, Error> {
    let Some(section) = object
        .sections
        .iter()
        .position(|section| section.name == ".eh_frame" && !section.data.is_empty())
    else {
        return Ok(None);
    };
    let mut relocations: BTreeMap<u64, Rela> = BTreeMap::new();
    for rela in object.relocations(section)? {
        relocations.insert(rela.offset, rela);
    }
    let data = object.sections[section].data;
    let mut found = Frames {
        section,
        ..Frames::default()
    };
    let mut commons: HashMap<u64, u64> = HashMap::new();
    let mut at = 0;
    while let Some(entry) = Entry::at(data, at)? {
        if let Some(common) = entry.common {
            let describes = relocations
                .get(&(at + 8))
                .and_then(|rela| object.symbols[rela.symbol].section);
            if describes.is_some_and(|section| functions.contains(&section)) {
                let common_at = match commons.get(&common) {
                    Some(at) => *at,
                    None => {
                        let whole = Entry::at(data, common)?
                            .filter(|entry| entry.common.is_none())
                            .ok_or_else(|| malformed("a frame without common information"))?;
                        let copy = found.copy(data, &whole, &relocations);
                        commons.insert(common, copy);
                        copy
                    }
                };
                let copy = found.copy(data, &entry, &relocations);
                let pointer = u32::try_from(copy + 4 - common_at)
                    .map_err(|_| malformed("too much unwind information"))?;
                found.bytes[copy as usize + 4..copy as usize + 8]
                    .copy_from_slice(&pointer.to_le_bytes());
            }
        }
        at = entry.end;
    }
    Ok((!found.bytes.is_empty()).then_some(found))
}

impl Frames {
    fn copy(&mut self, data: &[u8], entry: &Entry, relocations: &BTreeMap<u64, Rela>) -> u64 {
        let start = self.bytes.len() as u64;
        self.bytes
            .extend_from_slice(&data[entry.start as usize..entry.end as usize]);
        for (_, rela) in relocations.range(entry.start..entry.end) {
            self.relocations.push(Rela {
                offset: rela.offset - entry.start + start,
                ..*rela
            });
        }
        start
    }
}

/// An entry of `.eh_frame`.
struct Entry {
    start: u64,
    end: u64,
    /// Where the common information is; `None` if it is common information.
    common: Option<u64>,
}

impl Entry {
    fn at(data: &[u8], start: u64) -> Result<Option<Entry>, Error> {
        let word = |at: u64| -> Result<u32, Error> {
            usize::try_from(at)
                .ok()
                .and_then(|at| data.get(at..at.checked_add(4)?))
                .and_then(|bytes| bytes.try_into().ok())
                .map(u32::from_le_bytes)
                .ok_or_else(|| malformed("unwind information that is cut off"))
        };
        if start >= data.len() as u64 {
            return Ok(None);
        }
        let len = word(start)?;
        if len == 0 {
            return Ok(None);
        }
        if len == u32::MAX {
            return Err(malformed("unwind information of 64-bit length"));
        }
        let end = start + 4 + u64::from(len);
        if end > data.len() as u64 || len < 8 {
            return Err(malformed("unwind information that is cut off"));
        }
        let id = word(start + 4)?;
        let common = match id {
            0 => None,
            distance => Some(
                (start + 4)
                    .checked_sub(u64::from(distance))
                    .ok_or_else(|| malformed("a frame without common information"))?,
            ),
        };
        Ok(Some(Entry { start, end, common }))
    }
}

fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}
