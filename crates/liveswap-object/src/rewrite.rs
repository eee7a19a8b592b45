//! What the link stage does to an object, so that its functions can be replaced while the program runs.
//!
//! The name of a function is made to mean its slot: its symbol becomes undefined (a slots object
//! defines it, see [`crate::slots`]) and a symbol with another name is appended for the body. Symbols
//! keep their numbers, so all other relocations stay as they are. Calls and addresses that go by a
//! section symbol (functions that only this object sees) are led to the slot as well; unwind and
//! debug information goes by section symbols and keeps describing the real code.
//!
//! **Slots of an optimised object.** An optimiser that sees caller and callee adapts one to the other:
//! it drops arguments that the callee does not read, or relies on the callee not to unwind. A caller on
//! the stack must therefore never meet another callee than the one it was compiled with, unless the
//! compiler left the caller as it was. So calls within an optimised object go by a slot of their own,
//! which the next generation may leave alone, while all others go by the public one.

use std::collections::HashMap;

use object::elf;

use crate::Error;
use crate::elf::{Elf, Section, SymbolIndex};
use crate::functions::Functions;
use crate::names;
use crate::reference::{FunctionUse, function_use};

/// Where an object comes from.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// Name of its codegen unit, unique in the program and stable from compilation to compilation.
    pub cgu: &'a str,
    /// Whether it was compiled with an optimisation level above 0.
    pub optimised: bool,
}

/// A slot that the program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotName {
    /// The slot's symbol.
    pub name: String,
    /// The symbol of the body that it leads to at first.
    pub body: String,
    /// `STV_*` of the slot's symbol.
    pub visibility: elf::SymbolVisibility,
}

/// An object ready to be linked.
#[derive(Debug)]
pub struct Rewritten {
    /// The object.
    pub bytes: Vec<u8>,
    /// The slots that it counts on.
    pub slots: Vec<SlotName>,
}

/// Rewrites `bytes` for linking.
///
/// # Errors
/// If it is not an object that this crate understands.
pub fn for_linking(bytes: &[u8], origin: &Origin<'_>) -> Result<Rewritten, Error> {
    let object = Elf::parse(bytes)?;
    let functions = Functions::of(&object);
    let mut table = SymbolTable::of(&object)?;
    let mut slots = Vec::new();
    let mut public = HashMap::new();
    for function in functions.iter() {
        let symbol = object.symbols[function.symbol];
        if symbol.is_local() {
            continue;
        }
        let body = names::body(symbol.name);
        table.append(&body, function.symbol, elf::STV_HIDDEN);
        table.undefine(function.symbol);
        slots.push(SlotName {
            name: symbol.name.to_owned(),
            body,
            visibility: symbol.visibility,
        });
        public.insert(function.symbol, function.symbol);
    }
    let mut lead = Lead {
        object: &object,
        origin,
        public,
        calls: HashMap::new(),
        addresses: HashMap::new(),
        bodies: HashMap::new(),
        slots,
    };
    let mut out = bytes.to_vec();
    for section in 0..object.sections.len() {
        lead.references(section, &functions, &mut table, &mut out)?;
    }
    let slots = lead.slots;
    table.write(&object, &mut out)?;
    Ok(Rewritten { bytes: out, slots })
}

/// Leads references to functions of the object to their slots.
struct Lead<'a> {
    object: &'a Elf<'a>,
    origin: &'a Origin<'a>,
    /// Functions whose own symbol means their slot.
    public: HashMap<SymbolIndex, SymbolIndex>,
    /// Symbols of the slots for calls from within the object.
    calls: HashMap<SymbolIndex, SymbolIndex>,
    /// Symbols of the slots for addresses taken within the object.
    addresses: HashMap<SymbolIndex, SymbolIndex>,
    /// Names of the bodies of local functions.
    bodies: HashMap<SymbolIndex, String>,
    slots: Vec<SlotName>,
}

impl Lead<'_> {
    fn references(
        &mut self,
        section: Section,
        functions: &Functions,
        table: &mut SymbolTable,
        out: &mut [u8],
    ) -> Result<(), Error> {
        let data = &self.object.sections[section];
        let Some(relocations) = data.relocated_by else {
            return Ok(());
        };
        if !data.is_loaded() || data.is_unwind_information() {
            return Ok(());
        }
        let table_at = self.object.sections[relocations].offset as usize;
        for (n, rela) in self.object.relocations(section)?.iter().enumerate() {
            let Some(function) = functions.meant_by(self.object, rela.symbol) else {
                continue;
            };
            let wanted = match function_use(self.object.machine, data, rela) {
                FunctionUse::Inside => {
                    if self.public.contains_key(&rela.symbol) {
                        return Err(Error::Unsupported {
                            what: format!(
                                "a reference into the middle of {}",
                                self.object.symbols[rela.symbol].name
                            ),
                            section: data.name.to_owned(),
                        });
                    }
                    continue;
                }
                FunctionUse::Call => self.call_slot(function, table),
                FunctionUse::Address => self.address_slot(function, table),
            };
            if wanted != rela.symbol {
                set_symbol(out, table_at + n * 24, wanted)?;
            }
        }
        Ok(())
    }

    fn call_slot(&mut self, function: SymbolIndex, table: &mut SymbolTable) -> SymbolIndex {
        if !self.origin.optimised
            && let Some(public) = self.public.get(&function)
        {
            return *public;
        }
        if let Some(slot) = self.calls.get(&function) {
            return *slot;
        }
        let name = self.object.symbols[function].name;
        let slot = self.new_slot(names::internal_slot(name, self.origin.cgu), function, table);
        self.calls.insert(function, slot);
        slot
    }

    fn address_slot(&mut self, function: SymbolIndex, table: &mut SymbolTable) -> SymbolIndex {
        if let Some(public) = self.public.get(&function) {
            return *public;
        }
        if !self.origin.optimised {
            return self.call_slot(function, table);
        }
        if let Some(slot) = self.addresses.get(&function) {
            return *slot;
        }
        let name = self.object.symbols[function].name;
        let slot = self.new_slot(names::address_slot(name, self.origin.cgu), function, table);
        self.addresses.insert(function, slot);
        slot
    }

    fn new_slot(
        &mut self,
        slot: String,
        function: SymbolIndex,
        table: &mut SymbolTable,
    ) -> SymbolIndex {
        let symbol = self.object.symbols[function];
        let body = if symbol.is_local() {
            self.bodies
                .entry(function)
                .or_insert_with(|| {
                    let body = names::local_body(symbol.name, self.origin.cgu);
                    table.append(&body, function, elf::STV_HIDDEN);
                    body
                })
                .clone()
        } else {
            names::body(symbol.name)
        };
        let index = table.append_undefined(&slot);
        self.slots.push(SlotName {
            name: slot,
            body,
            visibility: elf::STV_HIDDEN,
        });
        index
    }
}

