//! A process that is its own successor.

use super::*;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use liveswap_protocol::listener::list;

/// The list of sockets is one for the process.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    release_all();
    guard
}

fn at(port: u16, ip: Ipv4Addr) -> libc::sockaddr_in {
    // SAFETY: zeros are a value of it.
    let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_in>() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from(ip).to_be();
    address
}

fn bytes(address: &libc::sockaddr_in) -> Vec<u8> {
    address::read((&raw const *address).cast(), 16).unwrap()
}

fn fresh(flags: c_int) -> OwnedFd {
    // SAFETY: the number is new, and ours.
    unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0)) }
}

/// Binds as a program does.
fn binds(socket: &OwnedFd, address: &libc::sockaddr_in) -> std::io::Result<()> {
    // SAFETY: the address is there, with its length.
    let result = unsafe { bind(socket.as_raw_fd(), (&raw const *address).cast(), 16) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// A listener of "the process before", and the port.
fn inherited() -> u16 {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = bytes(&at(port, Ipv4Addr::LOCALHOST));
    inherit(&list([(listener.into_raw_fd(), &*address)]));
    port
}

fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_bind_to_the_same_address_gets_the_socket_that_listens_with_what_waits_in_it() {
    let _alone = alone();
    let port = inherited();
    let mut early = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    early.write_all(b"early").unwrap();
    let socket = fresh(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
    let nodelay = |socket: c_int| {
        let mut value: c_int = 0;
        let mut len = 4;
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
        // SAFETY: the kernel writes a number.
        unsafe { libc::getsockopt(socket, level, name, (&raw mut value).cast(), &raw mut len) };
        value
    };
    let on: c_int = 1;
    // SAFETY: the kernel reads a number.
    unsafe {
        let (level, name) = (libc::IPPROTO_TCP, libc::TCP_NODELAY);
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const on).cast(), 4);
    }
    binds(&socket, &at(port, Ipv4Addr::LOCALHOST)).unwrap();
    // SAFETY: calls on our own number.
    let (status, flags) = unsafe {
        assert_eq!(libc::listen(socket.as_raw_fd(), 5), 0);
        let number = socket.as_raw_fd();
        (
            libc::fcntl(number, libc::F_GETFL),
            libc::fcntl(number, libc::F_GETFD),
        )
    };
    assert_ne!(status & libc::O_NONBLOCK, 0);
    assert_ne!(flags & libc::FD_CLOEXEC, 0);
    assert_eq!(nodelay(socket.as_raw_fd()), 1);
    let listener = TcpListener::from(socket);
    let (mut accepted, _) = listener.accept().unwrap();
    drop(early);
    let mut text = String::new();
    accepted.set_nonblocking(false).unwrap();
    accepted.read_to_string(&mut text).unwrap();
    assert_eq!(text, "early");
    // It is handed on once more, under the same name, if it listens.
    let given = give();
    let ours = given
        .iter()
        .find(|(_, address)| *address == bytes(&at(port, Ipv4Addr::LOCALHOST)));
    assert!(ours.is_some(), "{given:?}");
    drop(listener);
    assert!(!is_open(port), "there is one too many");
}

/// The kernel sets `IPV6_V6ONLY` with the address, so that a fresh socket never fitted.
#[test]
fn a_listener_of_version_6_was_not_found_again() {
    let _alone = alone();
    for (ip, both) in [("::1", false), ("::", true)] {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let inode = Socket::of(listener.as_raw_fd()).unwrap().inode();
        let std::net::SocketAddr::V6(v6) = address else {
            panic!("{address}");
        };
        let mut name = u16::try_from(libc::AF_INET6)
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        name.extend(v6.port().to_be_bytes());
        name.extend([0; 4]);
        name.extend(v6.ip().octets());
        name.extend([0; 4]);
        inherit(&list([(listener.into_raw_fd(), &*name)]));
        // SAFETY: the number is new, and ours; the address is there, with its length.
        let socket = unsafe {
            let socket = OwnedFd::from_raw_fd(libc::socket(libc::AF_INET6, libc::SOCK_STREAM, 0));
            let address = name.as_ptr().cast();
            assert_eq!(bind(socket.as_raw_fd(), address, 28), 0);
            socket
        };
        assert_eq!(
            Socket::of(socket.as_raw_fd()).unwrap().inode(),
            inode,
            "{ip}"
        );
        assert_eq!(is_open(v6.port()), both);
    }
}

#[test]
fn what_stands_in_the_way_of_another_address_is_closed_first() {
    let _alone = alone();
    let port = inherited();
    // Without `SO_REUSEADDR`, as hard as it gets.
    let socket = fresh(0);
    binds(&socket, &at(port, Ipv4Addr::UNSPECIFIED)).unwrap();
    assert!(!is_open(port), "the old one listens");
    // Of somebody else's socket the program hears as ever.
    let other = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = other.local_addr().unwrap().port();
    let error = binds(&fresh(0), &at(taken, Ipv4Addr::LOCALHOST)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_socket_of_another_kind_or_under_watch_is_not_replaced() {
    let _alone = alone();
    let port = inherited();
    // One that an epoll watches already would be watched no more.
    let socket = fresh(0);
    // SAFETY: calls on our own numbers.
    let epoll = unsafe {
        let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 0,
        };
        let number = socket.as_raw_fd();
        assert_eq!(
            libc::epoll_ctl(
                epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                number,
                &raw mut event
            ),
            0
        );
        epoll
    };
    let inode = Socket::of(socket.as_raw_fd()).unwrap().inode();
    binds(&socket, &at(port, Ipv4Addr::LOCALHOST)).unwrap();
    assert_eq!(Socket::of(socket.as_raw_fd()).unwrap().inode(), inode);
    assert!(!is_open(port), "the old one listens");
    drop(epoll);

    let port = inherited();
    // SAFETY: the number is new, and ours.
    let datagrams =
        unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0)) };
    binds(&datagrams, &at(port, Ipv4Addr::LOCALHOST)).unwrap();
    assert!(is_open(port), "a port of UDP is another one");
    release_all();
    assert!(!is_open(port));
}

