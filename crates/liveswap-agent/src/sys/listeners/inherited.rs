//! What a process has from the one before it, until the program binds it or does not need it.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use liveswap_protocol::listener::{Address, read_list};

use super::socket::{Node, Socket};
use super::{address, lock};
use crate::log;

/// The sockets of the process before that are still to be bound.
static INHERITED: Mutex<Vec<Inherited>> = Mutex::new(Vec::new());
/// The number of `INHERITED`, and of those of them that have paths: most calls look at nothing else.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static PATHS: AtomicUsize = AtomicUsize::new(0);

struct Inherited {
    number: RawFd,
    inode: u64,
    address: Address,
    /// Of a Unix socket with a path.
    node: Option<Node>,
    /// The program removed the path, as far as it knows.
    is_removed: bool,
}

impl Inherited {
    /// The socket, if the program has not closed it, without knowing of it.
    fn socket(&self) -> Option<Socket> {
        Socket::of(self.number).filter(|it| it.inode() == self.inode && it.listens())
    }

    fn close(self) {
        if self.is_removed
            && let Some(path) = address::path(&self.address)
            && Node::of(&path) == self.node
        {
            // It is not ours to complain if that fails: the program has been told that it is done.
            let _ = super::remove(&path);
        }
        if self.socket().is_some() {
            // SAFETY: the number is still that of the socket that was left to us.
            drop(unsafe { OwnedFd::from_raw_fd(self.number) });
        }
    }
}

/// Takes in the sockets of this list ([`liveswap_protocol::listener`]). Once, before `main`.
pub fn inherit(text: &str) {
    let Some(mut inherited) = lock(&INHERITED) else {
        return;
    };
    for (number, address) in read_list(text) {
        let Some(socket) = Socket::of(number).filter(Socket::listens) else {
            continue;
        };
        // SAFETY: a system call on a number that was left to us: it is nobody else's yet.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        let path = address::path(&address);
        let node = path.as_ref().and_then(|path| Node::of(path));
        let one = Inherited {
            number,
            inode: socket.inode(),
            address,
            node,
            is_removed: false,
        };
        if path.is_some() && node.is_none() {
            // Nobody can reach it any more.
            one.close();
        } else {
            inherited.push(one);
        }
    }
    log::line(format_args!(
        "{} listeners of the last process",
        inherited.len()
    ));
    counted(&inherited);
}

fn counted(inherited: &[Inherited]) {
    let paths = inherited.iter().filter(|it| it.node.is_some()).count();
    PATHS.store(paths, Ordering::Release);
    COUNT.store(inherited.len(), Ordering::Release);
}

/// Removes what `which` says, from the list.
fn take_out(which: impl FnMut(&mut Inherited) -> bool) -> Vec<Inherited> {
    if COUNT.load(Ordering::Acquire) == 0 {
        return Vec::new();
    }
    let Some(mut inherited) = lock(&INHERITED) else {
        return Vec::new();
    };
    let taken = inherited.extract_if(.., which).collect();
    counted(&inherited);
    taken
}

/// Whether there are any with paths.
pub fn has_paths() -> bool {
    PATHS.load(Ordering::Acquire) > 0
}

/// Whether this is the path of one that is still there. It is noted that the program wants it removed.
pub fn keeps(node: Node) -> bool {
    if !has_paths() {
        return false;
    }
    let Some(mut inherited) = lock(&INHERITED) else {
        return false;
    };
    let mut of_node = inherited.iter_mut().filter(|it| it.node == Some(node));
    of_node.next().is_some_and(|it| {
        let keeps = it.socket().is_some();
        it.is_removed |= keeps;
        keeps
    })
}

/// Puts the socket that listens at this address already into the place of one that is to be bound to it.
pub fn take_over(number: RawFd, wanted: &Address) -> bool {
    if COUNT.load(Ordering::Acquire) == 0 {
        return false;
    }
    let Some(fresh) = Socket::of(number).filter(|it| it.is_stream() && it.is_fresh()) else {
        return false;
    };
    let any = address::is_any_v6(wanted);
    let shape = fresh.shape(any);
    let mut found = false;
    let taken = take_out(|it| {
        let fits = !found
            && it.address == *wanted
            && it.socket().and_then(|socket| socket.shape(any)) == shape
            // Under the path there may be another one by now.
            && it.node == address::path(wanted).and_then(|path| Node::of(&path));
        found |= fits;
        fits
    });
    let Some(one) = taken.into_iter().next() else {
        return false;
    };
    let watched = fresh.is_watched();
    let is_taken = watched == Some(false)
        && one.socket().is_some_and(|socket| {
            socket.take_options_of(&fresh);
            socket.replace(number)
        });
    log::line(format_args!(
        "a bind of {number}: the listener {} takes its place: {is_taken}, watched: {watched:?}",
        one.number
    ));
    // The path is that of the one which took its place.
    let is_removed = one.is_removed && !is_taken;
    Inherited { is_removed, ..one }.close();
    is_taken
}

/// Closes what stands in the way of somebody who wants this address. Whether there was any.
pub fn make_room(wanted: &Address) -> bool {
    let port = address::port(wanted);
    let path = address::path(wanted);
    let node = path.and_then(|path| Node::of(&path));
    let in_the_way = take_out(|it| {
        it.address == *wanted
            || port.is_some() && of_socket(it.number) == port
            || node.is_some() && it.node == node
    });
    let any = !in_the_way.is_empty();
    in_the_way.into_iter().for_each(Inherited::close);
    any
}

/// Closes all that nobody wanted.
pub fn release_all() {
    take_out(|_| true).into_iter().for_each(Inherited::close);
}

/// The port that a socket listens at.
fn of_socket(number: RawFd) -> Option<[u8; 2]> {
    let mut bytes = [0_u8; 128];
    let mut len: libc::socklen_t = 128;
    // SAFETY: the kernel writes at most so many bytes.
    let result =
        unsafe { libc::getsockname(number.as_raw_fd(), bytes.as_mut_ptr().cast(), &raw mut len) };
    let used = bytes.get(..len as usize).unwrap_or_default();
    (result == 0).then(|| address::port(&address::from_bytes(used)?))?
}
