//! Preparing a transaction: the walk over the import graph, and everything that can fail.
//!
//! Nothing of the running program changes here: new images are loaded beside the old ones, and a
//! failure drops them again. No module code runs but what the loader runs (constructors) and the
//! two getters of the protocol that the walk needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hashbrown::HashSet;

use crate::copies;
use crate::dialect::{Build, ChangedModule, Examined, SymbolPlan};
use crate::error::{Error, Step};
use crate::image::{Image, ImageId, Note};
use crate::module_file::{self, Rejected};
use crate::registry::ModuleId;
use crate::runtime::Runtime;
use crate::sys::files::Stamp;
use crate::{Name, registry};

static NEXT_IMAGE: AtomicU64 = AtomicU64::new(1);

/// A file that was refused, as it looked then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusedFile {
    module: Name,
    stamp: Option<Stamp>,
}

/// An image that takes its module's place at the commit.
#[derive(Debug)]
pub(crate) struct NewImage {
    pub(crate) id: ModuleId,
    pub(crate) image: Image,
    pub(crate) imports: Arc<[ModuleId]>,
}

/// A transaction that can be committed.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// New images by module.
    pub(crate) images: Vec<NewImage>,
    /// All modules that are reached from the root, dependencies first.
    pub(crate) order: Vec<ModuleId>,
    /// Those of them that have to be initialised, in the same order.
    pub(crate) to_init: Vec<ModuleId>,
    pub(crate) changed: Vec<(ModuleId, ChangedModule)>,
    pub(crate) plan: SymbolPlan,
}

struct Walk<'a> {
    runtime: &'a Runtime,
    prepared: Prepared,
    visited: HashSet<ModuleId>,
    /// Known modules whose files are not those that run.
    outdated: HashSet<ModuleId>,
    folders: HashSet<PathBuf>,
    refused: Option<RefusedFile>,
}

/// Walks the graph from the root and loads what is new or changed.
pub(crate) fn discover(runtime: &Runtime) -> Result<Prepared, Error> {
    let (root, imports, refused) = {
        let state = runtime.registry();
        let Some(root) = state.registry.root else {
            return Err(Error::Order("the program was not started yet"));
        };
        let imports = Arc::clone(&state.registry.module(root).imports);
        (root, imports, state.refused.clone())
    };
    let outdated = scan(runtime)?;
    let mut walk = Walk {
        runtime,
        prepared: Prepared::default(),
        // The main program itself is never loaded, whoever imports it.
        visited: HashSet::from_iter([root]),
        outdated,
        folders: HashSet::new(),
        refused,
    };
    if let Err(error) = walk.imports(&imports) {
        runtime.registry().refused = walk.refused;
        return Err(error);
    }
    let mut prepared = walk.prepared;
    if !prepared.images.is_empty() {
        plan(runtime, &mut prepared)?;
    }
    Ok(prepared)
}

/// Finds the modules whose files changed, and waits for the build that changed them to be complete.
fn scan(runtime: &Runtime) -> Result<HashSet<ModuleId>, Error> {
    let deadline = Instant::now() + runtime.settings().settle;
    loop {
        let known = runtime.registry().registry.known_images();
        let outdated = outdated(&known);
        if outdated.is_empty() {
            return Ok(outdated);
        }
        match build(runtime, &known) {
            Build::Unknown => return Ok(outdated),
            // The last library may have come after it was looked at above.
            Build::Complete => return Ok(self::outdated(&known)),
            Build::Unfinished(module) if Instant::now() >= deadline => {
                let cause = "its build is not complete: the compiler is still at work".to_owned();
                return Err(Error::Module {
                    module,
                    step: Step::Read,
                    cause,
                });
            }
            Build::Unfinished(_) => std::thread::sleep(module_file::RETRY),
        }
    }
}

fn outdated(known: &[(ModuleId, Name, Arc<Image>)]) -> HashSet<ModuleId> {
    let is_outdated = |(_, name, image): &&(ModuleId, Name, Arc<Image>)| image.is_outdated(name);
    known
        .iter()
        .filter(is_outdated)
        .map(|(id, ..)| *id)
        .collect()
}

/// How far the build is, if the dialect can tell.
pub(crate) fn build(runtime: &Runtime, known: &[(ModuleId, Name, Arc<Image>)]) -> Build {
    let modules: Vec<(Name, Option<Note>)> = known
        .iter()
        .map(|(_, name, image)| (name.clone(), image.note.clone()))
        .collect();
    runtime.dialect().build(&modules)
}

