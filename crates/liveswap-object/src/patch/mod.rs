//! How the next generation is made: new objects are compared with what is live, what changed is linked
//! into an image, and all that the process has to do becomes a patch.
//!
//! [`changes`] decides what has to be replaced, [`collect`] and [`resolve`] find the
//! code and data that are needed for it, [`layout`] gives them places, and [`fields`] fills in what they refer to.

mod changes;
mod collect;
mod fields;
mod finish;
mod first_call;
mod flips;
mod goals;
mod layout;
mod plan;
mod renewed;
mod resolve;
mod statics;
mod stub;
mod supply;
mod unwind;

pub use changes::Refusal;
pub use plan::plan;
pub use supply::{LiveBytes, Member, NoSupply, Supply};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_protocol::patch::{Patch, Place};

use crate::elf::Section;
use crate::program::digest::Digest;
use crate::program::{FunctionKey, LiveFunction, LiveObject, LiveStatic, StaticPlace, Superseded};

/// A new or changed object.
#[derive(Clone, Debug)]
pub struct NewObject {
    /// Name of its codegen unit.
    pub cgu: Arc<str>,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// A crate's objects after a compilation.
#[derive(Clone, Debug)]
pub struct NewUnit {
    /// The unit's key, as in [`crate::program::Program::add_object`].
    pub unit: Arc<str>,
    /// The crate's name, for reports.
    pub name: String,
    /// Whether it was optimised.
    pub optimised: bool,
    /// The objects whose bytes differ from those that are live.
    pub changed: Vec<NewObject>,
    /// The names of all codegen units that the crate has now.
    pub all: Vec<Arc<str>>,
}

impl NewUnit {
    /// Whether an object of this unit that is live is replaced or gone.
    fn lets_go(&self, cgu: &str, object: &LiveObject) -> bool {
        object.unit == self.unit
            && (self.changed.iter().any(|new| *new.cgu == *cgu)
                || !self.all.iter().any(|name| **name == *cgu))
    }
}

/// Functions and statics that have another symbol than before, although they are the same: new name, old name.
pub type Renamed = HashMap<Arc<str>, Arc<str>>;

/// What the caller knows of functions and statics that their symbols do not tell.
#[derive(Clone, Debug, Default)]
pub struct Identities {
    /// The same functions and statics under other symbols.
    pub renamed: Renamed,
    /// Other functions under the same symbols: who has the address of such a function keeps the old one.
    pub others: HashMap<Arc<str>, Other>,
}

/// A function that is another one than before under the same symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Other {
    /// The version that is left behind, with its slots.
    pub leaves: Version,
    /// Whether it is left behind for being, or working on, another closure: not even one of the same contract may have
    /// its slots then, unless it does the same.
    pub displaced: bool,
    /// What was left behind earlier and whose slots are taken again.
    pub takes: Option<Takes>,
}

/// Which of those that were left behind under a symbol are taken again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    /// Those of this version.
    pub version: Version,
    /// And of these only those that did the same, if it may be another closure.
    pub body: Option<Digest>,
}

/// Which of the functions that a symbol has stood for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// The fingerprint of its contract.
    pub contract: u64,
    /// A digest of how it is called, as far as the contract does not say it.
    pub convention: u64,
}

impl Identities {
    /// Whether there is nothing to know.
    pub fn is_empty(&self) -> bool {
        self.renamed.is_empty() && self.others.is_empty()
    }
}

/// What the process has room for.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Number of slices in the range.
    pub slices: u32,
    /// Page size in bytes.
    pub page_size: u64,
}

/// What a patch does to one crate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModuleChange {
    /// The crate.
    pub name: String,
    /// Functions with a new body, as people call them.
    pub changed: Vec<String>,
    /// Functions with a new body that only calls others than before.
    pub copied: Vec<String>,
    /// New functions.
    pub added: Vec<String>,
    /// Functions that are gone.
    pub removed: Vec<String>,
}

/// The body that a function had until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldBody {
    /// The function's symbol.
    pub symbol: Arc<str>,
    /// The function, as people call it.
    pub name: String,
    /// Where the body is.
    pub place: Place,
    /// Its length in bytes.
    pub len: u64,
}

/// A static, and a function that its first value leads to.
pub type LedTo = (Arc<str>, Arc<str>);

/// A function of a new object.
#[derive(Clone, Debug)]
pub struct Defined {
    /// Its symbol.
    pub symbol: Arc<str>,
    /// What it does.
    pub digest: Digest,
    /// Of closures: the same, wherever in its function it stands.
    pub content: Option<Digest>,
}

/// How the first call of a function's new body can be noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBody {
    /// The function's symbol.
    pub symbol: Arc<str>,
    /// The words of slots that lead to the body, with the stubs to which they lead until its first call. There are none
    /// where nobody can call it, and on machines without stubs.
    pub words: Vec<(Place, Place)>,
    /// There was another body before.
    pub replaces: bool,
}

/// Sections of a new object that are part of the image, for debug information.
#[derive(Clone, Debug)]
pub struct PlacedObject {
    /// The object's bytes.
    pub bytes: Arc<[u8]>,
    /// Section to offset in the image.
    pub sections: HashMap<Section, u64>,
}

