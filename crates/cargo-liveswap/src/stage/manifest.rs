//! What the link stage leaves beside the objects that it kept: what is in the executable.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::layout;
use super::text::Text;

/// Name of the file.
pub const FILE: &str = "manifest.json";

/// What was linked.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// The executable.
    pub exe: Text,
    /// Which file it was when it was linked.
    pub identity: Identity,
    /// The live crates in it.
    pub crates: Vec<Crate>,
    /// What else was linked.
    pub inputs: Inputs,
    /// Symbols that nothing defines. They are in code that a program without this command's link
    /// stage does not contain.
    pub missing: Vec<String>,
    /// Why the program cannot be changed while it runs, if so.
    pub obstacle: Option<String>,
}

/// A live crate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Crate {
    /// The crate's name.
    pub name: String,
    /// Key of its unit.
    pub unit: String,
    /// `0` to `3`, `s` or `z`.
    pub opt_level: String,
    /// Its objects.
    pub objects: Vec<Object>,
    /// Of the native code in its library.
    pub native: Hash,
}

/// An object of a live crate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    /// Its codegen unit.
    pub cgu: String,
    /// The kept copy.
    pub path: Text,
    /// Of its bytes.
    pub hash: Hash,
}

/// A hash of 128 bits; in JSON a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hash(pub u128);

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16)
            .map(Hash)
            .map_err(serde::de::Error::custom)
    }
}

/// What a program is linked of, apart from its own objects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// Rust libraries of crates that are not live, in order.
    pub archives: Vec<Text>,
    /// Other objects.
    pub objects: Vec<Text>,
    /// `-l…`, static and shared libraries, in order.
    pub libraries: Vec<Text>,
    /// Static libraries among them that are made during the build, and hashes of their bytes.
    pub made: Vec<(Text, Hash)>,
}

/// What tells a file from another one that was put in its place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    len: u64,
    modified: (i64, i64),
}

impl Identity {
    /// Of the file at `path`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn of(path: &Path) -> io::Result<Identity> {
        let metadata = fs::metadata(path)?;
        Ok(Identity {
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl Manifest {
    /// Reads the one in this folder.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` for what is no manifest of this version.
    pub fn read(link_dir: &Path) -> io::Result<Manifest> {
        let bytes = fs::read(link_dir.join(FILE))?;
        serde_json::from_slice(&bytes)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Writes it into this folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, link_dir: &Path) -> io::Result<()> {
        layout::write_atomically(&link_dir.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Whether executable and kept objects are still those that it tells of.
    pub fn is_true(&self) -> bool {
        Identity::of(self.exe.path()).is_ok_and(|identity| identity == self.identity)
            && self
                .crates
                .iter()
                .flat_map(|krate| &krate.objects)
                .all(|object| object.path.path().is_file())
    }
}
