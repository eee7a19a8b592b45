//! The run-time that goes into the process, as the command carries it.

use std::fs;
use std::io;

use crate::stage::layout::{self, Stage};

/// The shared library. The build script makes it.
static LIBRARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/libliveswap_agent.so"));

/// Puts it into its place, if it is not there.
///
/// # Errors
/// Those of the file system.
pub fn write(stage: &Stage) -> io::Result<()> {
    let path = stage.agent();
    if fs::read(&path).is_ok_and(|bytes| bytes == LIBRARY) {
        return Ok(());
    }
    // Programs of earlier sessions may have the file mapped: it is replaced, not written to.
    layout::write_atomically(&path, LIBRARY)
}
