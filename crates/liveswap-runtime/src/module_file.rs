//! Reading a module's file: whole, unchanging, and fit for this process, or not at all.

use std::hash::BuildHasher;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::DefaultHashBuilder;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, elf};

use crate::error::Step;
use crate::sys::files::{self, Stamp, has_writer};

/// How long a file that is being written is left alone before it is looked at again.
pub const RETRY: Duration = Duration::from_millis(5);

/// A write that comes this soon after another may leave the modification time as it is.
const CLOCK_GRAIN: Duration = Duration::from_millis(20);

/// A complete module file in memory.
#[derive(Debug)]
pub struct ModuleFile {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What the file looked like when it was read.
    pub version: FileVersion,
    /// Lowest and end address of the loaded segments, in the file's own terms.
    pub span: Span,
    /// Segments that are not writable, in the file's own terms.
    pub constant: Vec<Range<usize>>,
}

/// Why a module file was not accepted.
#[derive(Debug)]
pub struct Rejected {
    /// `Read` or `Check`.
    pub step: Step,
    /// The reason.
    pub cause: String,
    /// What the file looked like, if it could be found at all.
    pub stamp: Option<Stamp>,
}

/// What is remembered of a file in order to notice that it changed.
#[derive(Clone, Copy, Debug)]
pub struct FileVersion {
    stamp: Stamp,
    /// The file was so fresh when it was read that a later write could have left the same stamp:
    /// then the content decides.
    racy: Option<u64>,
}

impl FileVersion {
    /// `read_at`: when reading began.
    fn new(stamp: Stamp, bytes: &[u8], read_at: SystemTime) -> FileVersion {
        let since_epoch = read_at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let age = since_epoch.as_nanos() as i128 - stamp.mtime_ns;
        // A time in the future was set on purpose and is not this clock's.
        let racy = (0..CLOCK_GRAIN.as_nanos() as i128).contains(&age);
        FileVersion {
            stamp,
            racy: racy.then(|| fingerprint(bytes)),
        }
    }

