//! Objects: whatever the bytes, they are understood or refused, and a patch made of them keeps its promises.
//!
//! `cargo +nightly fuzz run object fuzz/corpus/object fuzz/seeds/object`
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/liveswap-object/tests/damaged/object.rs"]
mod use_of_objects;

fuzz_target!(|bytes: &[u8]| {
    use_of_objects::use_it(bytes);
});
