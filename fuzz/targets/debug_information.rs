//! Debug information: whatever the bytes, layouts of types are read or refused.
//!
//! `cargo +nightly fuzz run debug_information fuzz/corpus/debug_information fuzz/seeds/object`
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = liveswap_object::layouts::read(bytes, &[]);
});
