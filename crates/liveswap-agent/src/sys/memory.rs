//! The range for images: reserved first, committed image by image, never writable and executable at once.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use liveswap_protocol::patch::SLICE_SIZE;

use super::last_error;
use crate::check::{ReadyImage, Span};

/// How far apart two addresses may be that refer to each other with 32 bits, with something to spare.
const REACH: u64 = (1 << 31) - (1 << 20);
const MIB: u64 = 1 << 20;
/// Sizes to try: address space can be limited.
const SIZES: [u64; 5] = [256 * MIB, 128 * MIB, 64 * MIB, 32 * MIB, 16 * MIB];
/// Distance between the places that are tried.
const STEP: u64 = 32 * MIB;
/// Programs cannot map what lies below (`vm.mmap_min_addr`, and room to spare).
const LOWEST: u64 = MIB;

/// Address space for images. It stays reserved for the life of the process: code may be anywhere in it.
#[derive(Debug)]
pub struct Range {
    span: Span,
}

impl Range {
    /// Reserves a range near the executable. It costs no memory.
    pub fn reserve(executable: Span) -> io::Result<Range> {
        let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
        let most = address_space_to_spend();
        for size in SIZES.into_iter().filter(|size| *size <= most) {
            for start in candidates(executable, size) {
                match reserve_at(start, size) {
                    Ok(()) => {
                        return Ok(Range {
                            span: Span { start, len: size },
                        });
                    }
                    Err(error) => why = error,
                }
                if why.raw_os_error() == Some(libc::ENOMEM) {
                    // Not taken but too much: try less.
                    break;
                }
            }
        }
        Err(why)
    }

    /// Where it is.
    pub fn span(&self) -> Span {
        self.span
    }

    /// Puts an image in its place: code becomes read-execute, data read-write, up to the ends of
    /// their slices, so that neighbours of one kind are one mapping to the kernel.
    pub fn map(&self, image: &ReadyImage) -> io::Result<()> {
        let done = self.try_map(image);
        if done.is_err() {
            self.unmap(image);
        }
        done
    }

    fn try_map(&self, image: &ReadyImage) -> io::Result<()> {
        let all = image.mapped.slices;
        let code_end = if image.mapped.data.len > 0 {
            image.mapped.data.start
        } else {
            all.end()
        };
        let code = Span {
            start: all.start,
            len: code_end - all.start,
        };
        self.protect(all, libc::PROT_READ | libc::PROT_WRITE)?;
        self.write(image.mapped.code.start, &image.code)?;
        if image.mapped.data.len > 0 {
            self.write(image.mapped.data.start, &image.data)?;
        }
        if code.len > 0 {
            self.protect(code, libc::PROT_READ | libc::PROT_EXEC)?;
            make_visible_to_fetch(code.start, image.code.len());
        }
        Ok(())
    }

    /// Gives an image's pages back; its place is only reserved again.
    pub fn unmap(&self, image: &ReadyImage) {
        let Span { start, len } = image.mapped.slices;
        if reserve_over(start, len).is_err() {
            // No new mapping can be had: at least nobody may use it, and the memory goes back.
            drop(self.protect(image.mapped.slices, libc::PROT_NONE));
            // SAFETY: the pages lie in our range and belong to an image that nobody knows of yet.
            unsafe {
                libc::madvise(
                    start as *mut libc::c_void,
                    len as usize,
                    libc::MADV_DONTNEED,
                )
            };
        }
    }

    fn protect(&self, span: Span, protection: libc::c_int) -> io::Result<()> {
        if !self.span.holds(span.start, span.len) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: the range was just checked to lie in this reservation, which nobody else manages.
        let done = unsafe {
            libc::mprotect(
                span.start as *mut libc::c_void,
                span.len as usize,
                protection,
            )
        };
        if done == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Copies bytes into pages that were just made writable.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if !self.span.holds(at, bytes.len() as u64) {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        // SAFETY: `try_map` made all of the image's slices writable, the checker made sure that its
        // parts lie in them, and no one else knows of them yet.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
        Ok(())
    }
}

/// Where address space is limited, the program needs most of it.
fn address_space_to_spend() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: the kernel fills in the structure, or leaves it as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    (limit.rlim_cur / 8).max(SIZES[SIZES.len() - 1])
}

/// Starts to try, best first: below the executable, because the heap grows above it, then as far
/// above as the reach allows.
fn candidates(executable: Span, size: u64) -> Vec<u64> {
    let down = |address: u64| address / SLICE_SIZE * SLICE_SIZE;
    let lowest = executable.end().saturating_sub(REACH).max(LOWEST);
    let mut starts = Vec::new();
    let mut end = executable.start;
    while let Some(start) = end
        .checked_sub(size)
        .map(down)
        .filter(|start| *start >= lowest)
    {
        starts.push(start);
        end = match end.checked_sub(STEP) {
            Some(end) => end,
            None => break,
        };
    }
    let mut end = executable.start.saturating_add(REACH);
    while let Some(start) = end
        .checked_sub(size)
        .map(down)
        .filter(|start| *start >= executable.end())
    {
        starts.push(start);
        end -= STEP;
    }
    starts
}

