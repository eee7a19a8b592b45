//! One-time stubs: the first call of a new body goes by one, so that it can be noticed.
//!
//! The word of a slot leads to the stub first. The stub sets the word to the body and goes on there, so it is out
//! of the way after the first call, and whether there was one can be read off the word. If the word leads elsewhere
//! by then, because a newer patch has set it, it is left alone.

use liveswap_protocol::patch::{Place, Relocation, RelocationKind};
use object::elf;

use crate::Error;
use crate::patch::changes::Fate;
use crate::patch::collect::Builder;
use crate::patch::goals::{Goal, PieceIndex};

/// Size in bytes of a stub, and what it is aligned to: its unwind information finds out by the program counter which
/// instruction is next.
pub(crate) const SIZE: u64 = 32;
/// Where the distance of the word stands in a stub.
const WORD: u64 = 20;
/// Behind the instruction that has it.
const BEHIND_WORD: i64 = -4;

/// The word that a stub sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Word {
    /// Of a slot that exists.
    Known(Place),
    /// Of a slot of this image.
    New(usize),
}

/// A stub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stub {
    /// Number of the function among the changes.
    pub change: usize,
    pub word: Word,
    pub body: PieceIndex,
    /// Offset in the image, once it is laid out.
    pub offset: u64,
}

/// The stubs of an image: one for each word that is to lead to the body of a function that changed or is new.
pub(crate) fn needed_by(builder: &Builder<'_, '_>) -> Vec<Stub> {
    // On other machines words lead to the bodies at once.
    if builder.program.executable.machine != elf::EM_X86_64 {
        return Vec::new();
    }
    let counts = |fate| matches!(fate, Fate::Replaced | Fate::New);
    let stub = |change, word, body| Stub {
        change,
        word,
        body,
        offset: 0,
    };
    let mut stubs = Vec::new();
    for (n, change) in builder.changes.functions.iter().enumerate() {
        if let Some(body) = builder.by_section.get(&(change.source, change.section))
            && counts(change.fate)
        {
            let flips = change.flips.iter();
            stubs.extend(flips.map(|slot| stub(n, Word::Known(slot.word), *body)));
        }
    }
    let of_new_slots = builder.new_slots.iter().filter_map(|((key, _), slot)| {
        let change = *builder.changes.by_key.get(key)?;
        match builder.slots[*slot].body {
            Goal::Piece(body, 0) if counts(builder.changes.functions[change].fate) => {
                Some(stub(change, Word::New(*slot), body))
            }
            _ => None,
        }
    });
    let first = stubs.len();
    stubs.extend(of_new_slots);
    // Equal inputs give equal images.
    stubs[first..].sort_unstable_by_key(|stub| match stub.word {
        Word::New(slot) => slot,
        Word::Known(_) => 0,
    });
    stubs
}

impl Stub {
    /// Where its word is; the image begins at `base` of the range.
    pub fn word_at(&self, builder: &Builder<'_, '_>, base: u64) -> Place {
        match self.word {
            Word::Known(place) => place,
            Word::New(slot) => Place::Range(base + builder.slots[slot].word),
        }
    }

    /// Its code. `body` is the offset of the body in the image.
    ///
    /// rax is kept: it says how many vector registers hold arguments of a variadic function. r11 is free where a
    /// function begins: stubs of the dynamic linker use it as well.
    pub fn code(&self, body: u64) -> Result<[u8; SIZE as usize], Error> {
        #[rustfmt::skip]
        let mut code = [
            0x50,                                   // push %rax
            0x48, 0x8d, 0x05, 0xf8, 0xff, 0xff, 0xff, // lea stub(%rip), %rax
            0x4c, 0x8d, 0x1d, 0, 0, 0, 0,           // lea body(%rip), %r11
            0xf0, 0x4c, 0x0f, 0xb1, 0x1d, 0, 0, 0, 0, // lock cmpxchg %r11, word(%rip)
            0x58,                                   // pop %rax
            0xe9, 0, 0, 0, 0,                       // jmp body
            0xcc, 0xcc,                             // int3; int3
        ];
        for field in [11, 26] {
            let next = self.offset + field + 4;
            let distance = i32::try_from(body as i64 - next as i64)
                .map_err(|_| Error::Malformed("an image of more than 2 GiB".into()))?;
            let field = field as usize;
            code[field..field + 4].copy_from_slice(&distance.to_le_bytes());
        }
        Ok(code)
    }

    /// What makes it find its word, which is at `word`.
    pub fn relocation(&self, word: Place) -> Relocation {
        Relocation {
            at: (self.offset + WORD) as u32,
            kind: RelocationKind::Pc32,
            target: word,
            addend: BEHIND_WORD,
        }
    }
}

