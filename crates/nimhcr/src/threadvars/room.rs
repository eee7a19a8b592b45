//! Where thread-locals are kept: not in the images that use them, which come and go.
//!
//! Two rooms, each given away piece by piece and never taken back: a thread-local one of this library, of
//! which every thread has its own, zeroed by the loader when the thread first looks at it; and an ordinary one
//! for programs without threads.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::redirect::Site;

/// Size of each room in bytes. Every thread that uses a thread-local has a room.
const SIZE: usize = 64 * 1024;
/// What the C compiler aligns no more than.
const ALIGNMENT: usize = 16;

#[repr(C, align(64))]
struct Room(UnsafeCell<[u8; SIZE]>);

// SAFETY: the bytes are never looked at as a whole, but given away in pieces; who refers to a piece, module
// code of a program without threads, has one thread.
unsafe impl Sync for Room {}

thread_local! {
    static OF_THREAD: Room = const { Room(UnsafeCell::new([0; SIZE])) };
}
static OF_PROCESS: Room = Room(UnsafeCell::new([0; SIZE]));
static TAKEN: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// Where a thread-local is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// At this offset in the room of each thread.
    EachThread(usize),
    /// At this offset in the room of the process.
    Process(usize),
    /// In a block of thread-locals of another library: its number, offset.
    Library(u64, u64),
    /// At an address where another library has it for the only thread. Code that reaches it relative to itself
    /// has a stand-in instead, at this offset in the room of the process: the address may be too far away.
    OfOnlyThread { address: usize, stand_in: usize },
}

/// What `__tls_get_addr` takes.
#[repr(C)]
struct Index {
    module: u64,
    offset: u64,
}

unsafe extern "C" {
    fn __tls_get_addr(index: *const Index) -> *mut c_void;
}

/// Takes `size` zeroed bytes of a room; `None` if they do not fit in any more.
pub(crate) fn take(size: usize, of_threads: bool) -> Option<Place> {
    let length = size.max(1).checked_next_multiple_of(ALIGNMENT)?;
    let taken = &TAKEN[usize::from(of_threads)];
    let fits = |start: usize| {
        let end = start.checked_add(length)?;
        (end <= SIZE).then_some(end)
    };
    let start = taken
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        .ok()?;
    Some(if of_threads {
        Place::EachThread(start)
    } else {
        Place::Process(start)
    })
}

impl Place {
    /// Every thread has its own.
    pub(crate) fn is_of_threads(self) -> bool {
        matches!(self, Place::EachThread(_) | Place::Library(..))
    }

    /// The address, for the calling thread.
    pub(crate) fn address(self) -> usize {
        match self {
            Place::EachThread(offset) => {
                OF_THREAD.with(|room| room.0.get().cast::<u8>() as usize) + offset
            }
            Place::Process(offset) => OF_PROCESS.0.get().cast::<u8>() as usize + offset,
            Place::Library(module, offset) => thread_local(module, offset),
            Place::OfOnlyThread { address, .. } => address,
        }
    }

    /// The address for code that reaches it relative to itself.
    pub(crate) fn address_nearby(self) -> usize {
        match self {
            Place::OfOnlyThread { stand_in, .. } => Place::Process(stand_in).address(),
            place => place.address(),
        }
    }

    /// The words that are there now, for the calling thread. `size` is what the place was taken with.
    pub(crate) fn words(self, size: usize) -> Vec<usize> {
        let start = self.address() as *const usize;
        // SAFETY: places are inside of a room, begin at multiples of 16 and have at least `size` bytes; only this
        // thread writes to them.
        (0..size / size_of::<usize>())
            .map(|n| unsafe { start.add(n).read_volatile() })
            .collect()
    }
}

/// The loader's number of the block that the room of threads is in, and the room's offset in it.
pub(crate) fn block_of_threads() -> Option<(u64, u64)> {
    let module = block_of(std::ptr::from_ref(&OF_PROCESS) as usize)?;
    let index = Index { module, offset: 0 };
    // SAFETY: `module` is the loader's number for this library, which is loaded.
    let start = unsafe { __tls_get_addr(&raw const index) } as usize;
    Some((module, (Place::EachThread(0).address() - start) as u64))
}

/// The calling thread's address of a thread-local of a loaded library, by the loader's number of its block.
pub(crate) fn thread_local(module: u64, offset: u64) -> usize {
    let index = Index { module, offset };
    // SAFETY: `module` is the number of a library that stays loaded, as whoever asks vouches.
    unsafe { __tls_get_addr(&raw const index) as usize }
}