fn reserve_at(start: u64, len: u64) -> io::Result<()> {
    let wanted = start as *mut libc::c_void;
    // SAFETY: MAP_FIXED_NOREPLACE maps only where nothing is; a kernel that does not know it takes the
    // address as a hint, which replaces nothing either.
    let got = unsafe {
        libc::mmap(
            wanted,
            len as usize,
            libc::PROT_NONE,
            libc::MAP_PRIVATE
                | libc::MAP_ANONYMOUS
                | libc::MAP_NORESERVE
                | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        return Err(last_error());
    }
    if got != wanted {
        // SAFETY: the mapping that was just made.
        unsafe { libc::munmap(got, len as usize) };
        return Err(io::Error::from_raw_os_error(libc::EEXIST));
    }
    Ok(())
}

/// Replaces pages of a range by a fresh reservation.
fn reserve_over(start: u64, len: u64) -> io::Result<()> {
    // SAFETY: called for slices of our own range only, of an image that nobody knows of yet.
    let got = unsafe {
        libc::mmap(
            start as *mut libc::c_void,
            len as usize,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    if got == libc::MAP_FAILED {
        Err(last_error())
    } else {
        Ok(())
    }
}

/// Publishes a function's newest code: whoever reads the word afterwards sees what was written before.
///
/// `word` is one that [`crate::check`] let pass: aligned, writable, and there for ever.
pub fn store_word(word: u64, value: u64) {
    // SAFETY: see above; the program reads the word by jumps through it only.
    unsafe { AtomicU64::from_ptr(word as *mut u64) }.store(value, Ordering::Release);
}

/// Where a slot leads. `word` is one that [`crate::check`] let pass.
pub fn load_word(word: u64) -> u64 {
    // SAFETY: aligned, readable, and there for ever; everybody reads and writes it whole.
    unsafe { AtomicU64::from_ptr(word as *mut u64) }.load(Ordering::Relaxed)
}

/// Makes fresh code visible to instruction fetch.
#[cfg(target_arch = "x86_64")]
fn make_visible_to_fetch(_start: u64, _len: usize) {
    // x86-64 keeps instruction fetch coherent with stores.
}

/// Makes fresh code visible to instruction fetch.
#[cfg(target_arch = "aarch64")]
fn make_visible_to_fetch(start: u64, len: usize) {
    // The smallest line that the architecture allows: correct on every CPU, and code is fresh rarely.
    const LINE: usize = 4;
    for at in (0..len as u64).step_by(LINE) {
        // SAFETY: cache maintenance by address on readable memory has no effect but the one wanted.
        unsafe {
            std::arch::asm!("dc cvau, {0}", in(reg) start + at, options(nostack));
        }
    }
    // SAFETY: a barrier.
    unsafe { std::arch::asm!("dsb ish", options(nostack)) };
    for at in (0..len as u64).step_by(LINE) {
        // SAFETY: as above.
        unsafe {
            std::arch::asm!("ic ivau, {0}", in(reg) start + at, options(nostack));
        }
    }
    // SAFETY: barriers.
    unsafe { std::arch::asm!("dsb ish", "isb", options(nostack)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_candidate_is_within_reach_of_all_of_the_executable() {
        for start in [0x40_0000, 0x5555_5555_4000, 0x7fff_0000_0000] {
            let executable = Span {
                start,
                len: 300 * MIB,
            };
            for size in SIZES {
                let starts = candidates(executable, size);
                assert!(!starts.is_empty(), "{start:x} {size:x}");
                for at in starts {
                    let lowest = at.min(executable.start);
                    let highest = (at + size).max(executable.end());
                    assert!(highest - lowest <= REACH, "{start:x} {at:x} {size:x}");
                    assert!(at.is_multiple_of(SLICE_SIZE));
                    let apart = at + size <= executable.start || at >= executable.end();
                    assert!(apart, "{start:x} {at:x} {size:x}");
                }
            }
        }
    }

    #[test]
    fn below_is_preferred() {
        let executable = Span {
            start: 0x5555_5555_4000,
            len: MIB,
        };
        let first = candidates(executable, 256 * MIB)[0];
        assert!(first < executable.start);
    }

    #[test]
    fn a_reservation_replaces_nothing() {
        let executable = Span {
            start: store_word as fn(u64, u64) as usize as u64 / SLICE_SIZE * SLICE_SIZE,
            len: SLICE_SIZE,
        };
        let first = Range::reserve(executable).unwrap().span();
        let second = Range::reserve(executable).unwrap().span();
        assert!(first.end() <= second.start || second.end() <= first.start);
        assert!(reserve_at(first.start, first.len).is_err());
    }
}
