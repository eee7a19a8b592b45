//! Address space: reserved first, committed piece by piece, never writable and executable at once.

use std::io;
use std::ptr::NonNull;

/// Size in bytes of a page of this system.
pub fn page_size() -> usize {
    // SAFETY: sysconf only reads its argument.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

/// Address space without access, which stays reserved for the life of the process.
///
/// It is never given back: the addresses in it are permanent by contract, and somebody may hold one.
#[derive(Debug)]
pub struct Reservation {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a reservation is only an address range; what is written to it is up to its owner.
unsafe impl Send for Reservation {}
// SAFETY: as above; there is no interior state.
unsafe impl Sync for Reservation {}

impl Reservation {
    /// Reserves `len` bytes of address space that cost no memory.
    pub fn new(len: usize) -> io::Result<Reservation> {
        // SAFETY: an anonymous mapping at an address that the kernel chooses touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_NONE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(start) if base != libc::MAP_FAILED => Ok(Reservation { base: start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Start of the range.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Makes `len` bytes from `offset` readable and writable; both are multiples of the page size.
    pub fn make_writable(&self, offset: usize, len: usize) -> io::Result<()> {
        self.protect(offset, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// Makes `len` bytes from `offset` readable and executable, and no longer writable.
    pub fn make_executable(&self, offset: usize, len: usize) -> io::Result<()> {
        self.protect(offset, len, libc::PROT_READ | libc::PROT_EXEC)?;
        flush_instruction_cache(self.base.as_ptr().wrapping_add(offset), len);
        Ok(())
    }

    fn protect(&self, offset: usize, len: usize, protection: libc::c_int) -> io::Result<()> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: the range was just checked to lie in this reservation, which nobody else manages.
        let done =
            unsafe { libc::mprotect(self.base.as_ptr().add(offset).cast(), len, protection) };
        if done == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

/// Makes fresh code visible to instruction fetch.
#[cfg(target_arch = "x86_64")]
fn flush_instruction_cache(_start: *const u8, _len: usize) {
    // x86-64 keeps instruction fetch coherent with stores.
}

/// Makes fresh code visible to instruction fetch.
#[cfg(target_arch = "aarch64")]
fn flush_instruction_cache(start: *const u8, len: usize) {
    // The smallest line that the architecture allows: correct on every CPU, and code is fresh rarely.
    const LINE: usize = 4;
    for at in (0..len).step_by(LINE) {
        // SAFETY: cache maintenance by address on readable memory has no effect but the one wanted.
        unsafe {
            std::arch::asm!("dc cvau, {0}", "ic ivau, {0}", in(reg) start.wrapping_add(at), options(nostack));
        }
    }
    // SAFETY: barriers.
    unsafe { std::arch::asm!("dsb ish", "isb", options(nostack)) };
}

/// Zeroed pages from the kernel, given back on drop.
#[derive(Debug)]
pub struct Pages {
    base: NonNull<u8>,
    len: usize,
}

impl Pages {
    /// Maps `len` zeroed bytes, which cost memory when they are first written.
    pub fn new(len: usize) -> io::Result<Pages> {
        // SAFETY: an anonymous mapping at an address that the kernel chooses touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        match NonNull::new(base.cast::<u8>()) {
            Some(start) if base != libc::MAP_FAILED => Ok(Pages { base: start, len }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Start of the pages.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping that `new` made; whoever drops it vouches that nobody uses it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
