//! The file that names the toolchain: it is read when a command is called, so a session goes on with what it
//! began with.

use std::path::{Path, PathBuf};

use super::versions::{Version, canonical};

/// How a message ends that tells of a change of it.
pub const CHOSEN_AT_START: &str = "the toolchain is chosen at the start of a session";

const NAMES: [&str; 2] = ["rust-toolchain", "rust-toolchain.toml"];

/// The file, as it was when the session began.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The folder that the session was called in.
    folder: PathBuf,
    at_start: Option<(PathBuf, Version)>,
}

impl Toolchain {
    /// The one that counts in this folder: its own, or that of the nearest folder above.
    pub fn of(folder: &Path) -> Toolchain {
        Toolchain {
            folder: folder.to_owned(),
            at_start: find(folder).map(with_version),
        }
    }

    /// The file that counts now, and those that would if they were there, in a folder of this project.
    pub fn files(&self, root: &Path) -> Vec<PathBuf> {
        let mut files = Vec::from_iter(find(&self.folder));
        if canonical(&self.folder).starts_with(canonical(root)) {
            files.extend(NAMES.map(|name| self.folder.join(name)));
        }
        files
    }

    /// Whether such a file may count at all at this canonical path.
    pub fn concerns(&self, path: &Path) -> bool {
        let is_named = path.file_name().is_some_and(|name| {
            let mut names = NAMES.iter();
            names.any(|known| name == *known)
        });
        let folder = path.parent();
        is_named && folder.is_some_and(|folder| canonical(&self.folder).starts_with(folder))
    }

    /// What the next start would do otherwise than this session.
    pub fn change(&self) -> Option<String> {
        let now = find(&self.folder).map(with_version);
        let (path, is_same) = match (&self.at_start, &now) {
            (None, None) => return None,
            (Some((old, before)), Some((path, version))) => {
                (path, old == path && before.same_as(version))
            }
            (Some((path, _)), None) | (None, Some((path, _))) => (path, false),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        (!is_same).then(|| format!("`{name}` changed: {CHOSEN_AT_START}"))
    }
}

fn find(folder: &Path) -> Option<PathBuf> {
    let mut paths = folder
        .ancestors()
        .flat_map(|folder| NAMES.map(|name| folder.join(name)));
    paths.find(|path| path.is_file())
}

fn with_version(path: PathBuf) -> (PathBuf, Version) {
    let version = Version::of(&path);
    (path, version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, slice};

    #[test]
    fn a_toolchain_file_that_comes_changes_or_goes_waits_and_one_that_is_back_does_not() {
        let root = tempfile::tempdir().unwrap();
        let root = canonical(root.path());
        let folder = root.join("app/src");
        fs::create_dir_all(&folder).unwrap();
        let (outer, inner) = (
            root.join("rust-toolchain.toml"),
            root.join("app/rust-toolchain"),
        );
        fs::write(&outer, "1").unwrap();
        let toolchain = Toolchain::of(&folder);
        let may_come = NAMES.map(|name| folder.join(name));
        assert_eq!(toolchain.files(&root)[1..], may_come);
        assert_eq!(
            toolchain.files(&root.join("other")),
            slice::from_ref(&outer)
        );
        assert_eq!(toolchain.change(), None);
        fs::write(&inner, "1").unwrap();
        assert!(toolchain.change().unwrap().starts_with("`rust-toolchain` "));
        fs::remove_file(&inner).unwrap();
        assert_eq!(toolchain.change(), None);
        fs::write(&outer, "2").unwrap();
        let change = toolchain.change().unwrap();
        assert!(change.starts_with("`rust-toolchain.toml` "), "{change}");
        fs::remove_file(&outer).unwrap();
        assert_eq!(toolchain.change(), Some(change));
        assert!(toolchain.concerns(&outer) && toolchain.concerns(&inner));
        assert!(!toolchain.concerns(&root.join("other/rust-toolchain")));
        assert!(!toolchain.concerns(&root.join("Cargo.toml")));
    }
}
