//! The objects of live crates: kept as they are, and rewritten so that their functions have slots.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use liveswap_object::rewrite::{self, Origin, SlotName};
use xxhash_rust::xxh3::xxh3_128;

use super::archive;
use super::layout;
use super::manifest::Hash;
use super::record::Record;

/// An object to be kept and rewritten.
pub struct Source {
    /// Number of its crate.
    pub krate: usize,
    /// Its codegen unit.
    pub cgu: String,
    contents: Contents,
}

enum Contents {
    File(PathBuf),
    Member(Arc<Vec<u8>>, Range<usize>),
}

/// What became of a [`Source`].
pub struct Prepared {
    /// Number of its crate.
    pub krate: usize,
    /// Its codegen unit.
    pub cgu: String,
    /// The copy of the object as rustc made it.
    pub kept: PathBuf,
    /// The object to be linked.
    pub rewritten: PathBuf,
    /// The slots that it needs.
    pub slots: Vec<SlotName>,
    /// Of the object as rustc made it.
    pub hash: Hash,
    /// `e_machine`.
    pub machine: u16,
}

/// The object in a file.
pub fn in_file(krate: usize, cgu: &str, path: PathBuf) -> Source {
    Source {
        krate,
        cgu: cgu.to_owned(),
        contents: Contents::File(path),
    }
}

/// The objects in a library, and the hash of the native code in it: 0 if there is none.
///
/// # Errors
/// If it cannot be read or is no archive.
pub fn in_library(krate: usize, record: &Record, path: &Path) -> io::Result<(Vec<Source>, Hash)> {
    let bytes = Arc::new(fs::read(path)?);
    let members = archive::members(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    let mut sources = Vec::new();
    let mut native = Vec::new();
    for member in members {
        if let Some(cgu) = archive::codegen_unit(&member.name, &record.stem) {
            sources.push(Source {
                krate,
                cgu: cgu.to_owned(),
                contents: Contents::Member(Arc::clone(&bytes), member.range),
            });
        } else if !member.is_metadata() {
            native.push((member.name, xxh3_128(&bytes[member.range])));
        }
    }
    Ok((sources, Hash(archive::hash_of_native(native))))
}

/// Keeps and rewrites them all, in the order given. `crates` are their records.
///
/// # Errors
/// Those of the file system, or of an object that is not understood.
pub fn prepare(
    sources: &[Source],
    crates: &[&Record],
    kept: &Path,
    rewritten: &Path,
) -> Result<Vec<Prepared>, String> {
    for record in crates {
        for folder in [kept, rewritten] {
            let folder = folder.join(&record.unit);
            fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let Some(source) = sources.get(n) else {
                return Ok(done);
            };
            done.push((n, one(source, crates[source.krate], kept, rewritten)?));
        }
    };
    let threads = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let mut all = Vec::new();
    thread::scope(|scope| -> Result<(), String> {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            let done: Result<Vec<_>, String> = worker
                .join()
                .map_err(|_| "rewriting an object failed".to_owned())?;
            all.extend(done?);
        }
        Ok(())
    })?;
    all.sort_unstable_by_key(|(n, _)| *n);
    Ok(all.into_iter().map(|(_, prepared)| prepared).collect())
}

fn one(
    source: &Source,
    record: &Record,
    kept: &Path,
    rewritten: &Path,
) -> Result<Prepared, String> {
    let name = format!("{}.o", source.cgu);
    let kept = kept.join(&record.unit).join(&name);
    let rewritten = rewritten.join(&record.unit).join(&name);
    let read;
    let bytes: &[u8] = match &source.contents {
        Contents::File(path) => {
            layout::link_or_copy(path, &kept).map_err(|error| at(path, &error))?;
            read = fs::read(path).map_err(|error| at(path, &error))?;
            &read
        }
        Contents::Member(bytes, range) => {
            let bytes = &bytes[range.clone()];
            fs::write(&kept, bytes).map_err(|error| at(&kept, &error))?;
            bytes
        }
    };
    let origin = Origin {
        cgu: &source.cgu,
        optimised: record.opt_level != "0",
    };
    let object = rewrite::for_linking(bytes, &origin).map_err(|error| {
        format!(
            "an object of {} cannot be made live: {error}",
            record.crate_name
        )
    })?;
    fs::write(&rewritten, &object.bytes).map_err(|error| at(&rewritten, &error))?;
    let machine = match bytes.get(18..20) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    Ok(Prepared {
        krate: source.krate,
        cgu: source.cgu.clone(),
        kept,
        rewritten,
        slots: object.slots,
        hash: Hash(xxh3_128(bytes)),
        machine,
    })
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
