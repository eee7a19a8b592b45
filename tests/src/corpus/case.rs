//! A case: a program, the edits that are made to it while it runs, and what must become of each.

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::Regex;

/// What must become of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// It must go live without a restart.
    Safe,
    /// Applied as it is it would break values that exist: it must be refused, or they go on in the
    /// code that made them and the user is told.
    Unsafe,
    /// It cannot take effect now, and that must be said; going live is as good.
    Pending,
}

impl Label {
    /// The label of a letter in a case's file.
    pub fn of(letter: &str) -> Option<Self> {
        match letter {
            "S" => Some(Self::Safe),
            "U" => Some(Self::Unsafe),
            "P" => Some(Self::Pending),
            _ => None,
        }
    }

    /// Its letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Safe => "S",
            Self::Unsafe => "U",
            Self::Pending => "P",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

/// The files of a project, by path.
pub type Files = BTreeMap<String, String>;

/// One program with its edits.
#[derive(Clone, Debug)]
pub struct Case {
    /// Kind and name: `layouts/places/deque`.
    pub name: String,
    /// What it is about, in words.
    pub about: String,
    /// Names of dependencies that the manifest gets, unless the case has one of its own.
    pub needs: Vec<String>,
    /// Optimisation levels: 0, 3 or both.
    pub levels: Vec<u8>,
    /// Whether it belongs to the part that CI runs.
    pub in_ci: bool,
    /// The first line that tells that the program is at work.
    pub start: Regex,
    /// Whether a panic is part of what the program does.
    pub panics: bool,
    /// The program.
    pub files: Files,
    /// The edits in their order.
    pub steps: Vec<Step>,
}

/// One save.
#[derive(Clone, Debug)]
pub struct Step {
    /// What must become of it.
    pub label: Label,
    /// What is edited, in words.
    pub about: String,
    /// The project's files after it.
    pub files: Files,
    /// Whether it starts from the program as it was first; then the run may be a new one.
    pub anew: bool,
    /// Whether the next save follows at once: then nobody looks what became of this one.
    pub quick: bool,
    /// A line of the new code.
    pub new: Option<Regex>,
    /// A line of the old code.
    pub old: Option<Regex>,
}
