//! The way from a thread's stack pointer to the beginning of its stack.
//!
//! Only stack pointer and program counter are known at first. The unwind information tells the rest, but
//! for one case: a function that finds its caller by the frame pointer, while the frame pointer is still
//! unknown. Then the function's first instructions tell how far the stack pointer is from it. Where
//! there is no way on, the words of the rest of the stack are looked at one by one.

use std::rc::Rc;

use super::calls::{Calls, Leads};
use super::cfi::register::{COUNT, RBP, RETURN, RSP};
use super::cfi::{Cfi, FrameAddress, Row, Rule};
use super::code::{self, Prologue};
use super::expression::Expression;
use super::index::Index;
use super::words::Stack;
use crate::sys::stack;

/// More frames than fit on a stack of the usual kinds.
const MOST_FRAMES: usize = 1 << 20;
/// So many frames are followed from a word that looks like one.
const FOLLOWED: usize = 32;
/// Functions that are longer are not searched for what they do to the stack pointer.
const LONGEST_BODY: u64 = 64 << 10;

/// A frame of a function in one of the ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The range's number.
    pub range: u32,
    /// Where on the stack the return address stands; 0 for what was interrupted.
    pub stack_address: u64,
    /// The address in the range.
    pub address: u64,
    /// It is certainly there.
    pub exact: bool,
}

/// What is known of a call that is under way.
#[derive(Clone, Copy)]
struct Call {
    registers: [Option<u64>; RETURN],
    /// Where it goes on.
    counter: u64,
    /// Where that stands on the stack.
    stands_at: u64,
    /// It has called something. Otherwise it was interrupted.
    has_called: bool,
}

impl Call {
    fn new(stack_pointer: u64, counter: u64, stands_at: u64, has_called: bool) -> Call {
        let mut registers = [None; RETURN];
        registers[RSP] = Some(stack_pointer);
        Call {
            registers,
            counter,
            stands_at,
            has_called,
        }
    }

    fn register(&self, number: usize) -> Option<u64> {
        match number {
            RETURN => Some(self.counter),
            number => *self.registers.get(number)?,
        }
    }

    fn stack_pointer(&self) -> u64 {
        self.registers[RSP].unwrap_or(0)
    }

    /// An address in the instruction that is under way.
    fn instruction(&self) -> u64 {
        self.counter.wrapping_sub(u64::from(self.has_called))
    }
}

/// One step of the way.
// It lives for one step; a box would cost an allocation for each frame.
#[allow(clippy::large_enum_variant)]
enum Step {
    /// The caller.
    Caller {
        call: Call,
        /// The frame pointer was not known, but computed.
        guessed: bool,
    },
    /// There is no caller: the stack begins here.
    Beginning,
    /// What would be needed is not known.
    Lost,
    /// This is no call that is under way.
    Contradiction,
}

/// Finds frames on stacks.
pub struct Walker<'a> {
    cfi: Cfi<'a>,
    calls: Calls<'a>,
    index: &'a Index,
    /// One of several ways is to be chosen by following each: on them nothing is chosen.
    is_choosing: bool,
}

