//! The dynamic linker: symbols of shared libraries.

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The address of a symbol in the program's libraries (those it was started with, and the executable's
/// own exports), as code of the executable would find it.
pub fn find(name: &str) -> Option<u64> {
    let name = CString::new(name).ok()?;
    // SAFETY: dlsym reads the name.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address as u64)
}

/// A function of the C library that this library stands in front of.
pub struct Behind {
    name: &'static CStr,
    /// 0 until it is looked up.
    address: AtomicUsize,
}

impl Behind {
    /// To be looked up when it is first needed: the program may call before we are started.
    pub const fn new(name: &'static CStr) -> Behind {
        Behind {
            name,
            address: AtomicUsize::new(0),
        }
    }

    /// Its address, or 0 if there is none.
    pub fn address(&self) -> usize {
        let known = self.address.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        // SAFETY: dlsym reads the name.
        let mut found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) } as usize;
        if found == 0 {
            // We were linked behind the C library: then it stands in front of us.
            // SAFETY: as above.
            found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, self.name.as_ptr()) } as usize;
        }
        self.address.store(found, Ordering::Relaxed);
        found
    }

    /// Whether calls of the program come to us first.
    pub fn is_behind(&self) -> bool {
        // SAFETY: as above.
        !unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) }.is_null()
    }
}

/// Tells the unwinder of a section of unwind information.
///
/// `register` is the address of libgcc's `__register_frame`; `section` one that [`crate::check`] let
/// pass, mapped for ever.
pub fn register_frames(register: u64, section: u64) {
    // SAFETY: the function's C type; the section is complete and ends with a terminator.
    unsafe {
        let register: unsafe extern "C" fn(*const u8) = std::mem::transmute(register as usize);
        register(section as *const u8);
    }
}