#[test]
fn a_number_that_the_program_has_closed_and_got_again_is_not_touched() {
    let _alone = alone();
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let number = listener.as_raw_fd();
    inherit(&list([(number, &*bytes(&at(port, Ipv4Addr::LOCALHOST)))]));
    let nothing = std::fs::File::open("/dev/null").unwrap();
    drop(listener);
    // SAFETY: our own numbers.
    let other = unsafe {
        libc::dup2(nothing.as_raw_fd(), number);
        OwnedFd::from_raw_fd(number)
    };
    binds(&fresh(0), &at(port, Ipv4Addr::LOCALHOST)).unwrap();
    release_all();
    // SAFETY: a call on a number.
    let flags = unsafe { libc::fcntl(other.as_raw_fd(), libc::F_GETFD) };
    assert!(flags >= 0, "it was closed");
}

/// The address of a Unix socket with this path.
fn name_of(path: &Path) -> Vec<u8> {
    let mut name = u16::try_from(libc::AF_UNIX).unwrap().to_ne_bytes().to_vec();
    name.extend(path.as_os_str().as_encoded_bytes());
    name
}

/// A new Unix socket, bound to an address as a program does.
fn bound(kind: c_int, name: &[u8]) -> std::io::Result<OwnedFd> {
    // SAFETY: the number is new, and ours; the address is there, with its length.
    unsafe {
        let socket = OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, kind, 0));
        let mut address = std::mem::zeroed::<libc::sockaddr_un>();
        (&raw mut address)
            .cast::<u8>()
            .copy_from_nonoverlapping(name.as_ptr(), name.len());
        let len = libc::socklen_t::try_from(name.len() + 1).unwrap();
        match bind(socket.as_raw_fd(), (&raw const address).cast(), len) {
            0 => Ok(socket),
            _ => Err(std::io::Error::last_os_error()),
        }
    }
}

