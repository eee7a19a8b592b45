//! A live crate of the running program.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_128;

use super::dep_info;
use super::versions::{Reader, Version, canonical};
use crate::model::{CrateObjects, ObjectFile, SourceText};
use crate::stage::archive;
use crate::stage::layout;
use crate::stage::record::Record;

/// Whether a unit was left out of a compilation that concerned it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stale {
    /// It is compiled against what its dependencies are now.
    #[default]
    No,
    /// It has to be compiled before anything that uses it, but the program does not need it.
    Deferred,
    /// It has to be compiled: the interface of a dependency changed.
    Must,
}

/// A live crate.
#[derive(Debug)]
pub struct Unit {
    /// How it was compiled.
    pub record: Record,
    /// When cargo began to compile it last.
    pub recorded_at: SystemTime,
    /// Numbers of the units that it uses directly.
    pub dependencies: Vec<usize>,
    /// Its source files, by canonical path, as they were when it was last compiled. `None`: as
    /// nobody knows.
    pub sources: HashMap<PathBuf, Option<Version>>,
    /// The paths under which rustc knows those of the source files that have another name.
    pub aliases: HashMap<PathBuf, PathBuf>,
    /// Whether it was left out.
    pub stale: Stale,
    /// The objects that the program was linked from: the engine reads some of them again.
    kept: Arc<BTreeMap<String, Kept>>,
    /// Hashes of the objects that the program or the engine has.
    handed_out: BTreeMap<String, u128>,
    /// Kept objects are gone; those that are compiled to the same are put back.
    pub keeps_again: bool,
    /// What was compiled since: of each object the hash, and the bytes of those that are new.
    compiled: Option<Objects>,
    /// Hash of the native code in its library.
    pub native: u128,
    /// Hashes of the messages of its last compilation.
    pub shown: HashSet<u128>,
}

/// An object that was kept when the program was linked.
#[derive(Debug)]
pub struct Kept {
    /// Where.
    pub path: PathBuf,
    /// Of its bytes.
    pub hash: u128,
}

/// The objects of a crate.
#[derive(Debug, Default)]
pub struct Objects {
    hashes: BTreeMap<String, u128>,
    changed: BTreeMap<String, Arc<[u8]>>,
    /// Hash of the native code beside them.
    pub native: u128,
}

impl Kept {
    fn put_back(&self, contents: &[u8], hash: u128) -> io::Result<()> {
        if hash != self.hash || self.path.exists() {
            return Ok(());
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        layout::write_atomically(&self.path, contents)
    }
}

impl Unit {
    /// A unit that was linked with these objects.
    pub fn new(
        record: Record,
        recorded_at: SystemTime,
        kept: BTreeMap<String, Kept>,
        native: u128,
    ) -> Unit {
        let hashes = kept.iter().map(|(cgu, kept)| (cgu.clone(), kept.hash));
        Unit {
            handed_out: hashes.collect(),
            kept: Arc::new(kept),
            record,
            recorded_at,
            dependencies: Vec::new(),
            sources: HashMap::new(),
            aliases: HashMap::new(),
            stale: Stale::No,
            keeps_again: false,
            compiled: None,
            native,
            shown: HashSet::new(),
        }
    }

    /// The same unit after cargo compiled it: the engine has what it had before.
    pub fn as_recorded(&self, record: Record, recorded_at: SystemTime) -> Unit {
        let mut unit = Unit::new(record, recorded_at, BTreeMap::new(), self.native);
        unit.kept = Arc::clone(&self.kept);
        unit.handed_out.clone_from(&self.handed_out);
        unit.shown.clone_from(&self.shown);
        unit
    }

    /// Whether it makes a program.
    pub fn is_program(&self) -> bool {
        self.record.is_program()
    }

    /// Reads which files it was compiled from, and remembers their contents: those that `seen` read
    /// before the compilation `started`. A file that was written later may not be what the compiler
    /// read.
    ///
    /// # Errors
    /// If the list cannot be read.
    pub fn read_sources(&mut self, seen: &mut Reader, started: SystemTime) -> io::Result<()> {
        let text = fs::read_to_string(self.record.dep_info())?;
        let cwd = self.record.command.as_ref().map(|command| &command.cwd);
        let cwd = cwd.map_or(Path::new("."), |cwd| cwd.path());
        let mut known = std::mem::take(&mut self.sources);
        self.aliases.clear();
        for file in dep_info::files(&text) {
            let given = cwd.join(file);
            let path = canonical(&given);
            let version = match known.remove(&path).flatten() {
                Some(version) if version.still_is(&path) => Some(version),
                _ => {
                    let version = seen.read(&path);
                    let certain = version.still_is(&path)
                        && (seen.read_before(&path, started) || !version.is_younger_than(started));
                    certain.then_some(version)
                }
            };
            self.sources.insert(path.clone(), version);
            if given != path {
                self.aliases.insert(given, path);
            }
        }
        Ok(())
    }

