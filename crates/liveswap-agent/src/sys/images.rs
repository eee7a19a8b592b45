//! `dl_iterate_phdr`, interposed: images of patches are loaded objects like others.
//!
//! Whoever asks (backtraces, unwinders) may keep the answer for ever, so the whole range is announced
//! from the start, slice by slice, used or not. Each slice has a file of its own, written when it is
//! used.

use std::ffi::{c_char, c_int, c_void};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use liveswap_protocol::patch::{FILE_BASE, SLICE_SIZE};

use super::symbols::Behind;
use crate::check::Span;

/// What callers give to `dl_iterate_phdr`.
pub type Callback =
    unsafe extern "C-unwind" fn(*mut libc::dl_phdr_info, usize, *mut c_void) -> c_int;
type Iterate = unsafe extern "C-unwind" fn(Callback, *mut c_void) -> c_int;

/// What the slices are: set once, at the start.
static SLICES: OnceLock<Slices> = OnceLock::new();
/// The table of `SLICES`, made when it is first asked for.
static TABLE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

struct Slices {
    range: Span,
    /// `<folder>/slice-`
    prefix: Vec<u8>,
}

impl Slices {
    fn count(&self) -> usize {
        (self.range.len / SLICE_SIZE) as usize
    }

    /// Room for a name: eight digits, `.so` and the end.
    fn name_room(&self) -> usize {
        self.prefix.len() + 12
    }

    fn table_len(&self) -> usize {
        self.count() * (std::mem::size_of::<libc::Elf64_Phdr>() + self.name_room())
    }
}

/// The name of a slice's ELF file with absolute addresses, as gdb wants it.
pub fn debugger_file_name(folder: &[u8], slice: u32) -> Vec<u8> {
    let mut name = folder.to_vec();
    // Writing to a vector does not fail.
    let _ = write!(name, "/slice-{slice:04x}.gdb");
    name
}

/// Announces the range from now on.
pub fn announce(range: Span, folder: &[u8]) {
    let mut prefix = folder.to_vec();
    prefix.extend_from_slice(b"/slice-");
    drop(SLICES.set(Slices { range, prefix }));
}

/// The loader's own `dl_iterate_phdr`: objects without our slices.
pub fn each_loaded(callback: Callback, data: *mut c_void) -> c_int {
    match real() {
        // SAFETY: the function's type; the caller's callback fits its data.
        Some(real) => unsafe { real(callback, data) },
        None => 0,
    }
}

static REAL: Behind = Behind::new(c"dl_iterate_phdr");

fn real() -> Option<Iterate> {
    // SAFETY: the function of that name has this type; null becomes `None`.
    unsafe { std::mem::transmute::<usize, Option<Iterate>>(REAL.address()) }
}

/// What passes the loader's calls on, and notes what they say of all objects.
struct Relay {
    callback: Callback,
    data: *mut c_void,
    adds: u64,
    subs: u64,
    size: usize,
}

unsafe extern "C-unwind" fn relay(
    info: *mut libc::dl_phdr_info,
    size: usize,
    data: *mut c_void,
) -> c_int {
    let relay = data.cast::<Relay>();
    // SAFETY: the loader gives a valid object of this size, and back the relay that `iterate` gave.
    // No reference to the relay is held while the program's callback runs: it may ask again.
    unsafe {
        (*relay).size = size;
        if size >= std::mem::offset_of!(libc::dl_phdr_info, dlpi_tls_modid) {
            (*relay).adds = (*info).dlpi_adds;
            (*relay).subs = (*info).dlpi_subs;
        }
        ((*relay).callback)(info, size, (*relay).data)
    }
}

