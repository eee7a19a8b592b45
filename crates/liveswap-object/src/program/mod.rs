//! What is live in a process: the functions, their slots and bodies, and the statics, by identity.
//!
//! The state is that of the process's newest generation. [`crate::patch`] compares new objects with it and
//! makes the next one; only a patch that the process has applied is entered here ([`Program::commit`]).

mod call_site;
pub mod callers;
mod components;
pub mod digest;
pub mod executable;
pub mod index;
pub mod target;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_protocol::patch::Place;

use crate::Error;
use crate::elf::Elf;
use crate::functions::Functions;
use crate::names;
use crate::patch::{Renamed, Takes, Version};
use digest::Digest;
use executable::Executable;
use index::ObjectIndex;
use target::Statics;

/// A slot in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Where its code is: the function's address for everyone.
    pub address: Place,
    /// Where its word is.
    pub word: Place,
}

/// The slots of a function in the object that defines it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// For other objects; in objects that are not optimised for its own as well.
    pub public: Option<Slot>,
    /// For calls from its own object.
    pub internal: Option<Slot>,
    /// For its address, taken in its own object, where only that object sees it.
    pub address: Option<Slot>,
}

impl Slots {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        [self.public, self.internal, self.address]
            .into_iter()
            .flatten()
    }
}

/// Which of several functions with one name: objects may have their own copies of inline functions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionKey {
    /// Its symbol's name.
    pub name: Arc<str>,
    /// The object, if only that sees it.
    pub cgu: Option<Arc<str>>,
}

/// A live function.
#[derive(Clone, Debug)]
pub struct LiveFunction {
    /// What it does.
    pub digest: Digest,
    /// As in [`index::FunctionDefinition::content`].
    pub content: Option<Digest>,
    /// Where its newest body is, if that is known, and its size.
    pub body: Option<(Place, u64)>,
    /// Its slots.
    pub slots: Slots,
    /// Slots of earlier generations that no longer have a name but may be held by somebody.
    pub older_slots: Vec<Slot>,
    /// Whether the source still has it.
    pub present: bool,
}

/// A version of a function that was left behind: callers and values from before stay with it.
#[derive(Clone, Debug)]
pub struct Superseded {
    /// Its contract, with the layouts of what it works on.
    pub version: Version,
    /// Whether it was left for another closure of the same contract, or with it.
    pub displaced: bool,
    /// Under what it was known.
    pub key: FunctionKey,
    /// What was live under that key.
    pub function: LiveFunction,
}

impl Superseded {
    /// Whether a function that takes something again takes this.
    pub fn is_taken(&self, takes: &Takes) -> bool {
        self.version == takes.version
            && match takes.body {
                Some(body) => self.function.digest == body,
                None => !self.displaced,
            }
    }
}

/// Where a static is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaticPlace {
    /// In memory.
    Memory(Place),
    /// At this offset in each thread's block of the executable's TLS segment.
    ThreadLocal(u64),
}

/// A live static.
#[derive(Clone, Debug)]
pub struct LiveStatic {
    /// Where it is.
    pub place: StaticPlace,
    /// Its size in bytes.
    pub size: u64,
    /// What it held at first.
    pub initial: Digest,
    /// What it holds at first in its newest source.
    pub newest: Digest,
    /// As in [`index::StaticDefinition::renewable`].
    pub renewable: bool,
}

/// An object of the newest generation.
#[derive(Clone, Debug)]
pub struct LiveObject {
    /// The crate's unit.
    pub unit: Arc<str>,
    /// Whether it was optimised.
    pub optimised: bool,
    /// What it defines.
    pub index: ObjectIndex,
}

/// What is live in a process.
#[derive(Debug)]
pub struct Program {
    /// The executable.
    pub executable: Executable,
    /// Functions of reloadable crates.
    pub functions: HashMap<FunctionKey, LiveFunction>,
    /// Symbols that functions had before, with those that they have now: code that was compiled
    /// earlier goes on using them.
    pub renamed: HashMap<Arc<str>, Arc<str>>,
    /// Functions that the source no longer has, by name: they may come back, in another object or seen by others.
    pub gone: HashMap<Arc<str>, FunctionKey>,
    /// The versions that functions were when they went, by name.
    versions: HashMap<Arc<str>, Version>,
    /// Functions whose closures have had other numbers.
    pub renumbered: HashSet<String>,
    /// Versions of functions that have another contract now, by name.
    pub superseded: HashMap<Arc<str>, Vec<Superseded>>,
    /// Functions that earlier code of their own optimised objects goes on calling as they were: it may know more of them
    /// than their contracts tell. With the names of its codegen units.
    pub callers_left: HashSet<(Arc<str>, Arc<str>)>,
    /// Statics of reloadable crates.
    pub statics: HashMap<Arc<str>, LiveStatic>,
    /// Symbols of archive members that patches brought.
    pub brought: HashMap<Arc<str>, StaticPlace>,
    /// Archive members that patches brought: (archive, member).
    pub members: HashSet<(Arc<str>, Arc<str>)>,
    /// Objects by name of their codegen unit.
    pub objects: HashMap<Arc<str>, LiveObject>,
    /// First slice behind all images.
    pub next_slice: u32,
    /// Bytes used of the room for thread-locals.
    pub tls_used: u64,
    /// Generation of the process.
    pub generation: u64,
}

