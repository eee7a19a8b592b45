//! Files whose change is cargo's business: manifests, configurations, build scripts and what they
//! read, proc macros.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::dep_info;
use super::program::Graph;
use super::project::Project;
use super::versions::{Version, canonical};

/// These files, and what was in them when cargo last read them.
#[derive(Debug, Default)]
pub struct CargoFiles {
    files: HashMap<PathBuf, Version>,
    /// Folders that build scripts read.
    folders: Vec<PathBuf>,
    /// Packages whose build script does not say what it reads: cargo runs it again whenever any file
    /// changes.
    packages: Vec<PathBuf>,
}

impl CargoFiles {
    /// Those of a program.
    pub fn of(graph: &Graph, project: &Project, target_dir: &Path) -> CargoFiles {
        let mut files = CargoFiles::default();
        let mut packages: Vec<PathBuf> = graph
            .live
            .iter()
            .map(|(record, _)| record)
            .chain(&graph.helpers)
            .chain(graph.fixed())
            .filter(|record| record.kind != crate::stage::record::Kind::Foreign)
            .map(|record| record.manifest_dir.path().to_owned())
            .collect();
        packages.push(project.workspace_root.clone());
        packages.sort_unstable();
        packages.dedup();
        for package in &packages {
            files.add(&package.join("Cargo.toml"));
            files.add(&package.join("build.rs"));
        }
        files.add(&project.workspace_root.join("Cargo.lock"));
        let cwd = env::current_dir().unwrap_or_default();
        for folder in cwd.ancestors().chain([project.workspace_root.as_path()]) {
            for name in [".cargo/config.toml", ".cargo/config"] {
                files.add(&folder.join(name));
            }
        }
        for record in graph.helpers.iter().chain(graph.fixed()) {
            if record.kind != crate::stage::record::Kind::Foreign {
                files.add_sources(&record.dep_info(), &project.workspace_root);
            }
        }
        for (output, package) in graph.script_outputs() {
            files.add_inputs(&output, &package, target_dir);
        }
        files
    }

    fn add(&mut self, path: &Path) {
        let path = canonical(path);
        let version = Version::of(&path);
        self.files.insert(path, version);
    }

    fn add_sources(&mut self, list: &Path, folder: &Path) {
        let text = fs::read_to_string(list).unwrap_or_default();
        for file in dep_info::files(&text) {
            self.add(&folder.join(file));
        }
    }

    /// What a build script said that it reads.
    fn add_inputs(&mut self, output: &Path, package: &Path, target_dir: &Path) {
        let text = fs::read_to_string(output).unwrap_or_default();
        let mut says_anything = false;
        for line in text.lines() {
            let Some(instruction) = line.strip_prefix("cargo::").or(line.strip_prefix("cargo:"))
            else {
                continue;
            };
            says_anything |= instruction.starts_with("rerun-if-");
            let Some(path) = instruction.strip_prefix("rerun-if-changed=") else {
                continue;
            };
            let path = canonical(&package.join(path));
            if path.starts_with(target_dir) {
                continue;
            }
            if path.is_dir() {
                self.folders.push(path);
            } else {
                self.add(&path);
            }
        }
        if !says_anything {
            self.packages.push(canonical(package));
        }
    }

    /// Whether a change of the file with this canonical path is cargo's business.
    pub fn concerns(&self, path: &Path) -> bool {
        self.files.contains_key(path)
            || self
                .folders
                .iter()
                .any(|folder| path.starts_with(folder) && is_ordinary(path, folder))
    }

    /// The same for a path that is no source file of a live crate.
    pub fn may_concern(&self, path: &Path) -> bool {
        self.packages
            .iter()
            .any(|package| path.starts_with(package) && is_ordinary(path, package))
    }

    /// Whether cargo has not seen what is in this file.
    pub fn is_changed(&self, path: &Path) -> bool {
        match self.files.get(path) {
            Some(version) => !Version::of(path).same_as(version),
            None => true,
        }
    }

    /// Those files that were written since cargo read them.
    pub fn written(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter();
        files
            .filter(|(path, version)| !version.still_is(path))
            .map(|(path, _)| path.as_path())
    }

    /// All files and folders of these that exist.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files
            .keys()
            .chain(&self.folders)
            .map(PathBuf::as_path)
            .filter(|path| path.exists())
    }
}

/// Whether a path is neither hidden, nor made by cargo, nor by an editor for itself.
pub fn is_ordinary(path: &Path, folder: &Path) -> bool {
    let Ok(below) = path.strip_prefix(folder) else {
        return false;
    };
    let is_plain = below.components().all(|part| match part {
        Component::Normal(name) => !name.as_encoded_bytes().starts_with(b"."),
        _ => true,
    });
    let name = below.file_name().unwrap_or_default().to_string_lossy();
    let is_of_an_editor =
        name.ends_with('~') || (name.starts_with('#') && name.ends_with('#')) || name == "4913";
    is_plain && !is_of_an_editor && !below.starts_with("target")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_editors_and_of_cargo_do_not_count() {
        let folder = Path::new("/p");
        for name in ["src/lib.rs", "data/a.txt"] {
            assert!(is_ordinary(&folder.join(name), folder), "{name}");
        }
        for name in [
            "target/debug/x",
            ".git/index",
            "src/.lib.rs.swp",
            "a~",
            "4913",
            "#a#",
        ] {
            assert!(!is_ordinary(&folder.join(name), folder), "{name}");
        }
    }

    #[test]
    fn a_build_script_says_what_it_reads() {
        let root = tempfile::tempdir().unwrap();
        let package = canonical(root.path());
        fs::create_dir(package.join("schema")).unwrap();
        fs::write(package.join("c.c"), "int c;").unwrap();
        let output = package.join("output");
        fs::write(
            &output,
            "cargo:rerun-if-changed=c.c\ncargo::rerun-if-changed=schema\ncargo:rustc-cfg=x\n",
        )
        .unwrap();
        let mut files = CargoFiles::default();
        files.add_inputs(&output, &package, Path::new("/none"));
        assert!(files.concerns(&package.join("c.c")));
        assert!(files.concerns(&package.join("schema/a.proto")));
        assert!(!files.may_concern(&package.join("other.txt")));
        assert!(!files.is_changed(&package.join("c.c")));
        fs::write(package.join("c.c"), "int d;").unwrap();
        assert!(files.is_changed(&package.join("c.c")));
        fs::write(&output, "cargo:rustc-cfg=x\n").unwrap();
        files.add_inputs(&output, &package, Path::new("/none"));
        assert!(files.may_concern(&package.join("other.txt")));
    }
}
