//! Thread-locals (`{.threadvar.}`): their contents stay over reloads, on every thread.
//!
//! The compiler makes them variables of the library that declares them: `__thread` in programs with threads, and
//! ordinary ones without. So each generation would have its own, and the collector is shown none of them.
//! Here every thread-local gets a place outside of all images when it first comes up, and the private copy of
//! each library that has it is changed so that its code goes there. Which instructions refer to it tells
//! the object that the compiler leaves beside the library.

mod emulated;
mod redirect;
mod relocatable;
pub(crate) mod room;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};
use liveswap_runtime::Name;

pub(crate) use self::emulated::{Current as CurrentStruct, Emulated};
use self::redirect::{Import, InBlock, Layout, Part, Site};
use self::relocatable::{Relocatable, SymbolKind};
use self::room::Place;
use crate::align::{Item, Kind, align};
use crate::c_file::CFile;
use crate::c_name::{self, CName};
use crate::collector;

/// A thread-local of one build.
#[derive(Clone, Debug)]
struct ThreadVar {
    name: Vec<u8>,
    /// In bytes.
    size: usize,
    place: Place,
}

/// The thread-locals of one image.
#[derive(Debug, Default)]
pub(crate) struct ThreadVars {
    vars: Vec<ThreadVar>,
    /// The symbols of the module in the order of the source, thread-locals among them.
    order: Vec<Vec<u8>>,
    /// What is to be done when the image is loaded.
    sites: Vec<Site>,
    /// Thread-locals of other modules that the image refers to.
    imports: Vec<Import>,
    /// Where the image was loaded.
    base: AtomicUsize,
    /// Why the image keeps its thread-locals to itself.
    complaint: Option<String>,
    /// What the user should know once the image is live.
    notices: Vec<String>,
}

/// A thread-local that a C file declares, and what the object says of it.
struct Declared {
    symbol: usize,
    of_threads: bool,
}

/// Places of thread-locals, for the whole program.
#[derive(Debug, Default)]
pub(crate) struct Homes {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// All places that were given away, and their sizes.
    given: Arc<Vec<(Place, usize)>>,
    /// Those given to images that are not live yet, by module: a reload that is refused and tried again must
    /// not use them up.
    pending: HashMap<Name, Vec<ThreadVar>>,
}

impl Homes {
    /// Leads the code of a library (`file`) to the places of its thread-locals, those of `old` if it has them
    /// already. `None` if the module declares none.
    pub(crate) fn prepare(
        &self,
        module: &Name,
        file: &mut [u8],
        source: &CFile,
        old: Option<&ThreadVars>,
    ) -> Option<ThreadVars> {
        let declared = source.thread_vars();
        let mut vars = ThreadVars::default();
        if let Some(layout) = Layout::read(file) {
            let (imports, changes) = layout.take_imports();
            vars.imports = imports;
            changes.apply(file);
        }
        if declared.is_empty() {
            return (!vars.imports.is_empty()).then_some(vars);
        }
        let object = std::fs::read(source.object_path());
        let object = object.ok().unwrap_or_default();
        let done = Relocatable::read(&object)
            .ok_or_else(|| "there is no object of its code beside the library".to_owned())
            .and_then(|object| self.redirect(module, file, &declared, &object, old, &mut vars));
        if let Err(complaint) = done {
            tracing::debug!(%module, complaint, "thread-locals stay in the image");
            vars.sites.clear();
            vars.vars.clear();
            vars.complaint = Some(complaint);
        }
        Some(vars)
    }

