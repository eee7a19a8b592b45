//! A build that is under way, stopped at the moment that a test is about.
//!
//! The compiler writes all C files first and replaces the libraries afterwards, one by one. Here a
//! whole build is done, then the old libraries are put back, the very same files, and those of the
//! new build are let in when the test says so.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The libraries of a nimcache as they were before a build.
pub struct OldLibraries {
    nimcache: PathBuf,
    kept: PathBuf,
}

/// Libraries of a build that are not in their places yet.
pub struct Waiting {
    nimcache: PathBuf,
    libraries: PathBuf,
}

impl OldLibraries {
    /// Keeps them; the linker replaces files and never writes into one that is there.
    pub fn keep(nimcache: &Path, folder: &Path) -> Self {
        let kept = folder.join("old-libraries");
        fs::create_dir(&kept).expect("a folder for the old libraries can be made");
        for name in libraries(nimcache) {
            fs::hard_link(nimcache.join(&name), kept.join(&name))
                .expect("a library can have a second name");
        }
        Self {
            nimcache: nimcache.to_path_buf(),
            kept,
        }
    }

    /// Takes the new libraries away and puts the old ones back.
    ///
    /// # Panics
    /// When the build has replaced no library: the test would test nothing.
    pub fn put_back(self, folder: &Path) -> Waiting {
        let waiting = folder.join("new-libraries");
        fs::create_dir(&waiting).expect("a folder for the new libraries can be made");
        for name in libraries(&self.nimcache) {
            let (old, place) = (self.kept.join(&name), self.nimcache.join(&name));
            let inode = |path: &Path| fs::metadata(path).map(|meta| meta.ino()).ok();
            if inode(&old) == inode(&place) {
                continue;
            }
            fs::rename(&place, waiting.join(&name)).expect("a new library can be moved away");
            if old.exists() {
                fs::rename(&old, &place).expect("an old library can be moved back");
            }
        }
        fs::remove_dir_all(&self.kept).expect("the rest of the old libraries can be removed");
        assert!(
            !libraries(&waiting).is_empty(),
            "the build has replaced no library"
        );
        Waiting {
            nimcache: self.nimcache,
            libraries: waiting,
        }
    }
}

impl Waiting {
    /// Lets the library of one module in.
    ///
    /// # Panics
    /// When the build has not replaced it, or it is the last one: that must be said with
    /// [`Waiting::let_all_in`].
    pub fn let_in(&self, module: &str) {
        let is_it = |name: &String| name.starts_with(&format!("lib@m{module}.nim.c"));
        let name = libraries(&self.libraries).into_iter().find(is_it);
        let name = name.unwrap_or_else(|| panic!("the new build has no library of {module}"));
        fs::rename(self.libraries.join(&name), self.nimcache.join(&name))
            .unwrap_or_else(|error| panic!("{name} of the new build: {error}"));
        assert!(
            !libraries(&self.libraries).is_empty(),
            "{name} was the last library of the new build"
        );
    }

    /// Lets in all that are left: the build is complete.
    pub fn let_all_in(self) {
        for name in libraries(&self.libraries) {
            fs::rename(self.libraries.join(&name), self.nimcache.join(&name))
                .expect("a new library can be moved to its place");
        }
        fs::remove_dir(&self.libraries).expect("no library is left");
    }
}

/// The names of the compiler's libraries in a folder, without the run-time's copies of them.
fn libraries(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("an entry can be read").file_name())
        .filter_map(|name| name.into_string().ok())
        .filter(|name| name.ends_with(".so") && !name.contains(".liveswap-"))
        .collect();
    names.sort();
    names
}
