//! The parts of the server that are edited, and what must become of an edit of each.

use super::body::{Body, Change};

/// A part of the server: one function, in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Part {
    /// A handler of axum's router.
    Plain,
    /// A handler with state and a path.
    Shared,
    /// A handler whose closure goes to `spawn_blocking`.
    Blocking,
    /// A future that a handler spawns on a `JoinSet` and joins.
    Inner,
    /// An `async fn` that is a layer.
    Layer,
    /// A layer and service written by hand.
    Service,
    /// A method of a boxed object in a table made at the start.
    Entry,
    /// A closure in a table made at the start.
    Closure,
    /// A connection's task, which a function spawns.
    Connection,
    /// What a connection's task awaits in its own future.
    Reply,
    /// What a connection's task awaits in a box.
    Boxed,
    /// A function that is called for each reply.
    Word,
    /// A connection's task that the loop of accept itself spawns.
    Direct,
    /// A task that writes to its connection until that ends.
    Stream,
    /// A function that is called for each line of it.
    Chunk,
    /// Background tasks that end and are followed by others.
    Ticker,
    /// A background task that never ends.
    Forever,
    /// A function that it calls.
    Beat,
}

pub(super) const PARTS: [Part; 18] = [
    Part::Plain,
    Part::Shared,
    Part::Blocking,
    Part::Inner,
    Part::Layer,
    Part::Service,
    Part::Entry,
    Part::Closure,
    Part::Connection,
    Part::Reply,
    Part::Boxed,
    Part::Word,
    Part::Direct,
    Part::Stream,
    Part::Chunk,
    Part::Ticker,
    Part::Forever,
    Part::Beat,
];

/// What must become of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// It goes live: what begins from now on runs it.
    Live,
    /// It goes live for what begins from now on; what is there always when it is edited goes on as it was, and that is
    /// said.
    Beside,
    /// Nothing begins anew that could run it: it is refused, or said to wait.
    Held,
}

impl Part {
    /// The name in its answers, which is also that of its file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Shared => "shared",
            Self::Blocking => "blocking",
            Self::Inner => "inner",
            Self::Layer => "layer",
            Self::Service => "service",
            Self::Entry => "entry",
            Self::Closure => "closure",
            Self::Connection => "connection",
            Self::Reply => "reply",
            Self::Boxed => "boxed",
            Self::Word => "word",
            Self::Direct => "direct",
            Self::Stream => "stream",
            Self::Chunk => "chunk",
            Self::Ticker => "ticker",
            Self::Forever => "forever",
            Self::Beat => "beat",
        }
    }

    /// The part with this name.
    pub(super) fn of(name: &str) -> Option<Self> {
        PARTS.into_iter().find(|part| part.name() == name)
    }

    /// What can be done to it.
    pub(super) fn changes(self) -> &'static [Change] {
        match self {
            Self::Word | Self::Chunk | Self::Beat => &[Change::Number, Change::Captured],
            _ => &[
                Change::Number,
                Change::Held,
                Change::Captured,
                Change::Awaits,
            ],
        }
    }

    /// What must become of an edit that leads from one body to another.
    pub(super) fn label(self, old: &Body, new: &Body) -> Label {
        if self.contract(old) == self.contract(new) {
            return Label::Live;
        }
        match self {
            Self::Closure | Self::Direct | Self::Forever => Label::Held,
            Self::Connection | Self::Reply | Self::Stream | Self::Ticker => Label::Beside,
            _ => Label::Live,
        }
    }

    /// What an instance of the part that exists is tied to: it runs bodies that have the same.
    pub(super) fn contract(self, body: &Body) -> (Vec<u64>, Vec<u64>, u64) {
        match self {
            Self::Closure => body.captures(),
            _ => body.contract(),
        }
    }

    /// The parts whose futures lie in one with this part's, itself included.
    pub(super) fn group(self) -> &'static [Self] {
        const TASK: &[Part] = &[Part::Connection, Part::Reply];
        match self {
            Self::Connection | Self::Reply => TASK,
            _ => {
                const ALL: &[Part] = &PARTS;
                &ALL[self as usize..=self as usize]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{PARTS, Part};

    #[test]
    fn a_part_is_in_its_group_and_found_by_its_name() {
        for part in PARTS {
            assert!(part.group().contains(&part), "{part:?}");
            assert_eq!(Part::of(part.name()), Some(part));
        }
        assert_eq!(Part::Word.group(), [Part::Word]);
    }
}
