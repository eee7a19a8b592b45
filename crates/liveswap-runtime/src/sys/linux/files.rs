//! What `std::fs` does not tell about files.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// `F_SETSIG` of `fcntl(2)`, the same on every Linux; missing in the `libc` crate.
const F_SETSIG: libc::c_int = 10;

/// Identity of a file's content as far as the file system tells: (mtime in ns, size, inode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Modification time in nanoseconds since the epoch.
    pub mtime_ns: i128,
    /// Size in bytes.
    pub size: u64,
    /// Device and inode: a file that was replaced by rename has another one.
    pub inode: (u64, u64),
}

impl Stamp {
    /// The stamp of a file.
    pub fn of(meta: &Metadata) -> Stamp {
        Stamp {
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            size: meta.size(),
            inode: (meta.dev(), meta.ino()),
        }
    }
}

/// Opens a file for reading without waiting for anybody: a pipe in its place opens, and is no file.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Whether anybody has `file` open for writing; `None` where the file system cannot tell.
///
/// The kernel grants a read lease only on a file that nobody has open for writing. The lease is
/// given back at once; a writer that comes in between is announced by SIGURG, which is ignored by
/// default, instead of by SIGIO, which would end the process.
pub fn has_writer(file: &File) -> Option<bool> {
    let fd = file.as_raw_fd();
    // SAFETY: fcntl on an open descriptor with integer arguments.
    unsafe {
        if libc::fcntl(fd, F_SETSIG, libc::SIGURG) != 0 {
            return None;
        }
        if libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) == 0 {
            libc::fcntl(fd, libc::F_SETLEASE, libc::F_UNLCK);
            return Some(false);
        }
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EAGAIN) => Some(true),
        _ => None,
    }
}
