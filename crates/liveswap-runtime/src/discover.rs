//! Preparing a transaction: the walk over the import graph, and everything that can fail.
//!
//! Nothing of the running program changes here: new images are loaded beside the old ones, and a
//! failure drops them again. No module code runs but what the loader runs (constructors) and the
//! two getters of the protocol that the walk needs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;

use crate::copies;
use crate::dialect::{ChangedModule, SymbolPlan};
use crate::error::{Error, Step};
use crate::image::{Image, ImageId};
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
    let mut walk = Walk {
        runtime,
        prepared: Prepared::default(),
        // The main program itself is never loaded, whoever imports it.
        visited: HashSet::from_iter([root]),
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

impl Walk<'_> {
    fn imports(&mut self, imports: &[ModuleId]) -> Result<(), Error> {
        imports.iter().try_for_each(|id| self.module(*id))
    }

    fn module(&mut self, id: ModuleId) -> Result<(), Error> {
        if !self.visited.insert(id) {
            return Ok(());
        }
        let (name, known) = {
            let state = self.runtime.registry();
            let module = state.registry.module(id);
            let known = module
                .image
                .clone()
                .map(|image| (image, Arc::clone(&module.imports), module.uninitialised));
            (module.name.clone(), known)
        };
        let replaces = known.is_some();
        if let Some((image, imports, uninitialised)) = known
            && !image.is_outdated(&name)
        {
            self.imports(&imports)?;
            self.prepared.order.push(id);
            if uninitialised {
                self.prepared.to_init.push(id);
            }
            return Ok(());
        }
        let image = self.load(&name, replaces)?;
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

    fn load(&mut self, name: &Name, replaces: bool) -> Result<Image, Error> {
        tracing::debug!(module = %name, "load");
        if let Some(folder) = name.as_path().parent()
            && self.folders.insert(folder.to_owned())
            && !replaces
        {
            copies::remove_abandoned(folder);
        }
        let settle = self.runtime.settings().settle;
        let rejected = self.refused.as_ref().filter(|file| file.module == *name);
        let file = module_file::read(name.as_path(), settle, rejected.and_then(|file| file.stamp))
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
        let note = self.runtime.dialect().examine(name, &file.bytes, replaces);
        let id = ImageId(NEXT_IMAGE.fetch_add(1, Ordering::Relaxed));
        Image::load(id, name, &file, note).inspect_err(|_| {
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
        if state.registry.module(*id).image.is_some() {
            let description = state.registry.describe(*id, image.note.clone());
            prepared.changed.push((*id, description));
        } else {
            added.extend(image.note.clone());
        }
    }
    let changed: Vec<ChangedModule> = prepared
        .changed
        .iter()
        .map(|(_, changed)| changed.clone())
        .collect();
    prepared.plan = runtime.dialect().match_symbols(&changed, &added);
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
