//! The record of one compilation: written by the wrapper before rustc starts, read by the session.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::layout::{self, Stage};
use super::text::Text;

/// The option of rustc that names what its optimiser leaves out, up to the names.
pub const LEAVE_OUT: &str = "llvm-args=-opt-disable=";

/// What a compilation makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A crate whose code can be replaced while the program runs.
    Live,
    /// A crate of the user that runs while other crates are built: a proc macro, a build script.
    Helper,
    /// A crate of somebody else.
    Foreign,
}

/// One compilation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// What it makes.
    pub kind: Kind,
    /// Key of the unit: the same as long as a session lasts, whatever cargo calls its files.
    pub unit: String,
    /// Name of its files, without extension and `lib`.
    pub stem: String,
    /// The crate's name.
    pub crate_name: String,
    /// All of its types.
    pub crate_types: Vec<String>,
    /// The package's name.
    pub package: String,
    /// The package's version.
    pub version: String,
    /// The folder of the package's manifest.
    pub manifest_dir: Text,
    /// Where its files are put.
    pub out_dir: Text,
    /// `0` to `3`, `s` or `z`.
    pub opt_level: String,
    /// Whether it is compiled incrementally.
    pub incremental: bool,
    /// Enabled features.
    pub features: Vec<String>,
    /// How code is made: see [`super::rustc_args::RustcArgs::code_options`].
    pub code_options: Vec<String>,
    /// Files of the crates that it uses directly.
    pub externs: Vec<Text>,
    /// Where its build script puts files, if it has one.
    pub build_out_dir: Option<Text>,
    /// The run of cargo that it belongs to.
    pub run: String,
    /// For [`Kind::Live`]: how to do it again.
    pub command: Option<Recorded>,
}

/// A command to repeat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Wrappers and rustc.
    pub programs: Vec<Text>,
    /// The arguments.
    pub args: Vec<Text>,
    /// Where.
    pub cwd: Text,
    /// What its environment has more than the session's, or other values.
    pub env: Vec<(Text, Text)>,
    /// The linker that the user configured.
    pub linker: Option<Text>,
    /// Whether the link stage may take the linker that comes with rustc.
    pub lld: bool,
}

impl Recorded {
    /// Whether the optimiser is told to leave out this pass.
    pub fn leaves_out(&self, pass: &str) -> bool {
        self.args.iter().any(|arg| {
            let text = arg.0.to_string_lossy();
            let passes = text.strip_prefix(LEAVE_OUT);
            passes.is_some_and(|passes| passes.split(',').any(|known| known == pass))
        })
    }
}

impl Record {
    /// Whether each function has code of its own: an optimiser merges functions that are equal, unless it is told
    /// not to, and one of them cannot change without the other then.
    pub fn keeps_functions_apart(&self) -> bool {
        let command = self.command.as_ref();
        self.opt_level == "0" || command.is_some_and(|command| command.leaves_out("mergefunc"))
    }

    /// Reads the one in this file.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` for what is no record of this version.
    pub fn read(path: &Path) -> io::Result<Record> {
        let bytes = fs::read(path)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes it to its place.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, stage: &Stage) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        layout::write_atomically(&stage.unit(&self.key()), &json)
    }

    /// All records, with the time of each.
    ///
    /// # Errors
    /// Those of the file system. A file that is no record is left out.
    pub fn read_all(stage: &Stage) -> io::Result<Vec<(Record, SystemTime)>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(stage.units())? {
            let path = entry?.path();
            if path.extension() != Some(OsStr::new("json")) {
                continue;
            }
            if let (Ok(record), Ok(time)) = (
                Record::read(&path),
                fs::metadata(&path).and_then(|metadata| metadata.modified()),
            ) {
                records.push((record, time));
            }
        }
        Ok(records)
    }

    /// Whether it makes a program.
    pub fn is_program(&self) -> bool {
        self.crate_types.iter().any(|kind| kind == "bin")
    }

    /// The executable or library that it makes.
    pub fn output(&self) -> PathBuf {
        let is_only_dynamic = self.crate_types.iter().all(|kind| kind == "dylib");
        let name = if self.is_program() {
            self.stem.clone()
        } else if is_only_dynamic {
            format!("lib{}.so", self.stem)
        } else {
            format!("lib{}.rlib", self.stem)
        };
        self.out_dir.path().join(name)
    }

    /// Its list of sources.
    pub fn dep_info(&self) -> PathBuf {
        self.out_dir.path().join(format!("{}.d", self.stem))
    }

    /// The name of the record: other than the stem it differs from profile to profile for all kinds of
    /// crates.
    pub fn key(&self) -> String {
        key(self.out_dir.path(), &self.stem)
    }

    /// The keys of the crates that it uses directly.
    pub fn extern_keys(&self) -> impl Iterator<Item = String> + '_ {
        self.externs
            .iter()
            .filter_map(|path| key_of_library(path.path()))
    }
}

