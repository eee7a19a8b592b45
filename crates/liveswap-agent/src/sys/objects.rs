//! The code of loaded objects and their unwind information, as the loader tells.

use std::ffi::{c_int, c_void};

use super::images;
use crate::check::Span;

/// An executable segment of a loaded object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Where it is.
    pub code: Span,
    /// The object's `.eh_frame_hdr`: a table of the unwind information of all its segments.
    pub table: Span,
}

/// All executable segments with unwind information. Addresses may be gone when they are used: another
/// thread can close a library.
pub fn loaded() -> Vec<Object> {
    // The loader holds its lock while it tells, and others may wait for that lock in an allocator. So
    // nothing is allocated then: they are counted first. A few may come in between.
    let mut count = 0_usize;
    images::each_loaded(count_one, (&raw mut count).cast());
    let mut objects = Vec::with_capacity(count + 64);
    images::each_loaded(note_one, (&raw mut objects).cast());
    objects
}

unsafe extern "C-unwind" fn count_one(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the loader gives a valid object, and back the number that `loaded` gave.
    let (info, count) = unsafe { (&*info, &mut *data.cast::<usize>()) };
    each_segment(info, &mut |_| *count += 1);
    0
}

unsafe extern "C-unwind" fn note_one(
    info: *mut libc::dl_phdr_info,
    _size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the loader gives a valid object, and back the list that `loaded` gave.
    let (info, objects) = unsafe { (&*info, &mut *data.cast::<Vec<Object>>()) };
    each_segment(info, &mut |object| {
        if objects.len() < objects.capacity() {
            objects.push(object);
        }
    });
    0
}

fn each_segment(info: &libc::dl_phdr_info, what: &mut dyn FnMut(Object)) {
    if info.dlpi_phdr.is_null() {
        return;
    }
    // SAFETY: the loader's own array.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let span = |header: &libc::Elf64_Phdr| Span {
        start: info.dlpi_addr.wrapping_add(header.p_vaddr),
        len: header.p_memsz,
    };
    let Some(table) = headers
        .iter()
        .find(|header| header.p_type == libc::PT_GNU_EH_FRAME)
    else {
        return;
    };
    for header in headers {
        if header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_X != 0 {
            what(Object {
                code: span(header),
                table: span(table),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_code_and_that_of_the_c_library_are_listed() {
        let own = loaded as fn() -> Vec<Object> as usize as u64;
        let foreign = libc::getpid as unsafe extern "C" fn() -> i32 as usize as u64;
        let objects = loaded();
        let of = |address| objects.iter().find(|it| it.code.holds(address, 1));
        assert!(of(own).is_some() && of(foreign).is_some());
        assert!(objects.iter().all(|object| object.table.len > 0));
    }
}
