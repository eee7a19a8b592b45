//! What an object defines, with digests: all that has to be kept of an object that is live.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::Error;
use crate::elf::{Elf, Section, SectionData};
use crate::functions::Functions;
use crate::names;
use crate::patch::Renamed;
use crate::program::Program;
use crate::program::digest::{Digest, Digests};
use crate::program::target::Statics;
use crate::reference::{FunctionUse, function_use};

/// Name of a function's table of exceptions, before the function's own name.
const EXCEPTIONS: &str = ".gcc_except_table.";

/// A reloadable function of an object.
#[derive(Clone, Debug)]
pub struct FunctionDefinition {
    /// Its symbol's name.
    pub name: Arc<str>,
    /// Whether only its object sees it.
    pub local: bool,
    /// Its section in the object.
    pub section: Section,
    /// Size in bytes.
    pub size: u64,
    /// What it does.
    pub digest: Digest,
    /// Of closures: the same, wherever in its function it stands ([`Digests::by_path`]).
    pub content: Option<Digest>,
    /// The functions of its own object that it calls (only for optimised objects).
    pub calls: Vec<Arc<str>>,
}

/// A static of an object.
#[derive(Clone, Debug)]
pub struct StaticDefinition {
    /// Its symbol's name.
    pub name: Arc<str>,
    /// Its section in the object.
    pub section: Section,
    /// Size in bytes.
    pub size: u64,
    /// Whether each thread has its own.
    pub thread_local: bool,
    /// Whether a static with another initialiser is simply another static: nobody can have written to
    /// what it holds.
    pub renewable: bool,
    /// What it holds at first.
    pub digest: Digest,
    /// The same, whichever of several of its path it is ([`Digests::by_path`]).
    pub content: Digest,
}

/// What an object defines.
#[derive(Clone, Debug, Default)]
pub struct ObjectIndex {
    /// Its reloadable functions.
    pub functions: Vec<FunctionDefinition>,
    /// Its statics.
    pub statics: Vec<StaticDefinition>,
    /// Symbols that it uses and does not define.
    pub foreign: Vec<Arc<str>>,
    /// Sections that are not the compiler's usual ones, with their digests: the linker or somebody at the start of
    /// the program collects them.
    pub collected: Vec<(Arc<str>, Digest)>,
    /// Code that is not reloadable because it has no section of its own, by section and digest.
    pub other_code: Vec<(Arc<str>, Digest)>,
}

impl ObjectIndex {
    /// Reads an object. In its digests the functions in `renamed` count under the names there.
    ///
    /// # Errors
    /// If it has something that is not understood.
    pub fn of(
        object: &Elf<'_>,
        functions: &Functions,
        statics: &Statics<'_>,
        optimised: bool,
        renamed: &Renamed,
    ) -> Result<ObjectIndex, Error> {
        let mut digests = Digests::new(object, functions, statics, renamed);
        let mut contents = Digests::new(object, functions, statics, renamed).by_path();
        let mut index = ObjectIndex::default();
        let exceptions: HashMap<&str, Section> = object
            .sections
            .iter()
            .enumerate()
            .filter_map(|(section, data)| {
                let function = data.name.strip_prefix(EXCEPTIONS)?;
                data.is_loaded().then_some((function, section))
            })
            .collect();
        for function in functions.iter() {
            let symbol = &object.symbols[function.symbol];
            index.functions.push(FunctionDefinition {
                name: symbol.name.into(),
                local: symbol.is_local(),
                section: function.section,
                size: object.sections[function.section].size,
                digest: digests.function(function.section, exceptions.get(symbol.name).copied())?,
                content: match names::is_closure(symbol.name) {
                    true => Some(contents.section(function.section)?),
                    false => None,
                },
                calls: if optimised {
                    calls(object, functions, function.section)?
                } else {
                    Vec::new()
                },
            });
        }
        let mut found: Vec<_> = statics.iter().collect();
        found.sort_unstable();
        for (section, name) in found {
            let data = &object.sections[section];
            index.statics.push(StaticDefinition {
                name: name.into(),
                section,
                size: data.size,
                thread_local: data.is_thread_local(),
                renewable: is_renewable(data, name) || statics.is_call_site(name),
                digest: digests.section(section)?,
                content: contents.section(section)?,
            });
        }
        index.foreign = object
            .symbols
            .iter()
            .filter(|symbol| symbol.undefined && !symbol.name.is_empty())
            .map(|symbol| symbol.name.into())
            .collect();
        let private = private_code(object);
        for (section, data) in object.sections.iter().enumerate() {
            if is_collected(data) {
                let digest = digests.section(section)?;
                index.collected.push((data.name.into(), digest));
            }
            if data.is_code()
                && data.is_loaded()
                && data.size > 0
                && functions.in_section(section).is_none()
                && !private.contains(&section)
            {
                index
                    .other_code
                    .push((data.name.into(), digests.section(section)?));
            }
        }
        Ok(index)
    }
}