    /// What the file looked like.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Whether the file at `path` is no longer the one that was read. A file that cannot be found
    /// counts as changed.
    pub fn is_outdated(&mut self, path: &Path) -> bool {
        let Ok(meta) = std::fs::metadata(path) else {
            return true;
        };
        if Stamp::of(&meta) != self.stamp {
            return true;
        }
        let Some(known) = self.racy else { return false };
        let read_at = SystemTime::now();
        let Ok(bytes) = std::fs::read(path) else {
            return true;
        };
        if fingerprint(&bytes) != known {
            return true;
        }
        // Old enough by now that a further write cannot hide: the stamp alone will do.
        self.racy = FileVersion::new(self.stamp, &bytes, read_at).racy;
        false
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    static KEYS: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    KEYS.hash_one(bytes)
}

/// Reads the module file at `path`. While it is incomplete or being written, tries again for as long
/// as `settle`; a file that looks as it did when it was `rejected` before (or is still missing) is not waited for
/// again.
pub fn read(
    path: &Path,
    settle: Duration,
    rejected: Option<Option<Stamp>>,
) -> Result<ModuleFile, Rejected> {
    let deadline = Instant::now() + settle;
    loop {
        let problem = match read_once(path) {
            Ok(file) => return Ok(file),
            Err(problem) => problem,
        };
        let known = rejected == Some(problem.rejected.stamp);
        if !problem.may_pass || known || Instant::now() >= deadline {
            return Err(problem.rejected);
        }
        tracing::debug!(file = %path.display(), cause = problem.rejected.cause, "not ready, trying again");
        // Not a guess at how long the writer needs, only a pause between looks until the deadline.
        std::thread::sleep(RETRY);
    }
}

struct Problem {
    rejected: Rejected,
    /// The file may be on its way to being complete.
    may_pass: bool,
}

fn read_once(path: &Path) -> Result<ModuleFile, Problem> {
    let unreadable = |error: io::Error, stamp| Problem {
        may_pass: error.kind() == io::ErrorKind::NotFound,
        rejected: Rejected {
            step: Step::Read,
            cause: error.to_string(),
            stamp,
        },
    };
    let read_at = SystemTime::now();
    let mut file = files::open(path).map_err(|error| unreadable(error, None))?;
    let meta = file.metadata().map_err(|error| unreadable(error, None))?;
    let before = Stamp::of(&meta);
    if !meta.is_file() {
        return Err(Problem {
            may_pass: false,
            rejected: Rejected {
                step: Step::Read,
                cause: "not a regular file".to_owned(),
                stamp: Some(before),
            },
        });
    }
    let busy = |cause: &str| Problem {
        may_pass: true,
        rejected: Rejected {
            step: Step::Read,
            cause: cause.to_owned(),
            stamp: Some(before),
        },
    };
    if has_writer(&file) == Some(true) {
        return Err(busy("the file is still being written"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.read_to_end(&mut bytes)
        .map_err(|error| unreadable(error, Some(before)))?;
    let after = file
        .metadata()
        .map_err(|error| unreadable(error, Some(before)))?;
    if Stamp::of(&after) != before || bytes.len() as u64 != before.size {
        return Err(busy("the file changed while it was read"));
    }
    match check(&bytes) {
        Ok((span, constant)) => Ok(ModuleFile {
            version: FileVersion::new(before, &bytes, read_at),
            bytes,
            span,
            constant,
        }),
        Err(Flaw { cause, incomplete }) => Err(Problem {
            may_pass: incomplete,
            rejected: Rejected {
                step: Step::Check,
                cause,
                stamp: Some(before),
            },
        }),
    }
}

/// Lowest and end address.
type Span = (usize, usize);

#[derive(Debug)]
struct Flaw {
    cause: String,
    /// More bytes could mend it.
    incomplete: bool,
}

impl Flaw {
    fn final_(cause: impl Into<String>) -> Flaw {
        Flaw {
            cause: cause.into(),
            incomplete: false,
        }
    }
    fn incomplete(cause: impl Into<String>) -> Flaw {
        Flaw {
            cause: cause.into(),
            incomplete: true,
        }
    }
}

#[cfg(target_pointer_width = "64")]
type Header = elf::FileHeader64<Endianness>;
#[cfg(target_pointer_width = "32")]
type Header = elf::FileHeader32<Endianness>;

const NATIVE_MACHINE: object::elf::Machine = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "x86") {
    elf::EM_386
} else {
    elf::EM_ARM
};

/// Checks that `bytes` are a whole shared library for this process; returns the span of its
/// addresses, and the segments that are not writable.
fn check(bytes: &[u8]) -> Result<(Span, Vec<Range<usize>>), Flaw> {
    if bytes.is_empty() {
        return Err(Flaw::incomplete("the file is empty"));
    }
    let ident = bytes
        .get(..16)
        .ok_or_else(|| Flaw::incomplete("the file is cut short"))?;
    if ident.iter().all(|byte| *byte == 0) {
        return Err(Flaw::incomplete(
            "the file starts with zeros: it is not written yet",
        ));
    }
    if ident[..4] != elf::ELFMAG {
        return Err(Flaw::final_("not an ELF file"));
    }
    let native_class = if cfg!(target_pointer_width = "64") {
        elf::ELFCLASS64
    } else {
        elf::ELFCLASS32
    };
    if ident[4] != native_class.0 {
        return Err(Flaw::final_(format!(
            "a library for {}-bit processes, this one is {}-bit",
            if ident[4] == elf::ELFCLASS64.0 {
                64
            } else {
                32
            },
            usize::BITS
        )));
    }
    let header = Header::parse(bytes).map_err(|error| Flaw::incomplete(error.to_string()))?;
    let endian = header
        .endian()
        .map_err(|error| Flaw::final_(error.to_string()))?;
    if (endian == Endianness::Big) != cfg!(target_endian = "big") {
        return Err(Flaw::final_("a library of the other byte order"));
    }
    if header.e_machine(endian) != NATIVE_MACHINE {
        return Err(Flaw::final_(format!(
            "a library for another CPU (ELF machine {}, this process is {})",
            header.e_machine(endian).0,
            std::env::consts::ARCH
        )));
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(Flaw::final_("not a shared library"));
    }
    let cut_short = |what: &str| Flaw::incomplete(format!("the file is cut short: {what}"));
    let sections = header
        .section_headers(endian, bytes)
        .map_err(|error| cut_short(&error.to_string()))?;
    for section in sections {
        section
            .data(endian, bytes)
            .map_err(|_| cut_short("a section lies beyond its end"))?;
    }
    let segments = header
        .program_headers(endian, bytes)
        .map_err(|error| cut_short(&error.to_string()))?;
    let mut span: Option<Span> = None;
    let mut constant = Vec::new();
    for segment in segments {
        segment
            .data(endian, bytes)
            .map_err(|()| cut_short("a segment lies beyond its end"))?;
        if segment.p_type(endian) == elf::PT_LOAD {
            let start = segment.p_vaddr(endian) as usize;
            let end = start.saturating_add(segment.p_memsz(endian) as usize);
            span = Some(span.map_or((start, end), |(low, high)| (low.min(start), high.max(end))));
            if !segment.p_flags(endian).contains(elf::PF_W) {
                constant.push(start..end);
            }
        }
    }
    let span = span.ok_or_else(|| cut_short("it has no segments to load"))?;
    Ok((span, constant))
}
