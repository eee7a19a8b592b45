//! aarch64, little endian.

use liveswap_protocol::patch::RelocationKind;

use super::{Numbers, Problem, apply_common};

/// Fills in the field that `field` starts with.
///
/// # Errors
/// Nothing is written then.
pub fn apply(kind: RelocationKind, field: &mut [u8], numbers: Numbers) -> Result<(), Problem> {
    // The signed 32 bits of x86-64 have no counterpart here.
    if kind == RelocationKind::Abs32Signed {
        return Err(Problem::Unknown);
    }
    if let Some(done) = apply_common(kind, field, numbers) {
        return done;
    }
    let field = field.first_chunk_mut::<4>().ok_or(Problem::Field)?;
    if !numbers.place.is_multiple_of(4) {
        return Err(Problem::Alignment);
    }
    let instruction = u32::from_le_bytes(*field);
    let low_12 = numbers.absolute_64() & 0xfff;
    let filled = match kind {
        RelocationKind::Aarch64Call26 => call_26(instruction, numbers.relative())?,
        RelocationKind::Aarch64AdrpPage21 => adrp(instruction, numbers)?,
        RelocationKind::Aarch64AddLow12 => add_low_12(instruction, low_12)?,
        RelocationKind::Aarch64LoadStoreLow12(scale) => load_store(instruction, low_12, scale)?,
        _ => return Err(Problem::Unknown),
    };
    *field = filled.to_le_bytes();
    Ok(())
}

/// `b` and `bl`.
fn call_26(instruction: u32, distance: i128) -> Result<u32, Problem> {
    expect(instruction, 0x7c00_0000, 0x1400_0000)?;
    if distance % 4 != 0 {
        return Err(Problem::Alignment);
    }
    let words = signed_bits(distance / 4, 26)?;
    Ok(instruction & !0x03ff_ffff | words)
}

/// `adrp`: the low two bits of the page distance stand above the rest.
fn adrp(instruction: u32, numbers: Numbers) -> Result<u32, Problem> {
    expect(instruction, 0x9f00_0000, 0x9000_0000)?;
    let page = |address: i128| address >> 12;
    let distance = page(numbers.absolute()) - page(i128::from(numbers.place));
    let pages = signed_bits(distance, 21)?;
    let low = (pages & 3) << 29;
    let high = (pages >> 2) << 5;
    Ok(instruction & !0x60ff_ffe0 | low | high)
}

/// `add` with an immediate that is not shifted.
fn add_low_12(instruction: u32, low: u64) -> Result<u32, Problem> {
    expect(instruction, 0x7fc0_0000, 0x1100_0000)?;
    Ok(with_immediate_12(instruction, low))
}

/// Loads and stores with an unsigned offset that counts in units of their size.
fn load_store(instruction: u32, low: u64, scale: u8) -> Result<u32, Problem> {
    expect(instruction, 0x3b00_0000, 0x3900_0000)?;
    // Size in bits 30 and 31; a vector register of 16 bytes is size 0 with bit 23 set.
    let vector = instruction & 0x0480_0000 == 0x0480_0000;
    let size = match instruction >> 30 {
        0 if vector => 4,
        size => size,
    };
    if size != u32::from(scale) {
        return Err(Problem::Instruction);
    }
    if low & ((1 << scale) - 1) != 0 {
        return Err(Problem::Alignment);
    }
    Ok(with_immediate_12(instruction, low >> scale))
}

fn with_immediate_12(instruction: u32, value: u64) -> u32 {
    // Twelve bits at most: the callers masked them.
    instruction & !0x003f_fc00 | ((value as u32) << 10)
}

fn expect(instruction: u32, mask: u32, wanted: u32) -> Result<(), Problem> {
    if instruction & mask == wanted {
        Ok(())
    } else {
        Err(Problem::Instruction)
    }
}