/// What has to be known of functions and closures when they are back.
#[derive(Debug, Default)]
pub struct Remembered {
    /// The versions that functions are of that go.
    pub versions: Vec<(Arc<str>, Version)>,
    /// Functions whose closures have other numbers.
    pub renumbered: HashSet<String>,
}

impl Program {
    /// Enters what goes with a patch that the process has applied.
    pub fn remember(&mut self, remembered: Remembered) {
        self.versions.extend(remembered.versions);
        self.renumbered.extend(remembered.renumbered);
    }

    /// The version that a function was of when it went.
    pub fn remembered_version(&self, symbol: &Arc<str>) -> Option<Version> {
        self.versions.get(symbol).copied()
    }

    /// A program in its first generation, so far without its objects.
    pub fn new(executable: Executable) -> Program {
        Program {
            executable,
            functions: HashMap::new(),
            renamed: HashMap::new(),
            gone: HashMap::new(),
            versions: HashMap::new(),
            renumbered: HashSet::new(),
            superseded: HashMap::new(),
            callers_left: HashSet::new(),
            statics: HashMap::new(),
            brought: HashMap::new(),
            members: HashSet::new(),
            objects: HashMap::new(),
            next_slice: 0,
            tls_used: 0,
            generation: 0,
        }
    }

    /// Enters an object that the executable was linked from, as it was before the link stage rewrote it.
    ///
    /// # Errors
    /// If it has something that is not understood.
    pub fn add_object(
        &mut self,
        unit: &str,
        cgu: &str,
        optimised: bool,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let object = Elf::parse(bytes)?;
        let functions = Functions::of(&object);
        let statics = Statics::of(&object);
        let index = ObjectIndex::of(&object, &functions, &statics, optimised, &Renamed::new())?;
        let cgu: Arc<str> = cgu.into();
        for function in &index.functions {
            let key = FunctionKey {
                name: Arc::clone(&function.name),
                cgu: function.local.then(|| Arc::clone(&cgu)),
            };
            let body = if function.local {
                self.executable
                    .symbol(&names::local_body(&function.name, &cgu))
            } else {
                self.executable.symbol(&names::body(&function.name))
            };
            let slots = Slots {
                public: (!function.local)
                    .then(|| self.slot(&function.name))
                    .flatten(),
                internal: self.slot(&names::internal_slot(&function.name, &cgu)),
                address: self.slot(&names::address_slot(&function.name, &cgu)),
            };
            self.functions.insert(
                key,
                LiveFunction {
                    digest: function.digest,
                    content: function.content,
                    body: body.map(|body| (Place::Executable(body.value), function.size)),
                    slots,
                    older_slots: Vec::new(),
                    present: true,
                },
            );
        }
        for data in &index.statics {
            let Some(symbol) = self.executable.symbol(&data.name) else {
                continue;
            };
            if symbol.ambiguous {
                continue;
            }
            let place = if data.thread_local {
                StaticPlace::ThreadLocal(symbol.value)
            } else {
                StaticPlace::Memory(Place::Executable(symbol.value))
            };
            self.statics.insert(
                Arc::clone(&data.name),
                LiveStatic {
                    place,
                    size: data.size,
                    initial: data.digest,
                    newest: data.digest,
                    renewable: data.renewable,
                },
            );
        }
        self.objects.insert(
            cgu,
            LiveObject {
                unit: unit.into(),
                optimised,
                index,
            },
        );
        Ok(())
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        let symbol = self.executable.symbol(name)?;
        let word = self.executable.word_of_slot(symbol.value)?;
        Some(Slot {
            address: Place::Executable(symbol.value),
            word: Place::Executable(word.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three closures have had one number: two that hold the same, and one from before an edit of what it held.
    #[test]
    fn a_closure_that_came_back_took_the_values_of_all_that_had_held_the_same() {
        let version = |contract| Version {
            contract,
            convention: 0,
        };
        let left = |contract: u64, displaced: bool, digest: u128| Superseded {
            version: version(contract),
            displaced,
            key: FunctionKey {
                name: "closure".into(),
                cgu: None,
            },
            function: LiveFunction {
                digest: Digest(digest),
                content: None,
                body: None,
                slots: Slots::default(),
                older_slots: Vec::new(),
                present: true,
            },
        };
        let all = [
            left(1, true, 10),
            left(1, true, 11),
            left(1, false, 12),
            left(2, false, 10),
        ];
        let taken = |contract, body: Option<u128>| -> Vec<bool> {
            let takes = Takes {
                version: version(contract),
                body: body.map(Digest),
            };
            all.iter().map(|it| it.is_taken(&takes)).collect()
        };
        assert_eq!(taken(1, Some(10)), [true, false, false, false]);
        assert_eq!(taken(1, Some(12)), [false, false, true, false]);
        assert_eq!(taken(1, None), [false, false, true, false]);
        assert_eq!(taken(2, None), [false, false, false, true]);
        assert_eq!(taken(1, Some(13)), [false; 4]);
    }
}
