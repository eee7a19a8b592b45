//! Leading a library's code to other places for its thread-locals.
//!
//! With threads a thread-local is found by a pair of words in the global offset table, the number of
//! a block of thread-locals and an offset in it; or by the number of the block alone, with offsets in
//! the code. Both can be set in the file before it is loaded. Without threads a thread-local is an ordinary
//! variable and code reaches it relative to itself: that can be set only when it is known where the code is.

use hashbrown::{HashMap, HashSet};
use object::Endianness;
use object::elf::{
    PF_X, PT_LOAD, PT_TLS, R_X86_64_DTPMOD64, R_X86_64_DTPOFF32, R_X86_64_DTPOFF64,
    R_X86_64_GLOB_DAT, R_X86_64_PC32, R_X86_64_TLSGD, R_X86_64_TLSLD, SHF_ALLOC, SHT_DYNSYM,
};
use object::read::SymbolIndex;
use object::read::elf::{FileHeader, ProgramHeader, Rela, SectionHeader, Sym};

use crate::c_name::CName;

use super::relocatable::{Reference, Relocatable, SymbolKind};

type Header = object::elf::FileHeader64<Endianness>;

/// Length of a relocation in a file, in bytes, and of its parts.
const WORD: u64 = 8;

/// Where a thread-local is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InBlock {
    /// The loader's number of the block of thread-locals that it is in.
    pub(crate) module: u64,
    /// Offset in the block, in bytes.
    pub(crate) offset: u64,
}

/// What has to be changed in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Bytes by their offsets in the file.
    writes: Vec<(usize, Vec<u8>)>,
}

/// A place in code that has to be led to an address when the code is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// Where the four bytes are, in the library's own terms.
    pub(crate) address: u64,
    pub(crate) addend: i64,
    /// Where they are to lead to, in the process.
    pub(crate) target: usize,
}

/// A thread-local of another module that code refers to. The loader would not find it, as the compiler hides
/// it in the library of its module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) name: Vec<u8>,
    /// Where the library has room for the address (or, with threads, for block and offset), in its own terms.
    pub(crate) address: u64,
    pub(crate) part: Part,
}

/// What is to be stored for an [`Import`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Address,
    Block,
    Offset,
}

/// Headers of a library.
pub(crate) struct Layout<'a> {
    file: &'a [u8],
    /// Segments: address, offset in the file, size in the file, executable.
    segments: Vec<(u64, u64, u64, bool)>,
    /// Places of pairs whose first word gets the number of the library's own block: where they are, and
    /// where in the file their relocation is.
    pairs: HashMap<u64, usize>,
    thread_local_size: u64,
    /// What it imports, and where in the file the relocation is.
    imports: Vec<(Import, usize)>,
}

