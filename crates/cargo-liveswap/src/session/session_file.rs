//! `session.json`: by which `status` and `swap` find a session.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Its name, in the session's own target folder.
const NAME: &str = "session.json";

/// Where a session is to be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFile {
    /// Process id of the session (not of the program).
    pub pid: u32,
    /// Its control socket.
    pub control: PathBuf,
}

/// The file of a living session: removed when this is dropped.
#[derive(Debug)]
pub struct Published(PathBuf);

impl SessionFile {
    /// Writes it into the session's target folder.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn publish(&self, target_dir: &Path) -> io::Result<Published> {
        let path = target_dir.join(NAME);
        // Whole or not at all: others may be reading.
        let mut file = tempfile::NamedTempFile::new_in(target_dir)?;
        serde_json::to_writer(&mut file, self)?;
        file.persist(&path)?;
        Ok(Published(path))
    }

    /// The sessions below cargo's target folder: each with the file that says so.
    pub fn find(target_dir: &Path) -> Vec<(PathBuf, SessionFile)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(target_dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let is_ours = name == "liveswap" || name.as_encoded_bytes().starts_with(b"liveswap-");
            let path = entry.path().join(NAME);
            if let Some(bytes) = is_ours.then(|| fs::read(&path).ok()).flatten()
                && let Ok(file) = serde_json::from_slice(&bytes)
            {
                found.push((path, file));
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        // A file that stays is recognised as a dead session's.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_found_while_they_live() {
        let target = tempfile::tempdir().unwrap();
        for name in ["liveswap", "liveswap-2", "debug"] {
            fs::create_dir(target.path().join(name)).unwrap();
        }
        let file = |pid| SessionFile {
            pid,
            control: "c".into(),
        };
        let first = file(1).publish(&target.path().join("liveswap")).unwrap();
        let second = file(2).publish(&target.path().join("liveswap-2")).unwrap();
        let pids = || -> Vec<u32> {
            let found = SessionFile::find(target.path()).into_iter();
            found.map(|(_, file)| file.pid).collect()
        };
        assert_eq!(pids(), [1, 2]);
        drop(first);
        assert_eq!(pids(), [2]);
        drop(second);
    }
}
