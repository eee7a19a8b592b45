//! An ELF file that describes a patch where it stands in memory.
//!
//! Backtraces, debuggers and profilers look code up in files: they know nothing of patches. So each patch
//! gets a file of its own, as if it were an executable that was linked at the patch's address: code, unwind
//! information, symbols, and the debug information of the objects that the code came from.
//!
//! The debug information of an object is taken as a whole. What it says about functions that are not part of
//! the patch gets the addresses that linkers give to discarded sections, which all readers know how to skip.

mod aranges;
mod file;
mod relocate;

use std::collections::HashMap;
use std::hash::BuildHasher;

use crate::Error;
use crate::elf::Elf;

/// An object of which parts are in the patch.
#[derive(Debug)]
pub struct Placed<'a, S = std::hash::RandomState> {
    /// The compiler's object.
    pub object: &'a [u8],
    /// The sections of it that are in the patch, with their addresses.
    pub sections: &'a HashMap<usize, u64, S>,
}

/// What the file is made of.
#[derive(Debug)]
pub struct Contents<'a, S = std::hash::RandomState> {
    /// `EM_*`.
    pub machine: u16,
    /// Address of the image.
    pub address: u64,
    /// The executable part of the image. Relocations in it need not be applied, except those of the unwind
    /// information: debuggers read it from here.
    pub code: &'a [u8],
    /// Where in `code` the unwind information is: offset and length.
    pub eh_frame: (u64, u64),
    /// Symbols of the patch: name, address, size.
    pub symbols: &'a [(String, u64, u64)],
    /// The objects.
    pub placed: &'a [Placed<'a, S>],
}

/// Debug sections that are taken over; all others are either of no use here or would need to be merged.
pub(crate) const KINDS: [&str; 11] = [
    ".debug_info",
    ".debug_abbrev",
    ".debug_line",
    ".debug_str",
    ".debug_line_str",
    ".debug_str_offsets",
    ".debug_addr",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_loc",
    ".debug_loclists",
];

/// Makes the file.
///
/// `resolve` gives the address of a symbol that is not in the patch, for instance of a static of the
/// executable, and the offset in its block for a thread-local.
/// An object with compressed debug information contributes none.
///
/// # Errors
/// For damaged objects, unknown relocations, and parts that lie outside of the image.
pub fn build<S: BuildHasher>(
    contents: &Contents<'_, S>,
    resolve: &dyn Fn(&str) -> Option<u64>,
) -> Result<Vec<u8>, Error> {
    let mut debug = relocate::DebugSections::default();
    let mut aranges = Vec::new();
    for placed in contents.placed {
        let object = Elf::parse(placed.object)?;
        let address_of = |section: usize| placed.sections.get(&section).copied();
        if let Some(info_at) = debug.add(&object, &address_of, resolve)? {
            aranges::write(&mut aranges, &object, &address_of, info_at)?;
        }
    }
    file::write(contents, debug.parts(), &aranges)
}

pub(crate) fn malformed(what: impl Into<String>) -> Error {
    Error::Malformed(what.into())
}