    fn redirect(
        &self,
        module: &Name,
        file: &mut [u8],
        declared: &HashSet<&str>,
        object: &Relocatable<'_>,
        old: Option<&ThreadVars>,
        vars: &mut ThreadVars,
    ) -> Result<(), String> {
        let mut found = Vec::new();
        for (symbol, it) in object.symbols.iter().enumerate() {
            let is_declared = std::str::from_utf8(&it.name).is_ok_and(|it| declared.contains(it));
            let of_threads = it.kind == SymbolKind::ThreadLocal;
            if is_declared && it.kind != SymbolKind::Function {
                found.push(Declared { symbol, of_threads });
            }
        }
        if let Some(symbol) = object
            .in_data
            .iter()
            .find(|symbol| found.iter().any(|it| it.symbol == **symbol))
        {
            let name = &object.symbols[*symbol].name;
            let name = String::from_utf8_lossy(name);
            return Err(format!("the address of {name} is part of other data"));
        }
        vars.order = order(object, &found);
        let new_vars = found.iter().map(|it| &*object.symbols[it.symbol].name);
        let new_vars: HashSet<&[u8]> = new_vars.collect();
        let known = old
            .map(|old| continued(old, &vars.order, &new_vars))
            .unwrap_or_default();
        for Declared { symbol, of_threads } in &found {
            let symbol = &object.symbols[*symbol];
            let size = usize::try_from(symbol.size).unwrap_or(usize::MAX);
            let same_kind = |place: Place| place.is_of_threads() == *of_threads;
            let before = known.get(&symbol.name).filter(|var| same_kind(var.place));
            let place = match before {
                Some(var) if var.size == size => Some(var.place),
                before => {
                    if let Some(var) = before {
                        vars.notices.push(format!(
                            "thread-local {} of module {module} changed its size from {} to {size} bytes: \
                             it starts anew",
                            Name::new(&symbol.name),
                            var.size,
                        ));
                    }
                    self.give(module, &symbol.name, size, *of_threads)
                }
            };
            let place = place.ok_or("there is no room left for thread-locals")?;
            vars.vars.push(ThreadVar {
                name: symbol.name.clone(),
                size,
                place,
            });
        }
        let layout = Layout::read(file).ok_or("its headers cannot be read")?;
        let places = || found.iter().zip(&vars.vars);
        let of_threads: HashMap<usize, InBlock> = places()
            .filter_map(|(found, var)| Some((found.symbol, var.place.in_block()?)))
            .collect();
        let of_process: HashMap<usize, usize> = places()
            .filter(|(_, var)| !var.place.is_of_threads())
            .map(|(found, var)| (found.symbol, var.place.address_nearby()))
            .collect();
        vars.sites = layout.sites(object, &of_process)?;
        if of_threads.len() + of_process.len() < found.len() {
            return Err("the loader does not tell where thread-locals are".to_owned());
        }
        let changes = layout.redirect_thread_locals(object, &of_threads)?;
        changes.apply(file);
        Ok(())
    }

    /// A place that nobody has used yet.
    fn give(&self, module: &Name, name: &[u8], size: usize, of_threads: bool) -> Option<Place> {
        if let Some(place) = collector::shared_thread_local(name, size, of_threads) {
            return Some(place);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = state.pending.entry(module.clone()).or_default();
        let is_same = |var: &&ThreadVar| {
            var.name == name && var.size == size && var.place.is_of_threads() == of_threads
        };
        if let Some(var) = pending.iter().find(is_same) {
            return Some(var.place);
        }
        let place = room::take(size, of_threads)?;
        pending.push(ThreadVar {
            name: name.to_vec(),
            size,
            place,
        });
        Arc::make_mut(&mut state.given).push((place, size));
        Some(place)
    }

    /// The image of `module` that was prepared last is live.
    pub(crate) fn committed(&self, module: &Name) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.pending.remove(module);
    }

    /// Leads images that were loaded (`new`) to the thread-locals of other modules that they refer to, which may be
    /// among themselves or in images that run (`loaded`).
    ///
    /// # Errors
    /// The image by its index, and why it cannot be used.
    pub(crate) fn link(
        &self,
        new: &[Option<&ThreadVars>],
        loaded: &[&ThreadVars],
    ) -> Result<(), (usize, String)> {
        if new.iter().flatten().all(|image| image.imports.is_empty()) {
            return Ok(());
        }
        let images = loaded.iter().copied().chain(new.iter().flatten().copied());
        // Later ones count: those that take the place of others.
        let places: HashMap<&[u8], Place> = images
            .flat_map(|image| &image.vars)
            .map(|var| (&*var.name, var.place))
            .collect();
        for (at, image) in new.iter().enumerate() {
            let Some(image) = image else { continue };
            let failed = |cause: String| (at, cause);
            let base = image.base.load(Ordering::Relaxed);
            let mut words = Vec::with_capacity(image.imports.len());
            for import in &image.imports {
                let name = String::from_utf8_lossy(&import.name);
                let place = places.get(&*import.name);
                let word = place.and_then(|place| place.word(import.part));
                let word = word.ok_or_else(|| failed(format!("undefined symbol: {name}")))?;
                words.push((base.wrapping_add(import.address as usize), word));
            }
            room::store(&words).map_err(failed)?;
        }
        Ok(())
    }

