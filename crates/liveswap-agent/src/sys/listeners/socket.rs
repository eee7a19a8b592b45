//! Sockets by their numbers, and what they are.

use std::ffi::{CStr, c_int, c_void};
use std::fs;
use std::os::fd::RawFd;
use std::path::Path;

use super::address;

/// An open socket, under a number that is not ours: it may be closed at any moment, and calls fail then.
#[derive(Clone, Copy, Debug)]
pub struct Socket {
    number: RawFd,
    inode: u64,
}

/// A name in the file system: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node(u64, u64);

/// What a socket is made as, and cannot become another of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    domain: c_int,
    kind: c_int,
    protocol: c_int,
    only_v6: c_int,
    reuse_port: c_int,
}

/// Options that accepted connections inherit, or that `bind` and `listen` heed. All are numbers.
const OPTIONS: [(c_int, c_int); 18] = [
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_OOBINLINE),
    (libc::SOL_SOCKET, libc::SO_PRIORITY),
    (libc::SOL_SOCKET, libc::SO_MARK),
    (libc::SOL_SOCKET, libc::SO_BUSY_POLL),
    (libc::SOL_SOCKET, libc::SO_PASSCRED),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_IP, libc::IP_TOS),
    (libc::IPPROTO_IP, libc::IP_TTL),
    (libc::IPPROTO_IP, libc::IP_FREEBIND),
];
/// The kernel gives twice what it was told.
const SIZES: [c_int; 2] = [libc::SO_RCVBUF, libc::SO_SNDBUF];

/// All numbers that are open now.
pub fn numbers() -> impl Iterator<Item = RawFd> {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten();
    // The list is complete before any of them is looked at: reading it takes a number itself.
    let numbers: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    numbers.into_iter()
}

impl Socket {
    /// The one with this number, if it is one.
    pub fn of(number: RawFd) -> Option<Socket> {
        let mut facts = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: fstat fills in the structure if it succeeds.
        let facts = unsafe {
            if libc::fstat(number, facts.as_mut_ptr()) != 0 {
                return None;
            }
            facts.assume_init()
        };
        let is_socket = facts.st_mode & libc::S_IFMT == libc::S_IFSOCK;
        is_socket.then_some(Socket {
            number,
            inode: facts.st_ino,
        })
    }

    /// What it is, under whatever number.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether it can listen.
    pub fn is_stream(&self) -> bool {
        let kind = self.option(libc::SOL_SOCKET, libc::SO_TYPE);
        kind.is_some_and(|kind| kind == libc::SOCK_STREAM || kind == libc::SOCK_SEQPACKET)
    }

