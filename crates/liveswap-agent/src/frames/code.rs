//! What little of x86-64 code has to be read: calls, jumps, and the beginnings of functions.

/// Where a call or jump leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To this address.
    To(u64),
    /// To the address in the word at this one.
    Through(u64),
    /// To an address that only the registers of that time told.
    Anywhere,
}

/// Bytes of the longest call instruction.
pub const LONGEST_CALL: usize = 7;

/// All readings of the bytes right before `address` as a call that returns there.
pub fn calls_before(address: u64, before: &[u8]) -> Vec<Target> {
    let mut calls = Vec::new();
    let ends_with = |len: usize| before.len().checked_sub(len).map(|from| &before[from..]);
    if let Some([0xe8, distance @ ..]) = ends_with(5) {
        calls.push(Target::To(relative(address, distance)));
    }
    // ff /2 and what its operand needs: of each length at most one reading.
    for len in 2..=7 {
        if let Some([0xff, operand @ ..]) = ends_with(len)
            && operand[0] >> 3 & 7 == 2
            && operand_len(operand) == Some(len - 1)
        {
            calls.push(match operand {
                [0x15, distance @ ..] => Target::Through(relative(address, distance)),
                _ => Target::Anywhere,
            });
        }
    }
    calls
}

/// Bytes of the longest stub.
pub const LONGEST_STUB: usize = 32;

/// The body that a stub for its first call leads to. The command makes these stubs; what its bytes are is a matter of
/// the two, as what a slot is.
pub fn behind_first_call(address: u64, code: &[u8]) -> Option<u64> {
    match code.first_chunk()? {
        [
            0x50, // push %rax
            0x48,
            0x8d,
            0x05,
            0xf8,
            0xff,
            0xff,
            0xff, // lea to itself, %rax
            0x4c,
            0x8d,
            0x1d,
            _,
            _,
            _,
            _, // lea body(%rip), %r11
            0xf0,
            0x4c,
            0x0f,
            0xb1,
            0x1d,
            _,
            _,
            _,
            _,    // lock cmpxchg %r11, word(%rip)
            0x58, // pop %rax
            0xe9,
            a,
            b,
            c,
            d, // jmp body
        ] => Some(relative(address + 30, &[*a, *b, *c, *d])),
        _ => None,
    }
}

/// The jump that a stub consists of: a slot, an entry of the PLT, a stub for a first call.
pub fn stub(address: u64, code: &[u8]) -> Option<Target> {
    if let Some(body) = behind_first_call(address, code) {
        return Some(Target::To(body));
    }
    let mut at = 0;
    if code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) {
        at = 4;
    }
    if code.get(at) == Some(&0xf2) {
        at += 1;
    }
    jump(address + at as u64, code.get(at..)?)
}

/// All readings of bytes of a function as jumps out of it. Some of them are none: the bytes are not taken
/// apart into instructions.
pub fn jumps_out(start: u64, code: &[u8]) -> Vec<Target> {
    let own = start..start + code.len() as u64;
    let mut jumps: Vec<Target> = (0..code.len())
        .filter_map(|at| jump(start + at as u64, &code[at..]))
        .filter(|target| !matches!(target, Target::To(to) if own.contains(to)))
        .collect();
    jumps.dedup();
    jumps
}

fn jump(address: u64, code: &[u8]) -> Option<Target> {
    match code {
        [0xe9, a, b, c, d, ..] => Some(Target::To(relative(address + 5, &[*a, *b, *c, *d]))),
        [0xff, 0x25, a, b, c, d, ..] => {
            Some(Target::Through(relative(address + 6, &[*a, *b, *c, *d])))
        }
        [0xff, operand, ..] if operand >> 3 & 7 == 4 => Some(Target::Anywhere),
        // Behind a condition.
        [0x0f, 0x80..=0x8f, a, b, c, d, ..] => {
            Some(Target::To(relative(address + 6, &[*a, *b, *c, *d])))
        }
        _ => None,
    }
}

/// Length of a ModRM byte with all that belongs to it.
fn operand_len(operand: &[u8]) -> Option<usize> {
    let (mode, base) = (operand.first()? >> 6, operand[0] & 7);
    let has_index = mode != 3 && base == 4;
    let displacement = match mode {
        0 if base == 5 => 4,
        0 if has_index && operand.get(1)? & 7 == 5 => 4,
        1 => 1,
        2 => 4,
        _ => 0,
    };
    Some(1 + usize::from(has_index) + displacement)
}

fn relative(address: u64, distance: &[u8]) -> u64 {
    let distance = distance
        .first_chunk()
        .map_or(0, |it| i32::from_le_bytes(*it));
    address.wrapping_add_signed(i64::from(distance))
}

/// What a function does to the stack pointer once the frame pointer is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prologue {
    /// Bytes that are pushed first.
    pushed: u64,
    /// Then it is rounded down to a multiple of this: 1 if it is not.
    align: u64,
    /// Bytes that are taken then.
    taken: u64,
}

