//! The build side as a session uses it.

use std::path::{Path, PathBuf};

use super::parts::Builder;
use crate::build::{Build, Next};
use crate::model::{BuildError, CancelToken, Change, Compiled};

impl Builder for Build {
    type Next = Next;

    fn sources(&self) -> Vec<PathBuf> {
        Build::sources(self)
    }

    fn watch_roots(&self) -> Vec<PathBuf> {
        Build::watch_roots(self)
    }

    fn uncertain_sources(&self) -> Vec<PathBuf> {
        Build::uncertain_sources(self)
    }

    fn classify(&self, path: &Path) -> Change {
        Build::classify(self, path)
    }

    fn compile(
        &mut self,
        changed: &[PathBuf],
        cancel: &CancelToken,
    ) -> Result<Compiled, BuildError> {
        Build::compile(self, changed, cancel)
    }

    fn rebuild(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError> {
        Build::rebuild(self, cancel)
    }

    fn finish_deferred(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError> {
        Build::finish_deferred(self, cancel)
    }

    fn next(&mut self, shown: bool, cancel: &CancelToken) -> Result<Next, BuildError> {
        Build::next(self, shown, cancel)
    }

    fn put_in_place(next: &Next) -> Result<(), BuildError> {
        next.put_in_place()
    }

    fn broke_down(&mut self) {
        Build::broke_down(self);
    }
}
