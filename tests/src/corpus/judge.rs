//! What became of an edit, against its label.

use std::fmt;

use super::case::{Label, Step};

/// The outcome of one edit. Those that begin with `Ok` are as labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The new code is at work.
    OkLive,
    /// It was refused.
    OkRefused,
    /// It waits, and that was said.
    OkPending,
    /// What was there before goes on in the code that made it, and that was said.
    OkIsolated,
    /// A value was taken for what it is not, or the program is gone.
    Miss,
    /// A safe edit was refused.
    FalseRefusal,
    /// Nothing happened and nothing was said.
    Silent,
    /// Old values go on in old code and nobody said so.
    Unnamed,
    /// A safe edit is said to wait.
    WrongPending,
    /// Not even an event.
    NoEvent,
    /// The edit does not compile.
    BuildFailed,
    /// The program did not start.
    NotStarted,
}

impl Outcome {
    /// Whether it is as labelled.
    pub fn is_ok(self) -> bool {
        self <= Self::OkIsolated
    }

    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::OkLive => "ok-live",
            Self::OkRefused => "ok-refused",
            Self::OkPending => "ok-pending",
            Self::OkIsolated => "ok-isolated",
            Self::Miss => "MISS",
            Self::FalseRefusal => "FALSEREFUSAL",
            Self::Silent => "SILENT",
            Self::Unnamed => "UNNAMED",
            Self::WrongPending => "WRONGPENDING",
            Self::NoEvent => "NOEVENT",
            Self::BuildFailed => "BUILDFAIL",
            Self::NotStarted => "NOSTART",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What was seen after a save.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The names of the events that tell what became of it.
    pub events: Vec<String>,
    /// Codes and messages of those events.
    pub messages: Vec<String>,
    /// Lines that tell of a value that is not what it must be, or of a panic.
    pub bad: Vec<String>,
    /// Whether the program has ended or says nothing any more.
    pub dead: bool,
    /// The program's last lines.
    pub tail: Vec<String>,
}

impl Seen {
    /// Whether there was an event of this name.
    pub fn has(&self, event: &str) -> bool {
        self.events.iter().any(|name| name == event)
    }

    /// Whether the step's new code was heard in the last lines.
    pub fn is_new(&self, step: &Step) -> bool {
        let new = step.new.as_ref();
        new.is_some_and(|new| self.tail.iter().any(|line| new.is_match(line)))
    }

    /// Whether the old code was.
    pub fn is_old(&self, step: &Step) -> bool {
        let old = step.old.as_ref();
        old.is_some_and(|old| self.tail.iter().any(|line| old.is_match(line)))
    }
}

/// The outcome of a step.
pub fn judge(step: &Step, seen: &Seen) -> Outcome {
    if !seen.bad.is_empty() || seen.dead {
        return Outcome::Miss;
    }
    if seen.has("build_failed") {
        return Outcome::BuildFailed;
    }
    if seen.events.is_empty() {
        return Outcome::NoEvent;
    }
    let (refused, pending) = (seen.has("refused"), seen.has("pending"));
    let (new, old) = (seen.is_new(step), seen.is_old(step));
    match step.label {
        Label::Safe if refused => Outcome::FalseRefusal,
        Label::Safe if new && !old => Outcome::OkLive,
        Label::Safe if pending => Outcome::WrongPending,
        Label::Safe => Outcome::Silent,
        Label::Pending | Label::Unsafe if refused => Outcome::OkRefused,
        Label::Pending if pending => Outcome::OkPending,
        Label::Pending if new => Outcome::OkLive,
        Label::Pending => Outcome::Silent,
        // What was there before must go on as it was, or run new code: not vanish.
        Label::Unsafe if step.new.is_some() && !new && !old => Outcome::Miss,
        Label::Unsafe if new => Outcome::OkLive,
        Label::Unsafe if pending => Outcome::OkIsolated,
        Label::Unsafe => Outcome::Unnamed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, Seen, judge};
    use crate::corpus::read;

    fn outcome(label: &str, events: &[&str], tail: &[&str]) -> Outcome {
        let text =
            format!("=== file src/main.rs\na\n=== step {label}\nnew: ^v2\nold: ^v1\n- a\n+ b\n");
        let case = read::case("kind/name", &text).expect("a case");
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
        let seen = Seen {
            events: words(events),
            tail: words(tail),
            ..Seen::default()
        };
        judge(&case.steps[0], &seen)
    }

    #[test]
    fn what_is_as_labelled() {
        assert_eq!(outcome("S", &["swapped"], &["v2"]), Outcome::OkLive);
        assert_eq!(outcome("P", &["pending"], &["v1"]), Outcome::OkPending);
        assert_eq!(outcome("P", &["swapped"], &["v2"]), Outcome::OkLive);
        assert_eq!(outcome("U", &["refused"], &["v1"]), Outcome::OkRefused);
        let isolated = outcome("U", &["swapped", "pending"], &["v1"]);
        assert_eq!(isolated, Outcome::OkIsolated);
        assert_eq!(outcome("U", &["swapped"], &["v1", "v2"]), Outcome::OkLive);
    }

    #[test]
    fn what_falls_short() {
        assert_eq!(outcome("S", &["refused"], &["v1"]), Outcome::FalseRefusal);
        assert_eq!(outcome("S", &["swapped"], &["v2", "v1"]), Outcome::Silent);
        let waits = outcome("S", &["swapped", "pending"], &["v1"]);
        assert_eq!(waits, Outcome::WrongPending);
        assert_eq!(outcome("P", &["swapped"], &["v1"]), Outcome::Silent);
        assert_eq!(outcome("U", &["swapped"], &["v1"]), Outcome::Unnamed);
        assert_eq!(outcome("U", &["swapped"], &["v3"]), Outcome::Miss);
        assert_eq!(outcome("S", &[], &["v1"]), Outcome::NoEvent);
    }
}
