//! Real Nim programs that are compiled, run and edited while they run.
//!
//! A case is a folder below `fixtures/nim`: `0/` holds the program as it starts, every other
//! folder is one edit, and `expected.txt` says what is done and what the program answers to it
//! (see [`transcript`]). The expectations are reasoned from Nim's semantics, not recorded.

mod half_linked;
mod playback;
mod project;
mod toolchain;
mod transcript;

use std::path::{Path, PathBuf};

pub use playback::play;
pub use toolchain::{Build, compile_error};

/// Where the cases lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nim")
}

/// Declares one test per build of each case: `bank: debug = Debug, release = Release;` gives
/// `bank::debug` and `bank::release`, which play `fixtures/nim/bank`.
#[macro_export]
macro_rules! nim_cases {
    ($($(#[$meta:meta])* $case:ident: $($test:ident = $build:ident),+;)+) => {
        $(
            $(#[$meta])*
            mod $case {
                $(
                    #[test]
                    fn $test() {
                        liveswap_tests::nim::play(
                            stringify!($case),
                            liveswap_tests::nim::Build::$build,
                        );
                    }
                )+
            }
        )+
    };
}
