//! Stubs in an image: the slots of new functions, and jumps to functions of shared libraries.

use object::elf;

use crate::Error;

/// Size in bytes of a stub.
pub(crate) fn size(machine: elf::Machine) -> u64 {
    if machine == elf::EM_AARCH64 { 16 } else { 8 }
}

/// The code at offset `at` of an image that jumps through the word at offset `word` of the same image.
/// Images start at multiples of a page.
pub(crate) fn code(machine: elf::Machine, at: u64, word: u64) -> Result<Vec<u8>, Error> {
    let too_far = || Error::Malformed("an image of more than 2 GiB".into());
    if machine == elf::EM_AARCH64 {
        let pages = i64::try_from(word >> 12).map_err(|_| too_far())?
            - i64::try_from(at >> 12).map_err(|_| too_far())?;
        if !(-(1 << 20)..1 << 20).contains(&pages) {
            return Err(too_far());
        }
        let pages = pages as u32;
        // adrp x16, word; ldr x16, [x16, :lo12:word]; br x16; nop
        let adrp = 0x9000_0010 | (pages & 3) << 29 | ((pages >> 2) & 0x7_ffff) << 5;
        let ldr = 0xf940_0210 | ((word & 0xfff) as u32 / 8) << 10;
        return Ok([adrp, ldr, 0xd61f_0200, 0xd503_201f]
            .iter()
            .flat_map(|word: &u32| word.to_le_bytes())
            .collect());
    }
    // jmp *word(%rip); xchg %ax,%ax
    let distance = i32::try_from(word as i64 - (at as i64 + 6)).map_err(|_| too_far())?;
    let mut bytes = vec![0xff, 0x25];
    bytes.extend_from_slice(&distance.to_le_bytes());
    bytes.extend_from_slice(&[0x66, 0x90]);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_jump_through_their_word() {
        for (machine, at, word, expected) in [
            // jmp *0xffa(%rip)
            (
                elf::EM_X86_64,
                0u64,
                0x1000u64,
                vec![0xff, 0x25, 0xfa, 0x0f, 0, 0, 0x66, 0x90],
            ),
            (
                elf::EM_X86_64,
                0x1000,
                0,
                vec![0xff, 0x25, 0xfa, 0xef, 0xff, 0xff, 0x66, 0x90],
            ),
            // adrp x16, +1 page; ldr x16, [x16, #16]; br x16; nop (assembled with GNU as)
            (
                elf::EM_AARCH64,
                0x10,
                0x1010,
                vec![
                    0x10, 0, 0, 0xb0, 0x10, 0x0a, 0x40, 0xf9, 0, 0x02, 0x1f, 0xd6, 0x1f, 0x20,
                    0x03, 0xd5,
                ],
            ),
        ] {
            assert_eq!(code(machine, at, word), Ok(expected), "{machine} {at:x}");
        }
    }
}
