//! What a relocation means, for each machine: the part that the link stage, the comparison and the patch share.

use object::elf;

use crate::elf::{Rela, SectionData};

/// What a relocation stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Meaning {
    /// An address, 8 bytes.
    Address64,
    /// An address, 4 bytes, unsigned.
    Address32,
    /// An address, 4 bytes, signed.
    Address32Signed,
    /// A distance from the field, 8 bytes.
    Distance64,
    /// A distance from the field, 4 bytes: data or the operand of an instruction.
    Distance32,
    /// The distance of a call or jump, which may go by a stub.
    Call,
    /// The distance to a word that holds the address.
    AddressWord,
    /// Thread-local storage.
    ThreadLocal(ThreadLocal),
    /// aarch64: page of an address (`adrp`).
    Page21,
    /// aarch64: low 12 bits of an address (`add`).
    Low12,
    /// aarch64: low 12 bits of an address, scaled for an access of `1 << n` bytes.
    ScaledLow12(u8),
    /// aarch64: page of a word that holds the address.
    AddressWordPage21,
    /// aarch64: low 12 bits of a word that holds the address.
    AddressWordLow12,
    /// Nothing (a marker).
    Nothing,
}

/// How a thread-local is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ThreadLocal {
    /// Any module's, by a call (`TLSGD`).
    GeneralDynamic,
    /// The module's block, by a call (`TLSLD`).
    LocalDynamic,
    /// Offset in the module's block (`DTPOFF32`).
    BlockOffset32,
    /// Offset in the module's block, 8 bytes (`DTPOFF64`).
    BlockOffset64,
    /// A word that holds the offset from the thread pointer (`GOTTPOFF`).
    OffsetWord,
    /// The offset from the thread pointer, 4 bytes (`TPOFF32`).
    Offset32,
    /// The offset from the thread pointer, 8 bytes (`TPOFF64`).
    Offset64,
}

/// What a relocation of this kind means; `None` for kinds that are not supported.
pub fn meaning(machine: elf::Machine, kind: elf::RelocationType) -> Option<Meaning> {
    match machine {
        elf::EM_X86_64 => x86_64(kind),
        elf::EM_AARCH64 => aarch64(kind),
        _ => None,
    }
}

fn x86_64(kind: elf::RelocationType) -> Option<Meaning> {
    Some(match kind {
        elf::R_X86_64_NONE => Meaning::Nothing,
        elf::R_X86_64_64 => Meaning::Address64,
        elf::R_X86_64_32 => Meaning::Address32,
        elf::R_X86_64_32S => Meaning::Address32Signed,
        elf::R_X86_64_PC64 => Meaning::Distance64,
        elf::R_X86_64_PC32 => Meaning::Distance32,
        elf::R_X86_64_PLT32 => Meaning::Call,
        elf::R_X86_64_GOTPCREL | elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => {
            Meaning::AddressWord
        }
        elf::R_X86_64_TLSGD => Meaning::ThreadLocal(ThreadLocal::GeneralDynamic),
        elf::R_X86_64_TLSLD => Meaning::ThreadLocal(ThreadLocal::LocalDynamic),
        elf::R_X86_64_DTPOFF32 => Meaning::ThreadLocal(ThreadLocal::BlockOffset32),
        elf::R_X86_64_DTPOFF64 => Meaning::ThreadLocal(ThreadLocal::BlockOffset64),
        elf::R_X86_64_GOTTPOFF => Meaning::ThreadLocal(ThreadLocal::OffsetWord),
        elf::R_X86_64_TPOFF32 => Meaning::ThreadLocal(ThreadLocal::Offset32),
        elf::R_X86_64_TPOFF64 => Meaning::ThreadLocal(ThreadLocal::Offset64),
        _ => return None,
    })
}

