//! Preparing a transaction: the walk over the import graph, and everything that can fail.
//!
//! Nothing of the running program changes here: new images are loaded beside the old ones, and a
//! failure drops them again. No module code runs but what the loader runs (constructors) and the
//! two getters of the protocol that the walk needs.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

/// A transaction that can be committed.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// New images by module.
    pub(crate) images: Vec<(ModuleId, Image)>,
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

/// Walks the graph from `imports` and loads what is new or changed.
pub(crate) fn discover(runtime: &Runtime, imports: &[Name]) -> Result<Prepared, Error> {
    let refused = runtime.registry().refused.clone();
    let mut walk = Walk {
        runtime,
        prepared: Prepared::default(),
        visited: HashSet::new(),
        folders: HashSet::new(),
        refused,
    };
    walk.visited.extend(runtime.registry().registry.root);
    match walk.imports(imports) {
        Ok(()) => {}
        Err(error) => {
            runtime.registry().refused = walk.refused;
            return Err(error);
        }
    }
    let mut prepared = walk.prepared;
    if !prepared.images.is_empty() {
        plan(runtime, &mut prepared)?;
    }
    Ok(prepared)
}

impl Walk<'_> {
    fn imports(&mut self, imports: &[Name]) -> Result<(), Error> {
        imports.iter().try_for_each(|name| self.module(name))
    }

    fn module(&mut self, name: &Name) -> Result<(), Error> {
        let (id, known) = {
            let mut state = self.runtime.registry();
            let id = state.registry.module_id(name);
            let module = state.registry.module(id);
            (
                id,
                module
                    .image
                    .clone()
                    .map(|image| (image, module.uninitialised)),
            )
        };
        if !self.visited.insert(id) {
            return Ok(());
        }
        let replaces = known.is_some();
        if let Some((image, uninitialised)) = known
            && !image.is_outdated(name)
        {
            self.imports(&image.imports)?;
            self.prepared.order.push(id);
            if uninitialised {
                self.prepared.to_init.push(id);
            }
            return Ok(());
        }
        let image = self.load(name, replaces)?;
        let imports = Arc::clone(&image.imports);
        self.prepared.images.push((id, image));
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
        Image::load(id, name, &file, note)
    }
}

/// Finds out which old symbols the new names mean, and whether there is room for the new ones.
fn plan(runtime: &Runtime, prepared: &mut Prepared) -> Result<(), Error> {
    let mut added = Vec::new();
    let mut state = runtime.registry();
    for (id, image) in &prepared.images {
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
        let (module, _) = &prepared.images[0];
        let cause = format!(
            "{} new procs, but only {} of {} slots ({mb} MB) are free; raise \
             HOT_CODE_RELOADING_JUMP_TABLE_SIZE",
            prepared.plan.new_procs,
            slots.free(),
            slots.capacity(),
        );
        let module = state.registry.module(*module).name.clone();
        return Err(Error::Module {
            module,
            step: Step::Slots,
            cause,
        });
    }
    Ok(())
}
