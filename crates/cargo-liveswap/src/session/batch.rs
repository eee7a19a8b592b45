//! Changed files on their way to the worker.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::SystemTime;

use super::control::Answer;

/// Files that changed and are taken up together: the queue's only slot, so nothing is stacked, and what
/// arrives later joins it, so nothing is lost.
#[derive(Debug)]
pub struct Batch {
    /// The files.
    pub paths: BTreeSet<PathBuf>,
    /// When the first of them was noticed.
    pub noticed: SystemTime,
    /// Some of them are known to matter: a compilation under way is out of date.
    pub urgent: bool,
    /// Files that may have changed without being noticed; most of them did not.
    pub suspects: BTreeSet<PathBuf>,
    /// Cargo is to look at everything.
    pub rebuild: bool,
    /// Who waits for the outcome.
    pub waiting: Vec<Sender<Answer>>,
}

impl Batch {
    /// Files noticed at `noticed`.
    pub fn new(paths: BTreeSet<PathBuf>, noticed: SystemTime) -> Batch {
        Batch {
            paths,
            noticed,
            urgent: true,
            suspects: BTreeSet::new(),
            rebuild: false,
            waiting: Vec::new(),
        }
    }

    /// The same without those who wait: what the worker needs.
    pub fn files(&self) -> Batch {
        Batch {
            paths: self.paths.clone(),
            suspects: self.suspects.clone(),
            waiting: Vec::new(),
            ..*self
        }
    }

    /// Takes the files of `other` in, too.
    pub fn merge(&mut self, other: Batch) {
        self.paths.extend(other.paths);
        self.suspects.extend(other.suspects);
        self.noticed = self.noticed.min(other.noticed);
        self.urgent |= other.urgent;
        self.rebuild |= other.rebuild;
        self.waiting.extend(other.waiting);
    }

    /// Puts `other` into `slot`.
    pub fn merge_into(slot: &mut Option<Batch>, other: Batch) {
        match slot {
            Some(batch) => batch.merge(other),
            None => *slot = Some(other),
        }
    }
}
