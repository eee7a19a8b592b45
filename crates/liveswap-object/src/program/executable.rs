//! The executable as it was linked: where its symbols, slots and thread-locals are.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, Sym};

use crate::Error;
use crate::slots::{SLOTS_SYMBOL, TLS_ROOM_SYMBOL, WORDS_SYMBOL, slot_size};

/// A virtual address as the executable's file counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileAddress(pub u64);

/// A symbol of the executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutableSymbol {
    /// Its address; for thread-locals the offset in the TLS segment.
    pub value: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Whether it is thread-local.
    pub thread_local: bool,
    /// Whether only its object could see it.
    pub local: bool,
    /// Whether several local symbols have this name: then it means none of them.
    pub ambiguous: bool,
}

/// The TLS segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TlsSegment {
    /// Size in bytes of a thread's block.
    pub size: u64,
    /// Alignment of the block.
    pub align: u64,
}

impl TlsSegment {
    /// The offset from the thread pointer of what is at `offset` in the block.
    pub fn from_thread_pointer(&self, machine: elf::Machine, offset: u64) -> i64 {
        let align = self.align.max(1);
        if machine == elf::EM_X86_64 {
            offset as i64 - self.size.next_multiple_of(align) as i64
        } else {
            (offset + 16u64.next_multiple_of(align)) as i64
        }
    }
}

/// The executable.
#[derive(Debug)]
pub struct Executable {
    /// Its machine.
    pub machine: elf::Machine,
    /// Contents of `.note.gnu.build-id`.
    pub build_id: Vec<u8>,
    /// Its TLS segment.
    pub tls: TlsSegment,
    /// Offset in the TLS segment of the room for later thread-locals.
    pub tls_room: u64,
    words: u64,
    slots: ExecutableSymbol,
    symbols: HashMap<Box<str>, ExecutableSymbol>,
    imports: HashSet<Box<str>>,
}

impl Executable {
    /// Reads it.
    ///
    /// # Errors
    /// If it is not an ELF executable that the link stage made and that kept its symbols.
    pub fn parse(bytes: &[u8]) -> Result<Executable, Error> {
        let bad = |error: object::read::Error| Error::Malformed(error.to_string());
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes).map_err(bad)?;
        let endian = header.endian().map_err(bad)?;
        if header.e_type(endian) != elf::ET_DYN {
            return Err(Error::Malformed(
                "the executable is not position independent".into(),
            ));
        }
        let mut tls = TlsSegment::default();
        let mut build_id = Vec::new();
        for segment in header.program_headers(endian, bytes).map_err(bad)? {
            if segment.p_type(endian) == elf::PT_TLS {
                tls = TlsSegment {
                    size: segment.p_memsz(endian),
                    align: segment.p_align(endian),
                };
            }
            if let Some(mut notes) = segment.notes(endian, bytes).map_err(bad)? {
                // mold puts notes of different alignments into one segment: what comes behind the
                // build id may not be readable.
                while build_id.is_empty()
                    && let Some(note) = notes.next().map_err(bad)?
                {
                    if note.n_type(endian) == elf::NT_GNU_BUILD_ID && note.name() == b"GNU" {
                        build_id = note.desc().to_vec();
                    }
                }
            }
        }
        let sections = header.sections(endian, bytes).map_err(bad)?;
        let table = sections
            .symbols(endian, bytes, elf::SHT_SYMTAB)
            .map_err(bad)?;
        let mut imports = HashSet::new();
        let mut symbols = HashMap::with_capacity(table.len());
        for symbol in table.iter() {
            let kind = symbol.st_type();
            if kind == elf::STT_SECTION || kind == elf::STT_FILE {
                continue;
            }
            let name = table.symbol_name(endian, symbol).map_err(bad)?;
            let Ok(name) = std::str::from_utf8(name) else {
                continue;
            };
            if name.is_empty() || name.starts_with(".L") {
                continue;
            }
            if symbol.is_undefined(endian) {
                // GNU ld writes the version after the name.
                let name = name.split('@').next().unwrap_or(name);
                imports.insert(Box::from(name));
                continue;
            }
            let found = ExecutableSymbol {
                value: symbol.st_value(endian),
                size: symbol.st_size(endian),
                thread_local: kind == elf::STT_TLS,
                local: symbol.st_bind() == elf::STB_LOCAL,
                ambiguous: false,
            };
            match symbols.entry(Box::from(name)) {
                Entry::Vacant(entry) => {
                    entry.insert(found);
                }
                Entry::Occupied(mut entry) => prefer(entry.get_mut(), found),
            }
        }
        let wanted = |name: &str| {
            symbols.get(name).copied().ok_or_else(|| {
                Error::Malformed(format!("the executable has no symbol {name}: it was not linked by liveswap, or stripped"))
            })
        };
        if build_id.is_empty() {
            return Err(Error::Malformed("the executable has no build id".into()));
        }
        Ok(Executable {
            machine: header.e_machine(endian),
            words: wanted(WORDS_SYMBOL)?.value,
            slots: wanted(SLOTS_SYMBOL)?,
            tls_room: wanted(TLS_ROOM_SYMBOL)?.value,
            build_id,
            tls,
            symbols,
            imports,
        })
    }

    /// A symbol by name. A global one is preferred to local ones.
    pub fn symbol(&self, name: &str) -> Option<ExecutableSymbol> {
        self.symbols.get(name).copied()
    }

    /// Forgets symbols that only stand in for something that is missing.
    pub fn forget(&mut self, names: &[String]) {
        for name in names {
            self.symbols.remove(&**name);
        }
    }

    /// Whether it takes this symbol from a shared library.
    pub fn imports(&self, name: &str) -> bool {
        self.imports.contains(name)
    }

    /// The word of a slot that begins at this address.
    pub fn word_of_slot(&self, slot: u64) -> Option<FileAddress> {
        let offset = slot.checked_sub(self.slots.value)?;
        let size = slot_size(self.machine);
        (offset < self.slots.size && offset.is_multiple_of(size))
            .then(|| FileAddress(self.words + offset / size * 8))
    }
}

/// Of two symbols with one name keeps the one that the name means.
fn prefer(known: &mut ExecutableSymbol, other: ExecutableSymbol) {
    match (known.local, other.local) {
        (true, false) => *known = other,
        (false, true) => {}
        // Two names for one place are no ambiguity.
        _ if known.value == other.value && known.thread_local == other.thread_local => {}
        _ => known.ambiguous = true,
    }
}
