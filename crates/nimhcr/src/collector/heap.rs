//! The heap of a thread, as the collector in `libnimrtl.so` has it: asked whether a word is a reference.
//!
//! What a variable refers to can be shown to the collector without knowing the variable's type: each word
//! that is the address of a living object counts as a reference, as on a stack. The library has the
//! function that tells (`interiorAllocatedPtr`), but it is hidden and wants a part of the thread's heap whose
//! place in it depends on how the library was compiled. That place is found by the numbers that the library
//! exports (sizes of its memory) and tried before it is believed.

use std::ffi::{CStr, c_char, c_void};

use super::library::Library;
use crate::threadvars::room;

/// `MemRegion` of Nim 1.6 and 2.x begins this many bytes before the first of its four sizes
/// `currMem`, `maxMem`, `freeMem`, `occ`.
const REGION_BEFORE_SIZES: usize = 8320;
/// At its beginning: two words, then the lists of free chunks of each size.
const CHUNK_LISTS_AT: usize = 2 * size_of::<usize>();
const CHUNK_LISTS: usize = 256;
const PAGE: usize = 4096;
/// How much of a thread's emulated thread-locals is looked at: Nim's default room for them.
const EMULATED: usize = 16_000;
/// An object's header: reference count and type.
const HEADER: usize = 2 * size_of::<usize>();

type Size = unsafe extern "C" fn() -> isize;
type Interior = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;

/// Where the heaps of threads are.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// A thread-local of the library: number of its block, offset.
    ThreadLocal(u64, u64),
    /// The only one.
    Static(usize),
    /// A part of what `nimrtl_GetThreadLocalVars()` returns.
    Emulated(unsafe extern "C" fn() -> *mut c_void),
}

/// What tells references from other words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heap {
    start: Start,
    /// Offset of the region in the heap.
    region: usize,
    interior: Interior,
}

impl Heap {
    /// Finds the heap; `None` if anything is not as it should be.
    pub(super) fn find(library: &Library) -> Option<Heap> {
        let interior = library.hidden(b"interiorAllocatedPtr")?;
        let interior = library.base.wrapping_add(interior.address as usize);
        // SAFETY: `interiorAllocatedPtr(a: MemRegion, p: pointer): pointer`; objects are passed by address.
        let interior = unsafe { std::mem::transmute::<usize, Interior>(interior) };
        let (start, size) = match library.hidden(b"gch") {
            Some(heap) if heap.thread_local => (
                Start::ThreadLocal(library.thread_locals, heap.address),
                heap.size as usize,
            ),
            Some(heap) => (
                Start::Static(library.base.wrapping_add(heap.address as usize)),
                heap.size as usize,
            ),
            None => {
                let get = library.function(c"nimrtl_GetThreadLocalVars")?;
                // SAFETY: `GetThreadLocalVars(): pointer`.
                let get = unsafe {
                    std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut c_void>(get)
                };
                (Start::Emulated(get), EMULATED)
            }
        };
        // The first object of all makes the heap.
        let string = make_string(library)?;
        let region = find_region(library, start.address()?, size)?;
        let heap = Heap {
            start,
            region,
            interior,
        };
        heap.is_right(string).then_some(heap)
    }

    /// The object that a word of the calling thread refers to: the address of its content.
    pub(super) fn object(&self, word: usize) -> Option<usize> {
        if word <= PAGE {
            return None;
        }
        let region = (self.start.address()? + self.region) as *mut c_void;
        // SAFETY: the region of the calling thread; any word may be asked for.
        let cell = unsafe { (self.interior)(region, word as *mut c_void) } as usize;
        (cell != 0).then_some(cell + HEADER)
    }

    /// Thread-locals are emulated.
    pub(super) fn is_emulated(&self) -> bool {
        matches!(self.start, Start::Emulated(_))
    }

    /// The words of the calling thread's emulated thread-locals.
    pub(super) fn emulated(&self) -> Vec<usize> {
        let Start::Emulated(_) = self.start else {
            return Vec::new();
        };
        let Some(start) = self.start.address() else {
            return Vec::new();
        };
        let start = start as *const usize;
        // SAFETY: the room that Nim has for them; only this thread writes to it.
        (0..EMULATED / size_of::<usize>())
            .map(|n| unsafe { start.add(n).read_volatile() })
            .collect()
    }

    /// A string that was made just now is an object, and what lies on our stack is none.
    fn is_right(&self, string: usize) -> bool {
        let local = 0usize;
        self.object(string) == Some(string)
            && self.object(string + size_of::<usize>()) == Some(string)
            && self.object(std::ptr::from_ref(&local) as usize).is_none()
    }
}

/// A string in the calling thread's heap.
fn make_string(library: &Library) -> Option<usize> {
    type ToString = unsafe extern "C" fn(*const c_char) -> *mut c_void;
    let make = library.function(c"nimrtl_cstrToNimstr")?;
    let text: &CStr = c"liveswap";
    // SAFETY: `cstrToNimstr(str: cstring): NimString`, under refc an object of the collector.
    let string = unsafe { std::mem::transmute::<*mut c_void, ToString>(make)(text.as_ptr()) };
    Some(string as usize)
}

impl Start {
    /// Address, for the calling thread.
    fn address(self) -> Option<usize> {
        let address = match self {
            Start::ThreadLocal(module, offset) => room::thread_local(module, offset),
            Start::Static(address) => address,
            Start::Emulated(get) => {
                // SAFETY: no arguments; null before the thread has any.
                let address = unsafe { get() };
                address as usize
            }
        };
        (address != 0).then_some(address)
    }
}

/// The offset of the region in the `size` bytes at `start`.
fn find_region(library: &Library, start: usize, size: usize) -> Option<usize> {
    let ask = |name: &CStr| {
        let function = library.function(name)?;
        // SAFETY: `getTotalMem(): int` and its like.
        Some(unsafe { std::mem::transmute::<*mut c_void, Size>(function)() } as usize)
    };
    let total = ask(c"nimrtl_getTotalMem")?;
    let free = ask(c"nimrtl_getFreeMem")?;
    let occupied = ask(c"nimrtl_getOccupiedMem")?;
    let words = size / size_of::<usize>();
    // SAFETY: a variable of the library of this size; only this thread writes to it.
    let memory: Vec<usize> = (0..words)
        .map(|n| unsafe { (start as *const usize).add(n).read_volatile() })
        .collect();
    let mut found = None;
    for at in REGION_BEFORE_SIZES / size_of::<usize>()..words.saturating_sub(3) {
        let sizes = &memory[at..at + 4];
        let region = at - REGION_BEFORE_SIZES / size_of::<usize>();
        let lists = region + CHUNK_LISTS_AT / size_of::<usize>();
        let is_region = total != 0
            && [sizes[0], sizes[2], sizes[3]] == [total, free, occupied]
            && sizes[1].is_multiple_of(PAGE)
            && memory[lists..lists + CHUNK_LISTS]
                .iter()
                .all(|chunk| chunk.is_multiple_of(PAGE));
        if is_region && found.replace(region * size_of::<usize>()).is_some() {
            return None;
        }
    }
    found
}
