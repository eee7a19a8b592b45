//! Object files as data: read, rewritten for linking, compared, made into patches. Bytes in, bytes out.
//!
//! It must not know processes, files or the compiler's command lines, and has no `unsafe`.
//!
//! Start reading at [`rewrite`] (what the link stage does to an object so that its functions can be
//! replaced), then [`program`] (what is live), [`identity`] (what is the same as before) and [`patch`] (how the next
//! generation is made).
#![forbid(unsafe_code)]

pub mod debug_image;
pub mod elf;
mod error;
pub mod functions;
pub mod identity;
pub mod layouts;
pub mod names;
pub mod patch;
pub mod program;
pub mod reference;
pub mod rewrite;
pub mod slots;

pub use error::Error;