    /// Whether it does.
    pub fn listens(&self) -> bool {
        self.option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN) == Some(1)
    }

    /// What it is made as. `any`: it is, or will be, bound to all addresses at once. Only then `IPV6_V6ONLY` is the
    /// program's: with another address the kernel sets it.
    pub fn shape(&self, any: bool) -> Option<Shape> {
        let of_socket = |name| self.option(libc::SOL_SOCKET, name);
        let domain = of_socket(libc::SO_DOMAIN)?;
        let only_v6 = match domain {
            libc::AF_INET6 if any => self.option(libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?,
            _ => 0,
        };
        Some(Shape {
            domain,
            kind: of_socket(libc::SO_TYPE)?,
            protocol: of_socket(libc::SO_PROTOCOL)?,
            only_v6,
            reuse_port: of_socket(libc::SO_REUSEPORT).unwrap_or(0),
        })
    }

    /// Whether it has no address yet.
    pub fn is_fresh(&self) -> bool {
        let mut bytes = [0_u8; 128];
        let mut len: libc::socklen_t = 128;
        // SAFETY: the kernel writes at most so many bytes.
        let result =
            unsafe { libc::getsockname(self.number, bytes.as_mut_ptr().cast(), &raw mut len) };
        let used = bytes.get(..len as usize).unwrap_or_default();
        result == 0
            && match address::from_bytes(used) {
                None => true,
                Some(address) => address::port(&address) == Some([0, 0]),
            }
    }

    /// Whether an epoll watches this number already: it would go on watching what is replaced. `None`: nobody can tell.
    pub fn is_watched(&self) -> Option<bool> {
        let wanted = self.number.to_string();
        for entry in fs::read_dir("/proc/self/fdinfo").ok()? {
            // A number that was closed meanwhile watches nothing.
            let Ok(text) = fs::read_to_string(entry.ok()?.path()) else {
                continue;
            };
            let mut watched = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
            if watched.any(|rest| rest.split_whitespace().next() == Some(&wanted)) {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Makes the options those of `other`, as far as the two can differ in them.
    pub fn take_options_of(&self, other: &Socket) {
        for (level, name) in OPTIONS {
            if let (Some(own), Some(wanted)) = (self.option(level, name), other.option(level, name))
                && own != wanted
            {
                self.set_option(level, name, wanted);
            }
        }
        for name in SIZES {
            let level = libc::SOL_SOCKET;
            if let (Some(own), Some(wanted)) = (self.option(level, name), other.option(level, name))
                && own != wanted
            {
                self.set_option(level, name, wanted / 2);
            }
        }
        self.take_linger_of(other);
    }

    fn take_linger_of(&self, other: &Socket) {
        let mut linger = libc::linger {
            l_onoff: 0,
            l_linger: 0,
        };
        let size = std::mem::size_of::<libc::linger>() as libc::socklen_t;
        let mut len = size;
        let value: *mut c_void = (&raw mut linger).cast();
        // SAFETY: the kernel reads and writes a value of this size.
        unsafe {
            let (level, name) = (libc::SOL_SOCKET, libc::SO_LINGER);
            if libc::getsockopt(other.number, level, name, value, &raw mut len) == 0 {
                libc::setsockopt(self.number, level, name, value, size);
            }
        }
    }

    /// Takes the place of the socket with the number `place`: blocking or not, and closed by `exec` or not, as that was.
    pub fn replace(&self, place: RawFd) -> bool {
        // SAFETY: system calls on numbers; the caller is in the middle of binding the one, and the other is ours.
        unsafe {
            let status = libc::fcntl(place, libc::F_GETFL);
            let flags = libc::fcntl(place, libc::F_GETFD);
            let own = libc::fcntl(self.number, libc::F_GETFL);
            if status < 0 || flags < 0 || own < 0 {
                return false;
            }
            let changeable = libc::O_NONBLOCK | libc::O_ASYNC;
            let status = (own & !changeable) | (status & changeable);
            let by_exec = if flags & libc::FD_CLOEXEC == 0 {
                0
            } else {
                libc::O_CLOEXEC
            };
            libc::fcntl(self.number, libc::F_SETFL, status) == 0
                && libc::dup3(self.number, place, by_exec) == place
        }
    }

    /// An option that is a number.
    fn option(&self, level: c_int, name: c_int) -> Option<c_int> {
        let mut value: c_int = 0;
        let mut len = std::mem::size_of::<c_int>() as libc::socklen_t;
        // SAFETY: the kernel writes a number of this size.
        let result = unsafe {
            libc::getsockopt(
                self.number,
                level,
                name,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        (result == 0).then_some(value)
    }

    fn set_option(&self, level: c_int, name: c_int, value: c_int) {
        let len = std::mem::size_of::<c_int>() as libc::socklen_t;
        // One that cannot be set stays as it was in the last process.
        // SAFETY: the kernel reads a number of this size.
        unsafe {
            libc::setsockopt(self.number, level, name, (&raw const value).cast(), len);
        }
    }
}

impl Node {
    /// Of this path.
    pub fn of(path: &Path) -> Option<Node> {
        Node::at(libc::AT_FDCWD, &address::c_path(path)?)
    }

    /// Of a path in an open folder. Only sockets count.
    pub fn at(folder: RawFd, path: &CStr) -> Option<Node> {
        let mut facts = std::mem::MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the path is a C string; the structure is filled in if the call succeeds.
        let facts = unsafe {
            let flags = libc::AT_SYMLINK_NOFOLLOW;
            if libc::fstatat(folder, path.as_ptr(), facts.as_mut_ptr(), flags) != 0 {
                return None;
            }
            facts.assume_init()
        };
        let is_socket = facts.st_mode & libc::S_IFMT == libc::S_IFSOCK;
        is_socket.then_some(Node(facts.st_dev, facts.st_ino))
    }
}
