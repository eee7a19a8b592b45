//! What a patch must fulfil before anything of it touches the process.
//!
//! [`Checker`] knows the process by a description, not by its memory: it is pure, safe code that can
//! be tried with any bytes. Its outcome, [`Ready`], has every address resolved and every field
//! filled in: what is left to do cannot find anything wrong with the patch.

#[cfg(test)]
mod bad_tests;
mod eh_frame;
#[cfg(test)]
mod examples;
mod image;
mod places;
#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;

use liveswap_protocol::patch::{Import, Patch, Place, ThreadLocal};

use crate::refusal::{Code, Refusal};
use crate::relocation::Machine;
pub use image::{Mapped, ReadyImage};
use places::Places;

/// A stretch of addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub len: u64,
}

impl Span {
    /// The first address behind it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.saturating_add(self.len)
    }

    /// Whether `len` bytes at `address` lie in it.
    #[must_use]
    pub fn holds(self, address: u64, len: u64) -> bool {
        address >= self.start
            && address
                .checked_add(len)
                .is_some_and(|end| end <= self.end())
    }
}

/// What has to be known of a process to tell whether a patch fits it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its CPU.
    pub machine: Machine,
    /// Build id of the executable.
    pub build_id: Vec<u8>,
    /// Load bias of the executable.
    pub bias: u64,
    /// Size of a page.
    pub page_size: u64,
    /// Where images go.
    pub range: Span,
    /// All of the executable, gaps between its segments included.
    pub executable: Span,
    /// Its executable segments.
    pub code: Vec<Span>,
    /// Its slot words.
    pub words: Span,
    /// Length of the initial bytes of its TLS segment: 0 if it has none.
    pub tls_len: u64,
}

/// A patch that fits, resolved to addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The generation that it makes.
    pub generation: u64,
    /// What to map.
    pub image: Option<ReadyImage>,
    /// Which words to set to which addresses.
    pub slots: Vec<(u64, u64)>,
    /// Offsets in the TLS segment, and the bytes that belong there.
    pub thread_locals: Vec<(u64, Vec<u8>)>,
}

/// Checks patches against a process and what earlier patches made of it.
#[derive(Clone, Debug)]
pub struct Checker {
    process: Process,
    generation: u64,
    /// In the order of their addresses.
    images: Vec<Mapped>,
    /// Room for thread-locals that is taken: offset and length.
    thread_locals: Vec<Span>,
}

impl Checker {
    /// A checker for a process that took no patch yet.
    #[must_use]
    pub fn new(process: Process) -> Checker {
        Checker {
            process,
            generation: 0,
            images: Vec::new(),
            thread_locals: Vec::new(),
        }
    }

