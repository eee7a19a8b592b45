//! The archives of the link line, read when a symbol is missing for the first time.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use liveswap_object::patch::Member;
use object::ReadCache;
use object::read::archive::ArchiveFile;

/// The archives in the order of the link line.
#[derive(Debug, Default)]
pub struct ArchiveSet {
    paths: Vec<PathBuf>,
    /// Symbols of the first `indexed` archives: number of the archive and of the member's offset.
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    indexed: usize,
    symbols: HashMap<Box<str>, (usize, u64)>,
}

impl ArchiveSet {
    /// A set of these.
    pub fn new(paths: Vec<PathBuf>) -> ArchiveSet {
        ArchiveSet {
            paths,
            index: Mutex::default(),
        }
    }

    /// The first member in the order of the link line that defines this symbol.
    pub fn member_defining(&self, symbol: &str) -> Option<Member> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while index.indexed < self.paths.len() {
            let n = index.indexed;
            index.indexed += 1;
            match symbols_of(&self.paths[n]) {
                Ok(symbols) => {
                    for (symbol, offset) in symbols {
                        index.symbols.entry(symbol).or_insert((n, offset));
                    }
                }
                Err(problem) => {
                    tracing::warn!("cannot read {}: {problem}", self.paths[n].display());
                }
            }
        }
        let (archive, offset) = *index.symbols.get(symbol)?;
        let path = &self.paths[archive];
        match member_at(path, offset) {
            Ok((name, bytes)) => Some(Member {
                archive: path.to_string_lossy().into(),
                name,
                bytes,
            }),
            Err(problem) => {
                tracing::warn!("cannot read {}: {problem}", path.display());
                None
            }
        }
    }

    /// Adds archives of new dependencies. One whose path is known already replaces nothing.
    pub fn add(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if !self.paths.contains(&path) {
                self.paths.push(path);
            }
        }
    }
}

type Symbols = Vec<(Box<str>, u64)>;

fn symbols_of(path: &Path) -> Result<Symbols, String> {
    let cache = ReadCache::new(File::open(path).map_err(|error| error.to_string())?);
    let archive = ArchiveFile::parse(&cache).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let Some(symbols) = archive.symbols().map_err(|error| error.to_string())? else {
        return Ok(found);
    };
    for symbol in symbols {
        let symbol = symbol.map_err(|error| error.to_string())?;
        if let Ok(name) = std::str::from_utf8(symbol.name()) {
            found.push((Box::from(name), symbol.offset().0));
        }
    }
    Ok(found)
}

fn member_at(path: &Path, offset: u64) -> Result<(Arc<str>, Arc<[u8]>), String> {
    let cache = ReadCache::new(File::open(path).map_err(|error| error.to_string())?);
    let archive = ArchiveFile::parse(&cache).map_err(|error| error.to_string())?;
    let member = archive
        .member(object::read::archive::ArchiveOffset(offset))
        .map_err(|error| error.to_string())?;
    let bytes = member.data(&cache).map_err(|error| error.to_string())?;
    Ok((
        String::from_utf8_lossy(member.name()).into(),
        Arc::from(bytes),
    ))
}
