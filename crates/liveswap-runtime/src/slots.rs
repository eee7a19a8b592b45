//! Permanent addresses of procs: tiny stubs that jump through a data word.
//!
//! The table is reserved address space, committed in chunks. A chunk is code (slots and a thunk)
//! followed by its words; the code is written while the pages are writable and never changes after
//! they became executable, so no page is ever both. Publishing new code is one atomic store.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::arch::{self, native};
use crate::sys::memory::{Reservation, page_size};
use crate::{Name, sys};

/// Bytes of code in a chunk: a multiple of every page size in use.
const CHUNK_CODE: usize = 64 * 1024;
const WORD: usize = size_of::<usize>();
/// The thunk takes one slot's place; handler and context take two words.
const SLOTS_PER_CHUNK: usize = {
    let by_code = CHUNK_CODE / native::SLOT_SIZE - 1;
    let by_words = CHUNK_CODE / native::SLOT_SIZE - 2;
    if by_code < by_words {
        by_code
    } else {
        by_words
    }
};

/// Address of code in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CodeAddress(pub usize);

/// Number of a slot in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotIndex(u32);

/// Why no slot could be had.
#[derive(Debug)]
pub enum SlotError {
    /// The table has no room.
    Full,
    /// The system gave no memory.
    Memory(std::io::Error),
}

/// What a slot without a target says of itself.
#[derive(Debug)]
struct SlotName {
    module: Name,
    name: Name,
    gone: Option<u64>,
}

type Names = Mutex<Vec<SlotName>>;

/// The slots of one run-time. Slots live as long as the process, also when the table is dropped.
#[derive(Debug)]
pub struct SlotTable {
    memory: Reservation,
    /// Shared with the code of the slots, which is why it is never freed.
    names: &'static Names,
    chunk_stride: usize,
    chunks: usize,
    committed: usize,
    used: usize,
}

impl SlotTable {
    /// Reserves `bytes` of address space.
    pub fn new(bytes: usize) -> std::io::Result<SlotTable> {
        let words = (SLOTS_PER_CHUNK + 2) * WORD;
        let chunk_stride = CHUNK_CODE + words.next_multiple_of(page_size());
        let chunks = (bytes / chunk_stride).max(1);
        Ok(SlotTable {
            memory: Reservation::new(chunks * chunk_stride)?,
            names: Box::leak(Box::default()),
            chunk_stride,
            chunks,
            committed: 0,
            used: 0,
        })
    }

    /// How many slots the table can hold; the last one is the stub of those that find no room.
    pub fn capacity(&self) -> usize {
        self.chunks * SLOTS_PER_CHUNK - 1
    }

    /// How many slots are still free.
    pub fn free(&self) -> usize {
        self.capacity() - self.used
    }

    /// A new slot without a target.
    pub fn allocate(&mut self, module: &Name, name: &Name) -> Result<SlotIndex, SlotError> {
        if self.used == self.capacity() {
            return Err(SlotError::Full);
        }
        let index = self.used;
        self.commit_up_to(index).map_err(SlotError::Memory)?;
        self.used += 1;
        self.names().push(SlotName {
            module: module.clone(),
            name: name.clone(),
            gone: None,
        });
        Ok(SlotIndex(index as u32))
    }

    /// The address that stands for every proc that found the table full; calling it ends the
    /// process with a message.
    pub fn overflow_stub(&mut self) -> Result<CodeAddress, std::io::Error> {
        let last = self.capacity();
        self.commit_up_to(last)?;
        Ok(self.address(SlotIndex(last as u32)))
    }

    /// The permanent address of a slot.
    pub fn address(&self, slot: SlotIndex) -> CodeAddress {
        let (chunk, n) = split(slot);
        CodeAddress(
            self.at(chunk * self.chunk_stride + n * native::SLOT_SIZE)
                .as_ptr() as usize,
        )
    }

    /// Lets calls of the slot reach `target` from now on.
    pub fn publish(&self, slot: SlotIndex, target: CodeAddress) {
        // Release: whoever jumps to the new code sees the data that was made ready for it before.
        self.word(slot).store(target.0, Ordering::Release);
    }

    /// Lets calls of the slot end the process with a message that names the generation in which
    /// its proc was removed.
    pub fn retire(&self, slot: SlotIndex, generation: u64) {
        if let Some(entry) = self.names().get_mut(slot.0 as usize) {
            entry.gone = Some(generation);
        }
        self.publish(
            slot,
            CodeAddress(self.address(slot).0 + native::UNBOUND_ENTRY),
        );
    }

    /// The proc goes by another name from now on.
    pub fn rename(&self, slot: SlotIndex, name: &Name) {
        if let Some(entry) = self.names().get_mut(slot.0 as usize) {
            entry.name = name.clone();
        }
    }

