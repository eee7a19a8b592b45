//! Digests of functions and data that are equal exactly if a reload would make no difference.
//!
//! A digest covers the bytes and, for each relocation, what it refers to in terms that outlive a
//! compilation: functions, statics and external symbols by name, data without a name by its contents.
//! Source positions (`core::panic::Location`, call sites of `tracing`) count without line and column: a line
//! added further up in the file changes nothing that runs.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::Xxh3;

use crate::Error;
use crate::elf::{Elf, Rela, Section};
use crate::functions::Functions;
use crate::layouts::without_numbers;
use crate::names;
use crate::patch::Renamed;
use crate::program::call_site::CallSite;
use crate::program::components::{self, Node};
use crate::program::target::{Statics, Target, target};
use crate::reference::{Meaning, meaning};

/// A digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

/// Makes the digests of one object.
pub struct Digests<'o, 'a> {
    object: &'o Elf<'a>,
    functions: &'o Functions,
    statics: &'o Statics<'a>,
    /// Functions that count under other names than they have.
    renamed: &'o Renamed,
    /// Whether names count without what other items of the source can change of them.
    by_path: bool,
    /// Paths that several functions have: of those what they do counts.
    shared_paths: HashSet<String>,
    known: HashMap<Section, Digest>,
}

impl<'o, 'a> Digests<'o, 'a> {
    /// For this object; functions in `renamed` count under the names there.
    pub fn new(
        object: &'o Elf<'a>,
        functions: &'o Functions,
        statics: &'o Statics<'a>,
        renamed: &'o Renamed,
    ) -> Digests<'o, 'a> {
        Digests {
            object,
            functions,
            statics,
            renamed,
            by_path: false,
            shared_paths: HashSet::new(),
            known: HashMap::new(),
        }
    }

    /// The same, but of functions and statics only the path counts: not their number among those of one path. Equal
    /// closures have equal digests then, wherever they stand in their function.
    pub fn by_path(self) -> Digests<'o, 'a> {
        let mut paths = HashSet::new();
        let mut shared_paths = HashSet::new();
        for function in self.functions.iter() {
            if let Some(path) = path(self.object.symbols[function.symbol].name)
                && !paths.insert(path.clone())
            {
                shared_paths.insert(path);
            }
        }
        Digests {
            by_path: true,
            shared_paths,
            known: HashMap::new(),
            ..self
        }
    }

    /// The digest of a section: a function's body, a static's initialiser, or data.
    ///
    /// # Errors
    /// If the section has a relocation of an unknown kind.
    pub fn section(&mut self, section: Section) -> Result<Digest, Error> {
        if let Some(digest) = self.known.get(&section) {
            return Ok(*digest);
        }
        // Data may refer to itself in a circle.
        let mut known = std::mem::take(&mut self.known);
        let added = components::add(section, &mut known, |section| self.node(section));
        self.known = known;
        added?;
        self.known
            .get(&section)
            .copied()
            .ok_or_else(|| Error::Malformed("a section without a digest".into()))
    }

    /// The digest of a function: its body and, where it has one, its table of exceptions. The table
    /// alone says which calls a destructor or `catch_unwind` stands by.
    ///
    /// # Errors
    /// As [`Digests::section`].
    pub fn function(
        &mut self,
        body: Section,
        exceptions: Option<Section>,
    ) -> Result<Digest, Error> {
        let digest = self.section(body)?;
        let Some(exceptions) = exceptions else {
            return Ok(digest);
        };
        let exceptions = self.section(exceptions)?;
        let mut hash = Xxh3::new();
        hash.update(&digest.0.to_le_bytes());
        hash.update(&exceptions.0.to_le_bytes());
        Ok(Digest(hash.digest128()))
    }

    /// A section by itself: data without a name that it refers to is listed, not counted.
    fn node(&self, section: Section) -> Result<Node, Error> {
        let object = self.object;
        let data = &object.sections[section];
        let relocations = object.relocations(section)?;
        let mut hash = Xxh3::new();
        let mut refers = Vec::new();
        hash.update(&data.size.to_le_bytes());
        hash.update(&data.align.to_le_bytes());
        hash.update(&[u8::from(data.is_thread_local())]);
        let call_site = CallSite::of(object, self.statics, section, &relocations);
        if self.is_location(section, &relocations) {
            hash.update(b"location");
            hash.update(&data.data[8..16]);
        } else if let Some(site) = &call_site {
            hash.update(&site.bytes);
        } else {
            hash.update(data.data);
        }
        for rela in &relocations {
            hash.update(&rela.offset.to_le_bytes());
            let meaning = meaning(object.machine, rela.kind).ok_or_else(|| Error::Unsupported {
                what: format!("a relocation of kind {}", rela.kind.0),
                section: data.name.to_owned(),
            })?;
            hash.update(&rela.kind.0.to_le_bytes());
            if let Some(name) = call_site
                .as_ref()
                .and_then(|site| site.name_at(rela.offset))
            {
                hash.update(name);
                continue;
            }
            refers.extend(self.target(section, rela, meaning, &mut hash));
        }
        Ok(Node {
            own: Digest(hash.digest128()),
            refers,
        })
    }