/// The loader's objects, and then the slices. No lock is held, and no frame of ours has something to
/// do when it is left: the callback may throw.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C-unwind" fn dl_iterate_phdr(callback: Callback, data: *mut c_void) -> c_int {
    let mut passed = Relay {
        callback,
        data,
        adds: 0,
        subs: 0,
        size: std::mem::size_of::<libc::dl_phdr_info>(),
    };
    let stopped = each_loaded(relay, (&raw mut passed).cast());
    if stopped != 0 {
        return stopped;
    }
    let Some(slices) = SLICES.get() else {
        return 0;
    };
    let Some(table) = table(slices) else {
        return 0;
    };
    let names = table.wrapping_add(slices.count() * std::mem::size_of::<libc::Elf64_Phdr>());
    for slice in 0..slices.count() {
        let mut info = libc::dl_phdr_info {
            // Never 0: std's backtraces take an object without bias for the executable.
            dlpi_addr: slices.range.start.wrapping_sub(FILE_BASE),
            dlpi_name: names
                .wrapping_add(slice * slices.name_room())
                .cast::<c_char>(),
            dlpi_phdr: table.cast::<libc::Elf64_Phdr>().wrapping_add(slice),
            dlpi_phnum: 1,
            dlpi_adds: passed.adds,
            dlpi_subs: passed.subs,
            dlpi_tls_modid: 0,
            dlpi_tls_data: std::ptr::null_mut(),
        };
        // SAFETY: the program's callback, called as the loader does.
        let stopped = unsafe { callback(&raw mut info, passed.size, data) };
        if stopped != 0 {
            return stopped;
        }
    }
    0
}

/// Program headers and names of all slices, made once. Lock-free and without the allocator: callers
/// can be in the middle of anything.
fn table(slices: &Slices) -> Option<*mut u8> {
    let there = TABLE.load(Ordering::Acquire);
    if !there.is_null() {
        return Some(there);
    }
    // SAFETY: an anonymous mapping at an address that the kernel chooses touches nothing that exists.
    let made = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            slices.table_len(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if made == libc::MAP_FAILED {
        return None;
    }
    let made = made.cast::<u8>();
    // SAFETY: fresh zeroed memory of this length that nobody else knows.
    fill(slices, unsafe {
        std::slice::from_raw_parts_mut(made, slices.table_len())
    });
    let null = std::ptr::null_mut();
    match TABLE.compare_exchange(null, made, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => Some(made),
        Err(first) => {
            // SAFETY: the mapping that was just made; another thread was first and nobody saw this one.
            unsafe { libc::munmap(made.cast(), slices.table_len()) };
            Some(first)
        }
    }
}

fn fill(slices: &Slices, table: &mut [u8]) {
    const HEADER: usize = std::mem::size_of::<libc::Elf64_Phdr>();
    let (headers, names) = table.split_at_mut(slices.count() * HEADER);
    let names = names.chunks_exact_mut(slices.name_room());
    for (slice, (header, mut name)) in headers.chunks_exact_mut(HEADER).zip(names).enumerate() {
        // As in the files, which is what `dlpi_addr` says.
        let address = FILE_BASE + slice as u64 * SLICE_SIZE;
        // The fields of Elf64_Phdr in their order.
        let flags = u64::from(libc::PF_R | libc::PF_X);
        let kind = u64::from(libc::PT_LOAD);
        let fields = [
            kind | flags << 32,
            0,
            address,
            address,
            SLICE_SIZE,
            SLICE_SIZE,
            4096,
        ];
        for (field, value) in header.chunks_exact_mut(8).zip(fields) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        // There is room for it, and a zero behind it.
        let _ = name.write_all(&slices.prefix);
        let _ = write!(name, "{slice:04x}.so");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_header_and_a_name_for_each_slice() {
        let slices = Slices {
            range: Span {
                start: 0x1000_0000,
                len: 3 * SLICE_SIZE,
            },
            prefix: b"/run/images/slice-".to_vec(),
        };
        let table = table(&slices).unwrap();
        for slice in 0..3usize {
            // SAFETY: within the table, as `dl_iterate_phdr` counts.
            let (header, name) = unsafe {
                let headers = table.cast::<libc::Elf64_Phdr>();
                let name = table.add(3 * std::mem::size_of::<libc::Elf64_Phdr>());
                let name = name.add(slice * slices.name_room());
                (*headers.add(slice), std::ffi::CStr::from_ptr(name.cast()))
            };
            assert_eq!(header.p_type, libc::PT_LOAD);
            assert_eq!(header.p_flags, libc::PF_R | libc::PF_X);
            assert_eq!(header.p_vaddr, FILE_BASE + slice as u64 * SLICE_SIZE);
            assert_eq!(header.p_memsz, SLICE_SIZE);
            let expected = format!("/run/images/slice-{slice:04x}.so");
            assert_eq!(name.to_bytes(), expected.as_bytes());
        }
    }
}
