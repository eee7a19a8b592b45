//! Looks at folders from time to time, where the kernel does not tell of what is written in them: on file systems that
//! others write to as well (a network's, a host's), or where it watches no more.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_128;

use super::watched::{Kind, Watched};

/// How often, if nobody says.
pub const EVERY: Duration = Duration::from_millis(500);
/// Looking takes at most one part in so many of a processor's time.
const SHARE: u32 = 20;
/// Some file systems keep time in seconds: for so long after a change, contents are compared as well.
const YOUNG: Duration = Duration::from_secs(3);

/// What is in a folder, by name.
type Entries = HashMap<OsString, Entry>;

/// How a file was when it was looked at.
#[derive(Debug)]
struct Entry {
    /// Inode, length and time. `None`: a link that leads nowhere.
    stamp: Option<(u64, u64, (i64, i64))>,
    /// When it was first seen so.
    since: Instant,
    /// Of a source that is young.
    contents: Option<u128>,
}

/// The folders that are looked at.
#[derive(Debug)]
pub struct Poll {
    every: Duration,
    next: Option<Instant>,
    folders: BTreeMap<PathBuf, Entries>,
}

impl Poll {
    /// Of nothing yet.
    pub fn new(every: Duration) -> Poll {
        Poll {
            every,
            next: None,
            folders: BTreeMap::new(),
        }
    }

    /// From now on this folder as well; what is in it now is nothing new.
    pub fn add(&mut self, folder: PathBuf, watched: &Watched, now: Instant) {
        let entries = entries(&folder, &mut Entries::new(), watched, now);
        self.folders.insert(folder, entries);
        self.next.get_or_insert(now + self.every);
    }

    /// When to look again; `None`: there is nothing to look at.
    pub fn next(&self) -> Option<Instant> {
        self.next
    }

    /// The kernel told of this file: it is looked at as it is now, so that it is not found again.
    pub fn told(&mut self, path: &Path, watched: &Watched, now: Instant) {
        if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Some(known) = self.folders.get_mut(folder)
        {
            let old = known.remove(name);
            if path.symlink_metadata().is_ok() {
                let entry = entry(path, old.as_ref(), watched.kind(path), now);
                known.insert(name.to_owned(), entry);
            }
        }
    }

    /// The files and folders that are others than when they were looked at last, or are gone.
    pub fn look(&mut self, watched: &Watched) -> Vec<PathBuf> {
        let start = Instant::now();
        let mut found = Vec::new();
        for (folder, known) in &mut self.folders {
            let now = entries(folder, known, watched, start);
            let is_other = |name: &OsString, entry: &Entry| {
                known.get(name).is_none_or(|old| {
                    let contents = old.contents.zip(entry.contents);
                    old.stamp != entry.stamp || contents.is_some_and(|(old, new)| old != new)
                })
            };
            let changed = now.iter().filter(|(name, entry)| is_other(name, entry));
            found.extend(changed.map(|(name, _)| folder.join(name)));
            let gone = known.keys().filter(|name| !now.contains_key(*name));
            found.extend(gone.map(|name| folder.join(name)));
            *known = now;
        }
        self.next = Some(Instant::now() + self.every.max(start.elapsed() * SHARE));
        found
    }
}

/// What is in a folder now; nothing if it is gone.
fn entries(folder: &Path, known: &mut Entries, watched: &Watched, now: Instant) -> Entries {
    let mut entries = Entries::new();
    for file in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = file.path();
        let kind = watched.kind(&path);
        if kind != Kind::Ignored {
            let name = file.file_name();
            let entry = entry(&path, known.get(&name), kind, now);
            entries.insert(name, entry);
        }
    }
    entries
}

fn entry(path: &Path, old: Option<&Entry>, kind: Kind, now: Instant) -> Entry {
    let data = path.metadata().ok();
    let stamp = data.as_ref().map(|data| {
        // A folder changes with everything in it, which is looked at by itself.
        let is_folder = data.is_dir();
        let time = (data.mtime(), data.mtime_nsec());
        let (len, time) = if is_folder {
            (0, (0, 0))
        } else {
            (data.len(), time)
        };
        (data.ino(), len, time)
    });
    let since = old
        .filter(|old| old.stamp == stamp)
        .map_or(now, |old| old.since);
    let is_young = now.saturating_duration_since(since) < YOUNG;
    let is_source = kind == Kind::Matters && data.is_some_and(|data| data.is_file());
    let contents = (is_young && is_source)
        .then(|| fs::read(path).ok())
        .flatten()
        .map(|bytes| xxh3_128(&bytes));
    Entry {
        stamp,
        since,
        contents,
    }
}