impl Walk<'_> {
    fn imports(&mut self, imports: &[ModuleId]) -> Result<(), Error> {
        imports.iter().try_for_each(|id| self.module(*id))
    }

    fn module(&mut self, id: ModuleId) -> Result<(), Error> {
        if !self.visited.insert(id) {
            return Ok(());
        }
        if !self.outdated.contains(&id) {
            let known = {
                let state = self.runtime.registry();
                let module = state.registry.module(id);
                let is_known = module.image.is_some();
                is_known.then(|| (Arc::clone(&module.imports), module.uninitialised))
            };
            if let Some((imports, uninitialised)) = known {
                self.imports(&imports)?;
                self.prepared.order.push(id);
                if uninitialised {
                    self.prepared.to_init.push(id);
                }
                return Ok(());
            }
        }
        let name = self.runtime.registry().registry.module(id).name.clone();
        let image = self.load(id, &name, self.outdated.contains(&id))?;
        let imports = self.runtime.registry().registry.module_ids(&image.imports);
        self.prepared.images.push(NewImage {
            id,
            image,
            imports: Arc::clone(&imports),
        });
        self.imports(&imports)?;
        self.prepared.order.push(id);
        self.prepared.to_init.push(id);
        Ok(())
    }

    fn load(&mut self, id: ModuleId, name: &Name, replaces: bool) -> Result<Image, Error> {
        tracing::debug!(module = %name, "load");
        if let Some(folder) = name.as_path().parent()
            && self.folders.insert(folder.to_owned())
            && !replaces
        {
            copies::remove_abandoned(folder);
        }
        let settle = self.runtime.settings().settle;
        let rejected = self.refused.as_ref().filter(|file| file.module == *name);
        let mut file = module_file::read(name.as_path(), settle, rejected.map(|file| file.stamp))
            .map_err(|Rejected { step, cause, stamp }| {
            self.refused = Some(RefusedFile {
                module: name.clone(),
                stamp,
            });
            Error::Module {
                module: name.clone(),
                step,
                cause,
            }
        })?;
        let old = {
            let state = self.runtime.registry();
            let module = state.registry.module(id);
            module.image.as_ref().and_then(|image| image.note.clone())
        };
        let dialect = self.runtime.dialect();
        let note = dialect.examine(&mut Examined {
            module: name,
            file: &mut file.bytes,
            old,
            reload: self.runtime.is_started(),
        });
        let image = ImageId(NEXT_IMAGE.fetch_add(1, Ordering::Relaxed));
        Image::load(image, name, &file, note, dialect).inspect_err(|_| {
            self.refused = Some(RefusedFile {
                module: name.clone(),
                stamp: Some(file.version.stamp()),
            });
        })
    }
}

/// Finds out which old symbols the new names mean, and whether there is room for the new ones.
fn plan(runtime: &Runtime, prepared: &mut Prepared) -> Result<(), Error> {
    let mut added = Vec::new();
    let mut state = runtime.registry();
    for NewImage { id, image, .. } in &prepared.images {
        if state.registry.has_history(*id) {
            let description = state.registry.describe(*id, image.note.clone());
            prepared.changed.push((*id, description));
        } else {
            added.extend(image.note.clone());
        }
    }
    let loaded: Vec<Note> = state
        .registry
        .images()
        .filter_map(|image| image.note.clone())
        .collect();
    let new: Vec<Option<Note>> = prepared
        .images
        .iter()
        .map(|new| new.image.note.clone())
        .collect();
    if let Err((at, cause)) = runtime.dialect().link(&new, &loaded) {
        let module = prepared.images[at].id;
        return Err(Error::Module {
            module: state.registry.module(module).name.clone(),
            step: Step::Load,
            cause,
        });
    }
    let changed: Vec<ChangedModule> = prepared
        .changed
        .iter()
        .map(|(_, changed)| changed.clone())
        .collect();
    prepared.plan = runtime.dialect().match_symbols(&changed, &added, &loaded);
    let registry::Registry { settings, .. } = &state.registry;
    let mb = settings.slot_table_mb;
    let slots = state.registry.slot_table()?;
    if prepared.plan.new_procs > slots.free() {
        let module = prepared.images[0].id;
        let cause = format!(
            "{} new procs, but only {} of {} slots ({mb} MB) are free; raise \
             HOT_CODE_RELOADING_JUMP_TABLE_SIZE",
            prepared.plan.new_procs,
            slots.free(),
            slots.capacity(),
        );
        let module = state.registry.module(module).name.clone();
        return Err(Error::Module {
            module,
            step: Step::Slots,
            cause,
        });
    }
    Ok(())
}
