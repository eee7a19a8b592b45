//! Shared libraries made unfit, each in one way.

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

/// The library in its whole length, but with zeros where the last part belongs, as a copy looks
/// that reserves the space first.
pub fn zeroed_tail(library: &[u8], percent_kept: usize) -> Vec<u8> {
    let mut damaged = library.to_vec();
    damaged[library.len() * percent_kept / 100..].fill(0);
    damaged
}
