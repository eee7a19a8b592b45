//! Which folders are watched, and which files in them matter.

use std::collections::{HashSet, VecDeque};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Folders that are watched for files that may become sources; sources' own folders come on top.
const FOLDERS_AT_MOST: usize = 2000;

/// What a path is to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A source, or what looks like one.
    Matters,
    /// It may be an input of a build script, or be included by a source yet to come.
    Other,
    /// An editor's own file, or hidden.
    Ignored,
}

/// The files and folders of a session.
#[derive(Debug, Default)]
pub struct Watched {
    /// Sources, by the names under which the kernel reports them, by their real names, and by those that
    /// they were given: the links in them may come to lead elsewhere.
    files: HashSet<PathBuf>,
    folders: HashSet<PathBuf>,
    /// Sources and roots as they were given.
    given: (Vec<PathBuf>, Vec<PathBuf>),
    /// Folders in which new folders are watched, too.
    roots: Vec<PathBuf>,
}

impl Watched {
    /// These are the sources now. Returns the folders to be watched besides those that are.
    pub fn set_sources(&mut self, sources: &[PathBuf], roots: &[PathBuf]) -> Vec<PathBuf> {
        self.given = (sources.to_owned(), roots.to_owned());
        self.files.clear();
        self.files.extend(sources.iter().cloned());
        let mut folders = Vec::new();
        for source in sources {
            if let (Some(parent), Some(name)) = (source.parent(), source.file_name())
                && let Ok(parent) = parent.canonicalize()
            {
                self.files.insert(parent.join(name));
                folders.push(parent);
            }
            // A link's file is written where it really is.
            if let Ok(real) = source.canonicalize() {
                folders.extend(real.parent().map(Path::to_owned));
                if real != *source {
                    folders.extend(links_of(source));
                }
                self.files.insert(real);
            }
        }
        self.roots = roots
            .iter()
            .filter_map(|it| it.canonicalize().ok())
            .collect();
        for root in self.roots.clone() {
            folders.extend(self.below(&root));
            folders.push(root.join(".cargo"));
        }
        folders.retain(|folder| folder.is_dir() && self.folders.insert(folder.clone()));
        folders
    }

    /// A link may lead elsewhere: where the sources are now. Returns the folders to be watched besides those
    /// that are.
    pub fn resolve_again(&mut self) -> Vec<PathBuf> {
        let (sources, roots) = std::mem::take(&mut self.given);
        self.set_sources(&sources, &roots)
    }

    /// All sources.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter()
    }

    /// A folder came to be, here or by being moved here: those in it, itself included, that are to be
    /// watched and are not yet.
    pub fn new_folders(&mut self, path: &Path) -> Vec<PathBuf> {
        let is_ours = path.is_dir()
            && self.roots.iter().any(|root| path.starts_with(root))
            && !path.file_name().is_some_and(is_skipped)
            && !is_cache(path);
        let mut folders = match path.canonicalize() {
            Ok(real) if is_ours => self.below(&real),
            _ => Vec::new(),
        };
        folders.retain(|folder| self.folders.insert(folder.clone()));
        folders
    }

    /// A folder is gone, or its watch is.
    pub fn forget(&mut self, path: &Path) {
        self.folders.retain(|folder| !folder.starts_with(path));
    }

    /// What a path is.
    pub fn kind(&self, path: &Path) -> Kind {
        if self.files.contains(path) {
            return Kind::Matters;
        }
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            return Kind::Ignored;
        };
        let of_an_editor = name.starts_with('.')
            || name.ends_with('~')
            || (name.starts_with('#') && name.ends_with('#'))
            // Vim tries with it whether it may write into a folder.
            || name == "4913"
            || name.contains("___jb_");
        if of_an_editor {
            return Kind::Ignored;
        }
        // Not Cargo.lock: cargo writes it itself, in the middle of a build.
        let looks_like_one = name.ends_with(".rs")
            || matches!(
                name,
                "Cargo.toml" | "rust-toolchain" | "rust-toolchain.toml"
            )
            || (path.parent().is_some_and(|it| it.ends_with(".cargo"))
                && matches!(name, "config" | "config.toml"));
        if looks_like_one {
            Kind::Matters
        } else {
            Kind::Other
        }
    }

    /// The folder and those in it, the nearest first, without those that cannot have sources.
    fn below(&self, root: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut queue = VecDeque::from([root.to_owned()]);
        while let Some(folder) = queue.pop_front() {
            if found.len() + self.folders.len() >= FOLDERS_AT_MOST {
                tracing::info!(folder = %folder.display(), "too many folders to watch them all");
                break;
            }
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let is_folder = entry.file_type().is_ok_and(|it| it.is_dir());
                let path = entry.path();
                if is_folder && !is_skipped(&entry.file_name()) && !is_cache(&path) {
                    queue.push_back(path);
                }
            }
            found.push(folder);
        }
        found
    }
}

