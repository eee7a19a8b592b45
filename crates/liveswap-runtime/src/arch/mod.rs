//! Machine code of slots: one file per CPU, each a pure encoder from offsets to bytes.
//!
//! Every encoder is compiled and table-tested on every host, so that a port is a matter of running
//! it. Only this file chooses which one the process uses. A slot is
//!
//! ```text
//! slot:   jump through the slot's word       ; the word holds the address of the newest code
//! entry:  load the slot's index              ; where the word points while there is no code
//!         jump to the chunk's thunk
//! ```
//!
//! and the thunk of a chunk calls `handler(index, context)`, which never returns.

pub mod aarch64;
pub mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64 as native;
#[cfg(target_arch = "x86_64")]
pub use x86_64 as native;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
compile_error!("liveswap-runtime has no slot encoder for this CPU: add arch/<cpu>.rs");

/// Writes the code part of one chunk: `slots` slots followed by the thunk.
///
/// `words` is the distance in bytes from the start of the code to the chunk's words: the slots'
/// words first, then the handler's address, then the handler's context. `first` is the index of the
/// chunk's first slot. Returns the offset in the code that the word of slot `n` holds while the
/// slot has no target.
///
/// # Panics
/// If `code` is shorter than the slots and the thunk need; the chunk geometry is a constant.
pub fn encode_chunk(code: &mut [u8], slots: usize, words: usize, first: u32) {
    let offset = |from: usize, to: usize| to as i64 - from as i64;
    let thunk = slots * native::SLOT_SIZE;
    for n in 0..slots {
        let at = n * native::SLOT_SIZE;
        let bytes = native::slot(
            offset(at, words + n * size_of::<usize>()) as i32,
            offset(at, thunk) as i32,
            first + n as u32,
        );
        code[at..at + native::SLOT_SIZE].copy_from_slice(&bytes);
    }
    let handler = words + slots * size_of::<usize>();
    let bytes = native::thunk(
        offset(thunk, handler) as i32,
        offset(thunk, handler + size_of::<usize>()) as i32,
    );
    code[thunk..thunk + native::THUNK_SIZE].copy_from_slice(&bytes);
}
