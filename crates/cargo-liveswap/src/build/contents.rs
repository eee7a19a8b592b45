//! What the libraries that stay as they are contained when the program was linked: one that is built anew and
//! contains the same is the same.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::program::Graph;
use crate::stage::archive;
use crate::stage::record::Record;

/// Hashes of libraries, by key of their records.
#[derive(Debug, Default)]
pub struct Contents {
    known: HashMap<String, u128>,
    coming: Option<JoinHandle<HashMap<String, u128>>>,
}

impl Contents {
    /// Reads those of this program that are not known yet, in a thread: nobody needs them before something is built
    /// anew.
    pub fn learn(&mut self, graph: &Graph) {
        self.wait();
        let unknown: Vec<(String, PathBuf, String)> = graph
            .foreign
            .iter()
            .filter(|(key, _)| !self.known.contains_key(*key))
            .map(|(key, record)| (key.clone(), record.output(), record.stem.clone()))
            .collect();
        if unknown.is_empty() {
            return;
        }
        let read = move || {
            let hash =
                |(key, path, stem): (String, PathBuf, String)| Some((key, of(&path, &stem)?));
            unknown.into_iter().filter_map(hash).collect()
        };
        // Without a thread they stay unknown, and count as changed when they are built anew.
        self.coming = thread::Builder::new()
            .name("contents".into())
            .spawn(read)
            .ok();
    }

    /// Waits until all are read: before they are overwritten.
    pub fn wait(&mut self) {
        if let Some(read) = self.coming.take().and_then(|thread| thread.join().ok()) {
            self.known.extend(read);
        }
    }

    /// Whether a library contains what it did then.
    pub fn is_same(&self, record: &Record) -> bool {
        let known = self.known.get(&record.key());
        known.is_some_and(|known| of(&record.output(), &record.stem) == Some(*known))
    }
}

/// The hash of a library's contents. The members of a static one are known by name and place: the engine remembers
/// where they are. Their names have a part that is another in each compilation.
fn of(path: &Path, stem: &str) -> Option<u128> {
    let bytes = fs::read(path).ok()?;
    if path.extension().is_none_or(|extension| extension != "rlib") {
        return Some(xxh3_128(&bytes));
    }
    let mut hash = Xxh3::new();
    for member in archive::members(&bytes).ok()? {
        let name = archive::codegen_unit(&member.name, stem).unwrap_or(&member.name);
        hash.update(name.as_bytes());
        hash.update(&member.range.start.to_le_bytes());
        hash.update(&xxh3_128(bytes.get(member.range)?).to_le_bytes());
    }
    Some(hash.digest128())
}