/// `value` in the low `bits` bits, if it fits as a signed number.
fn signed_bits(value: i128, bits: u32) -> Result<u32, Problem> {
    let limit = 1i128 << (bits - 1);
    if (-limit..limit).contains(&value) {
        Ok((value & ((1 << bits) - 1)) as u32)
    } else {
        Err(Problem::Overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: u64 = 0x5555_0000_1000;

    fn applied(
        kind: RelocationKind,
        instruction: u32,
        target: u64,
        addend: i64,
    ) -> Result<u32, Problem> {
        let mut field = instruction.to_le_bytes();
        let numbers = Numbers {
            target,
            addend,
            place: AT,
        };
        apply(kind, &mut field, numbers)?;
        Ok(u32::from_le_bytes(field))
    }

    #[test]
    fn instructions_are_filled_in_as_an_assembler_does() {
        use RelocationKind as K;
        let table = [
            // bl .+8, b .-4, the ends of the reach.
            (K::Aarch64Call26, 0x9400_0000, AT + 8, 0, 0x9400_0002),
            (K::Aarch64Call26, 0x1400_0000, AT, -4, 0x17ff_ffff),
            (
                K::Aarch64Call26,
                0x9400_0000,
                AT + 0x07ff_fffc,
                0,
                0x95ff_ffff,
            ),
            (
                K::Aarch64Call26,
                0x9400_0000,
                AT - 0x0800_0000,
                0,
                0x9600_0000,
            ),
            // adrp x0, the same page, the next, five on, the one before.
            (
                K::Aarch64AdrpPage21,
                0x9000_0000,
                AT + 0xfff,
                0,
                0x9000_0000,
            ),
            (
                K::Aarch64AdrpPage21,
                0x9000_0000,
                AT + 0x1000,
                0,
                0xb000_0000,
            ),
            (
                K::Aarch64AdrpPage21,
                0x9000_0000,
                AT + 0x5abc,
                0,
                0xb000_0020,
            ),
            (K::Aarch64AdrpPage21, 0x9000_0001, AT - 1, 0, 0xf0ff_ffe1),
            // add x1, x2, #0xabc
            (K::Aarch64AddLow12, 0x9100_0041, 0x1abc, 0, 0x912a_f041),
            (K::Aarch64AddLow12, 0x9100_0041, 0x1abc, 1, 0x912a_f441),
            // ldrb w0, ldrh w0, ldr w0, ldr x0, ldr q0, str q0
            (
                K::Aarch64LoadStoreLow12(0),
                0x3940_0020,
                0xabc,
                0,
                0x396a_f020,
            ),
            (
                K::Aarch64LoadStoreLow12(1),
                0x7940_0020,
                0xabc,
                0,
                0x7955_7820,
            ),
            (
                K::Aarch64LoadStoreLow12(2),
                0xb940_0020,
                0xabc,
                0,
                0xb94a_bc20,
            ),
            (
                K::Aarch64LoadStoreLow12(3),
                0xf940_0020,
                0xab8,
                0,
                0xf945_5c20,
            ),
            (
                K::Aarch64LoadStoreLow12(4),
                0x3dc0_0020,
                0xab0,
                0,
                0x3dc2_ac20,
            ),
            (
                K::Aarch64LoadStoreLow12(4),
                0x3d80_0020,
                0xab0,
                0,
                0x3d82_ac20,
            ),
        ];
        for (kind, instruction, target, addend, wanted) in table {
            let filled = applied(kind, instruction, target, addend);
            assert_eq!(filled, Ok(wanted), "{kind:?} {instruction:08x} {target:x}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        use Problem as P;
        use RelocationKind as K;
        let table = [
            (K::Aarch64Call26, 0x9400_0000, AT + 0x0800_0000, P::Overflow),
            (K::Aarch64Call26, 0x9400_0000, AT - 0x0800_0004, P::Overflow),
            (K::Aarch64Call26, 0x9400_0000, AT + 2, P::Alignment),
            (K::Aarch64Call26, 0x9100_0000, AT, P::Instruction),
            (
                K::Aarch64AdrpPage21,
                0x9000_0000,
                AT + (1 << 32),
                P::Overflow,
            ),
            (K::Aarch64AdrpPage21, 0x1000_0000, AT, P::Instruction),
            (K::Aarch64AddLow12, 0x9140_0000, AT, P::Instruction),
            (
                K::Aarch64LoadStoreLow12(3),
                0xf940_0020,
                0xabc,
                P::Alignment,
            ),
            (
                K::Aarch64LoadStoreLow12(2),
                0xf940_0020,
                0xab8,
                P::Instruction,
            ),
            (
                K::Aarch64LoadStoreLow12(0),
                0x3dc0_0020,
                0xab0,
                P::Instruction,
            ),
            (
                K::Aarch64LoadStoreLow12(9),
                0xf940_0020,
                0xab8,
                P::Instruction,
            ),
            (K::Abs32Signed, 0, 0, P::Unknown),
        ];
        for (kind, instruction, target, problem) in table {
            assert_eq!(
                applied(kind, instruction, target, 0),
                Err(problem),
                "{kind:?} {target:x}"
            );
        }
    }

    #[test]
    fn data_fields_are_as_everywhere() {
        assert_eq!(applied(RelocationKind::Pc32, 0, AT + 16, -4), Ok(12));
        let numbers = Numbers {
            target: AT,
            addend: 0,
            place: AT + 2,
        };
        let mut field = 0x9400_0000u32.to_le_bytes();
        let call = RelocationKind::Aarch64Call26;
        assert_eq!(apply(call, &mut field, numbers), Err(Problem::Alignment));
        assert_eq!(apply(call, &mut field[..3], numbers), Err(Problem::Field));
    }
}
