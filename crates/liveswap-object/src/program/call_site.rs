//! What `tracing`'s macros keep of the place that they stand in, without its line.
//!
//! `tracing_core::Metadata` is a static with the line in two places: as a number, and at the end of the name
//! of an event (`event src/main.rs:12`). A line added further up in the file makes it no other call site.

use crate::elf::{Elf, Rela, Section};
use crate::program::target::Statics;

/// A call site's static, for its digest.
pub(super) struct CallSite<'a> {
    /// What it holds, with zeros for the line and for the length of the name.
    pub bytes: Vec<u8>,
    /// Offset of the pointer to the name of an event, and the name without the line.
    name: Option<(u64, &'a [u8])>,
}

impl<'a> CallSite<'a> {
    pub fn of(
        object: &Elf<'a>,
        statics: &Statics<'a>,
        section: Section,
        relocations: &[Rela],
    ) -> Option<CallSite<'a>> {
        if !statics.is_call_site(statics.in_section(section)?) {
            return None;
        }
        let mut bytes = object.sections[section].data.to_vec();
        let mut name = None;
        if let Some((at, line)) = line(&bytes) {
            bytes[at..at + 8].fill(0);
            let end = format!(":{line}");
            for rela in relocations {
                let Some(start) =
                    text(object, rela).and_then(|text| text.strip_suffix(end.as_bytes()))
                else {
                    continue;
                };
                if start.starts_with(b"event ") {
                    let after = usize::try_from(rela.offset).ok()? + 8;
                    bytes.get_mut(after..after + 8)?.fill(0);
                    name = Some((rela.offset, start));
                }
            }
        }
        Some(CallSite { bytes, name })
    }

    /// The name without the line, if the pointer to it is at this offset.
    pub fn name_at(&self, offset: u64) -> Option<&'a [u8]> {
        self.name
            .filter(|(at, _)| *at == offset)
            .map(|(_, name)| name)
    }
}

/// The line, an `Option<u32>`, and where it is: no other word of a `Metadata` has 1 in its lower half and something
/// in its upper. (Lengths and the level are small, pointers are relocations, padding is zero.)
fn line(bytes: &[u8]) -> Option<(usize, u32)> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().enumerate().find_map(|(number, word)| {
        let word = u64::from_le_bytes(*word);
        let line = (word >> 32) as u32;
        (word as u32 == 1 && line != 0).then_some((8 * number, line))
    })
}

/// The data that a pointer leads to, to the end of its section.
fn text<'a>(object: &Elf<'a>, rela: &Rela) -> Option<&'a [u8]> {
    let symbol = &object.symbols[rela.symbol];
    let start = symbol.value.wrapping_add_signed(rela.addend);
    object.sections[symbol.section?]
        .data
        .get(usize::try_from(start).ok()?..)
}
