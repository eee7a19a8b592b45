//! A copy of a case's program that is edited while it runs.
//!
//! An edit's folder holds whole files, which replace or add; files named `NAME.edit`, which change
//! parts of `NAME`; and perhaps `_delete`, which names files to remove, one a line. A `.edit`
//! file is a list of
//!
//! ```text
//! <<<<
//! text that occurs exactly once
//! ====
//! text to put there instead
//! >>>>
//! ```
//!
//! so that a reader of the case sees what changes and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

/// The sources of a running program, in a folder of their own.
pub struct Project {
    case: PathBuf,
    sources: PathBuf,
}

impl Project {
    /// A project with nothing in it yet.
    pub fn new(case: PathBuf, sources: PathBuf) -> Self {
        fs::create_dir_all(&sources).expect("the folder for the sources can be made");
        Self { case, sources }
    }

    /// Applies one folder of the case to the sources.
    ///
    /// # Panics
    /// When the fixture is wrong: no such folder, an edit that does not fit.
    pub fn apply(&self, folder: &str) {
        self.apply_folder(&self.case.join(folder), Path::new(""));
    }

    /// Applies the files of `from`, which lies at `inside` in the edit, and of the folders in it.
    fn apply_folder(&self, from: &Path, inside: &Path) {
        let entries = fs::read_dir(from)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", from.display()));
        for entry in entries {
            let path = entry.expect("a folder's entry can be read").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("fixtures have plain names");
            if path.is_dir() {
                fs::create_dir_all(self.sources.join(inside).join(name))
                    .expect("a folder for sources can be made");
                self.apply_folder(&path, &inside.join(name));
            } else if name == "_delete" {
                for gone in read(&path).lines() {
                    let gone = self.sources.join(inside).join(gone);
                    fs::remove_file(&gone).unwrap_or_else(|error| {
                        panic!("cannot remove {}: {error}", gone.display())
                    });
                }
            } else if let Some(edited) = name.strip_suffix(".edit") {
                self.change(&inside.join(edited), &path);
            } else {
                fs::write(self.sources.join(inside).join(name), read(&path))
                    .expect("a source can be written");
            }
        }
    }

    fn change(&self, name: &Path, edit: &Path) {
        let target = self.sources.join(name);
        let mut text = read(&target);
        for (old, new) in hunks(&read(edit), edit) {
            let found = text.matches(&old).count();
            assert_eq!(
                found,
                1,
                "{}: this text must occur once in {}:\n{old}",
                edit.display(),
                name.display()
            );
            text = text.replacen(&old, &new, 1);
        }
        fs::write(&target, text).expect("a source can be written");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn hunks(text: &str, path: &Path) -> Vec<(String, String)> {
    enum Place {
        Outside,
        Old,
        New,
    }
    let mut place = Place::Outside;
    let (mut old, mut new) = (String::new(), String::new());
    let mut hunks = Vec::new();
    for line in text.lines() {
        match (&place, line) {
            (Place::Outside, "<<<<") => place = Place::Old,
            (Place::Old, "====") => place = Place::New,
            (Place::New, ">>>>") => {
                hunks.push((std::mem::take(&mut old), std::mem::take(&mut new)));
                place = Place::Outside;
            }
            (Place::Old, _) => old.extend([line, "\n"]),
            (Place::New, _) => new.extend([line, "\n"]),
            (Place::Outside, _) => panic!("{}: text outside of a change: {line}", path.display()),
        }
    }
    assert!(
        matches!(place, Place::Outside) && !hunks.is_empty(),
        "{}: an unfinished change, or none",
        path.display()
    );
    hunks
}
