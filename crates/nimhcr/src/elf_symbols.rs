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

/// The name that Nim gave a symbol: its C++ backend leaves them to the C++ compiler, which puts the length in front
/// and the types of parameters behind (`_Z5show_v`, `_ZL5count`).
pub(crate) fn plain_name(name: &[u8]) -> &[u8] {
    let Some(rest) = name.strip_prefix(b"_Z") else {
        return name;
    };
    let rest = rest.strip_prefix(b"L").unwrap_or(rest);
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&rest[..digits]).ok();
    let length = length.and_then(|length| length.parse::<usize>().ok());
    length
        .and_then(|length| rest[digits..].get(..length))
        .unwrap_or(name)
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
                plain_name(name),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_cpp_backend_are_taken_out_of_what_the_compiler_makes_of_them() {
        assert_eq!(plain_name(b"_Z13f__m_1___H_acv"), b"f__m_1___H_ac");
        assert_eq!(plain_name(b"_ZL9g__m_2__HP3Env"), b"g__m_2__H");
        for name in [
            &b"show__m_1___H"[..],
            b"_Z",
            b"_Z99short",
            b"_ZN3std4f",
            b"",
        ] {
            assert_eq!(plain_name(name), name);
        }
    }
}
