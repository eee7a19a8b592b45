//! Globals: zeroed storage at a permanent address, initialised by whoever registers it first.

use super::journal::Question;
use super::{Buried, Caller, ModuleId, Phase, Registry};
use crate::dialect::{Dialect, SymbolId, SymbolKind};
use crate::error::Error;
use crate::image::{ImageId, MAIN_PROGRAM};
use crate::storage::{Storage, Unmarked};
use crate::{CodeAddress, Name, SymbolRef};
use std::ptr::NonNull;
use std::sync::Arc;

/// A global that the run-time knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GlobalId(pub(crate) u32);

/// A function that shows the collector what a global refers to.
pub(crate) type GlobalMarker = unsafe extern "C-unwind" fn();

/// Room that is handed out for a global that is asked for before it is registered (modules that
/// import each other): its size is not known yet. Pages that are never touched cost nothing.
const ROOM_AHEAD: usize = 64 << 20;

/// One module that registers the global.
#[derive(Debug)]
pub(crate) struct GlobalRegistration {
    pub(super) by: Option<ModuleId>,
    pub(super) pass: u64,
    pub(super) phase: Phase,
    pub(crate) marker: Option<GlobalMarker>,
}

#[derive(Debug)]
pub(crate) struct Global {
    pub(super) module: ModuleId,
    pub(super) name: Name,
    pub(super) storage: Arc<Storage>,
    /// Size in bytes; `None` until it is registered.
    pub(super) size: Option<usize>,
    pub(crate) registrations: Vec<GlobalRegistration>,
    /// Storage of the same global at other sizes, for globals that living data may refer to.
    former: Vec<(usize, Arc<Storage>)>,
    /// Sorted: the images that were told the address.
    pub(super) holders: Vec<ImageId>,
    born: u64,
    /// Who was told to initialise it, and in which generation.
    initialised_by: Option<(ModuleId, u64)>,
    /// Its first name, by which the main program may ask, was taken away.
    renamed: bool,
}

impl Global {
    /// Its memory, if the collector has to look at it and nobody shows it what it refers to.
    pub(super) fn unmarked(&self, dialect: &dyn Dialect) -> Option<Unmarked> {
        let mut markers = self.registrations.iter().map(|one| one.marker);
        let nobody_marks =
            markers.all(|marker| marker.is_none()) && dialect.holds_unmarked(&self.name);
        Unmarked::new(&self.storage, self.size.filter(|_| nobody_marks)?)
    }
}

/// What a registration came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registered {
    pub(crate) address: NonNull<u8>,
    /// The caller has to initialise it.
    pub(crate) first: bool,
    /// It had another size before, in bytes.
    pub(crate) resized_from: Option<usize>,
}

