//! Patches: whatever the bytes, decoding and checking ends with an answer, and what is let pass keeps
//! its promises.
//!
//! `cargo +nightly fuzz run patch`
#![no_main]

use libfuzzer_sys::fuzz_target;
use liveswap_agent::check::{Checker, Process, Span};
use liveswap_agent::relocation::Machine;
use liveswap_protocol::patch::{MAGIC, SLICE_SIZE};

fn process(machine: Machine) -> Process {
    let base = 0x5555_5555_0000;
    let span = |start, len| Span { start, len };
    Process {
        machine,
        build_id: Vec::new(),
        bias: base,
        page_size: 4096,
        range: span(0x5555_0000_0000, 16 * SLICE_SIZE),
        executable: span(base, 0x5000),
        code: vec![span(base + 0x1000, 0x1000)],
        words: span(base + 0x3000, 64),
        tls_len: 64,
    }
}

fuzz_target!(|body: &[u8]| {
    // A right checksum: a fuzzer does not find one.
    let mut bytes = MAGIC.to_vec();
    bytes.extend(crc32fast::hash(body).to_le_bytes());
    bytes.extend(body);
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let mut checker = Checker::new(process(machine));
        let symbol = |name: &str| (name.len() < 4).then_some(0x7fff_0000_1000);
        if let Ok(ready) = checker.check(&bytes, &symbol) {
            let process = checker.process();
            for (word, _) in &ready.slots {
                assert!(word.is_multiple_of(8));
            }
            for (offset, bytes) in &ready.thread_locals {
                assert!(offset + bytes.len() as u64 <= process.tls_len);
            }
            if let Some(image) = &ready.image {
                let slices = image.mapped.slices;
                assert!(process.range.holds(slices.start, slices.len));
                assert!(slices.holds(image.mapped.code.start, image.code.len() as u64));
                assert!(image.mapped.data.len >= image.data.len() as u64);
            }
            checker.take(&ready);
            checker.commit(&ready);
            assert!(
                checker.check(&bytes, &symbol).is_err(),
                "the same generation twice"
            );
        }
    }
});
