//! Linux.

pub mod files;
pub mod loader;
pub mod memory;
pub mod process;
pub mod unwind;
