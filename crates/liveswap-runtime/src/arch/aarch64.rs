//! Slots for AArch64 (AAPCS64): only x16 and x17 change, which every call may change.

/// Bytes of one slot.
pub const SLOT_SIZE: usize = 32;
/// Bytes of the thunk.
pub const THUNK_SIZE: usize = 16;
/// Offset in a slot of the code that runs while the slot has no target.
pub const UNBOUND_ENTRY: usize = 8;

const UDF: u32 = 0;

/// `ldr x<reg>, <pc + offset>`; the offset is a multiple of 4 within 1 MiB.
const fn ldr_literal(reg: u32, offset: i32) -> u32 {
    0x5800_0000 | (((offset >> 2) as u32 & 0x7_ffff) << 5) | reg
}

/// One slot. Offsets are in bytes from the start of the slot.
///
/// ```text
/// ldr  x16, word
/// br   x16
/// movz w16, #index[15:0]
/// movk w16, #index[31:16], lsl #16
/// b    thunk
/// udf  #0 (3 times)
/// ```
pub const fn slot(to_word: i32, to_thunk: i32, index: u32) -> [u8; SLOT_SIZE] {
    let branch = to_thunk - 16;
    words([
        ldr_literal(16, to_word),
        0xd61f_0200,
        0x5280_0010 | ((index & 0xffff) << 5),
        0x72a0_0010 | ((index >> 16) << 5),
        0x1400_0000 | ((branch >> 2) as u32 & 0x3ff_ffff),
        UDF,
        UDF,
        UDF,
    ])
}

/// The thunk.
///
/// ```text
/// ldr  x17, handler
/// ldr  x1, context
/// mov  w0, w16
/// br   x17
/// ```
pub const fn thunk(to_handler: i32, to_context: i32) -> [u8; THUNK_SIZE] {
    words([
        ldr_literal(17, to_handler),
        ldr_literal(1, to_context - 4),
        0x2a10_03e0,
        0xd61f_0220,
    ])
}

const fn words<const W: usize, const B: usize>(code: [u32; W]) -> [u8; B] {
    assert!(W * 4 == B);
    let mut bytes = [0; B];
    let mut at = 0;
    while at < B {
        bytes[at] = code[at / 4].to_le_bytes()[at % 4];
        at += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_words(bytes: &[u8]) -> Vec<u32> {
        bytes
            .chunks(4)
            .map(|b| u32::from_le_bytes(b.try_into().unwrap()))
            .collect()
    }

    #[test]
    fn slot_words() {
        // Disassembled with capstone: ldr x16, #0x10000; br x16; mov w16, #0x2345;
        // movk w16, #1, lsl #16; b #0x100.
        assert_eq!(
            as_words(&slot(0x10000, 0x100, 0x0001_2345)),
            [
                0x5808_0010,
                0xd61f_0200,
                0x5284_68b0,
                0x72a0_0030,
                0x1400_003c,
                0,
                0,
                0
            ]
        );
        assert_eq!(
            as_words(&slot(-8, -0x20, 0)),
            [
                0x58ff_ffd0,
                0xd61f_0200,
                0x5280_0010,
                0x72a0_0010,
                0x17ff_fff4,
                0,
                0,
                0
            ]
        );
    }

    #[test]
    fn thunk_words() {
        assert_eq!(
            as_words(&thunk(0x100, 0x108)),
            [0x5800_0811, 0x5800_0821, 0x2a10_03e0, 0xd61f_0220]
        );
    }
}
