//! What the operating system does for the run-time: memory, loader, files, process.
//!
//! One folder per system, each with the same files; only this file chooses. Everything above this
//! folder is free of `libc`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub use linux::*;

#[cfg(not(target_os = "linux"))]
compile_error!("liveswap-runtime knows no sys/ folder for this system: add sys/<system>/");
