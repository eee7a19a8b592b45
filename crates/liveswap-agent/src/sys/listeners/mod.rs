//! Listening sockets that stay open while the program is started anew.
//!
//! `bind` and `unlink` are interposed. In the old process it is remembered which address each socket was bound to; the
//! command asks for those that listen, and the next process inherits them. There, a `bind` to the same address
//! puts the socket that listens already in the place of the new one, with the new one's options. All that does not fit is
//! left to the C library, and never meets a socket of ours: one that stands in its way is closed first.
//!
//! These functions may be called in a child of `fork`: nothing waits for a lock.

mod address;
mod inherited;
mod socket;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use liveswap_protocol::listener::Address;

use super::guarded;
use super::symbols::Behind;
use socket::{Node, Socket};

pub use inherited::{inherit, release_all};

type Bind = unsafe extern "C" fn(c_int, *const libc::sockaddr, libc::socklen_t) -> c_int;
type Unlink = unsafe extern "C" fn(*const c_char) -> c_int;
type UnlinkAt = unsafe extern "C" fn(c_int, *const c_char, c_int) -> c_int;

static BIND: Behind = Behind::new(c"bind");
static UNLINK: Behind = Behind::new(c"unlink");
static UNLINKAT: Behind = Behind::new(c"unlinkat");

/// What the program bound.
static BOUND: Mutex<Vec<Bound>> = Mutex::new(Vec::new());
/// The next process has them: their names in the file system must stay.
static GIVEN: AtomicBool = AtomicBool::new(false);

/// As many are remembered.
const MOST_BOUND: usize = 512;
/// As many sockets can be sent at once.
const MOST_GIVEN: usize = 128;

struct Bound {
    /// The socket's inode: what it is, whatever its numbers are.
    inode: u64,
    address: Address,
    /// Of a Unix socket with a path.
    node: Option<Node>,
    /// The next process has it.
    given: bool,
}

/// A lock that is not there after a while is not worth waiting for: in a child of `fork` its owner may not exist.
fn lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    const TRIES: u32 = 1000;
    for _ in 0..TRIES {
        match mutex.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
        }
    }
    None
}

/// Finds the C library's functions, before `main`.
pub fn prepare() {
    for function in [&BIND, &UNLINK, &UNLINKAT] {
        function.address();
    }
}

/// The sockets that listen, by one of their numbers. From now on their paths are not removed.
pub fn give() -> Vec<(RawFd, Address)> {
    let Some(mut bound) = lock(&BOUND) else {
        return Vec::new();
    };
    let mut given: Vec<(u64, RawFd, Address)> = Vec::new();
    for number in socket::numbers() {
        let Some(socket) = Socket::of(number).filter(Socket::listens) else {
            continue;
        };
        let inode = socket.inode();
        if let Some(bound) = bound.iter_mut().find(|it| it.inode == inode)
            && !given.iter().any(|(known, ..)| *known == inode)
            && given.len() < MOST_GIVEN
        {
            bound.given = true;
            given.push((inode, number, bound.address.clone()));
        }
    }
    GIVEN.store(true, Ordering::Release);
    let given = given.into_iter();
    given
        .map(|(_, number, address)| (number, address))
        .collect()
}

fn remember(number: RawFd, address: &Address) {
    let Some(socket) = Socket::of(number).filter(Socket::is_stream) else {
        return;
    };
    let Some(mut bound) = lock(&BOUND) else {
        return;
    };
    if bound.len() >= MOST_BOUND {
        let open: Vec<u64> = socket::numbers()
            .filter_map(|it| Socket::of(it).map(|socket| socket.inode()))
            .collect();
        bound.retain(|it| open.contains(&it.inode));
    }
    let inode = socket.inode();
    // Inodes of sockets are used again.
    bound.retain(|it| it.inode != inode);
    if bound.len() < MOST_BOUND {
        bound.push(Bound {
            inode,
            address: address.clone(),
            node: address::path(address).and_then(|path| Node::of(&path)),
            given: false,
        });
    }
}

/// Whether a path is that of a socket which lives on in the next process, or came from the last one.
fn is_to_stay(folder: c_int, path: &CStr) -> bool {
    let is_given = GIVEN.load(Ordering::Acquire);
    if !is_given && !inherited::has_paths() {
        return false;
    }
    let Some(node) = Node::at(folder, path) else {
        return false;
    };
    let bound = is_given.then(|| lock(&BOUND)).flatten();
    bound.is_some_and(|bound| bound.iter().any(|it| it.given && it.node == Some(node)))
        || inherited::keeps(node)
}

/// Does something, and leaves `errno` alone.
fn aside<T>(otherwise: T, what: impl FnOnce() -> T) -> T {
    // SAFETY: the calling thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; it is valid as long as the thread.
    let before = unsafe { *errno };
    let value = guarded(otherwise, what);
    // SAFETY: as above.
    unsafe { *errno = before };
    value
}

fn missing() -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}

fn is_in_use() -> bool {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() == libc::EADDRINUSE }
}

/// Gives a socket an address.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn bind(
    number: c_int,
    address: *const libc::sockaddr,
    len: libc::socklen_t,
) -> c_int {
    // SAFETY: the function of that name has this type; null becomes `None`.
    let real = unsafe { std::mem::transmute::<usize, Option<Bind>>(BIND.address()) };
    let Some(real) = real else {
        return missing();
    };
    let wanted = aside(None, || address::read(address, len));
    // Those for which any port will do may be about to connect: which one is to listen, nobody knows yet.
    let Some(wanted) = wanted.filter(|it| !address::is_any_port(it)) else {
        // SAFETY: the caller's promise.
        return unsafe { real(number, address, len) };
    };
    if aside(false, || inherited::take_over(number, &wanted)) {
        aside((), || remember(number, &wanted));
        return 0;
    }
    // SAFETY: the caller's promise.
    let mut result = unsafe { real(number, address, len) };
    if result != 0 && is_in_use() && aside(false, || inherited::make_room(&wanted)) {
        // SAFETY: the caller's promise.
        result = unsafe { real(number, address, len) };
    }
    if result == 0 {
        aside((), || remember(number, &wanted));
    }
    result
}

/// Removes a name.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise, once it is not null.
    let stays = || unsafe { is_to_stay(libc::AT_FDCWD, CStr::from_ptr(path)) };
    if !path.is_null() && aside(false, stays) {
        return 0;
    }
    match real_unlink() {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(path) },
        None => missing(),
    }
}

/// The C library's `unlink`.
fn real_unlink() -> Option<Unlink> {
    // SAFETY: the function of that name has this type; null becomes `None`.
    unsafe { std::mem::transmute::<usize, Option<Unlink>>(UNLINK.address()) }
}

/// Removes a name, without looking whose it is.
fn remove(path: &std::path::Path) -> bool {
    let Some(path) = address::c_path(path) else {
        return false;
    };
    // SAFETY: it is a C string.
    real_unlink().is_some_and(|real| unsafe { real(path.as_ptr()) } == 0)
}

/// Removes a name in a folder.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's promise, once it is not null.
    let stays = || unsafe { is_to_stay(folder, CStr::from_ptr(path)) };
    if !path.is_null() && flags == 0 && aside(false, stays) {
        return 0;
    }
    // SAFETY: the function of that name has this type; null becomes `None`.
    match unsafe { std::mem::transmute::<usize, Option<UnlinkAt>>(UNLINKAT.address()) } {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(folder, path, flags) },
        None => missing(),
    }
}
