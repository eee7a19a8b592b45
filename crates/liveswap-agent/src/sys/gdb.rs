//! gdb's interface for code that is made at run-time: a list of ELF files in memory, and a function on
//! which gdb sets a breakpoint to learn of changes.

use std::ffi::CString;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::last_error;

/// `jit_code_entry`.
#[repr(C)]
struct Entry {
    next: *mut Entry,
    previous: *mut Entry,
    file: *const u8,
    len: u64,
}

/// `jit_descriptor`.
#[repr(C)]
pub struct Registry {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

// SAFETY: written under `WRITER` only; gdb reads it while the process is stopped.
unsafe impl Sync for Registry {}

const REGISTER: u32 = 1;

/// The head of the list.
#[cfg_attr(feature = "exports", unsafe(export_name = "__jit_debug_descriptor"))]
static mut REGISTRY: Registry = Registry {
    version: 1,
    action: 0,
    relevant: std::ptr::null_mut(),
    first: std::ptr::null_mut(),
};

static WRITER: Mutex<()> = Mutex::new(());

/// gdb's breakpoint is here.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
#[inline(never)]
pub extern "C" fn __jit_debug_register_code() {
    // SAFETY: no instruction; it keeps the function, and what was written before it is called.
    unsafe { std::arch::asm!("") };
}

/// Tells gdb of an ELF file. The file is mapped, not read; the mapping stays.
pub fn announce(file: &[u8]) -> io::Result<()> {
    let (start, len) = map(file)?;
    let _writer = WRITER.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: under the lock; entries are never freed.
    unsafe {
        let registry = &raw mut REGISTRY;
        let first = (*registry).first;
        let entry = Box::into_raw(Box::new(Entry {
            next: first,
            previous: std::ptr::null_mut(),
            file: start,
            len,
        }));
        if !first.is_null() {
            (*first).previous = entry;
        }
        (*registry).first = entry;
        (*registry).relevant = entry;
        (*registry).action = REGISTER;
    }
    __jit_debug_register_code();
    Ok(())
}

fn map(file: &[u8]) -> io::Result<(*const u8, u64)> {
    use std::os::fd::AsRawFd;
    use std::os::unix::ffi::OsStringExt;

    let name = CString::new(file)?;
    let name = std::ffi::OsString::from_vec(name.into_bytes());
    let file = std::fs::File::open(name)?;
    let len = file.metadata()?.len();
    let size = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    // SAFETY: a new mapping at an address that the kernel chooses.
    let start = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size,
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(last_error());
    }
    Ok((start.cast_const().cast(), len))
}
