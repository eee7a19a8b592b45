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
pub use toolchain::{
    Backend, Build, Compiler, Mode, compile, compile_case, compile_error, library_path, run,
};

/// Where the cases lie.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nim")
}

/// The names of all cases.
///
/// # Panics
/// When they cannot be read.
pub fn all_cases() -> Vec<String> {
    let folder = fixtures();
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", folder.display()));
    let mut cases: Vec<String> = entries
        .map(|entry| entry.expect("a folder's entry can be read").file_name())
        .map(|name| name.into_string().expect("fixtures have plain names"))
        .collect();
    cases.sort();
    cases
}

/// Whether there is a point in playing a case in this way.
pub fn makes_sense(case: &str, build: Build) -> bool {
    let version_two = build.compiler == Compiler::Two;
    // One starts threads, the other one is about how its thread-locals are made.
    match (case, build.mode) {
        ("emulated_vars", mode) => mode == Mode::EmulatedThreadVars,
        (_, Mode::EmulatedThreadVars) => false,
        ("worker_vars", Mode::NoThreads | Mode::NoThreadsRelease) => false,
        ("worker_vars", Mode::Threads | Mode::ThreadsRelease) => true,
        ("worker_vars", _) => version_two,
        (_, Mode::Threads | Mode::ThreadsRelease) => !version_two,
        (_, Mode::NoThreads | Mode::NoThreadsRelease) => version_two,
        _ => true,
    }
}

/// Why a case cannot be played in this way although there would be a point in it: what the compiler itself does
/// wrong. `tests/nim_compiler.rs` shows each without our run-time.
pub fn compilers_fault(case: &str, build: Build) -> Option<&'static str> {
    let faults: &[(&str, &str)] = match (build.compiler, build.backend) {
        (Compiler::One, Backend::Cpp) => &[
            (
                "builder",
                "a program that makes strings of a length and slices strings does not compile",
            ),
            (
                "crash",
                "after some exceptions the next one is not there any more when it is looked at",
            ),
        ],
        _ => &[],
    };
    let fault = faults.iter().find(|(faulty, _)| *faulty == case);
    fault.map(|(_, why)| *why)
}

/// Declares one test per build of each case: `bank: debug = DEBUG, release = RELEASE;` gives
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
