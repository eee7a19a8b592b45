//! Thread-locals that a patch adds: their first content in the template and in every thread's block.

use std::io;

use super::{last_error, threads};
use crate::check::Span;
use crate::maps::{self, Mapping};
use crate::sys::program::Tls;

/// The executable's TLS segment.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    template: Span,
    len: u64,
    /// What has to be subtracted from a thread pointer to get the thread's block (it wraps).
    distance: u64,
}

/// Why nothing was written.
#[derive(Debug)]
pub enum Failure {
    /// The template cannot be made writable.
    Memory(io::Error),
    /// There are threads that are not known.
    UnknownThreads,
}

impl Template {
    /// To be called on the thread that `tls` was read on.
    pub fn new(tls: &Tls) -> Template {
        let pointer = super::thread_pointer() as u64;
        let distance = match tls.own_block {
            Some(block) => pointer.wrapping_sub(block),
            None => distance_by_rule(tls),
        };
        Template {
            template: tls.template,
            len: tls.len,
            distance,
        }
    }

    /// Writes the bytes at their offsets, for all threads there are and all that come.
    ///
    /// The offsets are ones that [`crate::check`] let pass: in the segment's initial bytes, and of no
    /// thread-local that code knows.
    pub fn write(&self, items: &[(u64, Vec<u8>)]) -> Result<(), Failure> {
        let fits = |(offset, bytes): &(u64, Vec<u8>)| {
            let room = Span {
                start: 0,
                len: self.template.len.min(self.len),
            };
            room.holds(*offset, bytes.len() as u64)
        };
        if !items.iter().all(fits) {
            let error = io::Error::from(io::ErrorKind::InvalidInput);
            return Err(Failure::Memory(error));
        }
        let opened = open(self.template).map_err(Failure::Memory)?;
        let mut in_template = false;
        let written = threads::for_each(|pointer| {
            if !in_template {
                in_template = true;
                for (offset, bytes) in items {
                    copy(bytes, self.template.start + offset);
                }
            }
            let block = (pointer as u64).wrapping_sub(self.distance);
            for (offset, bytes) in items {
                copy(bytes, block + offset);
            }
        });
        close(&opened);
        if written {
            Ok(())
        } else {
            Err(Failure::UnknownThreads)
        }
    }
}

/// Where the ABI puts the first module's block.
fn distance_by_rule(tls: &Tls) -> u64 {
    if cfg!(target_arch = "aarch64") {
        // Behind the thread pointer and two words.
        16u64.next_multiple_of(tls.align).wrapping_neg()
    } else {
        tls.len.next_multiple_of(tls.align)
    }
}

fn copy(bytes: &[u8], to: u64) {
    // SAFETY: `Template::write` checked the offset; the template is writable while `open` holds, the block
    // of a living thread is; and no code knows of these thread-locals yet.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
}

/// Makes pages of the template writable; returns what was not, to be closed again.
fn open(template: Span) -> io::Result<Vec<Mapping>> {
    let page = super::page_size();
    let start = template.start / page * page;
    let end = template.end().next_multiple_of(page);
    let mut opened = Vec::new();
    for mapping in maps::own()? {
        let part = Mapping {
            start: mapping.start.max(start),
            end: mapping.end.min(end),
            ..mapping
        };
        if part.start >= part.end || part.write {
            continue;
        }
        let writable = Mapping {
            write: true,
            execute: false,
            ..part
        };
        if let Err(error) = protect(&writable) {
            close(&opened);
            return Err(error);
        }
        opened.push(part);
    }
    Ok(opened)
}

fn close(opened: &[Mapping]) {
    for part in opened {
        // If it fails the pages stay writable, which harms nothing.
        drop(protect(part));
    }
}

fn protect(part: &Mapping) -> io::Result<()> {
    let flag = |set: bool, flag| if set { flag } else { 0 };
    let protection = flag(part.read, libc::PROT_READ)
        | flag(part.write, libc::PROT_WRITE)
        | flag(part.execute, libc::PROT_EXEC);
    // SAFETY: pages of the executable's template: they become writable for a moment and then what they were.
    let done = unsafe {
        libc::mprotect(
            part.start as *mut libc::c_void,
            (part.end - part.start) as usize,
            protection,
        )
    };
    if done == 0 { Ok(()) } else { Err(last_error()) }
}
