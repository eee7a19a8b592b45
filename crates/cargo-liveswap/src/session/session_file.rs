//! `session.json`: by which `status` and `swap` find a session.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::run_dir;

/// Its name, in the session's own target folder.
const NAME: &str = "session.json";

/// Where a session is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFile {
    /// Process id of the session (not of the program).
    pub pid: u32,
    /// Its control socket.
    pub control: PathBuf,
    /// Its own target folder.
    pub target_dir: PathBuf,
}

/// The files of a living session: removed when this is dropped.
#[derive(Debug)]
pub struct Published(Vec<PathBuf>);

impl SessionFile {
    /// Writes it into the session's target folder, and into the one for its sockets: `cargo clean` takes the first
    /// away, and whoever asks may look for the second elsewhere (`TMPDIR`).
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn publish(&self, sockets: &Path) -> io::Result<Published> {
        let mut published = Published(Vec::new());
        for folder in [&self.target_dir, sockets] {
            let path = folder.join(NAME);
            // Whole or not at all: others may be reading.
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&mut file, self)?;
            file.persist(&path)?;
            published.0.push(path);
        }
        Ok(published)
    }

    /// The sessions below cargo's target folder: each with the file that says so. `base`: where folders for
    /// sockets are.
    pub fn find(target_dir: &Path, base: Option<&Path>) -> Vec<(PathBuf, SessionFile)> {
        let mut found: Vec<(PathBuf, SessionFile)> = Vec::new();
        for path in folders_in(target_dir) {
            found.extend(read(path.join(NAME)));
        }
        for path in base.into_iter().flat_map(folders_in) {
            // Everybody may make folders there.
            if run_dir::is_private(&path)
                && let Some((path, file)) = read(path.join(NAME))
                && file.target_dir.parent() == Some(target_dir)
                && !found.iter().any(|(_, known)| *known == file)
            {
                found.push((path, file));
            }
        }
        found.sort_by(|a, b| a.1.target_dir.cmp(&b.1.target_dir));
        found
    }
}

/// The folders in this one that have names as those of sessions.
fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default();
        name == "liveswap" || name.as_encoded_bytes().starts_with(b"liveswap-")
    })
}

fn read(path: PathBuf) -> Option<(PathBuf, SessionFile)> {
    let file = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    Some((path, file))
}

impl Drop for Published {
    fn drop(&mut self) {
        for path in &self.0 {
            // A file that stays is recognised as a dead session's.
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_while_they_live_and_after_their_target_folder_is_gone() {
        let (target, base) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let publish = |pid: u32, name: &str| {
            let target_dir = target.path().join(name);
            let sockets = base.path().join(format!("liveswap-sockets-{pid}"));
            for folder in [&target_dir, &sockets] {
                run_dir::private_folder(folder).unwrap();
            }
            let file = SessionFile {
                pid,
                control: "c".into(),
                target_dir,
            };
            file.publish(&sockets).unwrap()
        };
        fs::create_dir(target.path().join("debug")).unwrap();
        let first = publish(1, "liveswap");
        let second = publish(2, "liveswap-2");
        let _of_another_project = publish(3, "elsewhere/liveswap");
        let pids_with = |base: Option<&Path>| -> Vec<u32> {
            let found = SessionFile::find(target.path(), base).into_iter();
            found.map(|(_, file)| file.pid).collect()
        };
        let pids = || pids_with(Some(base.path()));
        assert_eq!(pids(), [1, 2]);
        drop(first);
        assert_eq!(pids(), [2]);
        assert_eq!(pids_with(None), [2]);
        fs::remove_dir_all(target.path().join("liveswap-2")).unwrap();
        assert_eq!(pids(), [2]);
        assert_eq!(pids_with(None), [0; 0]);
        drop(second);
        assert_eq!(pids(), [0; 0]);
    }
}
