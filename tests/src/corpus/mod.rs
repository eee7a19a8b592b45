//! The corpus: programs with labelled edits, in `tests/corpus`, and what runs and judges them.
//!
//! A label says what must be true of an edit whatever the build under test makes of it; see
//! `tests/corpus/README.md` for labels, outcomes and the format of a case.

pub mod case;
pub mod check;
pub mod family;
pub mod judge;
pub mod place;
pub mod plan;
pub mod read;
pub mod report;
pub mod run;
pub(crate) mod watched;

use std::path::PathBuf;

/// The folder of the cases.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}