impl Registry {
    /// Registers a global of `size` bytes.
    pub(crate) fn register_global(
        &mut self,
        dialect: &dyn Dialect,
        symbol: SymbolRef<'_>,
        size: isize,
        marker: Option<GlobalMarker>,
    ) -> Result<Registered, Error> {
        let question = Question::RegisterGlobal {
            size,
            marker: marker.map_or(0, |marker| marker as usize),
        };
        if let Some(address) = self.replay(symbol, question).and_then(address_of) {
            return Ok(Registered {
                address,
                first: false,
                resized_from: None,
            });
        }
        let caller = self.caller();
        let name = symbol.name();
        let module = self.module_id(dialect.home(name).unwrap_or_else(|| symbol.module()));
        let no_memory = |registry: &Registry, cause: String| Error::GlobalMemory {
            global: Name::new(name),
            module: registry.module(module).name.clone(),
            size,
            cause,
        };
        if let Some(id) = self.global_of_system(dialect, caller, module, name)
            && let Some(global) = self.globals[id.0 as usize].as_mut()
        {
            // Whoever declares it for itself may know it by another type, but not by a larger one.
            if usize::try_from(size).is_ok_and(|size| global.size.is_some_and(|has| size <= has)) {
                hold(global, false, caller);
                let address = global.storage.address();
                return Ok(Registered {
                    address,
                    first: false,
                    resized_from: None,
                });
            }
        }
        let bytes =
            usize::try_from(size).map_err(|_| no_memory(self, "negative size".to_owned()))?;
        let found = self.find_global(caller, module, name).or_else(|| {
            match self.claim_by_order(dialect, module, name, SymbolKind::Global) {
                Some(SymbolId::Global(id)) => {
                    self.set_global_name(id, Name::new(name));
                    Some(id)
                }
                _ => None,
            }
        });
        let id = match found {
            Some(id) => id,
            None => {
                let returned = self.exhume(dialect, module, name, bytes);
                let main_knows_it = returned.is_some();
                let storage = match returned {
                    Some(storage) => storage,
                    None => Arc::new(match dialect.memory_of_global(name, bytes) {
                        Some(memory) => Storage::of_others(memory),
                        None => Storage::new(bytes)
                            .map_err(|error| no_memory(self, error.to_string()))?,
                    }),
                };
                let id = self.new_global(module, Name::new(name), storage);
                if main_knows_it && let Some(global) = self.globals[id.0 as usize].as_mut() {
                    global.holders.push(MAIN_PROGRAM);
                }
                id
            }
        };
        let kept = dialect.keeps_global(name);
        let Some(global) = self.globals[id.0 as usize].as_mut() else {
            return Err(no_memory(self, "it was removed".to_owned()));
        };
        let mut first = global.registrations.is_empty();
        let mut resized_from = None;
        let fits_ahead = global.size.is_none() && found.is_some() && bytes <= ROOM_AHEAD;
        if found.is_some() && global.size != Some(bytes) && !fits_ahead {
            let fresh = match global.former.iter().position(|(size, _)| *size == bytes) {
                Some(at) if kept => global.former.swap_remove(at).1,
                _ => match Storage::new(bytes) {
                    Ok(fresh) => Arc::new(fresh),
                    Err(error) => return Err(no_memory(self, error.to_string())),
                },
            };
            let old = std::mem::replace(&mut global.storage, fresh);
            match (kept, global.size) {
                (true, Some(size)) => {
                    global.former.push((size, old));
                    global.holders.clear();
                    global.registrations.clear();
                }
                (_, size) => {
                    self.told_too_early.extend_from_slice(&global.holders);
                    resized_from = Some(size.unwrap_or(ROOM_AHEAD));
                    self.buried.push(Buried::left_by(global, old));
                }
            }
            self.modules[module.0 as usize].names += 1;
            first = true;
        }
        global.size = Some(bytes);
        let now = GlobalRegistration {
            by: caller.module,
            pass: self.generation,
            phase: caller.phase,
            marker,
        };
        let old_marker = match global.registrations.iter_mut().find(|one| one.by == now.by) {
            Some(one) => {
                let old = one.marker;
                *one = now;
                old
            }
            None => {
                global.registrations.push(now);
                if let Some(by) = caller.module {
                    self.modules[by.0 as usize]
                        .registered
                        .push(SymbolId::Global(id));
                }
                None
            }
        };
        if first || old_marker.map(|marker| marker as usize) != marker.map(|marker| marker as usize)
        {
            self.roots_version += 1;
        }
        if first {
            global.initialised_by = caller.module.map(|by| (by, self.generation));
        }
        hold(global, kept, caller);
        let address = global.storage.address();
        let answer = address.as_ptr() as usize;
        dialect.global_registered(name, address);
        self.record(symbol, module, question, answer, SymbolId::Global(id));
        Ok(Registered {
            address,
            first,
            resized_from,
        })
    }

    /// The address of a global. One that is not registered yet gets room ahead of it.
    pub(crate) fn get_global(
        &mut self,
        dialect: &dyn Dialect,
        symbol: SymbolRef<'_>,
    ) -> Result<NonNull<u8>, Error> {
        if let Some(address) = self
            .replay(symbol, Question::GetGlobal)
            .and_then(address_of)
        {
            return Ok(address);
        }
        let caller = self.caller();
        let name = symbol.name();
        let module = self.module_id(dialect.home(name).unwrap_or_else(|| symbol.module()));
        let of_system = self.global_of_system(dialect, caller, module, name);
        let id = match of_system.or_else(|| self.find_global(caller, module, name)) {
            Some(id) => id,
            None => {
                let storage = Storage::new(ROOM_AHEAD).map_err(|error| Error::GlobalMemory {
                    global: Name::new(name),
                    module: self.module(module).name.clone(),
                    size: ROOM_AHEAD as isize,
                    cause: error.to_string(),
                })?;
                self.new_global(module, Name::new(name), Arc::new(storage))
            }
        };
        let kept = dialect.keeps_global(name);
        let Some(global) = self.globals[id.0 as usize].as_mut() else {
            return Err(Error::Order("a global was removed while it was asked for"));
        };
        hold(global, kept, caller);
        let address = global.storage.address();
        let (owner, answer) = (global.module, address.as_ptr() as usize);
        self.record(
            symbol,
            owner,
            Question::GetGlobal,
            answer,
            SymbolId::Global(id),
        );
        Ok(address)
    }

    /// The system module's global of this name, if it stands for that of another module.
    fn global_of_system(
        &self,
        dialect: &dyn Dialect,
        caller: Caller,
        module: ModuleId,
        name: &[u8],
    ) -> Option<GlobalId> {
        let system = self.system.filter(|system| *system != module)?;
        dialect
            .is_global_of_system(name)
            .then(|| self.find_global(caller, system, name))?
    }

