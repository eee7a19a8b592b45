//! Expressions in unwind information: those that entries of the PLT and frames of signal handlers have.

use gimli::{EndianSlice, LittleEndian, Operation};

/// An expression, copied out of its section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    bytes: Box<[u8]>,
    encoding: gimli::Encoding,
}

impl Expression {
    /// With how the function's unwind information is written.
    pub fn new(bytes: &[u8], encoding: gimli::Encoding) -> Expression {
        Expression {
            bytes: bytes.into(),
            encoding,
        }
    }

    /// Its value; `first`, if any, lies on the stack before. `None` if something in it is not known, or of
    /// a kind that no compiler writes here. It has no jumps, so it ends.
    pub fn value(
        &self,
        first: Option<u64>,
        register: &dyn Fn(usize) -> Option<u64>,
        word: &mut dyn FnMut(u64) -> Option<u64>,
    ) -> Option<u64> {
        let bytes = EndianSlice::new(&self.bytes, LittleEndian);
        let mut operations = gimli::Expression(bytes).operations(self.encoding);
        let mut stack: Vec<u64> = first.into_iter().collect();
        while let Some(operation) = operations.next().ok()? {
            let value = match operation {
                Operation::RegisterOffset {
                    register: number,
                    offset,
                    ..
                } => register(usize::from(number.0))?.wrapping_add_signed(offset),
                Operation::UnsignedConstant { value } => value,
                Operation::SignedConstant { value } => value as u64,
                Operation::PlusConstant { value } => stack.pop()?.wrapping_add(value),
                Operation::Deref {
                    size: 8,
                    space: false,
                    ..
                } => word(stack.pop()?)?,
                Operation::Nop => continue,
                operation => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    match operation {
                        Operation::Plus => left.wrapping_add(right),
                        Operation::Minus => left.wrapping_sub(right),
                        Operation::And => left & right,
                        Operation::Shl => left.checked_shl(u32::try_from(right).ok()?).unwrap_or(0),
                        // Comparisons are of signed numbers.
                        Operation::Ge => u64::from(left as i64 >= right as i64),
                        _ => return None,
                    }
                }
            };
            stack.push(value);
        }
        stack.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: &[u8]) -> Option<u64> {
        let encoding = gimli::Encoding {
            format: gimli::Format::Dwarf32,
            version: 1,
            address_size: 8,
        };
        let register = |number| match number {
            7 => Some(0x1000),
            16 => Some(0x400b),
            _ => None,
        };
        Expression::new(bytes, encoding)
            .value(None, &register, &mut |at| (at == 0x1010).then_some(77))
    }

    #[test]
    fn the_expression_of_the_plt_gives_one_word_more_behind_the_push() {
        // rsp + 8 + ((rip & 15) >= 11) * 8
        let plt = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        assert_eq!(value(&plt), Some(0x1010));
    }

    #[test]
    fn what_cannot_be_known_has_no_value() {
        assert_eq!(value(&[0x77, 0x10, 0x06]), Some(77));
        assert_eq!(value(&[0x77, 0x11, 0x06]), None);
        assert_eq!(value(&[0x76, 0]), None, "rbp");
        assert_eq!(value(&[0x06]), None, "an empty stack");
        assert_eq!(value(&[0x2f, 0xfd, 0xff]), None, "a jump to itself");
        assert_eq!(value(&[]), None);
        assert_eq!(value(&[0xff, 0xff]), None);
    }
}
