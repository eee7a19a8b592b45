//! `cargo xtask tidy`: the rules of the code that no compiler checks. Each rule says which file and
//! line breaks it, and all breaches are told at once.

mod boundaries;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::project::Project;
use rules::Breach;
use source::Source;

/// A text file of the project, named by its path from the root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// A Rust file, and what of it is only compiled for tests.
pub struct RustFile {
    pub path: String,
    pub source: Source,
    pub lines: usize,
}

pub fn check(project: &Project) -> Result<()> {
    let files = read_tree(&project.root)?;
    let rust = rust_files(&files);
    for file in rust
        .iter()
        .filter(|file| file.lines > rules::LINES_TO_LOOK_AT)
    {
        println!(
            "{}: {} lines: is it still one subject?",
            file.path, file.lines
        );
    }
    let mut breaches = rules::all(&files, &rust);
    if breaches.is_empty() {
        println!("{} files, no breach", files.len());
        return Ok(());
    }
    breaches.sort();
    for breach in &breaches {
        println!("{breach}");
    }
    Err(format!("{} breaches", breaches.len()))
}

fn rust_files(files: &[File]) -> Vec<RustFile> {
    let mut rust: Vec<RustFile> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| RustFile {
            path: file.path.clone(),
            source: Source::read(&file.text),
            lines: file.text.lines().count(),
        })
        .collect();
    // `#[cfg(test)] mod tests;` makes another file a test.
    let outside: Vec<String> = rust
        .iter()
        .flat_map(|file| {
            file.source
                .test_modules
                .iter()
                .flat_map(|name| module_files(&file.path, name))
        })
        .collect();
    for file in &mut rust {
        if outside.contains(&file.path) {
            file.source.make_all_test();
        }
    }
    rust
}

/// Where `mod name;` in the file `parent` may look for its file.
fn module_files(parent: &str, name: &str) -> [String; 2] {
    let parent = Path::new(parent);
    let folder = parent.parent().unwrap_or(Path::new(""));
    let stem = parent
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    let home = if matches!(stem, "mod" | "lib" | "main") {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    [format!("{name}.rs"), format!("{name}/mod.rs")]
        .map(|file| home.join(file).to_string_lossy().into_owned())
}

/// All text files of the project. Walking the tree needs no git and sees new files at once.
fn read_tree(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if path.is_dir() {
                if !matches!(name, "target" | ".git" | "nimcache") {
                    folders.push(path);
                }
                continue;
            }
            // What is no text (an image, a library) has no lines to check.
            if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).map_err(|e| e.to_string())?;
                files.push(File {
                    path: path.to_string_lossy().into_owned(),
                    text,
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = || -> std::io::Result<Vec<PathBuf>> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    listed().map_err(|e| format!("{}: {e}", folder.display()))
}

impl Breach {
    pub fn new(path: &str, line: usize, rule: &str) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule: rule.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_found() {
        assert_eq!(
            module_files("a/src/lib.rs", "tests"),
            ["a/src/tests.rs", "a/src/tests/mod.rs"]
        );
        assert_eq!(
            module_files("a/src/slots.rs", "tests"),
            ["a/src/slots/tests.rs", "a/src/slots/tests/mod.rs"]
        );
        let files = [
            File {
                path: "a/src/slots.rs".into(),
                text: "#[cfg(test)]\nmod tests;\n".into(),
            },
            File {
                path: "a/src/slots/tests.rs".into(),
                text: "fn f() { x.unwrap() }\n".into(),
            },
        ];
        let rust = rust_files(&files);
        assert!(rust[1].source.is_test(1));
    }
}
