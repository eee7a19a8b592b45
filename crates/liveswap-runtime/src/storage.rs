//! Memory of globals: zeroed, at a permanent address, aligned for any type.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::sys::memory::Pages;

/// Alignment of every global: a cache line, which is also enough for every vector type.
pub const ALIGNMENT: usize = 64;

/// From this size on memory comes as pages, which cost nothing until they are touched.
const PAGES_FROM: usize = 1 << 20;

/// Memory of one global; freed on drop.
#[derive(Debug)]
pub struct Storage {
    memory: Memory,
}

#[derive(Debug)]
enum Memory {
    Heap(NonNull<u8>, Layout),
    Pages(Pages),
    /// Somebody else's, who never gives it back.
    Others(NonNull<u8>),
}

// SAFETY: the memory is owned (or never given back); the run-time itself never reads or writes it after `new`.
unsafe impl Send for Storage {}
// SAFETY: as above.
unsafe impl Sync for Storage {}

impl Storage {
    /// `size` zeroed bytes, at least one.
    pub fn new(size: usize) -> std::io::Result<Storage> {
        let out_of_memory = || std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        if size >= PAGES_FROM {
            return Ok(Storage {
                memory: Memory::Pages(Pages::new(size)?),
            });
        }
        let layout =
            Layout::from_size_align(size.max(1), ALIGNMENT).map_err(|_| out_of_memory())?;
        // SAFETY: the layout's size is not zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or_else(out_of_memory)?;
        Ok(Storage {
            memory: Memory::Heap(memory, layout),
        })
    }

    /// Memory that somebody else has made, and never gives back.
    pub fn of_others(memory: NonNull<u8>) -> Storage {
        Storage {
            memory: Memory::Others(memory),
        }
    }

    /// Zeroes it again, for another life under the same address. What others have made stays as it is.
    pub fn clear(&self) {
        let size = match &self.memory {
            Memory::Heap(_, layout) => layout.size(),
            Memory::Pages(pages) => pages.len(),
            Memory::Others(_) => return,
        };
        // SAFETY: `size` bytes are allocated; what old code of the program does with memory of a removed
        // global is a race of the program's own making.
        unsafe { self.address().write_bytes(0, size) };
    }

    /// The permanent address.
    pub fn address(&self) -> NonNull<u8> {
        match &self.memory {
            Memory::Heap(memory, _) => *memory,
            Memory::Pages(pages) => pages.base(),
            Memory::Others(memory) => *memory,
        }
    }
}

/// Memory of a global that the collector has to look at word by word. It stays as long as this.
#[derive(Debug)]
pub struct Unmarked {
    storage: Arc<Storage>,
    /// In bytes.
    size: usize,
}

impl Unmarked {
    /// The `size` bytes of a global. `None` if others made the memory: they look after it.
    pub(crate) fn new(storage: &Arc<Storage>, size: usize) -> Option<Unmarked> {
        let ours = !matches!(storage.memory, Memory::Others(_)) && size >= size_of::<usize>();
        ours.then(|| Unmarked {
            storage: Arc::clone(storage),
            size,
        })
    }

    /// The words that are there now.
    pub fn words(&self) -> impl Iterator<Item = usize> + '_ {
        let start = self.storage.address().as_ptr() as *const usize;
        // SAFETY: the storage has at least `size` bytes and is aligned for any type. Other threads of the program
        // may write to it: whole words, one at a time, as far as they hold references.
        (0..self.size / size_of::<usize>()).map(move |n| unsafe { start.add(n).read_volatile() })
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Memory::Heap(memory, layout) = &self.memory {
            // SAFETY: allocated in `new` with this layout, and freed only here.
            unsafe { dealloc(memory.as_ptr(), *layout) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroed_and_aligned_at_every_size() {
        for size in [0, 1, 7, 64, 4097, PAGES_FROM, PAGES_FROM + 1] {
            let storage = Storage::new(size).unwrap();
            let address = storage.address();
            assert_eq!(address.as_ptr() as usize % ALIGNMENT, 0);
            // SAFETY: `size` bytes were just allocated.
            let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), size) };
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn an_absurd_size_is_an_error_and_not_a_crash() {
        assert!(Storage::new(isize::MAX as usize - 4096).is_err());
    }
}