impl<'a> Layout<'a> {
    /// Reads the headers; `None` if they cannot be understood.
    pub(crate) fn read(file: &'a [u8]) -> Option<Layout<'a>> {
        let header = Header::parse(file).ok()?;
        let endian = header.endian().ok()?;
        let mut layout = Layout {
            file,
            segments: Vec::new(),
            pairs: HashMap::new(),
            thread_local_size: 0,
            imports: Vec::new(),
        };
        for segment in header.program_headers(endian, file).ok()? {
            match segment.p_type(endian) {
                PT_LOAD => layout.segments.push((
                    segment.p_vaddr(endian),
                    segment.p_offset(endian),
                    segment.p_filesz(endian),
                    segment.p_flags(endian).contains(PF_X),
                )),
                PT_TLS => layout.thread_local_size = segment.p_memsz(endian),
                _ => {}
            }
        }
        let sections = header.sections(endian, file).ok()?;
        let names = sections.symbols(endian, file, SHT_DYNSYM).ok()?;
        for section in sections.iter() {
            if !section.sh_flags(endian).contains(SHF_ALLOC) {
                continue;
            }
            let Some((relocations, _)) = section.rela(endian, file).ok()? else {
                continue;
            };
            let start = usize::try_from(section.sh_offset(endian)).ok()?;
            let size = size_of::<object::elf::Rela64<Endianness>>();
            for (n, relocation) in relocations.iter().enumerate() {
                if relocation.r_type(endian, false) == R_X86_64_DTPMOD64
                    && relocation.r_sym(endian, false) == 0
                {
                    layout
                        .pairs
                        .insert(relocation.r_offset(endian), start + n * size);
                    continue;
                }
                let part = match relocation.r_type(endian, false) {
                    R_X86_64_GLOB_DAT => Part::Address,
                    R_X86_64_DTPMOD64 => Part::Block,
                    R_X86_64_DTPOFF64 => Part::Offset,
                    _ => continue,
                };
                let symbol = SymbolIndex(relocation.r_sym(endian, false) as usize);
                let symbol = names.symbol(symbol).ok()?;
                let name = names.symbol_name(endian, symbol).ok()?;
                if symbol.is_undefined(endian) && CName::parse(name).is_some() {
                    let import = Import {
                        name: name.to_vec(),
                        address: relocation.r_offset(endian),
                        part,
                    };
                    layout.imports.push((import, start + n * size));
                }
            }
        }
        Some(layout)
    }

    /// Takes what the library imports of other modules' thread-locals away from the loader.
    pub(crate) fn take_imports(&self) -> (Vec<Import>, Changes) {
        let mut changes = Changes::default();
        for (_, relocation) in &self.imports {
            changes.no_relocation(*relocation);
        }
        let imports = self.imports.iter().map(|(import, _)| import.clone());
        (imports.collect(), changes)
    }

    /// Offset in the file of the `size` bytes at `address`.
    fn offset(&self, address: u64, size: u64) -> Option<usize> {
        let segment = self.segments.iter().find(|(start, _, length, _)| {
            address >= *start && address.saturating_add(size) <= start.saturating_add(*length)
        });
        let (start, offset, ..) = segment?;
        usize::try_from(address - start + offset).ok()
    }

    fn word(&self, address: u64) -> Option<u64> {
        let at = self.offset(address, WORD)?;
        let bytes = self.file.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// What the four bytes of a reference lead to now.
    fn target(&self, address: u64, reference: &Reference) -> Option<u64> {
        let relative = i64::from(self.field(address)?);
        Some(
            address
                .wrapping_add_signed(relative)
                .wrapping_add_signed(-reference.addend),
        )
    }

    fn field(&self, address: u64) -> Option<i32> {
        let at = self.offset(address, 4)?;
        let bytes = self.file.get(at..at + 4)?;
        Some(i32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// All references of the sections of code that refer to one of `wanted`, with their addresses in the library.
    fn references<'r>(
        &self,
        object: &'r Relocatable<'_>,
        wanted: impl Fn(&Reference) -> bool,
    ) -> Result<Vec<(u64, &'r Reference)>, String> {
        let mut all = Vec::new();
        for code in &object.code {
            if !code.references.iter().any(&wanted) {
                continue;
            }
            let mut places = Vec::new();
            for (address, offset, size, executable) in &self.segments {
                let range = || {
                    let start = usize::try_from(*offset).ok()?;
                    self.file.get(start..start + usize::try_from(*size).ok()?)
                };
                if let Some(bytes) = executable.then(range).flatten() {
                    places.extend(code.find_in(bytes, *address).map(|at| address + at));
                }
            }
            let [place] = places[..] else {
                return Err("the object beside the library has other code".to_owned());
            };
            let found = code.references.iter().filter(|it| wanted(it));
            all.extend(found.map(|reference| (place + reference.offset, reference)));
        }
        Ok(all)
    }

    /// Leads code to `places` (for each symbol by index) instead of the library's own
    /// block of thread-locals.
    ///
    /// # Errors
    /// Why that is not possible.
    pub(crate) fn redirect_thread_locals(
        &self,
        object: &Relocatable<'_>,
        places: &HashMap<usize, InBlock>,
    ) -> Result<Changes, String> {
        let of_places = |reference: &Reference| {
            reference.kind == R_X86_64_TLSLD
                || reference
                    .symbol
                    .is_some_and(|symbol| places.contains_key(&symbol))
        };
        let mut changes = Changes::default();
        // A symbol's place in the library's block, less its place in the object's.
        let mut shift = None;
        let mut same_shift = |value: u64, symbol: usize| {
            let this = value.wrapping_sub(object.symbols[symbol].value);
            *shift.get_or_insert(this) == this
        };
        let foreign = || "the object beside the library has other thread-locals".to_owned();
        let mut done = HashSet::new();
        for (address, reference) in self.references(object, of_places)? {
            match (reference.kind, reference.symbol) {
                (R_X86_64_TLSGD, Some(symbol)) => {
                    let pair = self.target(address, reference).ok_or_else(foreign)?;
                    let own = self
                        .word(pair + WORD)
                        .filter(|_| self.pairs.contains_key(&pair));
                    if !own.is_some_and(|own| same_shift(own, symbol)) {
                        return Err(foreign());
                    }
                    if done.insert(pair) {
                        self.set_pair(pair, places[&symbol], &mut changes)
                            .ok_or_else(foreign)?;
                    }
                }
                (R_X86_64_TLSLD, _) => {
                    let pair = self.target(address, reference).ok_or_else(foreign)?;
                    // Another object of the library may use the pair too, for variables of its own.
                    if self.thread_local_size != object.thread_local_size
                        || places.len() != object.thread_locals().count()
                        || self.word(pair + WORD) != Some(0)
                    {
                        return Err("the library has thread-locals that are not Nim's".to_owned());
                    }
                    if done.insert(pair) {
                        let module = places.values().next().map_or(0, |place| place.module);
                        if places.values().any(|place| place.module != module) {
                            return Err("its code expects them side by side".to_owned());
                        }
                        self.set_pair(pair, InBlock { module, offset: 0 }, &mut changes)
                            .ok_or_else(foreign)?;
                    }
                }
                (R_X86_64_DTPOFF32, Some(symbol)) => {
                    let own = i64::from(self.field(address).ok_or_else(foreign)?);
                    if !same_shift((own - reference.addend) as u64, symbol) {
                        return Err(foreign());
                    }
                    let new = places[&symbol].offset.checked_add_signed(reference.addend);
                    let new = new.and_then(|new| i32::try_from(new).ok());
                    let at = self.offset(address, 4).zip(new);
                    let (at, new) = at.ok_or_else(foreign)?;
                    changes.writes.push((at, new.to_le_bytes().to_vec()));
                }
                (kind, _) => {
                    return Err(format!("its code refers to them in another way ({kind})"));
                }
            }
        }
        Ok(changes)
    }

    /// A pair leads to `place`, without a relocation.
    fn set_pair(&self, pair: u64, place: InBlock, changes: &mut Changes) -> Option<()> {
        let at = self.offset(pair, 2 * WORD)?;
        let words = [place.module, place.offset].map(u64::to_le_bytes).concat();
        changes.writes.push((at, words));
        changes.no_relocation(*self.pairs.get(&pair)?);
        Some(())
    }

    /// The places in code that refer to the variables of `places` (an address for each symbol by index).
    ///
    /// # Errors
    /// Why they are not known.
    pub(crate) fn sites(
        &self,
        object: &Relocatable<'_>,
        places: &HashMap<usize, usize>,
    ) -> Result<Vec<Site>, String> {
        let target = |reference: &Reference| {
            let symbol = reference.symbol?;
            Some((symbol, *places.get(&symbol)?))
        };
        let mut own = HashMap::new();
        let mut sites = Vec::new();
        for (address, reference) in self.references(object, |it| target(it).is_some())? {
            let Some((symbol, target)) = target(reference) else {
                continue;
            };
            if reference.kind != R_X86_64_PC32 {
                let kind = reference.kind;
                return Err(format!("its code refers to them in another way ({kind})"));
            }
            let now = self.target(address, reference);
            if now.is_none() || *own.entry(symbol).or_insert(now) != now {
                return Err("the object beside the library has other variables".to_owned());
            }
            sites.push(Site {
                address,
                addend: reference.addend,
                target,
            });
        }
        Ok(sites)
    }
}

impl Relocatable<'_> {
    fn thread_locals(&self) -> impl Iterator<Item = &super::relocatable::Symbol> {
        let symbols = self.symbols.iter();
        symbols.filter(|symbol| symbol.kind == SymbolKind::ThreadLocal)
    }
}

impl Changes {
    /// The relocation at this offset in the file becomes `R_X86_64_NONE`.
    fn no_relocation(&mut self, relocation: usize) {
        // Type and symbol stand behind the place and before the addend.
        let at = relocation + size_of::<u64>();
        self.writes.push((at, vec![0; size_of::<u64>()]));
    }

    /// Makes the changes. They were found in this very file, so that each is inside of it.
    pub(crate) fn apply(&self, file: &mut [u8]) {
        for (at, bytes) in &self.writes {
            if let Some(place) = file.get_mut(*at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }
}
