//! Type infos (`TNimType`), as the refc collector uses them.
//!
//! In `DatInit000` the compiler stores a type's marker before it has fetched the marker's address, so
//! that after the first run of a new image the field is null, and the collector does not see what
//! objects of the type refer to through inherited fields. The field is filled in as soon as the marker
//! is registered, a few lines later in the same `DatInit000`.

//!
//! Program and `libnimrtl.so` have a type info each for the exceptions that both know, and `except ValueError`
//! compares addresses: it would miss what the library raises. The program gets the library's.

use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

use hashbrown::HashMap;
use liveswap_runtime::CodeAddress;

use crate::c_name::CName;

const TYPE_INFO: &[u8] = b"NTI";
const MARKER: &[u8] = b"Marker_ty";

/// `TNimType.marker` in words: behind `size`, `align`, `kind` and `flags` (one word together), `base`,
/// `node` and `finalizer`.
const MARKER_FIELD: usize = 6;

/// `TNimType.base` in words.
const BASE_FIELD: usize = 3;
/// What the type info of `Exception`, the base of all, begins with.
const EXCEPTION: &[u8] = b"NTIexception__";
/// Exceptions are derived no deeper than that.
const DEEPEST: usize = 32;

/// Whether a global is a type info: `NTI…__HASH_`.
pub(crate) fn is_type_info(name: &[u8]) -> bool {
    name.starts_with(TYPE_INFO) && name.ends_with(b"_") && CName::parse(name).is_none()
}

/// Addresses of type infos by the hash of their types.
#[derive(Debug, Default)]
pub(crate) struct TypeInfos {
    by_hash: Mutex<HashMap<Vec<u8>, usize>>,
    /// Addresses and sizes of type infos of exceptions in `libnimrtl.so`, by name.
    exceptions: OnceLock<HashMap<Vec<u8>, (usize, usize)>>,
}

impl TypeInfos {
    /// From here on the program shares the type infos of exceptions with the library whose type infos these are:
    /// name, address and size of each.
    pub(crate) fn share_exceptions<'a>(&self, all: impl Iterator<Item = (&'a [u8], usize, usize)>) {
        let all: Vec<(&[u8], usize, usize)> = all
            .filter(|(_, address, size)| {
                *size > MARKER_FIELD * size_of::<usize>() && address % align_of::<usize>() == 0
            })
            .collect();
        let by_address: HashMap<usize, &[u8]> = all
            .iter()
            .map(|(name, address, _)| (*address, *name))
            .collect();
        let is_exception = |mut info: usize| {
            for _ in 0..DEEPEST {
                let Some(name) = by_address.get(&info) else {
                    return false;
                };
                if name.starts_with(EXCEPTION) {
                    return true;
                }
                // SAFETY: a type info of the library, larger than this field; the library was initialised when it
                // was loaded.
                info = unsafe { *(info as *const usize).add(BASE_FIELD) };
            }
            false
        };
        let exceptions = all.iter().filter(|(_, address, _)| is_exception(*address));
        let exceptions = exceptions.map(|(name, address, size)| (name.to_vec(), (*address, *size)));
        // A second value would be the same.
        let _ = self.exceptions.set(exceptions.collect());
    }

    /// Where a global of this name and size lies already: a type info that is shared.
    pub(crate) fn shared(&self, name: &[u8], size: usize) -> Option<NonNull<u8>> {
        let (address, has) = self.exceptions.get()?.get(name)?;
        NonNull::new(*address as *mut u8).filter(|_| *has == size)
    }

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
    fn exceptions_are_shared_and_nothing_else() {
        let mut memory = [[0usize; 8]; 4];
        let address = |n: usize| memory[n].as_ptr() as usize;
        let (root, value, other) = (address(0), address(1), address(2));
        memory[1][BASE_FIELD] = root;
        memory[3][BASE_FIELD] = other;
        let all: [(&[u8], usize, usize); 4] = [
            (b"NTIexception__a_", memory[0].as_ptr() as usize, 64),
            (b"NTIvalueerror__b_", memory[1].as_ptr() as usize, 64),
            (b"NTIshape__c_", memory[2].as_ptr() as usize, 64),
            (b"NTIsquare__d_", memory[3].as_ptr() as usize, 64),
        ];
        let infos = TypeInfos::default();
        infos.share_exceptions(all.into_iter());
        let shared = infos.shared(b"NTIvalueerror__b_", 64);
        assert_eq!(shared.map(|at| at.as_ptr() as usize), Some(value));
        assert_eq!(infos.shared(b"NTIvalueerror__b_", 72), None);
        assert_eq!(infos.shared(b"NTIsquare__d_", 64), None);
        assert_eq!(infos.shared(b"NTIshape__c_", 64), None);
    }

    #[test]
    fn a_users_global_is_no_type_info() {
        assert!(!is_type_info(b"NTIfoo__modb_8___D9bK7RDSGSynG3SH8Hc3UJw"));
        assert!(is_type_info(b"NTIstring__77mFvmsOLKik79ci2hXkHEg_"));
    }
}