/// The name of the file system of a folder, if it is one on which others may write without the kernel's knowing.
pub fn deaf_file_system(folder: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(folder).ok()?.f_type;
    // The numbers have 32 bits; some of them are negative here.
    name_of(kind as u32)
}

/// As in the kernel's `magic.h` and in the file systems' own sources.
fn name_of(kind: u32) -> Option<&'static str> {
    Some(match kind {
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1997 => "9p",
        // virtiofs and sshfs say that they are FUSE.
        0x6573_5546 => "FUSE",
        0x794c_7630 => "overlay",
        0x6175_6673 => "aufs",
        0x786f_4256 => "VirtualBox's shared folders",
        0xbacb_acbc => "VMware's shared folders",
        0x7c7c_6673 => "Parallels' shared folders",
        0x5346_4846 => "WSL's drives",
        0x00c3_6400 => "Ceph",
        0x5346_414f | 0x6b41_4653 => "AFS",
        0x7375_7245 => "Coda",
        0x0116_1970 => "GFS2",
        0x7461_636f => "OCFS2",
        0x0bd0_0bd0 => "Lustre",
        0x2003_0528 => "OrangeFS",
        0xf15f => "eCryptfs",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_written_added_or_removed_is_found_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a.rs", "b.rs", "note.txt"] {
            fs::write(path(name), "1").unwrap();
        }
        let watched = Watched::default();
        let mut poll = Poll::new(EVERY);
        assert_eq!(poll.next(), None);
        poll.add(dir.path().to_owned(), &watched, Instant::now());
        assert!(poll.next().is_some());
        assert!(poll.look(&watched).is_empty());
        fs::write(path("a.rs"), "22").unwrap();
        fs::write(path("new.rs"), "1").unwrap();
        fs::write(path(".a.rs.swp"), "1").unwrap();
        fs::create_dir(path("folder")).unwrap();
        fs::remove_file(path("b.rs")).unwrap();
        let found = poll.look(&watched);
        assert_eq!(names(&found), ["a.rs", "b.rs", "folder", "new.rs"]);
        // A file in a folder is not another folder.
        fs::write(path("folder/c.rs"), "1").unwrap();
        assert!(poll.look(&watched).is_empty());
        // The kernel was first.
        fs::write(path("a.rs"), "333").unwrap();
        poll.told(&path("a.rs"), &watched, Instant::now());
        assert!(poll.look(&watched).is_empty());
    }

    #[test]
    fn a_second_save_in_the_same_tick_of_the_file_system_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rs");
        let write = |text: &str| {
            fs::write(&path, text).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            let tick = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000);
            file.set_modified(tick).unwrap();
        };
        write("1");
        let watched = Watched::default();
        let mut poll = Poll::new(EVERY);
        poll.add(dir.path().to_owned(), &watched, Instant::now());
        write("2");
        assert_eq!(names(&poll.look(&watched)), ["a.rs"]);
        write("3");
        assert_eq!(names(&poll.look(&watched)), ["a.rs"]);
        assert!(poll.look(&watched).is_empty());
    }

    #[test]
    fn a_folder_that_comes_back_is_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("src");
        let write = |text: &str| {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("a.rs"), text).unwrap();
        };
        write("1");
        let watched = Watched::default();
        let mut poll = Poll::new(EVERY);
        poll.add(folder.clone(), &watched, Instant::now());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(names(&poll.look(&watched)), ["a.rs"]);
        write("22");
        assert_eq!(names(&poll.look(&watched)), ["a.rs"]);
    }

    #[test]
    fn file_systems_are_known_by_their_numbers() {
        for (kind, name) in [
            (0x6969, "NFS"),
            (0x794c_7630, "overlay"),
            (0xff53_4d42, "SMB"),
        ] {
            assert_eq!(name_of(kind), Some(name));
        }
        // ext4, tmpfs, btrfs, xfs: whoever writes there does it by this kernel.
        for kind in [0xef53, 0x0102_1994, 0x9123_683e, 0x5846_5342] {
            assert_eq!(name_of(kind), None);
        }
        assert_eq!(deaf_file_system("/proc".as_ref()), None);
    }
}
