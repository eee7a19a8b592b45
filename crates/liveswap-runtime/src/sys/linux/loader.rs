//! The dynamic loader.

use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;

/// A loaded shared library; closed on drop.
#[derive(Debug)]
pub struct Library {
    handle: NonNull<c_void>,
    base: usize,
}

// SAFETY: the loader's handle may be used from any thread; glibc locks inside.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Loads `path` with all symbols resolved now, visible to nobody else.
    ///
    /// # Errors
    /// The loader's own words.
    ///
    /// # Safety
    /// The library's constructors run.
    pub unsafe fn open(path: &Path) -> Result<Library, String> {
        let c_path = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| "the path contains a zero byte".to_owned())?;
        // SAFETY: a valid C string; the caller vouches for the constructors.
        let handle = unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        let handle = NonNull::new(handle).ok_or_else(last_error)?;
        let mut library = Library { handle, base: 0 };
        library.base = library.link_map_base().ok_or_else(last_error)?;
        Ok(library)
    }

    /// Difference between the library's addresses in the process and in its file.
    pub fn base(&self) -> usize {
        self.base
    }

    /// Address of the exported symbol `name`.
    pub fn symbol(&self, name: &CStr) -> Option<NonNull<c_void>> {
        // SAFETY: the handle is open as long as `self` lives.
        NonNull::new(unsafe { libc::dlsym(self.handle.as_ptr(), name.as_ptr()) })
    }

    fn link_map_base(&self) -> Option<usize> {
        // The first member of glibc's and musl's `struct link_map` is `l_addr`.
        let mut map: *const usize = std::ptr::null();
        // SAFETY: RTLD_DI_LINKMAP stores one pointer to where its argument points.
        let done = unsafe {
            libc::dlinfo(
                self.handle.as_ptr(),
                libc::RTLD_DI_LINKMAP,
                (&raw mut map).cast(),
            )
        };
        if done != 0 || map.is_null() {
            return None;
        }
        // SAFETY: a link map lives as long as its library is loaded, which `self` guarantees.
        Some(unsafe { *map })
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // SAFETY: the handle is open and not used after this; whoever drops the library vouches that
        // no code or data of it is used any more.
        unsafe { libc::dlclose(self.handle.as_ptr()) };
    }
}

fn last_error() -> String {
    // SAFETY: dlerror returns null or a C string that is valid until the next call on this thread.
    unsafe {
        let text = libc::dlerror();
        if text.is_null() {
            "the loader gives no reason".to_owned()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    }
}