fn aarch64(kind: elf::RelocationType) -> Option<Meaning> {
    Some(match kind {
        elf::R_AARCH64_NONE => Meaning::Nothing,
        elf::R_AARCH64_ABS64 => Meaning::Address64,
        elf::R_AARCH64_ABS32 => Meaning::Address32,
        elf::R_AARCH64_PREL64 => Meaning::Distance64,
        elf::R_AARCH64_PREL32 => Meaning::Distance32,
        elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => Meaning::Call,
        elf::R_AARCH64_ADR_PREL_PG_HI21 => Meaning::Page21,
        elf::R_AARCH64_ADD_ABS_LO12_NC => Meaning::Low12,
        elf::R_AARCH64_LDST8_ABS_LO12_NC => Meaning::ScaledLow12(0),
        elf::R_AARCH64_LDST16_ABS_LO12_NC => Meaning::ScaledLow12(1),
        elf::R_AARCH64_LDST32_ABS_LO12_NC => Meaning::ScaledLow12(2),
        elf::R_AARCH64_LDST64_ABS_LO12_NC => Meaning::ScaledLow12(3),
        elf::R_AARCH64_LDST128_ABS_LO12_NC => Meaning::ScaledLow12(4),
        elf::R_AARCH64_ADR_GOT_PAGE => Meaning::AddressWordPage21,
        elf::R_AARCH64_LD64_GOT_LO12_NC => Meaning::AddressWordLow12,
        _ => return None,
    })
}

/// How a relocation refers to a function whose first byte its symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionUse {
    /// It calls or jumps to it.
    Call,
    /// It takes its address.
    Address,
    /// It means a place inside of the body, such as a jump table's entry or the unwinder's.
    Inside,
}

/// Tells how `rela` in `section` refers to a function.
///
/// A jump table of position independent code holds distances to labels in the body: `.text.F + label + n`, which is
/// never the −4 of an instruction's operand, and is data. An address table of code that is
/// not position independent holds `.text.F + label` with a label that is not 0.
pub fn function_use(machine: elf::Machine, section: &SectionData<'_>, rela: &Rela) -> FunctionUse {
    let Some(meaning) = meaning(machine, rela.kind) else {
        return FunctionUse::Inside;
    };
    if section.is_unwind_information() || !section.is_loaded() {
        return FunctionUse::Inside;
    }
    match meaning {
        Meaning::Call if section.is_code() && rela.addend == call_addend(machine) => {
            FunctionUse::Call
        }
        Meaning::Distance32 if section.is_code() && rela.addend == -4 => {
            if is_branch(section.data, rela.offset) {
                FunctionUse::Call
            } else {
                FunctionUse::Address
            }
        }
        Meaning::AddressWord if rela.addend == -4 => {
            if section.is_code() && is_branch_through_word(section.data, rela.offset) {
                FunctionUse::Call
            } else {
                FunctionUse::Address
            }
        }
        Meaning::Address64 if rela.addend == 0 => FunctionUse::Address,
        Meaning::Address32 | Meaning::Address32Signed if section.is_code() && rela.addend == 0 => {
            FunctionUse::Address
        }
        Meaning::Page21
        | Meaning::Low12
        | Meaning::AddressWordPage21
        | Meaning::AddressWordLow12
            if rela.addend == 0 =>
        {
            FunctionUse::Address
        }
        _ => FunctionUse::Inside,
    }
}

fn call_addend(machine: elf::Machine) -> i64 {
    if machine == elf::EM_X86_64 { -4 } else { 0 }
}

/// The byte of `code` that stands `n` before `field`.
fn before(code: &[u8], field: u64, n: u64) -> Option<u8> {
    let at = usize::try_from(field.checked_sub(n)?).ok()?;
    code.get(at).copied()
}

/// Whether the 4 bytes at `field` are the operand of `call`, `jmp` or a conditional jump (x86-64).
fn is_branch(code: &[u8], field: u64) -> bool {
    matches!(before(code, field, 1), Some(0xe8 | 0xe9))
        || (before(code, field, 2) == Some(0x0f)
            && matches!(before(code, field, 1), Some(0x80..=0x8f)))
}