    /// The source file that is meant by a path, if it is one of the unit's.
    pub fn source(&self, path: &Path, canonical: &Path) -> Option<PathBuf> {
        let mut known = [canonical, path].into_iter();
        let source = known.find(|it| self.sources.contains_key(*it));
        source
            .map(Path::to_owned)
            .or_else(|| self.aliases.get(path).cloned())
    }

    /// What the source file that is meant by this name contained when it was compiled; `Some(None)`: nobody
    /// knows. `None`: the unit has no source of this name.
    pub fn compiled_from(&self, path: &Path) -> Option<Option<&Version>> {
        let real = self.aliases.get(path).map_or(path, PathBuf::as_path);
        let version = self.sources.get(real)?;
        // A link that leads elsewhere now makes it another file.
        Some(version.as_ref().filter(|_| canonical(path) == real))
    }

    /// Takes in the objects of a compilation.
    pub fn compiled(&mut self, objects: Objects) {
        self.compiled = Some(objects);
    }

    /// Reads the objects of the library that was compiled.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn library_objects(&self, buffer: &mut Vec<u8>) -> Result<Objects, String> {
        let path = self.record.output();
        let bytes = read_into(&path, buffer).map_err(|error| at(&path, &error))?;
        let members =
            archive::members(bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut objects = Objects::default();
        let mut native = Vec::new();
        for member in members {
            let contents = &bytes[member.range.clone()];
            if let Some(cgu) = archive::codegen_unit(&member.name, &self.record.stem) {
                self.enter(cgu, contents, &mut objects);
            } else if !member.is_metadata() {
                native.push((member.name, xxh3_128(contents)));
            }
        }
        objects.native = archive::hash_of_native(native);
        Ok(objects)
    }

    /// Reads the objects that the link stage collected in this folder.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn collected_objects(
        &self,
        folder: &Path,
        buffer: &mut Vec<u8>,
    ) -> Result<Objects, String> {
        let mut objects = Objects::default();
        for entry in fs::read_dir(folder).map_err(|error| at(folder, &error))? {
            let path = entry.map_err(|error| at(folder, &error))?.path();
            if path.extension().is_none_or(|extension| extension != "o") {
                continue;
            }
            let cgu = path.file_stem().unwrap_or_default().to_string_lossy();
            let contents = read_into(&path, buffer).map_err(|error| at(&path, &error))?;
            self.enter(&cgu, contents, &mut objects);
        }
        objects.native = self.native;
        Ok(objects)
    }

    fn enter(&self, cgu: &str, contents: &[u8], objects: &mut Objects) {
        let hash = xxh3_128(contents);
        if self.keeps_again
            && let Some(kept) = self.kept.get(cgu)
            && let Err(error) = kept.put_back(contents, hash)
        {
            tracing::warn!(%error, cgu, "an object is not kept again");
        }
        if self.handed_out.get(cgu) != Some(&hash) {
            objects.changed.insert(cgu.to_owned(), contents.into());
        }
        objects.hashes.insert(cgu.to_owned(), hash);
    }

    /// Whether the program or the engine has any of it.
    pub fn is_linked(&self) -> bool {
        !self.handed_out.is_empty() || self.is_program()
    }

    /// What the engine has not got yet; `None` if it has all.
    pub fn hand_out(&mut self) -> Option<CrateObjects> {
        let objects = self.compiled.take()?;
        let is_same = objects.changed.is_empty() && objects.hashes.len() == self.handed_out.len();
        self.handed_out = objects.hashes;
        (!is_same).then(|| CrateObjects {
            name: self.record.crate_name.clone(),
            unit: self.record.unit.clone(),
            objects: objects
                .changed
                .into_iter()
                .map(|(cgu, bytes)| ObjectFile { cgu, bytes })
                .collect(),
            all: self.handed_out.keys().cloned().collect(),
            sources: self.source_texts(),
        })
    }

    /// Its source files, with their texts where those are known.
    pub fn source_texts(&self) -> Vec<SourceText> {
        let sources = self.sources.iter();
        let texts = sources.map(|(path, version)| {
            let text = version.as_ref().and_then(|version| version.text.clone());
            (path.clone(), text)
        });
        texts.collect()
    }
}

fn read_into<'a>(path: &Path, buffer: &'a mut Vec<u8>) -> io::Result<&'a [u8]> {
    use std::io::Read;
    buffer.clear();
    fs::File::open(path)?.read_to_end(buffer)?;
    Ok(buffer)
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
