//! What source files contained when they were compiled.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_128;

/// The contents of a file at a time.
#[derive(Clone, Debug)]
pub struct Version {
    /// `None`: there was no such file.
    hash: Option<u128>,
    /// The text of a Rust source file.
    pub text: Option<Arc<str>>,
    stamp: Option<Stamp>,
}

/// What changes when a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    len: u64,
    inode: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let metadata = fs::metadata(path).ok()?;
        Some(Stamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            len: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

impl Version {
    /// What the file contains now.
    pub fn of(path: &Path) -> Version {
        // Stamp first: a file that changes between the two looks changed later.
        let stamp = Stamp::of(path);
        let bytes = fs::read(path).ok();
        let text = bytes
            .as_ref()
            .filter(|_| path.extension().is_some_and(|extension| extension == "rs"))
            .and_then(|bytes| str::from_utf8(bytes).ok())
            .map(Arc::from);
        Version {
            hash: bytes.as_deref().map(xxh3_128),
            text,
            stamp,
        }
    }

    /// Whether both have the same contents.
    pub fn same_as(&self, other: &Version) -> bool {
        self.hash == other.hash
    }

    /// Whether the file has not been written since.
    pub fn still_is(&self, path: &Path) -> bool {
        self.stamp == Stamp::of(path)
    }

    /// Whether the file was written later than `time`.
    pub fn is_younger_than(&self, time: SystemTime) -> bool {
        let Ok(since) = time.duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        self.stamp.is_some_and(|stamp| {
            stamp.modified > (since.as_secs() as i64, i64::from(since.subsec_nanos()))
        })
    }
}

/// Reads each file once: several units may have it among their sources.
#[derive(Debug, Default)]
pub struct Reader(HashMap<PathBuf, (Version, SystemTime)>);

impl Reader {
    /// What the file contained when this reader first read it.
    pub fn read(&mut self, path: &Path) -> Version {
        if let Some((version, _)) = self.0.get(path) {
            return version.clone();
        }
        let at = SystemTime::now();
        let version = Version::of(path);
        self.0.insert(path.to_owned(), (version.clone(), at));
        version
    }

    /// Whether it read the file before that time.
    pub fn read_before(&self, path: &Path, time: SystemTime) -> bool {
        self.0.get(path).is_some_and(|(_, read)| *read <= time)
    }
}

/// Absolute, without symbolic links. Of a file that is gone: its folder, and its name.
pub fn canonical(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let folder = path
        .parent()
        .and_then(|folder| fs::canonicalize(folder).ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_touched_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rs");
        fs::write(&path, "fn a() {}").unwrap();
        let first = Version::of(&path);
        assert_eq!(first.text.as_deref(), Some("fn a() {}"));
        fs::write(&path, "fn a() {}").unwrap();
        assert!(Version::of(&path).same_as(&first));
        fs::write(&path, "fn a() { }").unwrap();
        assert!(!Version::of(&path).same_as(&first));
        assert!(!first.still_is(&path));
        fs::remove_file(&path).unwrap();
        assert!(!Version::of(&path).same_as(&first));
        assert!(Version::of(&path).same_as(&Version::of(&path)));
    }

    #[test]
    fn links_are_followed_and_missing_files_have_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/a.rs"), "").unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        assert_eq!(canonical(&root.join("link/a.rs")), root.join("real/a.rs"));
        assert_eq!(canonical(&root.join("link/b.rs")), root.join("real/b.rs"));
    }
}
