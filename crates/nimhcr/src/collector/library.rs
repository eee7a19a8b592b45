//! The loaded `libnimrtl.so`: where its functions and hidden variables are.

use std::ffi::{CStr, CString, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use hashbrown::HashMap;

use crate::elf_symbols::{self, Symbol};
use crate::threadvars::room;
use crate::type_infos;

const LIBRARY: &[u8] = b"libnimrtl.so";

/// The library, as it was found in this process.
pub(super) struct Library {
    pub(super) base: usize,
    /// The loader's number of its block of thread-locals, 0 if it has none.
    pub(super) thread_locals: u64,
    path: CString,
    /// What of its symbol table matters here, by the part of the name that is the same in every build.
    symbols: HashMap<&'static [u8], Symbol>,
    /// Its type infos.
    type_infos: HashMap<Vec<u8>, Symbol>,
}

/// Symbols that are not exported. Those of procs and of most variables go on with `__system_…`.
const HIDDEN: [&[u8]; 8] = [
    b"globalMarkers",
    b"globalMarkersLen",
    b"threadLocalMarkers",
    b"threadLocalMarkersLen",
    b"gch",
    b"interiorAllocatedPtr",
    b"initGC",
    b"currException",
];

impl Library {
    pub(super) fn find() -> Option<Library> {
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
            let path = unsafe { CStr::from_ptr(info.dlpi_name) };
            if path.to_bytes().rsplit(|byte| *byte == b'/').next() != Some(LIBRARY) {
                return 0;
            }
            *found = Some(Library {
                base: info.dlpi_addr as usize,
                thread_locals: info.dlpi_tls_modid as u64,
                path: path.to_owned(),
                symbols: HashMap::new(),
                type_infos: HashMap::new(),
            });
            1
        }
        let mut found: Option<Library> = None;
        // SAFETY: `look` is called during this call only, with the pointer to `found`.
        unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut found).cast()) };
        let mut library = found?;
        library.read_symbols();
        Some(library)
    }

    fn read_symbols(&mut self) {
        let path = Path::new(OsStr::from_bytes(self.path.to_bytes()));
        let Ok(file) = std::fs::read(path) else {
            return;
        };
        elf_symbols::for_each(&file, |name, symbol| {
            if type_infos::is_type_info(name) {
                self.type_infos.insert(name.to_vec(), symbol);
                return;
            }
            let end = name.windows(2).position(|pair| pair == b"__");
            let front = &name[..end.unwrap_or(name.len())];
            let is_of_system = |end: usize| name[end..].starts_with(b"__system_");
            // A function that the compiler split or copied is another one: `….part.0`.
            if end.is_some_and(|end| !is_of_system(end)) || name.contains(&b'.') {
                return;
            }
            if let Some(known) = HIDDEN.iter().find(|known| **known == front) {
                self.symbols.insert(known, symbol);
            }
        });
    }

    /// A symbol that is not exported, by the beginning of its name.
    pub(super) fn hidden(&self, name: &[u8]) -> Option<Symbol> {
        self.symbols.get(name).copied()
    }

    /// Addresses and sizes of type infos, by name.
    pub(super) fn type_infos(&self) -> impl Iterator<Item = (&[u8], usize, usize)> {
        self.type_infos.iter().map(|(name, symbol)| {
            let address = self.base.wrapping_add(symbol.address as usize);
            (&**name, address, symbol.size as usize)
        })
    }

    /// Where the calling thread has a hidden variable.
    pub(super) fn address_for_this_thread(&self, variable: Symbol) -> usize {
        if variable.thread_local {
            room::thread_local(self.thread_locals, variable.address)
        } else {
            self.base.wrapping_add(variable.address as usize)
        }
    }

    /// An exported function.
    pub(super) fn function(&self, name: &CStr) -> Option<*mut c_void> {
        // SAFETY: the library is loaded already; the extra reference keeps it so, as its code is about
        // to be held for the life of the process.
        let address = unsafe {
            let handle = libc::dlopen(self.path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD);
            if handle.is_null() {
                return None;
            }
            libc::dlsym(handle, name.as_ptr())
        };
        (!address.is_null()).then_some(address)
    }

    /// Empties a list of the collector's, whose used `length` this is.
    pub(super) fn drop_markers(&self, length: &[u8]) {
        if let Some(length) = self.hidden(length) {
            let length = self.base.wrapping_add(length.address as usize) as *mut usize;
            // SAFETY: a variable of the library; the program's only thread is in `hcrInit`.
            unsafe { length.write(0) };
        }
    }

    /// Appends a marker to a list of the collector's (`list` and its used `length`); false if the list cannot
    /// be found or is full.
    pub(super) fn add_marker(
        &self,
        list: &[u8],
        length: &[u8],
        marker: extern "C-unwind" fn(),
    ) -> bool {
        let (Some(list), Some(length)) = (self.hidden(list), self.hidden(length)) else {
            return false;
        };
        let capacity = list.size as usize / size_of::<usize>();
        // SAFETY: the symbols are an array of `size` bytes of function pointers and its used length,
        // in the library's writable data; the program's only thread is in `hcrInit`.
        unsafe {
            let list = self.base.wrapping_add(list.address as usize) as *mut usize;
            let length = self.base.wrapping_add(length.address as usize) as *mut usize;
            if *length >= capacity {
                return false;
            }
            list.add(*length).write(marker as usize);
            *length += 1;
        }
        true
    }
}
