//! The reloadable functions of an object.
//!
//! A function is reloadable if it has a section of its own (`-ffunction-sections`, rustc's default): it
//! can then be compared, copied and replaced without its neighbours.

use std::collections::HashMap;

use object::elf;

use crate::elf::{Elf, Section, Symbol, SymbolIndex};
use crate::names;

/// A reloadable function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its symbol.
    pub symbol: SymbolIndex,
    /// Its section.
    pub section: Section,
}

/// The reloadable functions of an object, in the order of its symbol table.
#[derive(Debug, Default)]
pub struct Functions {
    all: Vec<Function>,
    by_section: HashMap<Section, SymbolIndex>,
}

impl Functions {
    /// Finds them.
    pub fn of(object: &Elf<'_>) -> Functions {
        let mut found = Functions::default();
        for (index, symbol) in object.symbols.iter().enumerate() {
            let Some(section) = section_of(object, symbol) else {
                continue;
            };
            found.all.push(Function {
                symbol: index,
                section,
            });
            // Of several names for one body (merged functions), a global one speaks for the section.
            let speaker = found.by_section.entry(section).or_insert(index);
            if object.symbols[*speaker].is_local() && !symbol.is_local() {
                *speaker = index;
            }
        }
        found
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Function> + '_ {
        self.all.iter().copied()
    }

    /// The function whose body a section is.
    pub fn in_section(&self, section: Section) -> Option<SymbolIndex> {
        self.by_section.get(&section).copied()
    }

    /// The function that a reference to `symbol` means, when it means a function's first byte.
    pub fn meant_by(&self, object: &Elf<'_>, symbol: SymbolIndex) -> Option<SymbolIndex> {
        let target = &object.symbols[symbol];
        if target.value != 0 {
            return None;
        }
        let function = self.in_section(target.section?)?;
        if target.is_section() {
            Some(function)
        } else {
            target.is_function().then_some(symbol)
        }
    }
}

/// The section of a symbol if it is a reloadable function's.
fn section_of(object: &Elf<'_>, symbol: &Symbol<'_>) -> Option<Section> {
    let section = symbol.section?;
    let data = &object.sections[section];
    let fits = symbol.is_function()
        && symbol.value == 0
        && data.kind == elf::SHT_PROGBITS
        && data.is_code()
        && data.is_loaded()
        && data.name.starts_with(".text.")
        && names::is_identity(symbol.name, symbol.is_local())
        && !names::is_part_of_the_compiler(symbol.name);
    fits.then_some(section)
}
