//! Nim's collector: it must see what only the run-time holds, and free nothing that lives.
//!
//! The collector that runs is the one in `libnimrtl.so`; it never asks the program's own list of
//! global markers, on which the compiler puts `hcrMarkGlobals`. So `hcrMarkGlobals` is entered into the
//! collector's list, `globalMarkers`, a hidden symbol that the library's `.symtab` tells (release builds
//! included). Where that is impossible, automatic mark and sweep is switched off instead: cycles are
//! then not freed, and nothing that lives is.

use std::ffi::{CStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::Ordering;

use crate::elf_symbols::{self, Symbol};
use crate::nim::Nim;

const LIBRARY: &[u8] = b"libnimrtl.so";

/// What a reference count grows by for one reference (refc's `rcIncrement`).
const ONE_REFERENCE: isize = 8;

/// `waMarkGlobal` of the collector.
const MARK_GLOBAL: isize = 0;

/// The collector that was told of our globals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collector {
    visit: unsafe extern "C" fn(*mut c_void, isize),
}

/// Enters `hcrMarkGlobals` into the collector's list of markers, once.
pub(crate) fn adopt(nim: &Nim) {
    let Some(library) = Library::find() else {
        tracing::debug!("no libnimrtl.so in this process: nothing to tell a collector");
        return;
    };
    if !nim.version_two.load(Ordering::Relaxed) && library.add_marker() {
        if let Some(visit) = library.function(c"nimrtl_nimGCvisit") {
            // SAFETY: `nimGCvisit(d: pointer, op: int)` in every Nim with this library.
            let visit = unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, isize)>(visit)
            };
            // A second value would be the same.
            let _ = nim.collector.set(Collector { visit });
        }
        return;
    }
    match library.function(c"nimrtl_GC_disableMarkAndSweep") {
        Some(disable) => {
            tracing::info!("the collector cannot be shown our globals: mark and sweep is off");
            // SAFETY: `GC_disableMarkAndSweep()` has no arguments and no result.
            unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(disable)() };
        }
        None => tracing::warn!("the collector of libnimrtl.so cannot be told of our globals"),
    }
}

/// Shows the collector the environments of handlers.
pub(crate) fn visit(nim: &Nim, environments: &[usize]) {
    let Some(collector) = nim.collector.get() else {
        return;
    };
    for environment in environments {
        // SAFETY: environments are objects of this collector, counted by `hold` since they came.
        unsafe { (collector.visit)(*environment as *mut c_void, MARK_GLOBAL) };
    }
}

/// Counts (or no longer counts) our reference to a handler's environment.
pub(crate) fn hold(nim: &Nim, environment: usize, hold: bool) {
    if environment == 0 || nim.collector.get().is_none() {
        return;
    }
    let change = if hold { ONE_REFERENCE } else { -ONE_REFERENCE };
    // SAFETY: in front of every object of the refc collector, which was adopted, stands its header:
    // reference count and type, a word each.
    unsafe {
        let count = (environment as *mut isize).sub(2);
        *count = (*count).wrapping_add(change);
    }
}

/// The loaded `libnimrtl.so`.
struct Library {
    path: Vec<u8>,
    base: usize,
}

impl Library {
    fn find() -> Option<Library> {
        unsafe extern "C" fn look(
            info: *mut libc::dl_phdr_info,
            _size: usize,
            found: *mut c_void,
        ) -> c_int {
            // SAFETY: the loader passes a valid record, and we passed a pointer to an Option<Library>.
            let (info, found) = unsafe { (&*info, &mut *found.cast::<Option<Library>>()) };
            if info.dlpi_name.is_null() {
                return 0;
            }
            // SAFETY: not null, zero-terminated by the loader.
            let path = unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes();
            if path.rsplit(|byte| *byte == b'/').next() != Some(LIBRARY) {
                return 0;
            }
            *found = Some(Library {
                path: path.to_vec(),
                base: info.dlpi_addr as usize,
            });
            1
        }
        let mut found: Option<Library> = None;
        // SAFETY: `look` is called during this call only, with the pointer to `found`.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
        found
    }

    /// An exported function.
    fn function(&self, name: &CStr) -> Option<*mut c_void> {
        let path = std::ffi::CString::new(&*self.path).ok()?;
        // SAFETY: the library is loaded already; the extra reference keeps it so, as its code is about
        // to be held for the life of the process.
        let address = unsafe {
            let handle = libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
            if handle.is_null() {
                return None;
            }
            libc::dlsym(handle, name.as_ptr())
        };
        (!address.is_null()).then_some(address)
    }

    /// Appends our marker to the collector's list; false if the list cannot be found or is full.
    fn add_marker(&self) -> bool {
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(&self.path));
        let Ok(file) = std::fs::read(path) else {
            return false;
        };
        let (mut list, mut length) = (None, None);
        elf_symbols::for_each(&file, |name, symbol| match name {
            b"globalMarkers" => list = Some(symbol),
            b"globalMarkersLen" => length = Some(symbol),
            _ => {}
        });
        let (
            Some(Symbol {
                address: list,
                size,
            }),
            Some(Symbol {
                address: length, ..
            }),
        ) = (list, length)
        else {
            return false;
        };
        let capacity = size as usize / size_of::<usize>();
        let marker: extern "C-unwind" fn() = crate::abi::hcrMarkGlobals;
        // SAFETY: the symbols are an array of `size` bytes of function pointers and its used length,
        // in the library's writable data; the program's only thread is in `hcrInit`.
        unsafe {
            let list = self.base.wrapping_add(list as usize) as *mut usize;
            let length = self.base.wrapping_add(length as usize) as *mut usize;
            if *length >= capacity {
                return false;
            }
            list.add(*length).write(marker as usize);
            *length += 1;
        }
        true
    }
}
