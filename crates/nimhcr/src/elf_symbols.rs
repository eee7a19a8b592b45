//! The symbol table of a library that the Nim compiler made.

use object::Endianness;
use object::read::elf::{FileHeader, Sym};

#[cfg(target_pointer_width = "64")]
type Header = object::elf::FileHeader64<Endianness>;
#[cfg(target_pointer_width = "32")]
type Header = object::elf::FileHeader32<Endianness>;

/// A symbol of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    /// Address in the file's own terms.
    pub(crate) address: u64,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Every thread has its own; the address is an offset in the file's block of thread-locals.
    pub(crate) thread_local: bool,
}

/// Calls `each` with name and place of every symbol that the file defines. Returns `None` if the file
/// has no symbol table (it was stripped) or cannot be read.
#[allow(
    clippy::useless_conversion,
    reason = "addresses have 32 bits in 32-bit files"
)]
pub(crate) fn for_each<'a>(file: &'a [u8], mut each: impl FnMut(&'a [u8], Symbol)) -> Option<()> {
    let header = Header::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, file).ok()?;
    let symbols = sections
        .symbols(endian, file, object::elf::SHT_SYMTAB)
        .ok()?;
    if symbols.is_empty() {
        return None;
    }
    for symbol in symbols.iter().filter(|symbol| !symbol.is_undefined(endian)) {
        if let Ok(name) = symbols.symbol_name(endian, symbol) {
            each(
                name,
                Symbol {
                    address: symbol.st_value(endian).into(),
                    size: symbol.st_size(endian).into(),
                    thread_local: symbol.st_type() == object::elf::STT_TLS,
                },
            );
        }
    }
    Some(())
}