impl<'a> Walker<'a> {
    /// With all that is known of the process.
    pub fn new(cfi: Cfi<'a>, calls: Calls<'a>, index: &'a Index) -> Walker<'a> {
        Walker {
            cfi,
            calls,
            index,
            is_choosing: false,
        }
    }

    /// Frames on the stack of a thread that waits at `counter`. Exact ones are given once for a range, the
    /// innermost. `end` says where the stack begins that grew down to an address.
    pub fn walk(
        &mut self,
        stack_pointer: u64,
        counter: u64,
        end: &dyn Fn(u64) -> u64,
    ) -> Vec<Found> {
        let mut words = Stack::new();
        let mut found = Vec::new();
        let mut call = Call::new(stack_pointer, counter, 0, false);
        let mut beginning = end(stack_pointer);
        // What was found until the frame pointer was computed, and where that was.
        let mut certain: Option<(usize, u64)> = None;
        for _ in 0..MOST_FRAMES {
            self.note(&call, &mut found);
            match self.caller(&call, beginning, &mut words) {
                Step::Caller {
                    call: next,
                    guessed,
                } => {
                    if guessed && certain.is_none() {
                        certain = Some((found.len(), call.stack_pointer()));
                    }
                    call = next;
                    if !call.has_called {
                        // A handler of a signal may have a stack of its own.
                        beginning = end(call.stack_pointer());
                    }
                }
                // The way led here: so it was right all along.
                Step::Beginning => return found,
                Step::Lost | Step::Contradiction => break,
            }
        }
        let mut from = call.stack_pointer();
        if let Some((count, stack_pointer)) = certain {
            found.truncate(count);
            from = stack_pointer;
        }
        self.scan(from, end(from), &mut words, &mut found);
        found
    }

    /// Without unwind information: all words that look like return addresses.
    pub fn scan_all(
        &mut self,
        stack_pointer: u64,
        counter: u64,
        end: &dyn Fn(u64) -> u64,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        self.note(&Call::new(stack_pointer, counter, 0, false), &mut found);
        let index = self.index;
        each_word(stack_pointer, end(stack_pointer), &mut |at, word| {
            found.extend(index.returned_to(word).map(|range| Found {
                range,
                stack_address: at,
                address: word,
                exact: false,
            }));
        });
        found
    }

    fn note(&self, call: &Call, found: &mut Vec<Found>) {
        let mut add = |range| {
            if !found.iter().any(|it: &Found| it.range == range) {
                found.push(Found {
                    range,
                    stack_address: call.stands_at,
                    address: call.counter,
                    exact: true,
                });
            }
        };
        if call.has_called {
            self.index.returned_to(call.counter).for_each(&mut add);
        } else {
            self.index.holding(call.counter).for_each(&mut add);
        }
    }

    /// Words that look like return addresses into the ranges, and are not proved to be something else.
    fn scan(&mut self, from: u64, end: u64, words: &mut Stack, found: &mut Vec<Found>) {
        let index = self.index;
        each_word(from, end, &mut |at, word| {
            let mut ranges = index.returned_to(word).peekable();
            if ranges.peek().is_some() && self.may_be_a_frame(at, word, end, words) {
                found.extend(ranges.map(|range| Found {
                    range,
                    stack_address: at,
                    address: word,
                    exact: false,
                }));
            }
        });
    }

    /// Whether a word on a stack can be a return address: what would be its frame is followed up.
    fn may_be_a_frame(&mut self, at: u64, word: u64, end: u64, words: &mut Stack) -> bool {
        if self.calls.before(word).is_empty() {
            return false;
        }
        let call = Call::new(at.wrapping_add(8), word, at, true);
        self.can_be_followed(call, end, words)
    }

    /// Whether the next callers, as far as they can be told, are ones.
    fn can_be_followed(&mut self, mut call: Call, end: u64, words: &mut Stack) -> bool {
        for _ in 0..FOLLOWED {
            let row = self.cfi.row(call.instruction());
            match self.caller(&call, end, words) {
                Step::Caller { call: next, .. } => call = next,
                Step::Contradiction => return false,
                Step::Beginning | Step::Lost => return true,
            }
            if let Some(row) = row
                && call.has_called
                && self.leads(call.counter, &row) == Leads::No
            {
                return false;
            }
        }
        true
    }

    fn caller(&mut self, call: &Call, end: u64, words: &mut Stack) -> Step {
        let Some(row) = self.cfi.row(call.instruction()) else {
            return Step::Lost;
        };
        let mut call = *call;
        let mut guessed = false;
        if let FrameAddress::Register(RBP, offset) = row.address
            && call.registers[RBP].is_none()
        {
            call.registers[RBP] = self.frame_pointer(&call, &row, offset, end, words);
            guessed = true;
        }
        let address = match &row.address {
            FrameAddress::Register(number, offset) => call
                .register(*number)
                .map(|value| value.wrapping_add_signed(*offset)),
            FrameAddress::Expression(it) => value(it, None, &call, words),
        };
        let Some(address) = address else {
            return Step::Lost;
        };
        let stack_pointer = call.stack_pointer();
        if !row.signal && (address <= stack_pointer || address > end) {
            return Step::Contradiction;
        }
        let mut values = [None; COUNT];
        for (number, (rule, value)) in row.rules.iter().zip(&mut values).enumerate() {
            *value = match rule {
                Rule::Same => call.register(number),
                Rule::Nowhere => None,
                Rule::At(from) => words.word(address.wrapping_add_signed(*from)),
                Rule::Value(from) => Some(address.wrapping_add_signed(*from)),
                Rule::Register(other) => call.register(*other),
                Rule::AtExpression(it) => {
                    self::value(it, Some(address), &call, words).and_then(|at| words.word(at))
                }
                Rule::Expression(it) => self::value(it, Some(address), &call, words),
            };
        }
        let stands_at = match row.rules[RETURN] {
            Rule::Nowhere => return Step::Beginning,
            Rule::At(from) => address.wrapping_add_signed(from),
            _ => 0,
        };
        let counter = match values[RETURN] {
            Some(0) => return Step::Beginning,
            Some(counter) => counter,
            None => return Step::Lost,
        };
        let mut registers = [None; RETURN];
        registers.copy_from_slice(&values[..RETURN]);
        if row.rules[RSP] == Rule::Nowhere {
            registers[RSP] = Some(address);
        }
        let caller = Call {
            registers,
            counter,
            stands_at,
            has_called: !row.signal,
        };
        if registers[RSP].is_none() {
            return Step::Lost;
        }
        if caller.has_called && self.calls.before(counter).is_empty() {
            // The first function on a stack that the program made by itself was not called.
            let row = self.cfi.row(counter);
            let is_its_start = row.is_some_and(|row| row.function.start == counter);
            // The kernel calls a handler so that it returns into a trampoline.
            let before = self.cfi.row(caller.instruction());
            if !before.is_some_and(|row| row.signal) {
                return match is_its_start {
                    true => Step::Lost,
                    false => Step::Contradiction,
                };
            }
        }
        Step::Caller {
            call: caller,
            guessed,
        }
    }

    /// The frame pointer of a function that has set it, from the stack pointer: the only value with which
    /// the caller is one.
    fn frame_pointer(
        &mut self,
        call: &Call,
        row: &Rc<Row>,
        offset: i64,
        end: u64,
        words: &mut Stack,
    ) -> Option<u64> {
        let body = row.body?;
        let len = row.function.end().checked_sub(body)?.min(LONGEST_BODY);
        let mut code = vec![0; len as usize];
        let done = stack::read(body, &mut code);
        let (code, behind) = code[..done].split_at_checked((call.counter - body) as usize)?;
        let Rule::At(return_at) = row.rules[RETURN] else {
            return None;
        };
        let (prologue, len) = Prologue::read(code);
        // All registers that are saved must have been seen.
        let saved = row.rules.iter().filter(|rule| matches!(rule, Rule::At(_)));
        let is_complete = prologue.saves_at_least(saved.count().saturating_sub(2));
        if !is_complete || code::moves_stack(&code[len..]) || prologue.differs_from(behind) {
            return None;
        }
        let stack_pointer = call.stack_pointer();
        let mut fitting: Vec<u64> = prologue
            .frame_pointers(stack_pointer)
            .filter(|pointer| {
                let address = pointer.wrapping_add_signed(offset);
                // Compilers keep the stack aligned where something is called.
                address.is_multiple_of(16)
                    && stack_pointer < address
                    && address <= end
                    && words
                        .word(address.wrapping_add_signed(return_at))
                        .is_some_and(|counter| {
                            !self.calls.before(counter).is_empty()
                                && self.leads(counter, row) != Leads::No
                        })
            })
            .collect();
        if fitting.len() > 1 && !self.is_choosing {
            self.is_choosing = true;
            fitting.retain(|pointer| {
                let mut call = *call;
                call.registers[RBP] = Some(*pointer);
                self.can_be_followed(call, end, words)
            });
            self.is_choosing = false;
        }
        match fitting[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    fn leads(&mut self, counter: u64, row: &Row) -> Leads {
        self.calls.lead(&mut self.cfi, counter, row.function.start)
    }
}

fn value(
    expression: &Expression,
    first: Option<u64>,
    call: &Call,
    words: &mut Stack,
) -> Option<u64> {
    expression.value(first, &|number| call.register(number), &mut |at| {
        words.word(at)
    })
}

/// Gives every aligned word of a stack and its address.
fn each_word(from: u64, to: u64, what: &mut dyn FnMut(u64, u64)) {
    let mut buffer = vec![0; 64 * 1024];
    let Some(mut at) = from.checked_next_multiple_of(8) else {
        return;
    };
    while at < to {
        let wanted = usize::try_from(to - at)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let done = stack::read(at, &mut buffer[..wanted]);
        let (words, _) = buffer[..done].as_chunks::<8>();
        for (number, bytes) in words.iter().enumerate() {
            what(at + 8 * number as u64, u64::from_le_bytes(*bytes));
        }
        if words.is_empty() {
            return;
        }
        at += 8 * words.len() as u64;
    }
}
