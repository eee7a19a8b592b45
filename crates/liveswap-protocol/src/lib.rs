//! What the command and the run-time in the process say to each other, and the patch format.
//!
//! The only serialized types of the project. It must not know how a patch is made (that is the
//! command's) nor how it is applied (the agent's); it depends on neither and does no IO beyond the
//! reader and writer it is given.
//!
//! Start reading at [`patch::Patch`], then [`message`]. A connection begins with the agent's
//! [`message::Hello`]; a version that differs from [`VERSION`] is refused, not misread.

pub mod crash;
pub mod frame;
pub mod listener;
pub mod message;
pub mod patch;
pub mod start;

/// Version of messages and patches. One line per change:
/// 1: the first.
/// 2: frames say whether they are exact.
/// 3: initialisers run before slots are set; a patch that is refused may have taken its room all the same.
/// 4: the command asks what words of slots hold.
/// 5: the command takes listening sockets over for the next process.
pub const VERSION: u32 = 5;
