//! Which files were written since they were last taken up: by what the file system says of them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_128;

/// File systems keep time in ticks: a file that was written so shortly before it was looked at could be
/// written again without a trace.
const TICK: Duration = Duration::from_millis(20);

/// How a file was when it was looked at. `None`: it was not there.
type Stamp = Option<(u64, u64, SystemTime)>;

/// How a file was when it was taken up.
#[derive(Debug)]
struct Seen {
    stamp: Stamp,
    /// Of its contents, where the stamp alone does not tell.
    young: Option<u128>,
}

/// What is known of files.
#[derive(Debug, Default)]
pub struct Stamps {
    seen: HashMap<PathBuf, Seen>,
}

impl Stamps {
    /// Whether a file that something happened to may have been written since it was taken up, or never
    /// was.
    pub fn is_news(&self, path: &Path) -> bool {
        let seen = self.seen.get(path);
        seen.is_none_or(|seen| seen.young.is_some() || seen.stamp != stamp(path))
    }

    /// The same for a file of which nobody said that something happened to it: one with the contents
    /// that it had is none.
    pub fn is_other(&self, path: &Path) -> bool {
        self.seen.get(path).is_none_or(|seen| {
            seen.stamp != stamp(path) || (seen.young.is_some() && seen.young != contents(path))
        })
    }

    /// The file is taken up as it is now.
    pub fn take_up(&mut self, path: &Path) {
        let stamp = stamp(path);
        let age = stamp.and_then(|(.., modified)| modified.elapsed().ok());
        let young = if stamp.is_some() && age.is_none_or(|age| age < TICK) {
            match contents(path) {
                Some(hash) => Some(hash),
                None => return self.forget(path),
            }
        } else {
            None
        };
        self.seen.insert(path.to_owned(), Seen { stamp, young });
    }

    /// The file counts as written.
    pub fn forget(&mut self, path: &Path) {
        self.seen.remove(path);
    }

    /// Whether anything is known of the file.
    pub fn knows(&self, path: &Path) -> bool {
        self.seen.contains_key(path)
    }
}

fn stamp(path: &Path) -> Stamp {
    let data = path.metadata().ok()?;
    Some((data.ino(), data.len(), data.modified().ok()?))
}

fn contents(path: &Path) -> Option<u128> {
    fs::read(path).ok().as_deref().map(xxh3_128)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_news_until_it_is_taken_up_and_when_it_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rs");
        let mut stamps = Stamps::default();
        let file = fs::File::create(&path).unwrap();
        let age = |seconds| {
            let then = SystemTime::now() - Duration::from_secs(seconds);
            file.set_modified(then).unwrap();
        };
        age(9);
        assert!(stamps.is_news(&path));
        stamps.take_up(&path);
        assert!(!stamps.is_news(&path));
        age(8);
        assert!(stamps.is_news(&path));
        stamps.take_up(&path);
        fs::remove_file(&path).unwrap();
        assert!(stamps.is_news(&path));
        stamps.take_up(&path);
        assert!(!stamps.is_news(&path));
    }

    #[test]
    fn a_file_that_was_just_written_could_be_written_again_unseen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rs");
        let file = fs::File::create(&path).unwrap();
        // A little ahead, so that the test may take its time.
        file.set_modified(SystemTime::now() + Duration::from_secs(1))
            .unwrap();
        let mut stamps = Stamps::default();
        stamps.take_up(&path);
        assert!(stamps.is_news(&path));
        // Unless its contents tell.
        assert!(!stamps.is_other(&path));
        let modified = path.metadata().unwrap().modified().unwrap();
        fs::write(&path, "1").unwrap();
        file.set_modified(modified).unwrap();
        assert!(stamps.is_other(&path));
        stamps.take_up(&path);
        fs::write(&path, "2").unwrap();
        file.set_modified(modified).unwrap();
        assert!(stamps.is_other(&path));
    }
}