/// A patch and what goes with it.
#[derive(Debug)]
pub struct Planned {
    /// What the process has to do. Without image and slots there is nothing to do.
    pub patch: Patch,
    /// What it changes, by crate.
    pub modules: Vec<ModuleChange>,
    /// Statics whose initialiser changed: the live value stays.
    pub initialisers: Vec<String>,
    /// Sections with something new that has its effect at the start only: crate, section.
    pub collected: Vec<(String, String)>,
    /// Symbols of statics that are others from now on.
    pub renewed: HashSet<Arc<str>>,
    /// Bodies that no new call runs any more: they are replaced, gone, or left behind with another contract.
    pub old_bodies: Vec<OldBody>,
    /// The bodies of functions that changed or are new.
    pub new_bodies: Vec<NewBody>,
    /// Symbols of functions with another body than before.
    pub changed: Vec<Arc<str>>,
    /// Statics whose first value leads to a function with another body: static, function.
    pub led_to: Vec<LedTo>,
    /// The functions of all new objects.
    pub functions: Vec<Defined>,
    /// Symbols of functions that are new, and of functions that are gone: some may be
    /// the same ([`Renamed`]).
    pub came: Vec<Arc<str>>,
    /// See `came`.
    pub went: Vec<Arc<str>>,
    /// Objects that the image was made of.
    pub placed: Vec<PlacedObject>,
    /// Functions in the image: name, offset, size.
    pub symbols: Vec<(String, u64, u64)>,
    /// Number of slices of the image.
    pub slices: u32,
    pub(crate) next: Next,
}

impl Planned {
    /// Of these symbols those that still stand for something left behind once the plan is applied: an earlier version,
    /// or a function that is gone.
    pub fn still_left(
        &self,
        program: &crate::program::Program,
        symbols: impl IntoIterator<Item = Arc<str>>,
    ) -> HashSet<Arc<str>> {
        let next = &self.next;
        let present: HashSet<&Arc<str>> = next.functions.iter().map(|(key, _)| &key.name).collect();
        let gone: HashSet<&Arc<str>> = next.gone_functions.iter().map(|key| &key.name).collect();
        let left: HashSet<&Arc<str>> = next.superseded.iter().map(|it| &it.key.name).collect();
        let taken: HashMap<&Arc<str>, &Takes> = next
            .taken
            .iter()
            .map(|(name, takes)| (name, takes))
            .collect();
        let is_left = |symbol: &Arc<str>| {
            let mut known = program.superseded.get(symbol).into_iter().flatten();
            let is_gone = gone.contains(symbol) || program.gone.contains_key(symbol);
            left.contains(symbol)
                || known.any(|it| !taken.get(symbol).is_some_and(|takes| it.is_taken(takes)))
                || is_gone && !present.contains(symbol)
        };
        symbols.into_iter().filter(is_left).collect()
    }

    /// The functions with other bodies that earlier code of an object goes on calling as they were, with the name of its
    /// codegen unit.
    pub fn with_callers_left<'a>(
        &'a self,
        program: &'a crate::program::Program,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)> {
        let changed: HashSet<&Arc<str>> = self.changed.iter().collect();
        let left = program.callers_left.iter().chain(&self.next.callers_left);
        left.filter(move |(name, _)| changed.contains(name))
            .map(|(name, cgu)| (name, cgu))
    }

    /// Whether the process has nothing to do.
    pub fn is_empty(&self) -> bool {
        let patch = &self.patch;
        patch.image.is_none() && patch.slots.is_empty() && patch.thread_locals.is_empty()
    }

    /// Codegen units whose objects are replaced or gone.
    pub fn outgoing(&self) -> &[Arc<str>] {
        &self.next.gone_objects
    }
}

/// What the program is after the patch.
#[derive(Debug, Default)]
pub(crate) struct Next {
    pub functions: Vec<(FunctionKey, LiveFunction)>,
    pub gone_functions: Vec<FunctionKey>,
    pub moved_functions: Vec<FunctionKey>,
    pub renamed: Renamed,
    pub superseded: Vec<Superseded>,
    /// See [`crate::program::Program::callers_left`].
    pub callers_left: Vec<(Arc<str>, Arc<str>)>,
    /// What is current again.
    pub taken: Vec<(Arc<str>, Takes)>,
    pub statics: Vec<(Arc<str>, LiveStatic)>,
    pub objects: Vec<(Arc<str>, LiveObject)>,
    pub gone_objects: Vec<Arc<str>>,
    pub brought: Vec<(Arc<str>, StaticPlace)>,
    pub members: Vec<(Arc<str>, Arc<str>)>,
    pub next_slice: u32,
    pub tls_used: u64,
}

impl crate::program::Program {
    /// Enters a patch that the process has applied.
    pub fn commit(&mut self, planned: Planned) {
        if !planned.is_empty() {
            self.generation = planned.patch.generation;
        }
        let next = planned.next;
        for (new, old) in next.renamed {
            self.renamed.remove(&new);
            self.renamed.insert(old, new);
        }
        for (name, takes) in next.taken {
            if let Some(known) = self.superseded.get_mut(&name) {
                known.retain(|it| !it.is_taken(&takes));
            }
        }
        for superseded in next.superseded {
            self.superseded
                .entry(Arc::clone(&superseded.key.name))
                .or_default()
                .push(superseded);
        }
        self.callers_left.extend(next.callers_left);
        for key in next.gone_functions {
            if let Some(function) = self.functions.get_mut(&key) {
                function.present = false;
                self.gone.insert(Arc::clone(&key.name), key);
            }
        }
        for key in next.moved_functions {
            self.functions.remove(&key);
        }
        for (key, function) in next.functions {
            self.gone.remove(&key.name);
            self.functions.insert(key, function);
        }
        self.statics.extend(next.statics);
        for cgu in next.gone_objects {
            self.objects.remove(&cgu);
        }
        self.objects.extend(next.objects);
        self.brought.extend(next.brought);
        self.members.extend(next.members);
        self.next_slice = next.next_slice;
        self.tls_used = next.tls_used;
    }
}
