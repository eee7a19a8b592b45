//! Why a patch is not applied. Codes are stable: `cargo liveswap explain` knows them.

use std::fmt;

/// What is wrong, by its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// LS0101: the patch is damaged or malformed.
    Malformed,
    /// LS0102: it was made for another executable.
    OtherExecutable,
    /// LS0103: the process is not at the generation before.
    Generation,
    /// LS0104: it does not fit the process: out of range, overlapping.
    Misfit,
    /// LS0105: a relocation overflows or is unknown here.
    Relocation,
    /// LS0106: a symbol that it needs is missing.
    MissingSymbol,
    /// LS0107: the system refused memory.
    Memory,
    /// LS0108: thread-locals do not fit the room for them.
    ThreadLocalRoom,
    /// LS0109: an initialiser of the new code failed.
    Initialiser,
    /// LS0110: an error of our own when slots had begun to change. The process is not as it was.
    PartlyApplied,
}

impl Code {
    /// The stable code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Malformed => "LS0101",
            Code::OtherExecutable => "LS0102",
            Code::Generation => "LS0103",
            Code::Misfit => "LS0104",
            Code::Relocation => "LS0105",
            Code::MissingSymbol => "LS0106",
            Code::Memory => "LS0107",
            Code::ThreadLocalRoom => "LS0108",
            Code::Initialiser => "LS0109",
            Code::PartlyApplied => "LS0110",
        }
    }
}

/// A patch was refused; the process is as it was, but for [`Code::PartlyApplied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of reason.
    pub code: Code,
    /// The reason, for a person.
    pub message: String,
}

impl Refusal {
    /// A refusal with its reason.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}
