//! Places of a patch, resolved to addresses.

use liveswap_protocol::patch::Place;

use super::image::Mapped;
use super::{Process, Span};
use crate::refusal::{Code, Refusal};

/// Everything that a place can refer to.
pub struct Places<'a> {
    pub process: &'a Process,
    /// Images of earlier patches, by address.
    pub earlier: &'a [Mapped],
    /// The image of this patch.
    pub own: Option<Mapped>,
    /// Addresses of the patch's imports.
    pub imports: &'a [u64],
}

impl Places<'_> {
    /// Any address that code may refer to. One past the end of something counts as part of it.
    pub fn address(&self, place: Place) -> Result<u64, Refusal> {
        match place {
            Place::Executable(_) => {
                let address = self.raw(place)?;
                if self.process.executable.holds(address, 0) {
                    Ok(address)
                } else {
                    Err(misfit(place, "lies outside of the executable"))
                }
            }
            Place::Range(_) => {
                let address = self.raw(place)?;
                match self.image_at(address, true) {
                    Some(_) => Ok(address),
                    None => Err(misfit(place, "lies in no image")),
                }
            }
            Place::Import(_) => self.raw(place),
        }
    }

    /// The address of code: of the executable's or an image's.
    pub fn code(&self, place: Place) -> Result<u64, Refusal> {
        let address = self.raw(place)?;
        let is_code = match place {
            Place::Executable(_) => self.process.code.iter().any(|code| code.holds(address, 1)),
            Place::Range(_) => self
                .image_at(address, false)
                .is_some_and(|image| image.code.holds(address, 1)),
            Place::Import(_) => false,
        };
        if is_code {
            Ok(address)
        } else {
            Err(misfit(place, "is not code"))
        }
    }

    /// The address of a slot's word.
    pub fn slot_word(&self, place: Place) -> Result<u64, Refusal> {
        let address = self.raw(place)?;
        let is_word = match place {
            Place::Executable(_) => self.process.words.holds(address, 8),
            Place::Range(_) => self
                .image_at(address, false)
                .is_some_and(|image| image.data.holds(address, 8)),
            Place::Import(_) => false,
        };
        if is_word && address.is_multiple_of(8) {
            Ok(address)
        } else {
            Err(misfit(place, "is not a slot's word"))
        }
    }

    fn raw(&self, place: Place) -> Result<u64, Refusal> {
        let address = match place {
            Place::Executable(value) => self.process.bias.checked_add(value),
            Place::Range(offset) => self.process.range.start.checked_add(offset),
            Place::Import(number) => usize::try_from(number)
                .ok()
                .and_then(|number| self.imports.get(number).copied()),
        };
        address.ok_or_else(|| misfit(place, "does not exist"))
    }

    /// The image that holds the address, or, if `end_too`, that ends there.
    fn image_at(&self, address: u64, end_too: bool) -> Option<Mapped> {
        let len = u64::from(!end_too);
        if let Some(own) = self.own.filter(|own| own.all.holds(address, len)) {
            return Some(own);
        }
        // The last one that starts at or before it; an image that ends there is the one before at most.
        let behind = self
            .earlier
            .partition_point(|image| image.all.start <= address);
        let candidates = &self.earlier[behind.saturating_sub(2)..behind];
        candidates
            .iter()
            .rev()
            .find(|image| image.all.holds(address, len))
            .copied()
    }
}

fn misfit(place: Place, what: &str) -> Refusal {
    let place = match place {
        Place::Executable(value) => format!("{value:#x} in the executable"),
        Place::Range(offset) => format!("{offset:#x} in the range"),
        Place::Import(number) => format!("import {number}"),
    };
    Refusal::new(Code::Misfit, format!("{place} {what}"))
}

/// Rounds up to a multiple of a power of two.
pub fn align_up(value: u64, to: u64) -> Option<u64> {
    value.checked_next_multiple_of(to)
}

/// A part of an image.
pub fn part(start: u64, offset: u64, len: u64) -> Option<Span> {
    let start = start.checked_add(offset)?;
    start.checked_add(len)?;
    Some(Span { start, len })
}
