//! When changed files are taken up: as soon as the editor is done with them, not a fixed time later.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::batch::Batch;

/// Nothing more came for so long: what was saved together is together.
const QUIET: Duration = Duration::from_millis(5);
/// The same for several files: a `git checkout` has not ended because the machine was busy for a moment.
const QUIET_SEVERAL: Duration = Duration::from_millis(15);
/// Files that are not known to matter wait so long for company.
const QUIET_OTHERS: Duration = Duration::from_millis(20);
/// A file that somebody may still be writing.
const QUIET_OPEN: Duration = Duration::from_millis(20);
/// A file that is gone: many editors move the old one away before they write the new one.
const QUIET_MISSING: Duration = Duration::from_millis(100);
/// A file that was emptied and is still open: what belongs into it is yet to come.
const QUIET_EMPTY: Duration = Duration::from_millis(500);
/// Finished files are taken up after so long even if others keep coming.
const LONGEST: Duration = Duration::from_millis(100);
/// Unfinished files, too.
const LONGEST_UNFINISHED: Duration = Duration::from_secs(2);

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Created or written; whoever does that may not be done.
    Writing,
    /// Closed after writing, moved here, moved away or deleted.
    Done,
}

/// What a file looks like now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It is not there.
    Missing,
    /// It is empty.
    Empty,
    /// It has contents.
    Full,
}

impl Look {
    /// Looks at the file.
    pub fn at(path: &Path) -> Look {
        match std::fs::metadata(path) {
            Ok(data) if data.is_file() && data.len() == 0 => Look::Empty,
            Ok(_) => Look::Full,
            Err(_) => Look::Missing,
        }
    }
}

/// Collects what happened to files until it may be taken up.
#[derive(Debug, Default)]
pub struct Debounce {
    matter: BTreeMap<PathBuf, Touch>,
    others: BTreeSet<PathBuf>,
    first: Option<(Instant, SystemTime)>,
    last: Option<Instant>,
    first_other: Option<(Instant, SystemTime)>,
}

impl Debounce {
    /// Something happened to a file that is known to matter.
    pub fn matters(&mut self, path: PathBuf, touch: Touch, now: Instant) {
        self.first.get_or_insert((now, SystemTime::now()));
        self.last = Some(now);
        self.matter.insert(path, touch);
    }

    /// Something happened to another file: it must not delay those that matter.
    pub fn other(&mut self, path: PathBuf, now: Instant) {
        self.first_other.get_or_insert((now, SystemTime::now()));
        self.others.insert(path);
    }

    /// When to look whether it is time; `None` while nothing happened.
    pub fn ready_at(&self, look: impl Fn(&Path) -> Look) -> Option<Instant> {
        let Some(((first, _), last)) = self.first.zip(self.last) else {
            return self.first_other.map(|(first, _)| first + QUIET_OTHERS);
        };
        let mut wait = if self.matter.len() > 1 {
            QUIET_SEVERAL
        } else {
            QUIET
        };
        let mut longest = LONGEST;
        for (path, touch) in &self.matter {
            let (quiet, unfinished) = match (touch, look(path)) {
                (_, Look::Missing) => (QUIET_MISSING, true),
                (Touch::Writing, Look::Empty) => (QUIET_EMPTY, true),
                (Touch::Writing, Look::Full) => (QUIET_OPEN, true),
                (Touch::Done, Look::Empty) => (QUIET_OPEN, true),
                (Touch::Done, Look::Full) => (QUIET, false),
            };
            wait = wait.max(quiet);
            if unfinished {
                longest = LONGEST_UNFINISHED;
            }
        }
        Some((last + wait).min(first + longest))
    }

    /// Takes everything.
    pub fn take(&mut self) -> Option<Batch> {
        let was = std::mem::take(self);
        let first = was.first.or(was.first_other)?;
        let urgent = was.first.is_some();
        let mut paths = was.others;
        paths.extend(was.matter.into_keys());
        let mut batch = Batch::new(paths, first.1);
        batch.urgent = urgent;
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_closed_file_is_taken_up_five_milliseconds_later() {
        let now = Instant::now();
        let mut debounce = Debounce::default();
        debounce.matters("a.rs".into(), Touch::Writing, now);
        debounce.matters("a.rs".into(), Touch::Done, now + ms(1));
        assert_eq!(debounce.ready_at(|_| Look::Full), Some(now + ms(6)));
    }

    #[test]
    fn a_file_that_is_open_and_empty_is_waited_for() {
        let now = Instant::now();
        let mut debounce = Debounce::default();
        debounce.matters("a.rs".into(), Touch::Writing, now);
        assert_eq!(debounce.ready_at(|_| Look::Empty), Some(now + ms(500)));
        assert_eq!(debounce.ready_at(|_| Look::Full), Some(now + ms(20)));
    }

    #[test]
    fn a_file_that_was_moved_away_gets_time_to_come_back() {
        let now = Instant::now();
        let mut debounce = Debounce::default();
        debounce.matters("a.rs".into(), Touch::Done, now);
        assert_eq!(debounce.ready_at(|_| Look::Missing), Some(now + ms(100)));
    }

    #[test]
    fn files_that_never_stop_are_taken_up_all_the_same() {
        let now = Instant::now();
        let mut debounce = Debounce::default();
        for n in 0..40 {
            debounce.matters(format!("{n}.rs").into(), Touch::Done, now + ms(3 * n));
        }
        // The last came at 117.
        assert_eq!(debounce.ready_at(|_| Look::Full), Some(now + ms(100)));
        assert_eq!(debounce.take().unwrap().paths.len(), 40);
        assert_eq!(debounce.ready_at(|_| Look::Full), None);
    }

    #[test]
    fn a_log_file_beside_the_sources_delays_no_save() {
        let now = Instant::now();
        let mut debounce = Debounce::default();
        debounce.matters("a.rs".into(), Touch::Done, now);
        for n in 0..40 {
            debounce.other("server.log".into(), now + ms(n));
        }
        assert_eq!(debounce.ready_at(|_| Look::Full), Some(now + ms(5)));
        let batch = debounce.take().unwrap();
        assert!(batch.urgent);
        assert_eq!(batch.paths.len(), 2);
    }
}