/// Unwind information of all stubs of an image, `stubs` (offset and length), to be placed at offset `at`.
///
/// The stack pointer is 8 lower between `push` and `pop`, which lie at the same places of each stub.
pub(crate) fn frames(stubs: (u64, u64), at: u64) -> Result<Vec<u8>, Error> {
    #[rustfmt::skip]
    let mut bytes = vec![
        20, 0, 0, 0, 0, 0, 0, 0, // length, common information
        1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, // addresses: 4 bytes, relative
        0x0c, 7, 8, // the frame address is rsp + 8
        0x90, 1, // the return address lies right below it
        0, 0,
        36, 0, 0, 0, 28, 0, 0, 0, // length, distance of the common information
        0, 0, 0, 0, 0, 0, 0, 0, // start and length of the code
        0,
        // The frame address is rsp + 8 + ((rip & 31) >= 1) * 8 - ((rip & 31) >= 25) * 8
        0x0f, 20,
        0x77, 8, 0x80, 0, 0x4f, 0x1a, 0x31, 0x2a, 0x33, 0x24, 0x22,
        0x80, 0, 0x4f, 0x1a, 0x49, 0x2a, 0x33, 0x24, 0x1c,
        0,
    ];
    let too_far = |_| Error::Malformed("an image of more than 2 GiB".into());
    let start = i32::try_from(stubs.0 as i64 - (at + 32) as i64).map_err(too_far)?;
    let len = u32::try_from(stubs.1).map_err(too_far)?;
    bytes[32..36].copy_from_slice(&start.to_le_bytes());
    bytes[36..40].copy_from_slice(&len.to_le_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stub(offset: u64) -> Stub {
        Stub {
            change: 0,
            word: Word::New(0),
            body: 0,
            offset,
        }
    }

    #[test]
    fn a_stub_leads_to_its_body_and_knows_its_own_address() {
        let code = stub(0x1000).code(0x40).unwrap();
        let distance =
            |field: usize| i32::from_le_bytes(code[field..field + 4].try_into().unwrap());
        assert_eq!(0x1000 + 8 + distance(4), 0x1000);
        assert_eq!(0x1000 + 15 + distance(11), 0x40);
        assert_eq!(0x1000 + 30 + distance(26), 0x40);
        let relocation = stub(0x1000).relocation(Place::Executable(8));
        // S + A - P is the distance from the next instruction.
        assert_eq!((relocation.at, relocation.addend), (0x1000 + 20, -4));
        assert_eq!(code[15..20], [0xf0, 0x4c, 0x0f, 0xb1, 0x1d]);
    }

    #[test]
    fn the_frame_address_is_right_at_every_instruction_of_every_stub() {
        use gimli::{CfaRule, EhFrame, UnwindContext, UnwindSection};
        let at = 0x2000;
        let mut section = frames((0x1000, 3 * SIZE), at).unwrap();
        section.extend([0; 4]);
        let mut frames = EhFrame::new(&section, gimli::LittleEndian);
        frames.set_address_size(8);
        let bases = gimli::BaseAddresses::default().set_eh_frame(at);
        let mut context: UnwindContext<usize> = UnwindContext::new();
        let instructions = [(0, 8), (1, 16), (8, 16), (15, 16), (24, 16), (25, 8)];
        for start in [0x1000, 0x1020, 0x1040] {
            for (instruction, expected) in instructions {
                let counter = start + instruction;
                let row = frames
                    .unwind_info_for_address(
                        &bases,
                        &mut context,
                        counter,
                        EhFrame::cie_from_offset,
                    )
                    .unwrap();
                let CfaRule::Expression(expression) = row.cfa() else {
                    panic!("{row:?}");
                };
                let expression = expression.get(&frames).unwrap();
                let encoding = gimli::Encoding {
                    format: gimli::Format::Dwarf32,
                    version: 1,
                    address_size: 8,
                };
                let mut evaluation = expression.evaluation(encoding);
                let mut state = evaluation.evaluate().unwrap();
                while let gimli::EvaluationResult::RequiresRegister { register, .. } = state {
                    let value = if register.0 == 7 { 0x7000 } else { counter };
                    let value = gimli::Value::Generic(value);
                    state = evaluation.resume_with_register(value).unwrap();
                }
                let address = evaluation.value_result().unwrap().to_u64(u64::MAX).unwrap();
                assert_eq!(address, 0x7000 + expected, "{counter:x}");
            }
        }
        let outside = frames.fde_for_address(&bases, 0x1060, EhFrame::cie_from_offset);
        assert!(outside.is_err());
    }
}
