//! The objects that are live, to be looked through again when something that they use becomes another thing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use liveswap_object::patch::{LiveBytes, NewUnit};
use xxhash_rust::xxh3::xxh3_128;

/// Live objects by name of their codegen unit.
#[derive(Debug, Default)]
pub struct Objects {
    by_cgu: HashMap<Arc<str>, Object>,
}

#[derive(Debug)]
struct Object {
    crate_name: Arc<str>,
    stored: Stored,
}

#[derive(Debug)]
enum Stored {
    /// A file, and the hash of what it held when the program was linked: a build may write it anew.
    File(PathBuf, u128),
    Bytes(Arc<[u8]>),
}

/// New objects, by name of their codegen unit.
pub type NewObjects = Vec<(Arc<str>, NewObject)>;

/// An object that may become live.
#[derive(Debug)]
pub struct NewObject {
    crate_name: Arc<str>,
    bytes: Arc<[u8]>,
}

/// All that are in these units.
pub fn of_units(units: &[NewUnit]) -> NewObjects {
    let mut all = Vec::new();
    for unit in units {
        let crate_name: Arc<str> = unit.name.as_str().into();
        for object in &unit.changed {
            let new = NewObject {
                crate_name: Arc::clone(&crate_name),
                bytes: Arc::clone(&object.bytes),
            };
            all.push((Arc::clone(&object.cgu), new));
        }
    }
    all
}

impl Objects {
    /// Enters an object that the executable was linked from.
    pub fn add_file(&mut self, crate_name: &str, cgu: &str, path: &Path, bytes: &[u8]) {
        let object = Object {
            crate_name: crate_name.into(),
            stored: Stored::File(path.to_owned(), xxh3_128(bytes)),
        };
        self.by_cgu.insert(cgu.into(), object);
    }

    /// Enters objects that have become live.
    pub fn commit(&mut self, new: NewObjects) {
        for (cgu, NewObject { crate_name, bytes }) in new {
            let stored = Stored::Bytes(bytes);
            self.by_cgu.insert(cgu, Object { crate_name, stored });
        }
    }

    /// The crate that an object belongs to.
    pub fn crate_of(&self, cgu: &str) -> Option<&str> {
        self.by_cgu.get(cgu).map(|object| &*object.crate_name)
    }

    /// An object as the compiler wrote it; `None` if it is not known, or its file is not what it was.
    pub fn get(&self, cgu: &str) -> Option<LiveBytes> {
        let object = self.by_cgu.get(cgu)?;
        let bytes = match &object.stored {
            Stored::Bytes(bytes) => Arc::clone(bytes),
            Stored::File(path, hash) => {
                let bytes = std::fs::read(path).ok()?;
                (xxh3_128(&bytes) == *hash).then(|| bytes.into())?
            }
        };
        Some(LiveBytes {
            crate_name: object.crate_name.to_string(),
            bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_written_anew_is_not_what_was_linked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.o");
        std::fs::write(&path, b"first").unwrap();
        let mut objects = Objects::default();
        objects.add_file("app", "a", &path, b"first");
        assert_eq!(*objects.get("a").unwrap().bytes, *b"first");
        std::fs::write(&path, b"other").unwrap();
        assert!(objects.get("a").is_none());
        assert!(objects.get("b").is_none());
        let new = NewObject {
            crate_name: "app".into(),
            bytes: b"second".as_slice().into(),
        };
        objects.commit(vec![("a".into(), new)]);
        let live = objects.get("a").unwrap();
        assert_eq!((&*live.bytes, &*live.crate_name), (&b"second"[..], "app"));
    }
}
