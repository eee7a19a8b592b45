//! Removed globals: their memory stays as long as somebody may know the address.

use std::sync::Arc;

use super::globals::{GlobalMarker, GlobalRegistration, marker_address};
use super::{Global, ModuleId, Registry};
use crate::Name;
use crate::dialect::{Dialect, SymbolKind};
use crate::image::{Image, ImageId, MAIN_PROGRAM};
use crate::storage::{Storage, Unmarked};

/// Memory of a removed global, or of one that moved because its size changed.
#[derive(Debug)]
pub(crate) struct Buried {
    module: ModuleId,
    name: Name,
    size: Option<usize>,
    storage: Arc<Storage>,
    /// Sorted: the images that were told the address.
    holders: Vec<ImageId>,
    /// Old code may still put things there: the collector goes on looking, as long as the images of
    /// these functions are mapped.
    pub(super) markers: Vec<GlobalMarker>,
}

impl Buried {
    /// Its memory, if the collector has to look at it.
    pub(super) fn unmarked(&self, dialect: &dyn Dialect) -> Option<Unmarked> {
        let nobody_marks = self.markers.is_empty() && dialect.holds_unmarked(&self.name);
        Unmarked::new(&self.storage, self.size.filter(|_| nobody_marks)?)
    }

    /// What is left of a global.
    pub(super) fn new(global: Global) -> Buried {
        Buried {
            markers: markers_of(&global.registrations),
            module: global.module,
            name: global.name,
            size: global.size,
            storage: global.storage,
            holders: global.holders,
        }
    }

    /// The place that a global leaves for one of another size.
    pub(super) fn left_by(global: &mut Global, old: Arc<Storage>) -> Buried {
        Buried {
            module: global.module,
            name: global.name.clone(),
            size: global.size,
            storage: old,
            holders: std::mem::take(&mut global.holders),
            markers: markers_of(&std::mem::take(&mut global.registrations)),
        }
    }
}

fn markers_of(registrations: &[GlobalRegistration]) -> Vec<GlobalMarker> {
    registrations.iter().filter_map(|one| one.marker).collect()
}

impl Registry {
    /// The memory of a global that returns, if the main program still holds it: it asks only once, and
    /// must see the same global as everybody else. Its content starts anew.
    pub(super) fn exhume(
        &mut self,
        dialect: &dyn Dialect,
        module: ModuleId,
        name: &[u8],
        size: usize,
    ) -> Option<Arc<Storage>> {
        let identity = dialect.identity(name, SymbolKind::Global);
        let at = self.buried.iter().rposition(|buried| {
            buried.module == module
                && buried.size == Some(size)
                && buried.holders.first() == Some(&MAIN_PROGRAM)
                && dialect.identity(&buried.name, SymbolKind::Global) == identity
        })?;
        let buried = self.buried.swap_remove(at);
        self.roots_version += 1;
        buried.storage.clear();
        Some(buried.storage)
    }

    /// Takes out the memory of removed globals that no mapped image can know. It has to be freed after
    /// the images that were just closed: their destructors may look at it.
    pub(crate) fn take_buried(&mut self, closed: &[&Image]) -> Vec<Buried> {
        if self.buried.is_empty() {
            return Vec::new();
        }
        let mut mapped: Vec<ImageId> = self.images().map(|image| image.id).collect();
        mapped.push(MAIN_PROGRAM);
        mapped.sort_unstable();
        for buried in &mut self.buried {
            buried.markers.retain(|marker| {
                !closed
                    .iter()
                    .any(|image| image.contains(marker_address(*marker)))
            });
        }
        self.roots_version += 1;
        let is_known = |buried: &mut Buried| {
            buried
                .holders
                .iter()
                .any(|id| mapped.binary_search(id).is_ok())
        };
        self.buried
            .extract_if(.., |buried| !is_known(buried))
            .collect()
    }

    /// Forgets images that were closed.
    pub(crate) fn forget_images(&mut self, closed: &[ImageId]) {
        let held = self.globals.iter_mut().flatten();
        for global in held.filter(|global| !global.holders.is_empty()) {
            global.holders.retain(|holder| !closed.contains(holder));
        }
    }
}
