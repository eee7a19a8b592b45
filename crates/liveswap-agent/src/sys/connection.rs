//! The socket to the command, in the middle of a program that does not know of it.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicI32, Ordering};

use super::last_error;

/// Programs use low numbers and may count on them; ours starts here if the limit allows.
const LOWEST_NUMBER: libc::c_int = 512;

/// The open socket, for `close_in_child` and `close_down`; -1 if there is none.
static OPEN: AtomicI32 = AtomicI32::new(-1);

/// The connection to the command.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    identity: (u64, u64),
}

impl Connection {
    /// Connects to the command's socket.
    pub fn open(path: &Path) -> io::Result<Connection> {
        let stream = move_up(UnixStream::connect(path)?);
        let identity = identity(&stream)?;
        OPEN.store(stream.as_raw_fd(), Ordering::Release);
        Ok(Connection { stream, identity })
    }

    /// Writes all of it, and sends copies of these open files with the first byte.
    pub fn write_with(&mut self, bytes: &[u8], files: &[RawFd]) -> io::Result<()> {
        self.check()?;
        let sent = if files.is_empty() {
            0
        } else {
            send(&self.stream, bytes, files)?
        };
        self.write_all(bytes.get(sent..).unwrap_or_default())
    }

    /// Programs close numbers that they do not know (daemons do) and get them again for files of their
    /// own: those are not ours to read.
    fn check(&self) -> io::Result<()> {
        if identity(&self.stream)? == self.identity {
            Ok(())
        } else {
            Err(io::Error::from(io::ErrorKind::NotConnected))
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        OPEN.store(-1, Ordering::Release);
        if self.check().is_err() {
            // Somebody else's by now (or nobody's): must not be closed by us.
            if let Ok(nothing) = std::fs::File::open("/dev/null") {
                let nothing = UnixStream::from(OwnedFd::from(nothing));
                let foreign = std::mem::replace(&mut self.stream, nothing);
                std::mem::forget(foreign);
            }
        }
    }
}

/// Sends bytes, as many as there is room for, and copies of open files.
fn send(stream: &UnixStream, bytes: &[u8], files: &[RawFd]) -> io::Result<usize> {
    let len = std::mem::size_of_val(files);
    let too_many = || io::Error::from(io::ErrorKind::InvalidInput);
    let len = u32::try_from(len).map_err(|_| too_many())?;
    // SAFETY: arithmetic only.
    let (space, header_len) = unsafe { (libc::CMSG_SPACE(len), libc::CMSG_LEN(len)) };
    // Aligned as a header has to be.
    let mut control = vec![0_u64; (space as usize).div_ceil(8)];
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all pointers are to values that live until the call is over; the buffer has room for one header and `len` bytes.
    let sent = unsafe {
        let mut message = std::mem::zeroed::<libc::msghdr>();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = space as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = header_len as usize;
        libc::CMSG_DATA(header).copy_from_nonoverlapping(files.as_ptr().cast(), len as usize);
        libc::sendmsg(stream.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| last_error())
}

/// Device and inode: what a number stands for.
fn identity(stream: &UnixStream) -> io::Result<(u64, u64)> {
    let mut facts = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills in the structure if it succeeds.
    unsafe {
        if libc::fstat(stream.as_raw_fd(), facts.as_mut_ptr()) != 0 {
            return Err(last_error());
        }
        let facts = facts.assume_init();
        Ok((facts.st_dev, facts.st_ino))
    }
}

/// The same socket under a high number, if there is one.
fn move_up(stream: UnixStream) -> UnixStream {
    // SAFETY: a system call on a number that is ours; the new number is ours alone.
    unsafe {
        let number = libc::fcntl(stream.as_raw_fd(), libc::F_DUPFD_CLOEXEC, LOWEST_NUMBER);
        if number < 0 {
            stream
        } else {
            UnixStream::from(OwnedFd::from_raw_fd(number))
        }
    }
}

/// Closes the socket in the child of a `fork`: the command sees the program end when it ends, whatever
/// its children do. Only what is allowed in a signal handler.
pub fn close_in_child() {
    let number = OPEN.swap(-1, Ordering::AcqRel);
    if number >= 0 {
        // SAFETY: the child's own copy of the number; nobody uses it there.
        unsafe { libc::close(number) };
    }
}

/// Ends the conversation: the agent's thread reads the end and ends.
pub fn close_down() {
    let number = OPEN.load(Ordering::Acquire);
    if number >= 0 {
        // SAFETY: a system call on a number; the connection is open while the number is stored.
        unsafe { libc::shutdown(number, libc::SHUT_RDWR) };
    }
}