    /// The process's generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The process, as it was described.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The patch in `bytes`, resolved, if it fits. `symbol` finds symbols of shared libraries.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(
        &self,
        bytes: &[u8],
        symbol: &dyn Fn(&str) -> Option<u64>,
    ) -> Result<Ready, Refusal> {
        let patch = Patch::decode(bytes)
            .map_err(|error| Refusal::new(Code::Malformed, error.to_string()))?;
        self.is_for_this_process(&patch)?;
        let own = match &patch.image {
            Some(image) => Some(self.place_image(image)?),
            None => None,
        };
        let imports = resolve_imports(&patch.imports, symbol)?;
        let places = Places {
            process: &self.process,
            earlier: &self.images,
            own,
            imports: &imports,
        };
        let thread_locals = self.thread_locals(&patch.thread_locals, &places)?;
        let mut slots = Vec::with_capacity(patch.slots.len());
        for slot in &patch.slots {
            slots.push((places.slot_word(slot.word)?, places.code(slot.target)?));
        }
        let image = match (patch.image, own) {
            (Some(image), Some(mapped)) => Some(image::ready(image, mapped, &places)?),
            _ => None,
        };
        Ok(Ready {
            generation: patch.generation,
            image,
            slots,
            thread_locals,
        })
    }

    /// Remembers that this patch's image is mapped and its thread-locals are written.
    pub fn take(&mut self, ready: &Ready) {
        self.images
            .extend(ready.image.as_ref().map(|image| image.mapped));
        let spans = ready.thread_locals.iter().map(|(offset, bytes)| Span {
            start: *offset,
            len: bytes.len() as u64,
        });
        self.thread_locals.extend(spans);
    }

    /// Remembers that this patch is live. It was [taken](Checker::take) before.
    pub fn commit(&mut self, ready: &Ready) {
        self.generation = ready.generation;
    }

    /// Whether an address is that of a word that a patch could set.
    ///
    /// # Errors
    /// If it is not.
    pub fn is_slot_word(&self, address: u64) -> Result<(), Refusal> {
        let places = Places {
            process: &self.process,
            earlier: &self.images,
            own: None,
            imports: &[],
        };
        // Both kinds of places count from a fixed address.
        let executable = Place::Executable(address.wrapping_sub(self.process.bias));
        let range = Place::Range(address.wrapping_sub(self.process.range.start));
        let word = if self.process.range.holds(address, 8) {
            range
        } else {
            executable
        };
        places.slot_word(word).map(drop)
    }

    fn is_for_this_process(&self, patch: &Patch) -> Result<(), Refusal> {
        if patch.build_id != self.process.build_id {
            return Err(Refusal::new(
                Code::OtherExecutable,
                format!(
                    "the patch is for the executable with build id {}, this one has {}",
                    hex(&patch.build_id),
                    hex(&self.process.build_id)
                ),
            ));
        }
        if self.generation.checked_add(1) != Some(patch.generation) {
            return Err(Refusal::new(
                Code::Generation,
                format!(
                    "the patch makes generation {}, the process is at {}",
                    patch.generation, self.generation
                ),
            ));
        }
        Ok(())
    }

    fn thread_locals(
        &self,
        wanted: &[ThreadLocal],
        places: &Places<'_>,
    ) -> Result<Vec<(u64, Vec<u8>)>, Refusal> {
        let mut taken = self.thread_locals.clone();
        let mut ready = Vec::with_capacity(wanted.len());
        for thread_local in wanted {
            let span = Span {
                start: thread_local.offset,
                len: thread_local.bytes.len() as u64,
            };
            let room = Span {
                start: 0,
                len: self.process.tls_len,
            };
            if !room.holds(span.start, span.len) {
                return Err(Refusal::new(
                    Code::ThreadLocalRoom,
                    format!(
                        "a thread-local of {} bytes at offset {} does not fit the {} bytes there are",
                        span.len, span.start, room.len
                    ),
                ));
            }
            let overlaps = |other: &Span| span.start < other.end() && other.start < span.end();
            if taken.iter().any(overlaps) {
                return Err(Refusal::new(
                    Code::ThreadLocalRoom,
                    format!(
                        "the room at offset {} is taken by another thread-local",
                        span.start
                    ),
                ));
            }
            taken.push(span);
            let mut bytes = thread_local.bytes.clone();
            for (at, target, addend) in &thread_local.pointers {
                let address = places.address(*target)?.wrapping_add_signed(*addend);
                let field = usize::try_from(*at)
                    .ok()
                    .and_then(|at| bytes.get_mut(at..))
                    .and_then(<[u8]>::first_chunk_mut::<8>);
                let Some(field) = field else {
                    return Err(Refusal::new(
                        Code::Misfit,
                        format!("an address at {at} of a thread-local of {} bytes", span.len),
                    ));
                };
                *field = address.to_le_bytes();
            }
            ready.push((span.start, bytes));
        }
        Ok(ready)
    }
}

fn resolve_imports(
    imports: &[Import],
    symbol: &dyn Fn(&str) -> Option<u64>,
) -> Result<Vec<u64>, Refusal> {
    imports
        .iter()
        .map(|import| match symbol(&import.name) {
            Some(address) => Ok(address),
            None if import.weak => Ok(0),
            None => Err(Refusal::new(
                Code::MissingSymbol,
                format!("the program's libraries have no symbol `{}`", import.name),
            )),
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    // A build id is 20 bytes; a damaged patch may say anything.
    let mut text = String::new();
    for byte in bytes.iter().take(32) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.is_empty() {
        text.push_str("(none)");
    }
    text
}
