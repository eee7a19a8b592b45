//! Messages on the socket between agent and command.
//!
//! The agent connects and says [`FromAgent::Hello`]. Then the command asks ([`ToAgent`]) and the agent
//! answers each request with one message, in order.

use serde::{Deserialize, Serialize};

use crate::listener::Address;

/// What the agent says of its process when it connects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::VERSION`] of the agent.
    pub version: u32,
    /// Process id.
    pub pid: u32,
    /// Build id of the executable as it is mapped.
    pub build_id: Vec<u8>,
    /// Load bias of the executable: what is added to its file's virtual addresses.
    pub bias: u64,
    /// Address of the range for images: aligned to a slice, all of it within 2 GiB of the executable.
    pub range_start: u64,
    /// Length of the range in bytes: a multiple of the slice size.
    pub range_len: u64,
    /// Page size in bytes.
    pub page_size: u64,
    /// Generation of the process: 0 after its start.
    pub generation: u64,
    /// Where the ELF file of an image belongs: `<this>/slice-XXXX.so`, XXXX being the number of the
    /// slice in (at least 4) hexadecimal digits. In it the range starts at
    /// [`crate::patch::FILE_BASE`]. Images of
    /// several slices have a link for each. `slice-XXXX.gdb` beside it is the same with addresses as
    /// they are in the process.
    pub images: String,
}

/// A request of the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Apply this encoded [`crate::patch::Patch`]. Answer: [`FromAgent::Applied`] or
    /// [`FromAgent::Refused`].
    Apply(Vec<u8>),
    /// Which frames on the stacks of the process's threads return into these ranges of addresses
    /// (start, length)? Answer: [`FromAgent::Frames`].
    Frames(Vec<(u64, u64)>),
    /// Which of these words of slots (address in the process) still hold this value? Answer:
    /// [`FromAgent::Hold`], or [`FromAgent::Refused`] where one is no word of a slot.
    Hold(Vec<(u64, u64)>),
    /// Tell gdb of the ELF file of the image at this slice, now that it is written. Answer:
    /// [`FromAgent::Announced`].
    Announce(u32),
    /// The process is about to be asked to end: which sockets listen? Answer: [`FromAgent::Listeners`].
    Listeners,
    /// Close the sockets of the last process that nobody has bound. Answer: [`FromAgent::Released`].
    Release,
}

/// A frame of a function on the stack of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Number of the range in the request.
    pub range: u32,
    /// Thread id.
    pub thread: u32,
    /// Where on the stack the return address (or, for the innermost frame, nothing: 0) stands.
    pub stack_address: u64,
    /// The address in the range.
    pub address: u64,
    /// The frame is certainly there; of these only one is given for a thread and range. Otherwise a word on
    /// the stack looks like it, which a call that has returned can have left behind.
    pub exact: bool,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// First of all.
    Hello(Hello),
    /// The patch is live.
    Applied {
        /// The generation now.
        generation: u64,
        /// Microseconds from the request's arrival to the flip of the last slot.
        apply_us: u64,
        /// Microseconds that threads of the program were stopped.
        pause_us: u64,
        /// When the slots were flipped: nanoseconds of the system's realtime clock since 1970.
        flipped_at_ns: u64,
    },
    /// The patch is not applied; the process is as it was, but for `LS0110`, where some slots have changed. The
    /// patch's slices and thread-locals can be taken all the same: the next patch must not use them.
    Refused {
        /// Stable code (`LS0001` …).
        code: String,
        /// Why, for a person.
        message: String,
    },
    /// Answer to [`ToAgent::Frames`].
    Frames(Vec<Frame>),
    /// Answer to [`ToAgent::Hold`]: for each word, in order, whether it holds the value.
    Hold(Vec<bool>),
    /// Answer to [`ToAgent::Announce`].
    Announced,
    /// Answer to [`ToAgent::Listeners`]: what each was bound to. The sockets come with the first byte of this message, in
    /// the same order.
    Listeners(Vec<Address>),
    /// Answer to [`ToAgent::Release`].
    Released,
}