/// The key of what is called `stem` in this folder.
fn key(folder: &Path, stem: &str) -> String {
    let folder = xxh3_64(folder.as_os_str().as_encoded_bytes());
    format!("{stem}.{:08x}", folder >> 32)
}

/// The key of the record of a library.
pub fn key_of_library(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    Some(key(
        path.parent()?,
        stem.strip_prefix("lib").unwrap_or(stem),
    ))
}

/// The key of the record of an executable.
pub fn key_of_program(path: &Path) -> Option<String> {
    Some(key(path.parent()?, path.file_name()?.to_str()?))
}

/// Hashes of a whole environment, so that another process can tell what differs without a file that
/// holds everybody's secrets.
#[derive(Debug, Default)]
pub struct Environment(HashSet<u64>);

impl Environment {
    /// Of these variables.
    pub fn of<'a>(variables: impl IntoIterator<Item = &'a (OsString, OsString)>) -> Environment {
        Environment(
            variables
                .into_iter()
                .map(|(name, value)| Self::hash(name, value))
                .collect(),
        )
    }

    /// Reads what [`Environment::write`] wrote; an empty one if there is nothing.
    pub fn read(stage: &Stage) -> Environment {
        let text = fs::read_to_string(stage.environment()).unwrap_or_default();
        Environment(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Writes it to its place.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, stage: &Stage) -> io::Result<()> {
        let mut text = String::new();
        for hash in &self.0 {
            text.push_str(&hash.to_string());
            text.push('\n');
        }
        layout::write_atomically(&stage.environment(), text.as_bytes())
    }

    /// Whether the variable has this value in it.
    pub fn has(&self, name: &OsStr, value: &OsStr) -> bool {
        self.0.contains(&Self::hash(name, value))
    }

    fn hash(name: &OsStr, value: &OsStr) -> u64 {
        xxh3_64(&[name.as_encoded_bytes(), b"=", value.as_encoded_bytes()].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_the_names_of_files() {
        let library = key_of_library(Path::new("/t/deps/liblogic-f2.rmeta")).unwrap();
        assert_eq!(library, key(Path::new("/t/deps"), "logic-f2"));
        assert_eq!(
            key_of_library(Path::new("/t/deps/libpm.so")),
            Some(key(Path::new("/t/deps"), "pm"))
        );
        assert_ne!(
            key_of_library(Path::new("/t/other/libpm.so")),
            Some(key(Path::new("/t/deps"), "pm"))
        );
        assert_eq!(
            key_of_program(Path::new("/t/deps/my_app-1.2")),
            Some(key(Path::new("/t/deps"), "my_app-1.2"))
        );
    }

    #[test]
    fn an_environment_knows_its_variables_by_name_and_value() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::new(folder.path().to_owned());
        Environment::of(&[("A".into(), "1".into())])
            .write(&stage)
            .unwrap();
        let read = Environment::read(&stage);
        assert!(read.has("A".as_ref(), "1".as_ref()));
        assert!(!read.has("A".as_ref(), "2".as_ref()));
        assert!(!read.has("B".as_ref(), "1".as_ref()));
    }
}
