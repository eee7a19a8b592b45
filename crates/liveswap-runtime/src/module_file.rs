//! Reading a module's file: whole, unchanging, and fit for this process, or not at all.

use std::hash::BuildHasher;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use hashbrown::DefaultHashBuilder;

use crate::elf_check::{self, Flaw, Segments, Span};
use crate::error::Step;
use crate::sys::files::{self, Stamp, has_writer};

/// How long a file that is being written is left alone before it is looked at again.
pub const RETRY: Duration = Duration::from_millis(5);

/// A machine that stands still for a while must not make one look out of the whole time to wait.
const LOOKS_AT_LEAST: u32 = 20;

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
    let mut looks = 0;
    loop {
        looks += 1;
        let problem = match read_once(path) {
            Ok(file) => return Ok(file),
            Err(problem) => problem,
        };
        let known = rejected == Some(problem.rejected.stamp);
        let too_long = Instant::now() >= deadline && (looks >= LOOKS_AT_LEAST || settle.is_zero());
        if !problem.may_pass || known || too_long {
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
    match elf_check::check(&bytes) {
        Ok(Segments { span, constant }) => Ok(ModuleFile {
            version: FileVersion::new(before, &bytes, read_at),
            bytes,
            span,
            constant,
        }),
        Err(Flaw {
            cause,
            step,
            incomplete,
        }) => Err(Problem {
            may_pass: incomplete,
            rejected: Rejected {
                step,
                cause,
                stamp: Some(before),
            },
        }),
    }
}