/// The number of the block of thread-locals of the library that `address` is in.
fn block_of(address: usize) -> Option<u64> {
    struct Search {
        address: usize,
        found: Option<u64>,
    }
    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: the loader passes a valid record, and we passed a pointer to a Search.
        let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
        if info.dlpi_phdr.is_null() {
            return 0;
        }
        let count = usize::from(info.dlpi_phnum);
        // SAFETY: not null; the loader gives their number.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, count) };
        let inside = headers.iter().any(|header| {
            let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
            header.p_type == libc::PT_LOAD
                && (start..start.saturating_add(header.p_memsz as usize)).contains(&search.address)
        });
        if inside && info.dlpi_tls_modid != 0 {
            search.found = Some(info.dlpi_tls_modid as u64);
        }
        c_int::from(inside)
    }
    let mut search = Search {
        address,
        found: None,
    };
    // SAFETY: `look` is called during this call only, with the pointer to `search`.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

/// Leads code that was loaded at `base` to the places that `sites` tell.
///
/// # Errors
/// Why it is not done; then nothing was changed.
///
pub(crate) fn lead(sites: &[Site], base: usize) -> Result<(), String> {
    let mut fields = Vec::with_capacity(sites.len());
    for site in sites {
        let address = base.wrapping_add(site.address as usize);
        let relative = (site.target as i64)
            .wrapping_add(site.addend)
            .wrapping_sub(address as i64);
        let relative = i32::try_from(relative)
            .map_err(|_| "its thread-locals are too far away from its code".to_owned())?;
        fields.push((address, relative));
    }
    let ranges = fields
        .iter()
        .map(|(address, _)| *address..*address + size_of::<i32>());
    writable(ranges, libc::PROT_READ | libc::PROT_EXEC, || {
        for (address, relative) in &fields {
            // SAFETY: four bytes of the library's code, found in its file and compared, writable now.
            unsafe { (*address as *mut i32).write_unaligned(*relative) };
        }
    })
}

/// Stores words where an image that was loaded has room for what it imports: addresses and values.
///
/// # Errors
/// Why it is not done; then nothing was changed.
pub(crate) fn store(words: &[(usize, u64)]) -> Result<(), String> {
    let ranges = words
        .iter()
        .map(|(address, _)| *address..*address + size_of::<u64>());
    writable(ranges, libc::PROT_READ | libc::PROT_WRITE, || {
        for (address, word) in words {
            // SAFETY: a word of the library's offset table, found in its file, writable now; no code of the
            // library runs.
            unsafe { (*address as *mut u64).write_unaligned(*word) };
        }
    })
}

/// Makes all pages of `ranges`, which are of one segment of an image, writable while `action` runs.
fn writable(
    ranges: impl Iterator<Item = std::ops::Range<usize>> + Clone,
    afterwards: c_int,
    action: impl FnOnce(),
) -> Result<(), String> {
    let (Some(first), Some(end)) = (
        ranges.clone().map(|range| range.start).min(),
        ranges.map(|range| range.end).max(),
    ) else {
        return Ok(());
    };
    // SAFETY: sysconf has no preconditions.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let start = first / page * page;
    let length = end.next_multiple_of(page) - start;
    let protect = |protection| {
        // SAFETY: the pages belong to an image, which is mapped as long as it is loaded; no code of it runs
        // while they are changed.
        let done = unsafe { libc::mprotect(start as *mut c_void, length, protection) };
        if done == 0 {
            return Ok(());
        }
        let error = std::io::Error::last_os_error();
        Err(format!(
            "its thread-locals cannot be led elsewhere: {error}"
        ))
    };
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    action();
    protect(afterwards)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_has_a_room_of_its_own_and_it_is_zeroed() {
        let place = take(24, true).unwrap();
        let address = place.address();
        assert_eq!(address % ALIGNMENT, 0);
        let other = std::thread::spawn(move || (place.address(), place.words(24)));
        let (other, words) = other.join().unwrap();
        assert_ne!(address, other);
        assert_eq!(words, [0, 0, 0]);
    }

    #[test]
    fn the_loader_finds_the_room_of_threads_where_it_is() {
        let (module, offset) = block_of_threads().unwrap();
        let index = Index { module, offset };
        // SAFETY: the numbers are the loader's own.
        let found = unsafe { __tls_get_addr(&raw const index) } as usize;
        assert_eq!(found, Place::EachThread(0).address());
    }

    #[test]
    fn what_does_not_fit_is_not_given() {
        assert_eq!(take(SIZE + 1, false), None);
        assert_eq!(take(usize::MAX, false), None);
        let (a, b) = (take(1, false).unwrap(), take(1, false).unwrap());
        assert_eq!(b.address() - a.address(), ALIGNMENT);
    }
}
