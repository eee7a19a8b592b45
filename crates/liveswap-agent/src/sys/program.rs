//! The executable as it is mapped: found through the list of loaded objects.

use std::ffi::{c_int, c_void};

use liveswap_protocol::start::{DESCRIPTOR_VERSION, Descriptor};

use super::images;
use crate::check::Span;

/// What the program headers tell.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Load bias.
    pub bias: u64,
    /// Contents of the note of the build id.
    pub build_id: Vec<u8>,
    /// From the first to the last page.
    pub extent: Span,
    /// Executable segments.
    pub code: Vec<Span>,
    /// The part of the writable segments that is read-only once it is relocated.
    pub relro: Option<Span>,
    /// Writable segments.
    pub writable: Vec<Span>,
    /// The TLS segment.
    pub tls: Option<Tls>,
    /// The slot words.
    pub words: Span,
}

/// The executable's TLS segment.
#[derive(Clone, Copy, Debug)]
pub struct Tls {
    /// Its initial bytes: what each new thread's block is copied from.
    pub template: Span,
    /// Length of a block.
    pub len: u64,
    /// Alignment of a block.
    pub align: u64,
    /// The calling thread's block, as the loader says.
    pub own_block: Option<u64>,
}

/// The executable that holds this descriptor, or what is wrong with it.
pub fn find(descriptor: &Descriptor) -> Result<Program, &'static str> {
    if descriptor.version != DESCRIPTOR_VERSION {
        return Err("the descriptor is of another version");
    }
    let mut search = Search {
        header: descriptor.header,
        found: None,
    };
    images::each_loaded(look_at, (&raw mut search).cast());
    let mut program = search
        .found
        .ok_or("the executable is not among the loaded objects")?;
    program.words = Span {
        start: descriptor.words_start,
        len: descriptor
            .words_end
            .checked_sub(descriptor.words_start)
            .ok_or("the slot words end before they start")?,
    };
    let Span { start, len } = program.words;
    let writable = program.writable.iter().any(|part| part.holds(start, len));
    let overlaps = |part: &Span| start < part.end() && part.start < start + len;
    if len > 0 && (!writable || program.relro.as_ref().is_some_and(overlaps)) {
        return Err("the slot words are not writable");
    }
    if !start.is_multiple_of(8) || !len.is_multiple_of(8) {
        return Err("the slot words are not aligned");
    }
    if program.build_id.is_empty() {
        return Err("the executable has no build id");
    }
    Ok(program)
}

struct Search {
    header: u64,
    found: Option<Program>,
}

/// Called by the loader for each object; takes the one that the header belongs to.
unsafe extern "C-unwind" fn look_at(
    info: *mut libc::dl_phdr_info,
    size: usize,
    data: *mut c_void,
) -> c_int {
    // SAFETY: the loader gives a valid object, and `find` its own search.
    let (info, search) = unsafe { (&*info, &mut *data.cast::<Search>()) };
    super::guarded(0, || {
        // SAFETY: the loader's own array.
        let headers =
            unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        // Older loaders give a shorter structure.
        let has_tls = size >= std::mem::size_of::<libc::dl_phdr_info>();
        let tls_data = if has_tls {
            info.dlpi_tls_data as u64
        } else {
            0
        };
        let program = read(info.dlpi_addr, headers, tls_data);
        if !program.extent.holds(search.header, 1) {
            return 0;
        }
        search.found = Some(program);
        1
    })
}

fn read(bias: u64, headers: &[libc::Elf64_Phdr], own_block: u64) -> Program {
    let page = super::page_size();
    let mut program = Program {
        bias,
        ..Program::default()
    };
    let mut bounds: Option<(u64, u64)> = None;
    for header in headers {
        let span = Span {
            start: bias.wrapping_add(header.p_vaddr),
            len: header.p_memsz,
        };
        match header.p_type {
            libc::PT_LOAD => {
                let (start, end) = bounds.unwrap_or((u64::MAX, 0));
                bounds = Some((
                    start.min(span.start / page * page),
                    end.max(span.end().next_multiple_of(page)),
                ));
                if header.p_flags & libc::PF_X != 0 {
                    program.code.push(span);
                }
                if header.p_flags & libc::PF_W != 0 {
                    program.writable.push(span);
                }
            }
            libc::PT_GNU_RELRO => {
                // Only whole pages become read-only.
                let end = span.end() / page * page;
                program.relro = Some(Span {
                    start: span.start,
                    len: end.saturating_sub(span.start),
                });
            }
            libc::PT_TLS => {
                program.tls = Some(Tls {
                    template: Span {
                        start: span.start,
                        len: header.p_filesz,
                    },
                    len: header.p_memsz,
                    align: header.p_align.max(1),
                    own_block: (own_block != 0).then_some(own_block),
                });
            }
            libc::PT_NOTE => {
                // SAFETY: a note segment of a loaded object is mapped readable.
                let notes = unsafe {
                    std::slice::from_raw_parts(span.start as *const u8, header.p_filesz as usize)
                };
                if let Some(id) = build_id(notes, header.p_align) {
                    program.build_id = id.to_vec();
                }
            }
            _ => {}
        }
    }
    if let Some((start, end)) = bounds {
        program.extent = Span {
            start,
            len: end - start,
        };
    }
    program
}

/// The note `GNU` of type 3 among others.
fn build_id(mut notes: &[u8], align: u64) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let align = if align == 8 { 8 } else { 4 };
    loop {
        let (header, rest) = notes.split_first_chunk::<12>()?;
        let field = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let (name_len, len, kind) = (field(0) as usize, field(4) as usize, field(8));
        // The description is aligned from the note's start, which is itself aligned.
        let at = (12 + name_len).checked_next_multiple_of(align)? - 12;
        let description = rest.get(at..)?.get(..len)?;
        if kind == NT_GNU_BUILD_ID && rest.get(..name_len)? == b"GNU\0" {
            return Some(description);
        }
        notes = rest.get((at + len + 12).checked_next_multiple_of(align)? - 12..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_id_is_found_behind_other_notes() {
        let mut notes = Vec::new();
        for (kind, text) in [(1u32, &b"abcde"[..]), (3, b"the id")] {
            notes.extend_from_slice(&4u32.to_le_bytes());
            notes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            notes.extend_from_slice(&kind.to_le_bytes());
            notes.extend_from_slice(b"GNU\0");
            notes.extend_from_slice(text);
            notes.resize(notes.len().next_multiple_of(4), 0);
        }
        assert_eq!(build_id(&notes, 4), Some(&b"the id"[..]));
        for len in 0..notes.len() {
            // The last note's padding is not needed.
            if len < notes.len() - 2 {
                assert_eq!(build_id(&notes[..len], 4), None, "{len}");
            }
        }
    }

    #[test]
    fn a_descriptor_of_something_else_is_refused() {
        let descriptor = Descriptor {
            version: DESCRIPTOR_VERSION,
            header: 8,
            words_start: 0,
            words_end: 0,
            slots_start: 0,
            slots_end: 0,
        };
        assert!(find(&descriptor).is_err());
        let descriptor = Descriptor {
            version: 77,
            ..descriptor
        };
        assert!(find(&descriptor).is_err());
    }
}
