//! Which function is in which slot of a table of methods.

use std::collections::HashMap;

use super::VTable;
use super::sections::relocation_at;
use crate::elf::{Elf, Section};

/// Drop glue, size and alignment come first in every table.
const FIRST_METHOD: u64 = 24;
/// More methods than any trait has.
const LIMIT: u64 = 1 << 16;

/// The names of functions by where they are.
pub(super) struct Functions<'e, 'a> {
    object: &'e Elf<'a>,
    names: Option<HashMap<(Section, u64), &'a str>>,
}

impl<'e, 'a> Functions<'e, 'a> {
    pub(super) fn new(object: &'e Elf<'a>) -> Self {
        Functions {
            object,
            names: None,
        }
    }

    fn at(&mut self, section: Section, offset: u64) -> Option<&'a str> {
        let names = self.names.get_or_insert_with(|| {
            let symbols = self.object.symbols.iter();
            symbols
                .filter(|symbol| symbol.is_function())
                .filter_map(|symbol| Some(((symbol.section?, symbol.value), symbol.name)))
                .collect()
        });
        names.get(&(section, offset)).copied()
    }

    /// Reads the table whose address stands at `offset` of `section`.
    pub(super) fn table(&mut self, section: Section, offset: u64, size: u64) -> Option<VTable> {
        let object = self.object;
        let address = relocation_at(object, section, offset)?;
        let symbol = object.symbols.get(address.symbol)?;
        let home = symbol.section?;
        let start = symbol.value.wrapping_add(address.addend);
        let slots = size.checked_sub(FIRST_METHOD)? / 8;
        if slots > LIMIT {
            return None;
        }
        let methods = (0..slots).map(|slot| {
            let at = start.wrapping_add(FIRST_METHOD + slot * 8);
            self.method(home, at).unwrap_or_default().into()
        });
        Some(VTable {
            methods: methods.collect(),
            drops: relocation_at(object, home, start).is_some(),
        })
    }

    fn method(&mut self, home: Section, offset: u64) -> Option<&'a str> {
        let object = self.object;
        let entry = relocation_at(object, home, offset)?;
        let target = object.symbols.get(entry.symbol)?;
        if target.undefined || target.is_function() {
            return Some(target.name);
        }
        let offset = target.value.wrapping_add(entry.addend);
        self.at(target.section?, offset)
    }
}
