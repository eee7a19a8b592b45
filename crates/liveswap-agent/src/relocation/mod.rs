//! Relocations: how a value is computed from addresses and stored in a field. Pure: bytes and numbers.
//!
//! The encoders of every machine are compiled and tested on every host.

pub mod aarch64;
pub mod x86_64;

use liveswap_protocol::patch::RelocationKind;

/// The CPU whose code is relocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64.
    X86_64,
    /// aarch64, little endian.
    Aarch64,
}

impl Machine {
    /// The one that this process runs on.
    #[must_use]
    pub fn host() -> Machine {
        if cfg!(target_arch = "aarch64") {
            Machine::Aarch64
        } else {
            Machine::X86_64
        }
    }
}

/// Why a field cannot be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// This machine has no such relocation.
    Unknown,
    /// The field reaches over the end of its part.
    Field,
    /// The value does not fit the field.
    Overflow,
    /// Field or value is not aligned as it must be.
    Alignment,
    /// The instruction in the field is not one of this relocation.
    Instruction,
}

impl Problem {
    /// For a person.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Problem::Unknown => "is unknown on this machine",
            Problem::Field => "reaches over the end",
            Problem::Overflow => "does not fit its field",
            Problem::Alignment => "is not aligned",
            Problem::Instruction => "stands in another instruction",
        }
    }
}

/// The three numbers of a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// S: address of the target.
    pub target: u64,
    /// A.
    pub addend: i64,
    /// P: address of the field.
    pub place: u64,
}

impl Numbers {
    /// S + A, exactly.
    fn absolute(self) -> i128 {
        i128::from(self.target) + i128::from(self.addend)
    }

    /// S + A - P, exactly.
    fn relative(self) -> i128 {
        self.absolute() - i128::from(self.place)
    }

    /// S + A in 64 bits, as addresses wrap.
    fn absolute_64(self) -> u64 {
        self.target.wrapping_add_signed(self.addend)
    }
}

/// Length in bytes of the field of this kind.
#[must_use]
pub fn field_len(kind: RelocationKind) -> usize {
    match kind {
        RelocationKind::Abs64 | RelocationKind::Pc64 => 8,
        _ => 4,
    }
}

/// Fills in the field that `field` starts with.
///
/// # Errors
/// Nothing is written then.
pub fn apply(
    machine: Machine,
    kind: RelocationKind,
    field: &mut [u8],
    numbers: Numbers,
) -> Result<(), Problem> {
    match machine {
        Machine::X86_64 => x86_64::apply(kind, field, numbers),
        Machine::Aarch64 => aarch64::apply(kind, field, numbers),
    }
}

/// Stores what machines have in common; `None` for a kind of one machine only.
fn apply_common(
    kind: RelocationKind,
    field: &mut [u8],
    numbers: Numbers,
) -> Option<Result<(), Problem>> {
    let signed_32 = |value: i128| {
        i32::try_from(value)
            .map(i32::to_le_bytes)
            .map_err(|_| Problem::Overflow)
    };
    Some(match kind {
        RelocationKind::Abs64 => store(field, numbers.absolute_64().to_le_bytes()),
        RelocationKind::Pc64 => {
            let value = numbers.absolute_64().wrapping_sub(numbers.place);
            store(field, value.to_le_bytes())
        }
        RelocationKind::Abs32 => u32::try_from(numbers.absolute())
            .map_err(|_| Problem::Overflow)
            .and_then(|value| store(field, value.to_le_bytes())),
        RelocationKind::Abs32Signed => {
            signed_32(numbers.absolute()).and_then(|bytes| store(field, bytes))
        }
        RelocationKind::Pc32 => signed_32(numbers.relative()).and_then(|bytes| store(field, bytes)),
        _ => return None,
    })
}

fn store<const N: usize>(field: &mut [u8], bytes: [u8; N]) -> Result<(), Problem> {
    *field.first_chunk_mut::<N>().ok_or(Problem::Field)? = bytes;
    Ok(())
}
