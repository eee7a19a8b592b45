//! A made-up function, its unwind information and a stack, walked as those of the program are: for tests and for the
//! fuzz target `frames`. No process has it.

use super::calls::{Calls, Words};
use super::cfi::{Cfi, Image};
use super::index::Index;
use super::walk::{Found, Walker};
use crate::check::Span;

/// Words of the stack that are smaller are offsets in the code.
const OFFSETS: u64 = 1 << 32;
/// From here to twice as much they are offsets in the stack, and this.
const STACK_OFFSETS: u64 = OFFSETS;

/// What is walked.
#[derive(Debug)]
pub struct Trial {
    /// Code, and unwind information behind it.
    code: Vec<u8>,
    eh_frame: usize,
    /// Offset in the code at which a thread waits.
    counter: u64,
    stack: Vec<u64>,
}

impl Trial {
    /// Out of any bytes: lengths of the code and of the unwind information, the counter (2 bytes each), code, unwind
    /// information, and words of the stack.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Trial> {
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        let number = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
        let (code, rest) = rest.split_at_checked(number(0))?;
        let (eh_frame, stack) = rest.split_at_checked(number(2))?;
        let (words, _) = stack.as_chunks::<8>();
        Some(Trial {
            code: [code, eh_frame].concat(),
            eh_frame: code.len(),
            counter: number(4) as u64,
            stack: words.iter().map(|word| u64::from_le_bytes(*word)).collect(),
        })
    }

    /// The bytes that it can be made of again.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let numbers = [self.eh_frame, self.code.len() - self.eh_frame];
        let mut bytes = Vec::new();
        for number in numbers.iter().chain([&(self.counter as usize)]) {
            bytes.extend((*number as u16).to_le_bytes());
        }
        bytes.extend(&self.code);
        bytes.extend(self.stack.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    /// Walks the stack; gives the offsets in the code that are on it, the innermost first, and how many are exact.
    ///
    /// # Panics
    /// If something is found that is not there.
    pub fn walk(&self) -> (Vec<u64>, usize) {
        // As stacks are: aligned, with something above.
        let mut room = vec![0_u64; self.stack.len() + 8];
        let aligned = (room.as_ptr() as usize).wrapping_neg() % 16 / 8;
        let start = room.as_ptr() as u64 + aligned as u64 * 8;
        let code = Span {
            start: self.code.as_ptr() as u64,
            len: self.code.len() as u64,
        };
        for (word, value) in room[aligned..].iter_mut().zip(&self.stack) {
            *word = match *value {
                0 => 0,
                value if value < OFFSETS => code.start + value,
                value if value < OFFSETS + STACK_OFFSETS => start + (value - STACK_OFFSETS),
                value => value,
            };
        }
        let stack = Span {
            start,
            len: self.stack.len() as u64 * 8,
        };
        // As the mappings tell: what lies elsewhere is no stack.
        let end = |at: u64| if stack.holds(at, 1) { stack.end() } else { at };
        let images = [Image {
            code,
            eh_frame: code.start + self.eh_frame as u64,
        }];
        let index = Index::new(&[(code.start, self.eh_frame as u64)]);
        let words = Words::default();
        let mut walker = Walker::new(Cfi::new(Vec::new(), &images), Calls::new(&words), &index);
        let mut found = walker.walk(start, code.start + self.counter, &end);
        found.extend(walker.scan_all(start, code.start + self.counter, &end));
        let exact = found.iter().filter(|it| it.exact).count();
        let offsets = found.iter().map(|it| {
            let Found { range, address, .. } = *it;
            assert_eq!(range, 0);
            assert!(address <= code.start + self.eh_frame as u64, "{it:?}");
            address - code.start
        });
        (offsets.collect(), exact)
    }
}

#[cfg(target_arch = "x86_64")]
#[cfg(test)]
mod tests {
    use super::*;

    /// A function that calls what it is given, with a frame pointer, and its unwind information.
    fn nested() -> Trial {
        // push %rbp; mov %rsp,%rbp; call *%rdi; pop %rbp; ret
        let code = vec![0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3];
        let eh_frame = [
            20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, // CIE
            12, 7, 8, 0x90, 1, 0, 0, // cfa = rsp + 8, return address at cfa - 8
            28, 0, 0, 0, 28, 0, 0, 0, 0xd8, 0xff, 0xff, 0xff, 8, 0, 0, 0, 0, // FDE
            0x41, 0x0e, 16, 0x86, 2, // behind push: cfa = rsp + 16, rbp at cfa - 16
            0x43, 0x0d, 6, // behind mov: cfa = rbp + 16
            0x43, 0x0c, 7, 8, // behind pop: cfa = rsp + 8
            0, 0, 0, 0, 0, 0, 0,
        ];
        let mut trial = Trial {
            eh_frame: code.len(),
            code,
            // Behind the push: the stack pointer is enough.
            counter: 1,
            stack: Vec::new(),
        };
        trial.code.extend(eh_frame);
        // Frames of two words: the caller's frame pointer, and where the call returns to.
        for frame in 0..4_u64 {
            trial.stack.extend([STACK_OFFSETS + 16 * (frame + 1), 6]);
        }
        trial.stack.extend([0, 0]);
        trial
    }

    #[test]
    fn the_frames_of_a_made_up_stack_are_found() {
        let trial = nested();
        let (offsets, exact) = trial.walk();
        // The way leads to the stack's beginning, so the other words were not looked through; and all words.
        assert_eq!((&offsets[..], exact), (&[1, 1, 6, 6, 6, 6][..], 2));
        assert_eq!(Trial::of(&trial.bytes()).unwrap().walk().0, offsets);
    }

    #[test]
    fn stacks_and_unwind_information_with_damage_do_not_panic() {
        let whole = nested().bytes();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut different = 0;
        for _ in 0..20_000 {
            let mut damaged = whole.clone();
            for _ in 0..1 + random() % 4 {
                let at = (random() % damaged.len() as u64) as usize;
                damaged[at] = random() as u8;
            }
            if let Some(trial) = Trial::of(&damaged) {
                different += usize::from(trial.walk() != nested().walk());
            }
        }
        assert!(different > 100, "{different}");
    }
}
