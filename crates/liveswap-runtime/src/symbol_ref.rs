//! Symbols as callers name them.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;

/// A module and one of its symbols, by the C strings of a caller. Nothing is read until it is needed:
/// who asks for the same thing at every reload is recognised by the strings' addresses.
#[derive(Clone, Copy, Debug)]
pub struct SymbolRef<'a> {
    module: *const c_char,
    name: *const c_char,
    lifetime: PhantomData<&'a CStr>,
}

impl<'a> SymbolRef<'a> {
    /// A symbol by two C strings.
    pub fn new(module: &'a CStr, name: &'a CStr) -> SymbolRef<'a> {
        SymbolRef {
            module: module.as_ptr(),
            name: name.as_ptr(),
            lifetime: PhantomData,
        }
    }

    /// A symbol by two pointers; `None` if one is null.
    ///
    /// # Safety
    /// Each is null or a zero-terminated string that lives and does not change during `'a`.
    pub unsafe fn from_pointers(
        module: *const c_char,
        name: *const c_char,
    ) -> Option<SymbolRef<'a>> {
        (!module.is_null() && !name.is_null()).then_some(SymbolRef {
            module,
            name,
            lifetime: PhantomData,
        })
    }

    /// The module's name.
    pub fn module(&self) -> &'a [u8] {
        // SAFETY: not null and zero-terminated during `'a`, by both constructors.
        unsafe { CStr::from_ptr(self.module) }.to_bytes()
    }

    /// The symbol's name.
    pub fn name(&self) -> &'a [u8] {
        // SAFETY: as above.
        unsafe { CStr::from_ptr(self.name) }.to_bytes()
    }

    /// Where the strings are.
    pub(crate) fn addresses(&self) -> (usize, usize) {
        (self.module as usize, self.name as usize)
    }
}
