//! Type infos (`TNimType`), as the refc collector uses them.
//!
//! In `DatInit000` the compiler stores a type's marker before it has fetched the marker's address, so
//! that after the first run of a new image the field is null, and the collector does not see what
//! objects of the type refer to through inherited fields. The field is filled in as soon as the marker
//! is registered, a few lines later in the same `DatInit000`.

use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use liveswap_runtime::CodeAddress;

use crate::c_name::CName;

const TYPE_INFO: &[u8] = b"NTI";
const MARKER: &[u8] = b"Marker_ty";

/// `TNimType.marker` in words: behind `size`, `align`, `kind` and `flags` (one word together), `base`,
/// `node` and `finalizer`.
const MARKER_FIELD: usize = 6;

/// Whether a global is a type info: `NTI…__HASH_`.
pub(crate) fn is_type_info(name: &[u8]) -> bool {
    name.starts_with(TYPE_INFO) && name.ends_with(b"_") && CName::parse(name).is_none()
}

/// Addresses of type infos by the hash of their types.
#[derive(Debug, Default)]
pub(crate) struct TypeInfos {
    by_hash: Mutex<HashMap<Vec<u8>, usize>>,
}

impl TypeInfos {
    /// A global was registered.
    pub(crate) fn registered(&self, name: &[u8], address: NonNull<u8>) {
        if is_type_info(name)
            && let Some(hash) = hash_of(&name[..name.len() - 1])
        {
            let mut by_hash = self.by_hash.lock().unwrap_or_else(PoisonError::into_inner);
            by_hash.insert(hash.to_vec(), address.as_ptr() as usize);
        }
    }

    /// A proc was registered: if it is a marker, its type learns its address.
    pub(crate) fn marker_registered(&self, name: &[u8], address: CodeAddress) {
        if !name.starts_with(MARKER) {
            return;
        }
        let by_hash = self.by_hash.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(info) = hash_of(name).and_then(|hash| by_hash.get(hash)) else {
            return;
        };
        // SAFETY: a type info has this layout under refc, which is the only collector of programs
        // with markers; its memory is the run-time's and is never given back before the end.
        unsafe {
            let field = (*info as *mut usize).add(MARKER_FIELD);
            if *field == 0 {
                *field = address.0;
            }
        }
    }
}

/// `Marker_tyRef__HASH`, `NTIname__HASH`.
fn hash_of(name: &[u8]) -> Option<&[u8]> {
    let at = name.windows(2).rposition(|window| window == b"__")?;
    Some(&name[at + 2..]).filter(|hash| !hash.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_finds_its_type_and_replaces_nothing() {
        let infos = TypeInfos::default();
        let mut info = [1usize; 9];
        info[MARKER_FIELD] = 0;
        let address = NonNull::new(info.as_mut_ptr().cast::<u8>()).unwrap();
        infos.registered(b"NTIshape__9cVmPz9anWx7Axbj9chpuSbcg_", address);
        infos.marker_registered(b"Marker_tyRef__other", CodeAddress(5));
        assert_eq!(info[MARKER_FIELD], 0);
        infos.marker_registered(b"Marker_tyRef__9cVmPz9anWx7Axbj9chpuSbcg", CodeAddress(7));
        assert_eq!(info[MARKER_FIELD], 7);
        infos.marker_registered(b"Marker_tyRef__9cVmPz9anWx7Axbj9chpuSbcg", CodeAddress(8));
        assert_eq!(info[MARKER_FIELD], 7);
        assert!(
            info.iter()
                .enumerate()
                .all(|(n, word)| n == MARKER_FIELD || *word == 1)
        );
    }

    #[test]
    fn a_users_global_is_no_type_info() {
        assert!(!is_type_info(b"NTIfoo__modb_8___D9bK7RDSGSynG3SH8Hc3UJw"));
        assert!(is_type_info(b"NTIstring__77mFvmsOLKik79ci2hXkHEg_"));
    }
}