/// Removes a path as a program does.
fn removes(path: &Path) {
    let path = address::c_path(path).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { unlink(path.as_ptr()) }, 0);
}

/// A Unix listener of "the process before".
fn inherited_at(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    inherit(&list([(listener.into_raw_fd(), &*name_of(path))]));
}

#[test]
fn the_path_of_a_socket_stays_until_it_is_bound_and_is_removed_then() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    inherited_at(&path);
    let _early = UnixStream::connect(&path).unwrap();
    removes(&path);
    assert!(path.exists());
    let socket = bound(libc::SOCK_STREAM, &name_of(&path)).unwrap();
    // SAFETY: a call on our own number.
    assert_eq!(unsafe { libc::listen(socket.as_raw_fd(), 5) }, 0);
    let listener = UnixListener::from(socket);
    listener.accept().unwrap();
    GIVEN.store(false, Ordering::Release);
    removes(&path);
    assert!(!path.exists());
    // What was removed behind our back has no successor.
    let second = UnixListener::bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    inherit(&list([(second.into_raw_fd(), &*name_of(&path))]));
    assert!(!inherited::has_paths());
}

#[test]
fn a_path_that_was_removed_stayed_when_nothing_took_its_socket() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    inherited_at(&path);
    removes(&path);
    release_all();
    assert!(!path.exists());
    // One of another kind takes the path, not the socket.
    inherited_at(&path);
    removes(&path);
    drop(bound(libc::SOCK_DGRAM, &name_of(&path)).unwrap());
    UnixStream::connect(&path).unwrap_err();
    removes(&path);
    assert!(!path.exists());
    // The program has closed all that it does not know.
    inherited_at(&path);
    let node = Node::of(&path).unwrap();
    for number in socket::numbers().filter(|number| *number > 2) {
        let is_it = Socket::of(number).is_some_and(|it| it.listens()) && is_bound_to(number, &path);
        if is_it {
            // SAFETY: it was left to us, and nobody else has it.
            drop(unsafe { OwnedFd::from_raw_fd(number) });
        }
    }
    assert!(!inherited::keeps(node));
    removes(&path);
    assert!(!path.exists());
}

fn is_bound_to(number: c_int, path: &Path) -> bool {
    let mut bytes = [0_u8; 128];
    let mut len = 128;
    // SAFETY: the kernel writes at most so many bytes.
    unsafe { libc::getsockname(number, bytes.as_mut_ptr().cast(), &raw mut len) };
    address::from_bytes(&bytes[..len as usize]) == Some(name_of(path))
}

#[test]
fn a_path_whose_socket_is_not_handed_on_was_never_removed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    // It does not listen.
    let socket = bound(libc::SOCK_STREAM, &name_of(&path)).unwrap();
    give();
    removes(&path);
    assert!(!path.exists());
    drop(socket);
}

#[test]
fn a_client_with_any_port_was_given_the_listener_of_the_last_process() {
    let _alone = alone();
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let any = at(0, Ipv4Addr::LOCALHOST);
    inherit(&list([(listener.into_raw_fd(), &*bytes(&any))]));
    let server = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = fresh(0);
    binds(&client, &any).unwrap();
    let there = at(server.local_addr().unwrap().port(), Ipv4Addr::LOCALHOST);
    // SAFETY: the address is there, with its length.
    let result = unsafe { libc::connect(client.as_raw_fd(), (&raw const there).cast(), 16) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn an_address_that_cannot_be_read_ended_the_program() {
    let _alone = alone();
    let socket = fresh(0);
    let nowhere = std::ptr::without_provenance(8);
    // SAFETY: the kernel looks at it, and says what is wrong.
    let result = unsafe { bind(socket.as_raw_fd(), nowhere, 16) };
    let error = std::io::Error::last_os_error();
    assert_eq!((result, error.raw_os_error()), (-1, Some(libc::EFAULT)));
}
