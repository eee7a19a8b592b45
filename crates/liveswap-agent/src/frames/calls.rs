//! Whether a call leads to a function.

use std::collections::HashMap;
use std::rc::Rc;

use super::cfi::Cfi;
use super::code::{self, LONGEST_CALL, LONGEST_STUB, Target};
use crate::sys::stack;

/// So many jumps are followed from a call.
pub const HOPS: u8 = 4;
/// So many places are looked at for one question. A large program has many functions that end with jumps.
const PLACES: u32 = 64;
/// Functions that are longer are not searched for jumps.
const LONGEST_FUNCTION: u64 = 64 << 10;

/// Whether one leads to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leads {
    /// There.
    Yes,
    /// Elsewhere.
    No,
    /// That cannot be told.
    Maybe,
}

/// Where every word of a slot has led so far, the newest body last. Old bodies were called through them.
pub type Words = HashMap<u64, Vec<u64>>;

/// Calls of the process, looked at once each.
pub struct Calls<'a> {
    words: &'a Words,
    before: HashMap<u64, Rc<[Target]>>,
    decided: HashMap<(u64, u64), Leads>,
    /// How many places may still be looked at.
    places: u32,
}

impl<'a> Calls<'a> {
    /// With the words of the slots that were ever changed.
    pub fn new(words: &'a Words) -> Calls<'a> {
        Calls {
            words,
            before: HashMap::new(),
            decided: HashMap::new(),
            places: PLACES,
        }
    }

    /// The call behind which this address lies, in all readings; none if there is no call.
    pub fn before(&mut self, address: u64) -> Rc<[Target]> {
        if let Some(known) = self.before.get(&address) {
            return Rc::clone(known);
        }
        let calls: Rc<[Target]> = code::calls_before(address, &read_before(address)).into();
        self.before.insert(address, Rc::clone(&calls));
        calls
    }

    /// Whether the call behind which this address lies leads to the function that begins at `function`.
    pub fn lead(&mut self, cfi: &mut Cfi<'_>, address: u64, function: u64) -> Leads {
        let calls = self.before(address);
        self.places = PLACES;
        any(calls
            .iter()
            .map(|call| self.target(cfi, *call, function, HOPS)))
    }

    fn target(&mut self, cfi: &mut Cfi<'_>, target: Target, function: u64, hops: u8) -> Leads {
        match target {
            Target::Anywhere => Leads::Maybe,
            Target::To(address) => self.address(cfi, address, function, hops),
            Target::Through(word) => {
                let mut held = self.words.get(&word).cloned().unwrap_or_default();
                let mut now = [0; 8];
                if stack::read(word, &mut now) != now.len() {
                    return Leads::Maybe;
                }
                held.push(body(u64::from_le_bytes(now)));
                any(held
                    .into_iter()
                    .map(|address| self.address(cfi, address, function, hops)))
            }
        }
    }

    /// Whether a call of `address` leads to `function` by at most so many jumps.
    pub fn address(&mut self, cfi: &mut Cfi<'_>, address: u64, function: u64, hops: u8) -> Leads {
        if address == function {
            return Leads::Yes;
        }
        let Some(hops) = hops.checked_sub(1) else {
            return Leads::Maybe;
        };
        if let Some(known) = self.decided.get(&(address, function)) {
            return *known;
        }
        // Should the way lead here again.
        self.decided.insert((address, function), Leads::Maybe);
        let decided = self.follow(cfi, address, function, hops);
        self.decided.insert((address, function), decided);
        decided
    }

    fn may_look(&mut self) -> bool {
        self.places = self.places.saturating_sub(1);
        self.places > 0
    }

    fn follow(&mut self, cfi: &mut Cfi<'_>, address: u64, function: u64, hops: u8) -> Leads {
        if !self.may_look() {
            return Leads::Maybe;
        }
        let mut start = [0; LONGEST_STUB];
        let done = stack::read(address, &mut start);
        if let Some(jump) = code::stub(address, &start[..done]) {
            return self.target(cfi, jump, function, hops);
        }
        let Some(row) = cfi.row(address) else {
            return Leads::Maybe;
        };
        if row.function.start != address || row.function.len > LONGEST_FUNCTION {
            return Leads::Maybe;
        }
        // Another function. It could have ended with a jump to this one.
        let mut bytes = vec![0; row.function.len as usize];
        if stack::read(address, &mut bytes) != bytes.len() {
            return Leads::Maybe;
        }
        let jumps = code::jumps_out(address, &bytes);
        any(jumps.into_iter().map(|jump| match jump {
            // Bytes that only look like a jump lead somewhere.
            Target::To(to) if to != function && self.may_look() && !begins(cfi, to) => Leads::No,
            jump => self.target(cfi, jump, function, hops),
        }))
    }
}

/// Where the value of a slot's word leads: to the body, also where that was not called yet.
pub fn body(value: u64) -> u64 {
    let mut bytes = [0; LONGEST_STUB];
    let done = stack::read(value, &mut bytes);
    code::behind_first_call(value, &bytes[..done]).unwrap_or(value)
}

/// The bytes before an address, as many as a call can have. At the beginning of code there are less.
fn read_before(address: u64) -> Vec<u8> {
    const SMALLEST_PAGE: u64 = 4096;
    let start = address.wrapping_sub(LONGEST_CALL as u64);
    let page = address.wrapping_sub(1) / SMALLEST_PAGE * SMALLEST_PAGE;
    for from in [start, page.max(start)] {
        let mut bytes = vec![0; address.wrapping_sub(from) as usize];
        if stack::read(from, &mut bytes) == bytes.len() {
            return bytes;
        }
    }
    Vec::new()
}

/// Whether a function or a stub begins there.
fn begins(cfi: &mut Cfi<'_>, address: u64) -> bool {
    match cfi.row(address) {
        Some(row) if row.function.start == address => true,
        // Slots and PLTs: one record describes all of them, or none.
        _ => {
            let mut bytes = [0; LONGEST_STUB];
            let done = stack::read(address, &mut bytes);
            code::stub(address, &bytes[..done]).is_some()
        }
    }
}

fn any(ways: impl Iterator<Item = Leads>) -> Leads {
    let mut all = Leads::No;
    for way in ways {
        match way {
            Leads::Yes => return Leads::Yes,
            Leads::Maybe => all = Leads::Maybe,
            Leads::No => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_whose_body_was_not_called_yet_leads_to_the_body() {
        // A slot's jump, its word, and a stub for the first call of what lies at the beginning.
        const WORD: usize = 8;
        const STUB: usize = 32;
        let mut code = [0_u64; 8];
        let start = code.as_ptr() as u64;
        let stub = start + STUB as u64;
        let mut bytes = [0; 64];
        bytes[..6].copy_from_slice(&[0xff, 0x25, (WORD - 6) as u8, 0, 0, 0]);
        bytes[WORD..WORD + 8].copy_from_slice(&stub.to_le_bytes());
        bytes[STUB..STUB + 30].copy_from_slice(&[
            0x50, 0x48, 0x8d, 0x05, 0xf8, 0xff, 0xff, 0xff, 0x4c, 0x8d, 0x1d, 0, 0, 0, 0, 0xf0,
            0x4c, 0x0f, 0xb1, 0x1d, 0, 0, 0, 0, 0x58, 0xe9, 0, 0x10, 0, 0,
        ]);
        let (words, _) = bytes.as_chunks::<8>();
        for (word, bytes) in code.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        let function = stub + 30 + 0x1000;
        assert_eq!(body(stub), function);
        assert_eq!(body(start), start, "no stub");
        let mut cfi = Cfi::new(Vec::new(), &[]);
        let nothing = Words::default();
        let mut calls = Calls::new(&nothing);
        assert_eq!(calls.address(&mut cfi, start, function, HOPS), Leads::Yes);
        assert_eq!(calls.address(&mut cfi, stub, function, HOPS), Leads::Yes);
    }

    #[test]
    fn a_call_through_a_slot_leads_to_all_that_the_slot_has_held() {
        // A call of the slot, the slot, and its word.
        const SLOT: usize = 8;
        const WORD: usize = 16;
        let mut code = [0_u64; 3];
        let start = code.as_ptr() as u64;
        let mut bytes = [0; 24];
        bytes[..5].copy_from_slice(&[0xe8, SLOT as u8 - 5, 0, 0, 0]);
        bytes[SLOT..SLOT + 6].copy_from_slice(&[0xff, 0x25, (WORD - SLOT - 6) as u8, 0, 0, 0]);
        bytes[WORD..].copy_from_slice(&0x3000_u64.to_le_bytes());
        let (words, _) = bytes.as_chunks::<8>();
        for (word, bytes) in code.iter_mut().zip(words) {
            *word = u64::from_le_bytes(*bytes);
        }
        let mut cfi = Cfi::new(Vec::new(), &[]);
        let nothing = Words::default();
        let mut calls = Calls::new(&nothing);
        assert_eq!(calls.lead(&mut cfi, start + 5, 0x3000), Leads::Yes);
        // What lies at 0x3000 is not known, and could lead further.
        assert_eq!(calls.lead(&mut cfi, start + 5, 0x1000), Leads::Maybe);
        assert_eq!(
            calls.lead(&mut cfi, start + 4, 0x3000),
            Leads::No,
            "no call"
        );
        let held = Words::from([(start + WORD as u64, vec![0x1000, 0x2000])]);
        let mut calls = Calls::new(&held);
        for function in [0x1000, 0x2000, 0x3000] {
            assert_eq!(calls.lead(&mut cfi, start + 5, function), Leads::Yes);
        }
    }
}
