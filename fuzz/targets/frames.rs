//! Stacks and unwind information: whatever the bytes, walking a stack by them ends, and finds only what is there.
//!
//! `cargo +nightly fuzz run frames fuzz/corpus/frames fuzz/seeds/frames`
#![no_main]

use libfuzzer_sys::fuzz_target;
use liveswap_agent::frames::trial::Trial;

fuzz_target!(|bytes: &[u8]| {
    if let Some(trial) = Trial::of(bytes) {
        trial.walk();
    }
});