    fn names(&self) -> std::sync::MutexGuard<'static, Vec<SlotName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_up_to(&mut self, index: usize) -> std::io::Result<()> {
        // The overflow stub may need the last chunk first; committing all before it costs nothing
        // that matters, because the table is full then.
        while self.committed <= index / SLOTS_PER_CHUNK {
            self.commit_chunk(self.committed)?;
            self.committed += 1;
        }
        Ok(())
    }

    fn commit_chunk(&self, chunk: usize) -> std::io::Result<()> {
        let start = chunk * self.chunk_stride;
        self.memory.make_writable(start, self.chunk_stride)?;
        let first = chunk * SLOTS_PER_CHUNK;
        {
            // SAFETY: the range lies in the reservation, was just made writable, and no slot of this
            // chunk was handed out yet, so nobody else refers to it.
            let code =
                unsafe { std::slice::from_raw_parts_mut(self.at(start).as_ptr(), CHUNK_CODE) };
            arch::encode_chunk(code, SLOTS_PER_CHUNK, CHUNK_CODE, first as u32);
        }
        for n in 0..SLOTS_PER_CHUNK {
            let slot = SlotIndex((first + n) as u32);
            self.publish(
                slot,
                CodeAddress(self.address(slot).0 + native::UNBOUND_ENTRY),
            );
        }
        let handler: extern "C" fn(u32, &'static Names) -> ! = call_without_target;
        self.word_at(chunk, SLOTS_PER_CHUNK)
            .store(handler as usize, Ordering::Release);
        let context: *const Names = self.names;
        self.word_at(chunk, SLOTS_PER_CHUNK + 1)
            .store(context as usize, Ordering::Release);
        self.memory.make_executable(start, CHUNK_CODE)
    }

    fn word(&self, slot: SlotIndex) -> &AtomicUsize {
        let (chunk, n) = split(slot);
        self.word_at(chunk, n)
    }

    fn word_at(&self, chunk: usize, n: usize) -> &AtomicUsize {
        let word = self.at(chunk * self.chunk_stride + CHUNK_CODE + n * WORD);
        // SAFETY: `SlotIndex`es are only made for committed chunks, whose words are readable and
        // writable for the life of the process, aligned (multiples of 8 from a page), and are only
        // ever accessed as atomics or by the slots' own code.
        unsafe { AtomicUsize::from_ptr(word.as_ptr().cast()) }
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.chunks * self.chunk_stride);
        // SAFETY: every offset is computed from a chunk number below `chunks` and stays in its chunk.
        unsafe { self.memory.base().add(offset) }
    }
}

fn split(slot: SlotIndex) -> (usize, usize) {
    (
        slot.0 as usize / SLOTS_PER_CHUNK,
        slot.0 as usize % SLOTS_PER_CHUNK,
    )
}

/// Where the code of a slot ends up while the slot has no target.
extern "C" fn call_without_target(index: u32, names: &'static Names) -> ! {
    let text = {
        let names = names.lock().unwrap_or_else(PoisonError::into_inner);
        match names.get(index as usize) {
            Some(SlotName {
                module,
                name,
                gone: Some(generation),
            }) => format!(
                "liveswap: call of proc {name} of module {module}, which is gone since generation {generation}"
            ),
            Some(SlotName {
                module,
                name,
                gone: None,
            }) => {
                format!(
                    "liveswap: call of proc {name} of module {module}, which was never registered"
                )
            }
            None => "liveswap: call of a proc that found the slot table full; raise \
                     HOT_CODE_RELOADING_JUMP_TABLE_SIZE"
                .to_owned(),
        }
    };
    sys::process::stderr_line(&text);
    std::process::abort()
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "C" fn one() -> u64 {
        1
    }
    extern "C" fn two() -> u64 {
        2
    }

    fn call(address: CodeAddress) -> u64 {
        // SAFETY: the slots in these tests are published with functions of this type.
        let function: extern "C" fn() -> u64 = unsafe { std::mem::transmute(address.0) };
        function()
    }

    #[test]
    fn the_address_stays_when_the_target_changes() {
        let mut table = SlotTable::new(1 << 20).unwrap();
        let slot = table.allocate(&"m".into(), &"f".into()).unwrap();
        table.publish(slot, CodeAddress(one as *const () as usize));
        let address = table.address(slot);
        assert_eq!(call(address), 1);
        table.publish(slot, CodeAddress(two as *const () as usize));
        assert_eq!(table.address(slot), address);
        assert_eq!(call(address), 2);
    }

    #[test]
    fn every_slot_up_to_the_last_works_and_then_the_table_is_full() {
        let mut table = SlotTable::new(1 << 20).unwrap();
        let capacity = table.capacity();
        assert!(
            capacity > 2 * SLOTS_PER_CHUNK,
            "more than two chunks in 1 MB"
        );
        for n in 0..capacity {
            let slot = table.allocate(&"m".into(), &"f".into()).unwrap();
            table.publish(
                slot,
                CodeAddress(if n % 2 == 0 {
                    one as *const ()
                } else {
                    two as *const ()
                } as usize),
            );
        }
        assert!(matches!(
            table.allocate(&"m".into(), &"g".into()),
            Err(SlotError::Full)
        ));
        assert_eq!(table.free(), 0);
        for n in [
            0,
            1,
            SLOTS_PER_CHUNK - 1,
            SLOTS_PER_CHUNK,
            capacity - 2,
            capacity - 1,
        ] {
            assert_eq!(
                call(table.address(SlotIndex(n as u32))),
                if n % 2 == 0 { 1 } else { 2 }
            );
        }
        assert!(table.overflow_stub().is_ok());
    }
}
