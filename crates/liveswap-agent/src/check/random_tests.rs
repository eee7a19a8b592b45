//! Random damage with a checksum that is right: what a checksum does not catch must not harm either.

use liveswap_protocol::patch::{MAGIC, Patch};

use super::examples::{good, process, symbol};
use super::*;

/// The CRC-32 that patches carry, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32(body).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Pseudo-random numbers (xorshift) that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// What every patch that is let pass must fulfil.
fn assert_fits(ready: &Ready, process: &Process) {
    for (word, target) in &ready.slots {
        let data = ready.image.as_ref().map(|image| image.mapped.data);
        let code = ready.image.as_ref().map(|image| image.mapped.code);
        assert!(word.is_multiple_of(8));
        assert!(process.words.holds(*word, 8) || data.is_some_and(|data| data.holds(*word, 8)));
        let is_code = process
            .code
            .iter()
            .chain(&code)
            .any(|code| code.holds(*target, 1));
        assert!(is_code);
    }
    for (offset, bytes) in &ready.thread_locals {
        assert!(offset + bytes.len() as u64 <= process.tls_len);
    }
    if let Some(image) = &ready.image {
        let mapped = image.mapped;
        assert!(process.range.holds(mapped.slices.start, mapped.slices.len));
        assert!(
            mapped
                .slices
                .holds(mapped.code.start, image.code.len() as u64)
        );
        assert!(mapped.data.len >= image.data.len() as u64);
        if mapped.data.len > 0 {
            assert!(mapped.slices.holds(mapped.data.start, mapped.data.len));
            assert!(mapped.data.start.is_multiple_of(process.page_size));
            assert!(mapped.data.start >= mapped.code.end());
        }
    }
}

#[test]
fn the_checksum_is_the_one_of_patches() {
    let bytes = good().encode().unwrap();
    assert_eq!(sealed(&bytes[12..]), bytes);
}

#[test]
fn flipped_bits_with_a_right_checksum_never_panic() {
    let body = good().encode().unwrap()[12..].to_vec();
    let checker = Checker::new(process());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut passed = 0;
    for round in 0..60_000 {
        let mut damaged = body.clone();
        for _ in 0..=random.below(if round % 2 == 0 { 1 } else { 6 }) {
            let bit = random.below(damaged.len() * 8);
            damaged[bit / 8] ^= 1 << (bit % 8);
        }
        if round % 7 == 0 {
            damaged.truncate(random.below(damaged.len()));
        }
        if let Ok(ready) = checker.check(&sealed(&damaged), &symbol) {
            assert_fits(&ready, checker.process());
            passed += 1;
        }
    }
    // Bits of code and data mean nothing to the checker.
    assert!(passed > 1000, "{passed}");
}

#[test]
fn random_numbers_in_a_patch_never_panic() {
    let checker = Checker::new(process());
    let mut random = Random(42);
    let sizes = [
        0,
        1,
        7,
        8,
        63,
        64,
        4095,
        4096,
        65535,
        65536,
        1 << 31,
        u64::MAX - 7,
        u64::MAX,
    ];
    for _ in 0..60_000 {
        let mut patch: Patch = good();
        let mut number = || sizes[random.below(sizes.len())];
        let place = |kind: u64, value: u64| match kind % 3 {
            0 => liveswap_protocol::patch::Place::Executable(value),
            1 => liveswap_protocol::patch::Place::Range(value),
            _ => liveswap_protocol::patch::Place::Import(value as u32),
        };
        let image = patch.image.as_mut().unwrap();
        match number() % 8 {
            0 => image.data_offset = number(),
            1 => image.data_len = number(),
            2 => image.first_slice = number() as u32,
            3 => image.eh_frame = (number(), number()),
            4 => {
                image.relocations[0].at = number() as u32;
                image.relocations[0].addend = number() as i64;
                image.relocations[0].target = place(number(), number());
            }
            5 => patch.slots[0].word = place(number(), number()),
            6 => patch.slots[0].target = place(number(), number()),
            _ => {
                patch.thread_locals[0].offset = number();
                patch.thread_locals[0].pointers[0] =
                    (number() as u32, place(number(), number()), number() as i64);
            }
        }
        if let Ok(ready) = checker.check(&patch.encode().unwrap(), &symbol) {
            assert_fits(&ready, checker.process());
        }
    }
}