/// Sets the symbol of the relocation at `at` in the file.
fn set_symbol(out: &mut [u8], at: usize, symbol: SymbolIndex) -> Result<(), Error> {
    let field = out
        .get_mut(at + 12..at + 16)
        .ok_or_else(|| Error::Malformed("relocations outside of the file".into()))?;
    let symbol = u32::try_from(symbol).map_err(|_| Error::Malformed("too many symbols".into()))?;
    field.copy_from_slice(&symbol.to_le_bytes());
    Ok(())
}

const SYMBOL_SIZE: usize = 24;
const SECTION_HEADER_SIZE: usize = 64;

/// The symbol table with its strings while it is rewritten.
struct SymbolTable {
    symbols: Vec<u8>,
    strings: Vec<u8>,
    strings_section: Section,
    /// Section numbers of symbols, where there are more sections than fit the table (`SHT_SYMTAB_SHNDX`).
    extended: Option<(Section, Vec<u8>)>,
}

impl SymbolTable {
    fn of(object: &Elf<'_>) -> Result<SymbolTable, Error> {
        let table = &object.sections[object.symbol_table];
        let strings_section = table.link as usize;
        let strings = object
            .sections
            .get(strings_section)
            .ok_or_else(|| Error::Malformed("a symbol table without strings".into()))?;
        let extended = object
            .sections
            .iter()
            .position(|section| section.kind == elf::SHT_SYMTAB_SHNDX)
            .map(|section| (section, object.sections[section].data.to_vec()));
        Ok(SymbolTable {
            symbols: table.data.to_vec(),
            strings: strings.data.to_vec(),
            strings_section,
            extended,
        })
    }

    /// Makes a symbol undefined.
    fn undefine(&mut self, index: SymbolIndex) {
        let at = index * SYMBOL_SIZE;
        let entry = &mut self.symbols[at..at + SYMBOL_SIZE];
        entry[4] = (elf::STB_GLOBAL | elf::STT_NOTYPE).0;
        entry[6..24].fill(0);
        if let Some((_, sections)) = &mut self.extended {
            sections[index * 4..index * 4 + 4].fill(0);
        }
    }

    /// Appends a global symbol for what `like` is in the object as it was read.
    fn append(
        &mut self,
        name: &str,
        like: SymbolIndex,
        visibility: elf::SymbolVisibility,
    ) -> SymbolIndex {
        let at = like * SYMBOL_SIZE;
        let mut entry = self.symbols[at..at + SYMBOL_SIZE].to_vec();
        entry[0..4].copy_from_slice(&self.name(name));
        entry[4] = (elf::STB_GLOBAL | elf::STT_FUNC).0;
        entry[5] = visibility.0;
        if let Some((_, sections)) = &mut self.extended {
            let section = sections[like * 4..like * 4 + 4].to_vec();
            sections.extend_from_slice(&section);
        }
        self.push(&entry)
    }

    fn append_undefined(&mut self, name: &str) -> SymbolIndex {
        let mut entry = [0; SYMBOL_SIZE];
        entry[0..4].copy_from_slice(&self.name(name));
        entry[4] = (elf::STB_GLOBAL | elf::STT_NOTYPE).0;
        entry[5] = elf::STV_HIDDEN.0;
        if let Some((_, sections)) = &mut self.extended {
            sections.extend_from_slice(&[0; 4]);
        }
        self.push(&entry)
    }

    fn push(&mut self, entry: &[u8]) -> SymbolIndex {
        self.symbols.extend_from_slice(entry);
        self.symbols.len() / SYMBOL_SIZE - 1
    }

    fn name(&mut self, name: &str) -> [u8; 4] {
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        at.to_le_bytes()
    }

    /// Appends the tables to the file and points their section headers there.
    fn write(self, object: &Elf<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        let parts = [
            Some((object.symbol_table, self.symbols)),
            Some((self.strings_section, self.strings)),
            self.extended,
        ];
        for (section, bytes) in parts.into_iter().flatten() {
            out.resize(out.len().next_multiple_of(8), 0);
            let offset = out.len() as u64;
            let header = object.headers_at as usize + section * SECTION_HEADER_SIZE;
            let fields = out
                .get_mut(header + 24..header + 40)
                .ok_or_else(|| Error::Malformed("section headers outside of the file".into()))?;
            fields[..8].copy_from_slice(&offset.to_le_bytes());
            fields[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(&bytes);
        }
        Ok(())
    }
}