/// The largest alignment of a stack that is believed.
const LARGEST_ALIGN: u64 = 4096;
/// The loop that touches each page of a large frame: `sub $4096, %rsp`, `movq $0, (%rsp)`,
/// `cmp %r11, %rsp`, `jne`.
const TOUCH_PAGES: [u8; 19] = [
    0x48, 0x81, 0xec, 0x00, 0x10, 0, 0, 0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, 0x4c, 0x39, 0xdc, 0x75,
];

impl Prologue {
    /// Reads the code right behind `mov %rsp, %rbp`, up to the first instruction that belongs to the body.
    /// With the length of what was read.
    pub fn read(all: &[u8]) -> (Prologue, usize) {
        let mut code = all;
        let mut found = Prologue {
            pushed: 0,
            align: 1,
            taken: 0,
        };
        loop {
            let number = |bytes: &[u8; 4]| i64::from(i32::from_le_bytes(*bytes));
            code = match code {
                [0x50..=0x57, rest @ ..] | [0x41, 0x50..=0x57, rest @ ..] => {
                    if found.align == 1 && found.taken == 0 {
                        found.pushed += 8;
                    } else {
                        found.taken += 8;
                    }
                    rest
                }
                // A page is touched.
                [0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, rest @ ..]
                | [0x48, 0x83, 0x0c, 0x24, 0, rest @ ..] => rest,
                // `sub`, and `add` of what is negative.
                [0x48, 0x83, 0xec, by, rest @ ..] if found.take(i64::from(*by as i8)) => rest,
                [0x48, 0x83, 0xc4, by, rest @ ..] if found.take(-i64::from(*by as i8)) => rest,
                [0x48, 0x81, 0xec, a, b, c, d, rest @ ..]
                    if found.take(number(&[*a, *b, *c, *d])) =>
                {
                    rest
                }
                // `lea -N(%rsp), %r11`, or `mov %rsp, %r11` and `sub $N, %r11`, and the loop to there.
                [0x4c, 0x8d, 0x9c, 0x24, a, b, c, d, rest @ ..]
                    if rest.starts_with(&TOUCH_PAGES) && found.take(-number(&[*a, *b, *c, *d])) =>
                {
                    rest.get(TOUCH_PAGES.len() + 1..).unwrap_or_default()
                }
                [0x49, 0x89, 0xe3, 0x49, 0x81, 0xeb, a, b, c, d, rest @ ..]
                    if rest.starts_with(&TOUCH_PAGES) && found.take(number(&[*a, *b, *c, *d])) =>
                {
                    rest.get(TOUCH_PAGES.len() + 1..).unwrap_or_default()
                }
                [0x48, 0x83, 0xe4, mask, rest @ ..] if found.round_down(i64::from(*mask as i8)) => {
                    rest
                }
                [0x48, 0x81, 0xe4, a, b, c, d, rest @ ..]
                    if found.round_down(number(&[*a, *b, *c, *d])) =>
                {
                    rest
                }
                rest => return (found, all.len() - rest.len()),
            };
        }
    }

    fn take(&mut self, bytes: i64) -> bool {
        let Ok(bytes) = u64::try_from(bytes) else {
            return false;
        };
        self.taken += bytes;
        true
    }

    fn round_down(&mut self, mask: i64) -> bool {
        let align = mask.unsigned_abs();
        let sound = mask < 0 && align.is_power_of_two() && align <= LARGEST_ALIGN;
        if sound && self.align == 1 && self.taken == 0 {
            self.align = align;
            return true;
        }
        false
    }

    /// Whether it saves so many registers.
    pub fn saves_at_least(self, registers: usize) -> bool {
        self.pushed >= 8 * registers as u64
    }

    /// Whether the code behind a call gives back something else than what the prologue took: arguments on
    /// the stack.
    pub fn differs_from(self, behind: &[u8]) -> bool {
        let given_back = match behind {
            [0x48, 0x83, 0xc4, by, ..] if (*by as i8) > 0 => u64::from(*by),
            [0x48, 0x81, 0xc4, a, b, c, d, ..] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])),
            _ => return false,
        };
        given_back != self.taken
    }

    /// What the frame pointer may be when the stack pointer is this. One value, unless it was rounded.
    pub fn frame_pointers(self, stack_pointer: u64) -> impl Iterator<Item = u64> {
        let lowest = stack_pointer.wrapping_add(self.taken + self.pushed);
        (0..self.align)
            .step_by(8)
            .map(move |lost| lowest.wrapping_add(lost))
    }
}

/// Whether something in the body of a function may set the stack pointer to what only the body knows.
pub fn moves_stack(body: &[u8]) -> bool {
    body.windows(3).any(|code| match code {
        // Back to the frame pointer, at the end.
        [0x48, 0x89, 0xec] => false,
        // `sub` and `mov` of a register, in both forms of the instruction; `sub` of a number.
        [0x48 | 0x4c, 0x29 | 0x89, operand] => operand & 0xc7 == 0xc4,
        [0x48 | 0x49, 0x2b | 0x8b, operand] => operand & 0xf8 == 0xe0,
        [0x48, 0x83 | 0x81, 0xec] => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