    /// All words in thread-locals of the calling thread.
    pub(crate) fn words(&self) -> Vec<usize> {
        let given = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&state.given)
        };
        let words = given.iter().flat_map(|(place, size)| place.words(*size));
        words.collect()
    }
}

impl ThreadVars {
    /// The image was loaded at `base`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn loaded(&self, base: usize) -> Result<(), String> {
        self.base.store(base, Ordering::Relaxed);
        room::lead(&self.sites, base)
    }

    /// What the user should know once the image takes the place of that of `old`.
    pub(crate) fn notices(&self, module: &Name, old: Option<&ThreadVars>) -> Vec<String> {
        let mut notices = self.notices.clone();
        let had = |old: &ThreadVars| !old.vars.is_empty() || old.complaint.is_some();
        if let Some(complaint) = &self.complaint
            && old.is_some_and(had)
        {
            notices.push(format!(
                "thread-locals of module {module} start anew: {complaint}"
            ));
        }
        notices
    }
}

impl Place {
    /// Where it is among thread-locals, if it is one.
    fn in_block(self) -> Option<InBlock> {
        match self {
            Place::Process(_) | Place::OfOnlyThread { .. } => None,
            Place::Library(module, offset) => Some(InBlock { module, offset }),
            Place::EachThread(offset) => {
                let (module, start) = room::block_of_threads()?;
                let offset = start + offset as u64;
                Some(InBlock { module, offset })
            }
        }
    }

    /// What code stores that imports a thread-local from here.
    fn word(self, part: Part) -> Option<u64> {
        match part {
            Part::Address => (!self.is_of_threads()).then(|| self.address() as u64),
            Part::Block => Some(self.in_block()?.module),
            Part::Offset => Some(self.in_block()?.offset),
        }
    }
}

/// The names of the functions and thread-locals of a module, in the order of the source.
fn order(object: &Relocatable<'_>, found: &[Declared]) -> Vec<Vec<u8>> {
    let is_var = |at: usize| found.iter().any(|it| it.symbol == at);
    let mut named: Vec<(u64, Vec<u8>)> = Vec::new();
    for (at, symbol) in object.symbols.iter().enumerate() {
        let name = match symbol.kind {
            SymbolKind::Function => symbol.name.strip_suffix(b"_actual"),
            _ => is_var(at).then_some(&*symbol.name),
        };
        let Some(name) = name else { continue };
        match CName::parse(name) {
            Some(parsed) => named.push((parsed.item, name.to_vec())),
            // A name that the programmer chose (`exportc`) stays the same; its place does not matter.
            None if is_var(at) => named.push((0, name.to_vec())),
            None => {}
        }
    }
    named.sort();
    named.into_iter().map(|(_, name)| name).collect()
}

/// The old thread-locals by the names that they have in a new build.
fn continued<'a>(
    old: &'a ThreadVars,
    order: &[Vec<u8>],
    new_vars: &HashSet<&[u8]>,
) -> HashMap<Vec<u8>, &'a ThreadVar> {
    let items = |order: &[Vec<u8>], is_var: &dyn Fn(&[u8]) -> bool| -> Vec<Item> {
        let item = |name: &Vec<u8>| Item {
            identity: if is_var(name) {
                c_name::identity_of_variable(name)
            } else {
                c_name::identity(name)
            },
            body: None,
            kind: match CName::parse(name) {
                Some(parsed) if parsed.is_anonymous() => Kind::Anonymous,
                _ => Kind::Proc,
            },
        };
        order.iter().map(item).collect()
    };
    let vars: HashMap<&[u8], &ThreadVar> = old.vars.iter().map(|var| (&*var.name, var)).collect();
    let matched = align(
        &items(&old.order, &|name| vars.contains_key(name)),
        &items(order, &|name| new_vars.contains(name)),
    );
    let pairs = order.iter().zip(matched).filter_map(|(new, old_index)| {
        let var = vars.get(&*old.order[old_index?])?;
        Some((new.clone(), *var))
    });
    pairs.collect()
}
