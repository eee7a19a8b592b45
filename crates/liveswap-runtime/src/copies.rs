//! Private copies: what is loaded is never the compiler's own file.
//!
//! A copy lies beside its original, so that everything relative to the library's place still holds,
//! under a name that tells its owner: `<stem>.liveswap-<pid>-<start time>-<n>.so`. Copies are removed
//! when their image is closed and when the process ends normally; what a crash left behind is
//! removed by the next start in the same folder.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::sys::process::{self, ProcessId};

const MARK: &[u8] = b".liveswap-";
const EXTENSION: &[u8] = b".so";
/// Longest file name on every file system in use.
const NAME_MAX: usize = 255;

static NUMBER: AtomicU64 = AtomicU64::new(0);
/// Every copy of this process that is on disk.
static ON_DISK: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A private copy on disk; removed on drop.
#[derive(Debug)]
pub struct PrivateCopy {
    path: PathBuf,
    /// Another name for it that means nothing to the loader.
    plain: Option<PathBuf>,
}

impl PrivateCopy {
    /// Writes `bytes` to a new private copy beside `original`.
    pub fn write(original: &Path, bytes: &[u8]) -> io::Result<PrivateCopy> {
        let owner = process::current();
        let (mut copy, mut file) = loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = original.with_file_name(copy_name(original, owner, number));
            let created = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o700)
                .open(&path);
            match created {
                Ok(file) => {
                    remember(path.clone());
                    // From here on a failure drops the copy, which removes what was written.
                    break (PrivateCopy { path, plain: None }, file);
                }
                // Left behind by the program that this process was before an `exec`.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        };
        io::Write::write_all(&mut file, bytes)?;
        if copy.path.as_os_str().as_bytes().contains(&b'$') {
            // The loader replaces `$ORIGIN` and its like in paths, and there is no way to quote them.
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let plain = std::env::temp_dir().join(copy_name(Path::new("module"), owner, number));
            std::os::unix::fs::symlink(&copy.path, &plain)?;
            remember(plain.clone());
            copy.plain = Some(plain);
        }
        Ok(copy)
    }

    /// The path to load the copy by.
    pub fn loadable_path(&self) -> &Path {
        self.plain.as_deref().unwrap_or(&self.path)
    }

    /// Where the copy is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for PrivateCopy {
    fn drop(&mut self) {
        // A forked child leaves its parent's copies alone.
        let is_mine =
            |path: &&PathBuf| path.file_name().and_then(owner_of) == Some(process::current());
        for path in self.plain.iter().chain([&self.path]).filter(is_mine) {
            let mut on_disk = ON_DISK.lock().unwrap_or_else(PoisonError::into_inner);
            on_disk.retain(|other| other.as_os_str() != path.as_os_str());
            drop(on_disk);
            if let Err(error) = std::fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(copy = %path.display(), %error, "cannot remove a private copy");
            }
        }
    }
}

/// Notes a file to remove when the process ends.
fn remember(path: PathBuf) {
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| process::at_exit(remove_all));
    ON_DISK
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(path);
}

/// Removes every copy of this process; a forked child leaves its parent's alone.
fn remove_all() {
    let owner = process::current();
    let on_disk = ON_DISK.lock().unwrap_or_else(PoisonError::into_inner);
    for path in on_disk.iter() {
        if path.file_name().and_then(owner_of) == Some(owner) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes the copies in `folder` whose owners no longer run.
pub fn remove_abandoned(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if let Some(owner) = owner_of(&entry.file_name())
            && is_abandoned(owner, &entry.path())
            && std::fs::remove_file(entry.path()).is_ok()
        {
            tracing::debug!(copy = %entry.path().display(), "removed what a crash left behind");
        }
    }
}

/// Whether nobody removes this copy any more. What bears this process's own name but is not known to
/// it comes from the program that it was before an `exec`.
fn is_abandoned(owner: ProcessId, path: &Path) -> bool {
    if owner != process::current() {
        return !process::is_running(owner);
    }
    let on_disk = ON_DISK.lock().unwrap_or_else(PoisonError::into_inner);
    !on_disk
        .iter()
        .any(|known| known.as_os_str() == path.as_os_str())
}

fn copy_name(original: &Path, owner: ProcessId, number: u64) -> OsString {
    let mut tail = MARK.to_vec();
    tail.extend_from_slice(format!("{}-{}-{number}", owner.pid, owner.started).as_bytes());
    tail.extend_from_slice(EXTENSION);
    let stem = original.file_stem().unwrap_or_default().as_bytes();
    let mut name = cut(stem, NAME_MAX - tail.len()).to_vec();
    name.extend_from_slice(&tail);
    OsString::from_vec(name)
}

/// The first bytes of a name, without half a UTF-8 character at the end.
fn cut(name: &[u8], most: usize) -> &[u8] {
    let mut end = name.len().min(most);
    while end > 0 && end < name.len() && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &name[..end]
}

fn owner_of(name: &OsStr) -> Option<ProcessId> {
    let name = name.as_bytes().strip_suffix(EXTENSION)?;
    let at = name
        .windows(MARK.len())
        .rposition(|window| window == MARK)?;
    let mut parts = std::str::from_utf8(&name[at + MARK.len()..])
        .ok()?
        .split('-');
    let pid = parts.next()?.parse().ok()?;
    let started = parts.next()?.parse().ok()?;
    let _number: u64 = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some(ProcessId { pid, started })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: ProcessId = ProcessId {
        pid: 12,
        started: 345,
    };

    #[test]
    fn a_name_tells_its_owner() {
        let name = copy_name(Path::new("/a b/lib@m%1.nim.c.so"), OWNER, 6);
        assert_eq!(name, "lib@m%1.nim.c.liveswap-12-345-6.so");
        assert_eq!(owner_of(&name), Some(OWNER));
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let long = format!("/x/{}.so", "é".repeat(126));
        let name = copy_name(Path::new(&long), OWNER, 6);
        assert!(name.len() <= NAME_MAX);
        assert!(name.to_str().is_some());
        assert_eq!(owner_of(&name), Some(OWNER));
    }

    #[test]
    fn other_files_have_no_owner() {
        for name in [
            "libx.so",
            "libx.liveswap-1-2.so",
            "libx.liveswap-1-2-3",
            "x.liveswap-a-2-3.so",
        ] {
            assert_eq!(owner_of(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn copies_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("libm.so");
        let dead = folder
            .path()
            .join(copy_name(&original, ProcessId { pid: 1, started: 1 }, 0));
        std::fs::write(&dead, b"left behind").unwrap();
        let alive = PrivateCopy::write(&original, b"mine").unwrap();
        remove_abandoned(folder.path());
        assert!(!dead.exists());
        assert!(alive.path().exists());
        let path = alive.path().to_owned();
        drop(alive);
        assert!(!path.exists());
    }
}
