//! Slots for x86-64 (System V and Windows alike, but for the thunk's argument registers).

/// Bytes of one slot; a multiple of 16, the alignment that compilers give functions.
pub const SLOT_SIZE: usize = 16;
/// Bytes of the thunk.
pub const THUNK_SIZE: usize = 16;
/// Offset in a slot of the code that runs while the slot has no target.
pub const UNBOUND_ENTRY: usize = 6;

/// One slot. Offsets are in bytes from the start of the slot; no register and no flag changes.
///
/// ```text
/// ff 25 disp32   jmp  *word(%rip)
/// 68 imm32       push $index
/// e9 rel32       jmp  thunk
/// ```
pub const fn slot(to_word: i32, to_thunk: i32, index: u32) -> [u8; SLOT_SIZE] {
    let word = (to_word - 6).to_le_bytes();
    let thunk = (to_thunk - 16).to_le_bytes();
    let index = index.to_le_bytes();
    [
        0xff, 0x25, word[0], word[1], word[2], word[3], // jmp *word(%rip)
        0x68, index[0], index[1], index[2], index[3], // push $index
        0xe9, thunk[0], thunk[1], thunk[2], thunk[3], // jmp thunk
    ]
}

/// The thunk. The stack is as at the call of the slot when the handler is entered.
///
/// ```text
/// 5f             pop  %rdi               ; the index
/// 48 8b 35 disp  mov  context(%rip),%rsi
/// ff 25 disp32   jmp  *handler(%rip)
/// cc cc          int3
/// ```
pub const fn thunk(to_handler: i32, to_context: i32) -> [u8; THUNK_SIZE] {
    let context = (to_context - 8).to_le_bytes();
    let handler = (to_handler - 14).to_le_bytes();
    [
        0x5f, // pop %rdi
        0x48, 0x8b, 0x35, context[0], context[1], context[2],
        context[3], // mov context(%rip),%rsi
        0xff, 0x25, handler[0], handler[1], handler[2], handler[3], // jmp *handler(%rip)
        0xcc, 0xcc, // int3
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slot_bytes() {
        assert_eq!(
            slot(0x10000, 0x100, 7),
            [
                0xff, 0x25, 0xfa, 0xff, 0, 0, 0x68, 7, 0, 0, 0, 0xe9, 0xf0, 0, 0, 0
            ]
        );
        // A word in front of the slot, the largest index that `push` does not sign-extend.
        assert_eq!(
            slot(-16, -32, 0x7fff_ffff),
            [
                0xff, 0x25, 0xea, 0xff, 0xff, 0xff, 0x68, 0xff, 0xff, 0xff, 0x7f, 0xe9, 0xd0, 0xff,
                0xff, 0xff
            ]
        );
    }

    #[test]
    fn thunk_bytes() {
        assert_eq!(
            thunk(0x100, 0x108),
            [
                0x5f, 0x48, 0x8b, 0x35, 0, 1, 0, 0, 0xff, 0x25, 0xf2, 0, 0, 0, 0xcc, 0xcc
            ]
        );
    }
}