    /// What a relocation refers to; gives the section of data whose contents count.
    fn target(
        &self,
        section: Section,
        rela: &Rela,
        meaning: Meaning,
        hash: &mut Xxh3,
    ) -> Option<Section> {
        let object = self.object;
        let renamed = self.renamed;
        let counted = |name: &'a str| renamed.get(name).map_or(name, |name| &**name);
        let by_path = self.by_path;
        let mut named = |tag: u8, name: &str, offset: u64| {
            hash.update(&[tag]);
            let symbol = name.strip_prefix(".text.").unwrap_or(name);
            match path(symbol).filter(|_| by_path) {
                Some(path) => hash.update(path.as_bytes()),
                None => hash.update(name.as_bytes()),
            }
            hash.update(&offset.wrapping_add_signed(rela.addend).to_le_bytes());
        };
        match target(object, self.functions, self.statics, section, rela) {
            Target::Function { symbol, .. } => {
                let name = object.symbols[symbol].name;
                let is_shared =
                    by_path && path(name).is_some_and(|path| self.shared_paths.contains(&path));
                if is_shared && let Some(body) = object.symbols[symbol].section {
                    hash.update(&[7]);
                    return Some(body);
                }
                named(1, counted(name), 0);
            }
            Target::Inside {
                section: body,
                offset,
            } => named(2, object.sections[body].name, offset),
            Target::Static { name, offset, .. } => named(3, name, offset),
            Target::Elsewhere { name, .. } => named(1, counted(name), 0),
            Target::Absolute(value) => named(4, "", value),
            Target::Anonymous {
                section: data,
                offset,
            } => {
                let data_section = &object.sections[data];
                if data_section.is_mergeable()
                    && let Some(element) = element(object, rela, meaning, data, offset)
                {
                    hash.update(&[5]);
                    hash.update(element);
                } else {
                    hash.update(&[6]);
                    hash.update(&offset.wrapping_add_signed(rela.addend).to_le_bytes());
                    return Some(data);
                }
            }
        }
        None
    }

    /// Whether data is a `core::panic::Location`: address and length of a file's name, line, column.
    fn is_location(&self, section: Section, relocations: &[Rela]) -> bool {
        let object = self.object;
        let data = &object.sections[section];
        let [rela] = relocations else {
            return false;
        };
        if data.data.len() != 24 || data.align != 8 || rela.offset != 0 || data.is_writable() {
            return false;
        }
        if self.statics.in_section(section).is_some()
            || meaning(object.machine, rela.kind) != Some(Meaning::Address64)
        {
            return false;
        }
        let field = |at: usize| -> u64 {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&data.data[at..at + 4]);
            u64::from_le_bytes(bytes)
        };
        let len = field(8) | field(12) << 32;
        let (line, column) = (field(16), field(20));
        if line == 0 || column == 0 {
            return false;
        }
        let symbol = &object.symbols[rela.symbol];
        let Some(names) = symbol.section else {
            return false;
        };
        let start = symbol.value.wrapping_add_signed(rela.addend);
        let end = start.saturating_add(len);
        // The compiler ends a file's name with a zero, and no other string.
        usize::try_from(start)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(start, end)| object.sections[names].data.get(start..=end))
            .is_some_and(|name| name.ends_with(b".rs\0"))
    }
}

/// What counts of a name where several things of one path are not told apart.
fn path(name: &str) -> Option<String> {
    names::path(name).map(|path| without_numbers(&path).into_owned())
}

/// The bytes of the element of a mergeable section that a relocation refers to, if that can be told.
pub fn element<'a>(
    object: &Elf<'a>,
    rela: &Rela,
    meaning: Meaning,
    section: Section,
    offset: u64,
) -> Option<&'a [u8]> {
    let data = &object.sections[section];
    let symbol = &object.symbols[rela.symbol];
    let start = if !symbol.is_section() {
        // The symbol stands at the element; what is added belongs to the instruction.
        offset
    } else if meaning == Meaning::Address64 {
        offset.wrapping_add_signed(rela.addend)
    } else {
        // How much of the addend belongs to the instruction is not known.
        return None;
    };
    let start = usize::try_from(start).ok()?;
    let rest = data.data.get(start..)?;
    let len = if symbol.size > 0 && !symbol.is_section() {
        usize::try_from(symbol.size).ok()?
    } else if data.is_strings() {
        rest.iter().position(|byte| *byte == 0)? + 1
    } else {
        usize::try_from(data.entry_size).ok()?
    };
    rest.get(..len)
}
