//! Where programs of the corpus are built: a folder for each worker that is kept from run to run, so
//! that dependencies are compiled once. Cases with the same manifest take turns in one project.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::case::{Case, Files};
use crate::library::target_directory;

const MANIFEST: &str = "Cargo.toml";
const PACKAGE: &str =
    "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n";

/// What a case may say that it `needs`, and the lines of the manifest for it.
const DEPENDENCIES: [(&str, &str); 12] = [
    (
        "tokio",
        "tokio = { version = \"1\", features = [\"full\"] }",
    ),
    ("futures", "futures = \"0.3\""),
    ("async-trait", "async-trait = \"0.1\""),
    (
        "tower",
        "tower = { version = \"0.5\", features = [\"util\", \"timeout\"] }",
    ),
    ("axum", "axum = \"0.8\""),
    ("tracing", "tracing = \"0.1\""),
    ("rayon", "rayon = \"1\""),
    ("crossbeam", "crossbeam-channel = \"0.5\""),
    ("smol", "smol = \"2\""),
    ("async-executor", "async-executor = \"1\""),
    ("once_cell", "once_cell = \"1\""),
    ("lazy_static", "lazy_static = \"1\""),
];

/// The manifest of a case: its own, or one that has what it needs.
///
/// # Errors
/// When it needs what nobody knows.
pub fn manifest(case: &Case) -> Result<String, String> {
    if let Some(own) = case.files.get(MANIFEST) {
        return Ok(own.clone());
    }
    let mut text = PACKAGE.to_owned();
    if !case.needs.is_empty() {
        text.push_str("\n[dependencies]\n");
    }
    for need in &case.needs {
        let (_, line) = DEPENDENCIES
            .iter()
            .find(|(name, _)| name == need)
            .ok_or_else(|| format!("nobody knows what `{need}` is"))?;
        text.push_str(line);
        text.push('\n');
    }
    Ok(text)
}

/// The files of a case as they are at some time, with its manifest and the guard.
pub fn complete(case: &Case, files: &Files) -> Result<Files, String> {
    let mut files = files.clone();
    if !files.contains_key(MANIFEST) {
        files.insert(MANIFEST.to_owned(), manifest(case)?);
    }
    if files.values().any(|text| text.contains("mod guard;")) {
        let guard = super::folder().join("guard.rs");
        let text =
            fs::read_to_string(&guard).map_err(|error| format!("{}: {error}", guard.display()))?;
        files.insert("src/guard.rs".to_owned(), text);
    }
    Ok(files)
}

/// The folder of one worker. Another run of the corpus waits until it is free.
pub struct Place {
    folder: PathBuf,
    _lock: File,
}

/// A project in it, with the files of one case.
pub struct Project {
    /// Its folder.
    pub root: PathBuf,
    /// Where it is built.
    pub target: PathBuf,
}

impl Place {
    /// The folder of the worker with this number.
    ///
    /// # Errors
    /// What the file system says.
    pub fn of_worker(number: usize) -> Result<Self, String> {
        let folder = target_directory()
            .join("tmp/liveswap-corpus")
            .join(number.to_string());
        let locked = || -> io::Result<File> {
            fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join("lock"))?;
            lock.lock()?;
            Ok(lock)
        };
        let lock = locked().map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The project of all cases with this case's manifest, with the case's own files.
    ///
    /// # Errors
    /// What the file system says.
    pub fn project(&self, case: &Case) -> Result<Project, String> {
        let files = complete(case, &case.files)?;
        let name = project_name(case, &files);
        let project = Project {
            root: self.folder.join(name),
            target: self.folder.join("target"),
        };
        let clear = || -> io::Result<()> {
            fs::create_dir_all(&project.target)?;
            fs::create_dir_all(&project.root)?;
            for entry in fs::read_dir(&project.root)? {
                let path = entry?.path();
                if path.is_dir() {
                    fs::remove_dir_all(path)?;
                } else if path.file_name().is_some_and(|name| name != "Cargo.lock") {
                    fs::remove_file(path)?;
                }
            }
            Ok(())
        };
        clear().map_err(|error| format!("{}: {error}", project.root.display()))?;
        project.save(&Files::new(), &files)?;
        Ok(project)
    }
}

/// Cases with the generated manifest share a project by what they need. Others are alone: what one
/// leaves in a workspace of several crates would count in the next.
fn project_name(case: &Case, files: &Files) -> String {
    if case.files.contains_key(MANIFEST) {
        let name: String = case
            .name
            .chars()
            .map(|c| if c == '/' { '-' } else { c })
            .collect();
        return format!("own-{name}-{}", files.len());
    }
    let mut name = "app".to_owned();
    for need in &case.needs {
        name.push('-');
        name.push_str(need);
    }
    name
}

impl Project {
    /// Saves what is not as it was, as editors do: a new file takes the place of the old one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, before: &Files, after: &Files) -> Result<(), String> {
        for (path, text) in after {
            if before.get(path) != Some(text) {
                let path = self.root.join(path);
                put(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            }
        }
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            let path = self.root.join(path);
            fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}

/// Writes files into a folder, which is made.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path, files: &Files) -> Result<(), String> {
    for (path, text) in files {
        let path = folder.join(path);
        put(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fresh = folder.join(format!(".{name}.swp"));
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}