/// Whether the 4 bytes at `field` are the operand of `call *word(%rip)` or `jmp *word(%rip)`: how
/// libraries call even their own public functions.
fn is_branch_through_word(code: &[u8], field: u64) -> bool {
    before(code, field, 2) == Some(0xff) && matches!(before(code, field, 1), Some(0x15 | 0x25))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(
        name: &'static str,
        flags: elf::SectionFlags,
        data: &'static [u8],
    ) -> SectionData<'static> {
        SectionData {
            name,
            kind: elf::SHT_PROGBITS,
            flags,
            align: 1,
            entry_size: 0,
            link: 0,
            info: 0,
            data,
            size: data.len() as u64,
            offset: 0,
            relocated_by: None,
        }
    }

    fn rela(offset: u64, kind: elf::RelocationType, addend: i64) -> Rela {
        Rela {
            offset,
            kind,
            symbol: 1,
            addend,
        }
    }

    #[test]
    fn uses_of_functions_x86_64() {
        let code = section(
            ".text.f",
            elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            // call; lea rax,[rip+..]; je; call [rip+..]; mov rax,[rip+..]
            &[
                0xe8, 0, 0, 0, 0, 0x48, 0x8d, 5, 0, 0, 0, 0, 0x0f, 0x84, 0, 0, 0, 0, 0xff, 0x15, 0,
                0, 0, 0, 0x48, 0x8b, 5, 0, 0, 0, 0,
            ],
        );
        let table = section(".rodata.f", elf::SHF_ALLOC, &[0; 16]);
        let vtable = section(".data.rel.ro.v", elf::SHF_ALLOC | elf::SHF_WRITE, &[0; 16]);
        let frames = section(".eh_frame", elf::SHF_ALLOC, &[0; 16]);
        let debug = section(".debug_info", elf::SectionFlags(0), &[0; 16]);
        let x = elf::EM_X86_64;
        for (section, rela, expected) in [
            (&code, rela(1, elf::R_X86_64_PLT32, -4), FunctionUse::Call),
            (&code, rela(1, elf::R_X86_64_PC32, -4), FunctionUse::Call),
            (&code, rela(8, elf::R_X86_64_PC32, -4), FunctionUse::Address),
            (&code, rela(14, elf::R_X86_64_PC32, -4), FunctionUse::Call),
            (&code, rela(8, elf::R_X86_64_PC32, 12), FunctionUse::Inside),
            (
                &code,
                rela(20, elf::R_X86_64_GOTPCREL, -4),
                FunctionUse::Call,
            ),
            (
                &code,
                rela(27, elf::R_X86_64_GOTPCREL, -4),
                FunctionUse::Address,
            ),
            (&table, rela(0, elf::R_X86_64_PC32, 7), FunctionUse::Inside),
            (&table, rela(4, elf::R_X86_64_PC32, 0), FunctionUse::Inside),
            (&vtable, rela(0, elf::R_X86_64_64, 0), FunctionUse::Address),
            (&vtable, rela(0, elf::R_X86_64_64, 9), FunctionUse::Inside),
            (&frames, rela(0, elf::R_X86_64_PC32, 0), FunctionUse::Inside),
            (&frames, rela(0, elf::R_X86_64_64, 0), FunctionUse::Inside),
            (&debug, rela(0, elf::R_X86_64_64, 0), FunctionUse::Inside),
        ] {
            assert_eq!(
                function_use(x, section, &rela),
                expected,
                "{} {rela:?}",
                section.name
            );
        }
    }

    #[test]
    fn uses_of_functions_aarch64() {
        let code = section(".text.f", elf::SHF_ALLOC | elf::SHF_EXECINSTR, &[0; 16]);
        let table = section(".rodata.f", elf::SHF_ALLOC, &[0; 16]);
        let a = elf::EM_AARCH64;
        for (section, rela, expected) in [
            (&code, rela(0, elf::R_AARCH64_CALL26, 0), FunctionUse::Call),
            (&code, rela(0, elf::R_AARCH64_JUMP26, 0), FunctionUse::Call),
            (
                &code,
                rela(0, elf::R_AARCH64_ADR_PREL_PG_HI21, 0),
                FunctionUse::Address,
            ),
            (
                &code,
                rela(4, elf::R_AARCH64_ADD_ABS_LO12_NC, 0),
                FunctionUse::Address,
            ),
            (
                &table,
                rela(0, elf::R_AARCH64_PREL32, 8),
                FunctionUse::Inside,
            ),
            (
                &table,
                rela(0, elf::R_AARCH64_ABS64, 0),
                FunctionUse::Address,
            ),
        ] {
            assert_eq!(
                function_use(a, section, &rela),
                expected,
                "{} {rela:?}",
                section.name
            );
        }
    }
}