/// The folders in which the links of a path lie.
fn links_of(path: &Path) -> impl Iterator<Item = PathBuf> {
    let links = path.ancestors().filter(|part| part.is_symlink());
    links.filter_map(|link| link.parent()?.canonicalize().ok())
}

fn is_skipped(name: &OsStr) -> bool {
    let hidden = name.as_encoded_bytes().starts_with(b".");
    hidden || name == "target" || name == "node_modules"
}

/// Cargo's target folders and other programs' caches say so.
fn is_cache(folder: &Path) -> bool {
    folder.join("CACHEDIR.TAG").exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, slice};

    fn project() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in [
            "app/src/inner",
            "app/target/debug",
            "app/.git/objects",
            "app/out",
            "shared",
        ] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("app/out/CACHEDIR.TAG"), "").unwrap();
        for file in ["app/src/main.rs", "shared/real.rs"] {
            fs::write(root.join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(root.join("shared/real.rs"), root.join("app/src/link.rs"))
            .unwrap();
        (dir, root)
    }

    #[test]
    fn sources_folders_are_watched_and_build_output_is_not() {
        let (_dir, root) = project();
        let mut watched = Watched::default();
        let sources = [root.join("app/src/main.rs"), root.join("app/src/link.rs")];
        let folders = watched.set_sources(&sources, &[root.join("app")]);
        let set: HashSet<_> = folders
            .iter()
            .map(|it| it.strip_prefix(&root).unwrap())
            .collect();
        let expected = ["app", "app/src", "app/src/inner", "shared"].map(Path::new);
        assert_eq!(set, HashSet::from(expected));
        assert!(
            watched
                .set_sources(&sources, &[root.join("app")])
                .is_empty()
        );
    }

    #[test]
    fn a_source_behind_a_link_matters_under_both_names() {
        let (_dir, root) = project();
        let mut watched = Watched::default();
        watched.set_sources(&[root.join("app/src/link.rs")], &[]);
        assert_eq!(watched.kind(&root.join("app/src/link.rs")), Kind::Matters);
        assert_eq!(watched.kind(&root.join("shared/real.rs")), Kind::Matters);
    }

    #[test]
    fn a_link_to_a_folder_is_watched_at_both_ends_and_again_when_it_is_turned() {
        let (_dir, root) = project();
        let link = root.join("app/linked");
        std::os::unix::fs::symlink(root.join("shared"), &link).unwrap();
        let source = root.join("app/src/../linked/real.rs");
        let mut watched = Watched::default();
        let folders = watched.set_sources(slice::from_ref(&source), &[]);
        assert_eq!(folders, [root.join("shared"), root.join("app")]);
        assert!(watched.files().any(|file| *file == source));
        fs::create_dir(root.join("other")).unwrap();
        fs::write(root.join("other/real.rs"), "").unwrap();
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(root.join("other"), &link).unwrap();
        assert_eq!(watched.resolve_again(), [root.join("other")]);
        assert!(watched.files().any(|file| *file == source));
        assert!(
            watched
                .files()
                .any(|file| *file == root.join("other/real.rs"))
        );
    }

    #[test]
    fn a_new_folder_brings_those_in_it() {
        let (_dir, root) = project();
        let mut watched = Watched::default();
        watched.set_sources(&[], &[root.join("app")]);
        fs::create_dir_all(root.join("app/src/new/deep")).unwrap();
        let folders = watched.new_folders(&root.join("app/src/new"));
        assert_eq!(
            folders,
            [root.join("app/src/new"), root.join("app/src/new/deep")]
        );
        assert!(watched.new_folders(&root.join("app/src/new")).is_empty());
        assert!(watched.new_folders(&root.join("app/target")).is_empty());
        assert!(watched.new_folders(&root.join("app/out")).is_empty());
    }

    #[test]
    fn what_editors_leave_beside_sources_is_ignored() {
        let watched = Watched::default();
        for name in [".main.rs.swp", "main.rs~", "4913", "#main.rs#", ".#main.rs"] {
            assert_eq!(
                watched.kind(&Path::new("/p/src").join(name)),
                Kind::Ignored,
                "{name}"
            );
        }
        for name in ["main.rs", "Cargo.toml"] {
            assert_eq!(
                watched.kind(&Path::new("/p/src").join(name)),
                Kind::Matters,
                "{name}"
            );
        }
        assert_eq!(
            watched.kind(Path::new("/p/.cargo/config.toml")),
            Kind::Matters
        );
        assert_eq!(watched.kind(Path::new("/p/Cargo.lock")), Kind::Other);
        assert_eq!(watched.kind(Path::new("/p/data.txt")), Kind::Other);
    }
}
