//! Shared libraries made unfit, each in one way.

use std::ops::Range;

use crate::c_module::EXPORTS;

/// Offset of `e_ident[EI_CLASS]` in an ELF file.
const CLASS: usize = 4;
/// Offset of `e_machine` in an ELF file.
const MACHINE: usize = 18;

const CLASS_32: u8 = 1;
const MACHINE_X86_64: u16 = 62;
const MACHINE_AARCH64: u16 = 183;

/// The library as if it were made for another processor than this machine's.
pub fn for_another_machine(library: &[u8]) -> Vec<u8> {
    let other = if cfg!(target_arch = "x86_64") {
        MACHINE_AARCH64
    } else {
        MACHINE_X86_64
    };
    let mut damaged = library.to_vec();
    damaged[MACHINE..MACHINE + 2].copy_from_slice(&other.to_le_bytes());
    damaged
}

/// The library as if it were made for 32-bit processes.
pub fn for_32_bit(library: &[u8]) -> Vec<u8> {
    let mut damaged = library.to_vec();
    damaged[CLASS] = CLASS_32;
    damaged
}

/// The first part of the library, as an interrupted copy leaves it.
pub fn truncated(library: &[u8], percent: usize) -> Vec<u8> {
    library[..library.len() * percent / 100].to_vec()
}

/// The library with zeros in place of `length` bytes.
pub fn hole(library: &[u8], start: usize, length: usize) -> Vec<u8> {
    let mut damaged = library.to_vec();
    let end = library.len().min(start + length);
    damaged[start..end].fill(0);
    damaged
}

/// Where the parts of a library lie that a loader looks at first.
#[derive(Debug)]
pub struct Landmarks {
    /// Offset of the program headers.
    pub program_headers: usize,
    /// The dynamic section.
    pub dynamic: Range<usize>,
    /// Offsets of the functions that the module protocol asks for.
    pub exports: Vec<usize>,
}

impl Landmarks {
    /// Finds them in a 64-bit little-endian library, which is what this machine's compiler makes.
    ///
    /// # Panics
    /// When the library has not the parts that every library has.
    #[track_caller]
    pub fn of(library: &[u8]) -> Self {
        const LOAD: u32 = 1;
        const DYNAMIC: u32 = 2;
        const DYNAMIC_SYMBOLS: u32 = 11;
        let half = |at: usize| usize::from(u16::from_le_bytes([library[at], library[at + 1]]));
        let word = |at: usize| u32::from_le_bytes(library[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| {
            let bytes = library[at..at + 8].try_into().expect("8 bytes");
            usize::try_from(u64::from_le_bytes(bytes)).expect("a 64-bit machine")
        };
        let program_headers = long(32);
        let segments: Vec<usize> = (0..half(56))
            .map(|n| program_headers + n * half(54))
            .collect();
        let dynamic = segments.iter().find(|&&header| word(header) == DYNAMIC);
        let dynamic = *dynamic.expect("a dynamic section");
        let dynamic = long(dynamic + 8)..long(dynamic + 8) + long(dynamic + 32);
        let file_offset = |address: usize| {
            let loaded = segments.iter().filter(|&&header| word(header) == LOAD);
            let mut places = loaded.filter_map(|&header| {
                let within = address.checked_sub(long(header + 16))?;
                (within < long(header + 32)).then(|| long(header + 8) + within)
            });
            places.next().expect("an address in a segment")
        };
        let sections: Vec<usize> = (0..half(60)).map(|n| long(40) + n * half(58)).collect();
        let symbols = sections
            .iter()
            .find(|&&header| word(header + 4) == DYNAMIC_SYMBOLS);
        let symbols = *symbols.expect("a table of dynamic symbols");
        let names = long(sections[word(symbols + 40) as usize] + 24);
        let name_of = |symbol: usize| {
            let name = &library[names + word(symbol) as usize..];
            &name[..name.iter().position(|&byte| byte == 0).expect("an end")]
        };
        let table = long(symbols + 24)..long(symbols + 24) + long(symbols + 32);
        let exports: Vec<usize> = table
            .step_by(24)
            .filter(|&symbol| {
                EXPORTS
                    .iter()
                    .any(|name| name.as_bytes() == name_of(symbol))
            })
            .map(|symbol| file_offset(long(symbol + 8)))
            .collect();
        assert_eq!(exports.len(), EXPORTS.len(), "the protocol's exports");
        Self {
            program_headers,
            dynamic,
            exports,
        }
    }
}
