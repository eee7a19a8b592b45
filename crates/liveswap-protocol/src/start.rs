//! What an executable hands to the agent when it starts: the C side of the protocol.
//!
//! The link stage adds an object to the executable that holds one [`Descriptor`] and, in
//! `.init_array`, a function that calls the agent's exported function `liveswap_start` with its
//! address. That call happens once, on the main thread, before `main`.

/// Version of [`Descriptor`] and of the call. One line per change:
/// 1: the first.
pub const DESCRIPTOR_VERSION: u64 = 1;

/// The exported function of the agent: `extern "C" fn liveswap_start(descriptor: *const Descriptor)`.
pub const START_SYMBOL: &str = "liveswap_start";

/// Size in bytes of the room for thread-locals that later patches add.
///
/// It is part of every thread's stack, so it stays small: glibc counts it towards the smallest stack
/// that a thread can have.
pub const TLS_ROOM: u64 = 4096;

/// Where the executable's slots are. All fields are addresses in the process (the linker and the
/// loader have relocated them), 8 bytes each.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// [`DESCRIPTOR_VERSION`].
    pub version: u64,
    /// The executable's ELF header.
    pub header: u64,
    /// First slot word: 8-byte words, writable, each the address of a function's newest code.
    pub words_start: u64,
    /// End of the slot words.
    pub words_end: u64,
    /// First byte of the slots' code.
    pub slots_start: u64,
    /// End of the slots' code.
    pub slots_end: u64,
}