    fn find_global(&self, caller: Caller, module: ModuleId, name: &[u8]) -> Option<GlobalId> {
        if self.sees_as_root(caller)
            && let Some(SymbolId::Global(id)) = self.root_view.get(&(module, Name::new(name)))
            && self.globals[id.0 as usize].is_some()
        {
            return Some(*id);
        }
        let hash = self.hash(name);
        let table = &self.modules[module.0 as usize].globals;
        table.find(hash, |id| self.is_named(*id, name)).copied()
    }

    /// A module's `Init000` was left by an exception: what it was told to initialise in this generation
    /// counts as never registered, so that the next run begins it anew.
    pub(crate) fn forget_half_initialised(&mut self, by: ModuleId) {
        let now = Some((by, self.generation));
        for global in self.globals.iter_mut().flatten() {
            if global.initialised_by == now {
                global.registrations.clear();
                global.storage.clear();
            }
        }
        self.roots_version += 1;
    }

    /// The modules whose running images were told a place that a global has left since.
    pub(crate) fn take_told_too_early(&mut self) -> Vec<ModuleId> {
        let images = std::mem::take(&mut self.told_too_early);
        let told = |id: &ModuleId| {
            let image = self.module(*id).image.as_ref();
            image.is_some_and(|image| images.contains(&image.id))
        };
        self.loaded_modules().filter(told).collect()
    }

    fn is_named(&self, id: GlobalId, name: &[u8]) -> bool {
        self.globals[id.0 as usize]
            .as_ref()
            .is_some_and(|global| *global.name == *name)
    }

    fn new_global(&mut self, module: ModuleId, name: Name, storage: Arc<Storage>) -> GlobalId {
        // Numbers of removed globals are used again: nothing refers to them.
        let id = self.free_globals.pop().unwrap_or_else(|| {
            self.globals.push(None);
            GlobalId(self.globals.len() as u32 - 1)
        });
        self.globals[id.0 as usize] = Some(Global {
            module,
            name,
            storage,
            size: None,
            registrations: Vec::new(),
            former: Vec::new(),
            holders: Vec::new(),
            born: self.generation,
            initialised_by: None,
            renamed: false,
        });
        self.insert_global(module, id);
        id
    }

    fn insert_global(&mut self, module: ModuleId, id: GlobalId) {
        let (hasher, globals) = (&self.hasher, &self.globals);
        let hash_of = |id: &GlobalId| {
            let name = globals[id.0 as usize]
                .as_ref()
                .map_or(&[][..], |global| &*global.name);
            std::hash::BuildHasher::hash_one(hasher, name)
        };
        self.modules[module.0 as usize]
            .globals
            .insert_unique(hash_of(&id), id, hash_of);
    }

    /// Takes a global out of its module's table.
    pub(super) fn unlist_global(&mut self, id: GlobalId) {
        let Some(global) = self.globals[id.0 as usize].as_mut() else {
            return;
        };
        let (module, name) = (global.module, global.name.clone());
        let first_name = global.born == 0 && !std::mem::replace(&mut global.renamed, true);
        let hash = self.hash(&name);
        if let Ok(entry) = self.modules[module.0 as usize]
            .globals
            .find_entry(hash, |other| *other == id)
        {
            entry.remove();
        }
        self.modules[module.0 as usize].names += 1;
        if first_name {
            self.root_view
                .entry((module, name))
                .or_insert(SymbolId::Global(id));
        }
    }

    pub(super) fn set_global_name(&mut self, id: GlobalId, name: Name) {
        self.unlist_global(id);
        let Some(global) = self.globals[id.0 as usize].as_mut() else {
            return;
        };
        global.name = name;
        let module = global.module;
        self.insert_global(module, id);
    }

    /// Forgets a global; its memory stays for the images that know the address.
    pub(super) fn remove_global(&mut self, id: GlobalId) {
        self.unlist_global(id);
        if let Some(global) = self.globals[id.0 as usize].take() {
            self.free_globals.push(id);
            if global.born == 0 {
                self.root_view
                    .retain(|_, symbol| *symbol != SymbolId::Global(id));
            }
            self.buried.push(Buried::new(global));
            self.roots_version += 1;
        }
    }
}

fn address_of(answer: usize) -> Option<NonNull<u8>> {
    NonNull::new(answer as *mut u8)
}

/// Notes that the caller knows the global's address. Globals that are kept anyway need no note.
fn hold(global: &mut Global, kept: bool, caller: Caller) {
    if !kept && let Err(at) = global.holders.binary_search(&caller.image) {
        global.holders.insert(at, caller.image);
    }
}

/// The address of a marker's code.
pub(super) fn marker_address(marker: GlobalMarker) -> CodeAddress {
    CodeAddress(marker as usize)
}
