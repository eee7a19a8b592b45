//! Words of a stack, read in larger pieces.

use crate::sys::stack;

const PAGE: u64 = 4096;
/// Pages that are read at once. Stacks are mostly shallow.
const PAGES: usize = 4;

/// What was read last of a stack.
pub struct Stack {
    start: u64,
    len: usize,
    bytes: Box<[u8]>,
}

impl Stack {
    /// Nothing is read yet.
    pub fn new() -> Stack {
        Stack {
            start: 0,
            len: 0,
            bytes: vec![0; PAGES * PAGE as usize].into(),
        }
    }

    /// The word at this address, if it can be read.
    pub fn word(&mut self, at: u64) -> Option<u64> {
        if let Some(word) = self.known(at) {
            return Some(word);
        }
        self.start = at / PAGE * PAGE;
        self.len = stack::read(self.start, &mut self.bytes);
        self.known(at)
    }

    fn known(&self, at: u64) -> Option<u64> {
        let from = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(..self.len)?.get(from..)?.first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_wherever_they_are_and_nothing_else() {
        let numbers: Vec<u64> = (0..10_000).collect();
        let at = |index: usize| &raw const numbers[index] as u64;
        let mut stack = Stack::new();
        for index in [0, 9_999, 1, 5_000, 5_001] {
            assert_eq!(stack.word(at(index)), Some(numbers[index]));
        }
        for nowhere in [0, 8, 4096, u64::MAX, u64::MAX - 7, 1 << 63] {
            assert_eq!(stack.word(nowhere), None);
        }
        assert_eq!(stack.word(at(7)), Some(7));
    }
}