/// Sections of one kind (of those that an index lists by name and digest) that live objects have.
pub(crate) struct LiveParts<'a> {
    /// With the unit of the object.
    parts: HashSet<(&'a str, &'a str, Digest)>,
}

impl<'a> LiveParts<'a> {
    pub fn of(
        program: &'a Program,
        kind: impl Fn(&'a ObjectIndex) -> &'a [(Arc<str>, Digest)],
    ) -> LiveParts<'a> {
        let objects = program.objects.values();
        let parts = objects
            .flat_map(|object| {
                let parts = kind(&object.index).iter();
                parts.map(|(name, digest)| (&*object.unit, &**name, *digest))
            })
            .collect();
        LiveParts { parts }
    }

    pub fn contains(&self, unit: &str, (name, digest): &(Arc<str>, Digest)) -> bool {
        self.parts.contains(&(unit, &**name, *digest))
    }
}

/// The functions of the object that the code in a section calls.
fn calls(
    object: &Elf<'_>,
    functions: &Functions,
    section: Section,
) -> Result<Vec<Arc<str>>, Error> {
    let mut found: Vec<Arc<str>> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for rela in object.relocations(section)? {
        if let Some(function) = functions.meant_by(object, rela.symbol)
            && function_use(object.machine, &object.sections[section], &rela) == FunctionUse::Call
        {
            let name = object.symbols[function].name;
            if seen.insert(name) {
                found.push(name.into());
            }
        }
    }
    Ok(found)
}

/// Whether a static holds what its source says, for as long as it is there. Data without a name that it points to
/// cannot be written to either: the language does not let a static borrow it otherwise.
fn is_renewable(data: &SectionData<'_>, name: &str) -> bool {
    let is_usual = data.name.starts_with(".rodata") || data.name.starts_with(".data.rel.ro");
    // Other languages may know a static with a plain name.
    is_usual && !data.is_writable() && names::is_identity(name, true)
}

/// Whether what a section holds has its effect by being in that section (`.init_array`, `linkme_…`).
fn is_collected(data: &SectionData<'_>) -> bool {
    const USUAL: [&str; 10] = [
        ".data",
        ".rodata",
        ".bss",
        ".tdata",
        ".tbss",
        ".eh_frame",
        ".gcc_except_table",
        ".note",
        ".debug",
        ".comment",
    ];
    data.is_loaded()
        && !data.is_code()
        && data.size > 0
        && !USUAL.iter().any(|start| data.name.starts_with(start))
}

/// Code that belongs to the functions of its object that use it: it goes where they go. Only local functions name it.
fn private_code(object: &Elf<'_>) -> HashSet<Section> {
    let mut private = HashSet::new();
    let mut public = HashSet::new();
    for symbol in object.symbols.iter().filter(|symbol| !symbol.is_section()) {
        let kind = if symbol.is_local() && symbol.is_function() {
            &mut private
        } else {
            &mut public
        };
        kind.extend(symbol.section);
    }
    private.retain(|section| !public.contains(section));
    private
}
