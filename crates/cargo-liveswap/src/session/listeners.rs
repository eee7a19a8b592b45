//! Listening sockets between two processes of the program: taken from the old one, left to the new one.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use liveswap_protocol::listener::{self, Address};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A socket that listens, and what the program bound it to.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: OwnedFd,
    /// Its name among listeners.
    pub address: Address,
}

/// A stream by which open files come, too.
#[derive(Debug)]
pub struct WithFiles {
    stream: UnixStream,
    files: VecDeque<OwnedFd>,
}

impl WithFiles {
    /// Nothing was read yet.
    pub fn new(stream: UnixStream) -> WithFiles {
        WithFiles {
            stream,
            files: VecDeque::new(),
        }
    }

    /// The files that have come with the sockets of these addresses; none if they do not match.
    pub fn listeners(&mut self, addresses: Vec<Address>) -> Vec<Listener> {
        let files = std::mem::take(&mut self.files);
        if files.len() != addresses.len() {
            tracing::warn!(
                files = files.len(),
                addresses = addresses.len(),
                "sockets do not match"
            );
            return Vec::new();
        }
        let both = files.into_iter().zip(addresses);
        both.map(|(socket, address)| Listener { socket, address })
            .collect()
    }
}

impl Read for WithFiles {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The most that Linux sends at once.
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let parts = &mut [IoSliceMut::new(buffer)];
        let received = recvmsg(&self.stream, parts, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(files) = message {
                self.files.extend(files);
            }
        }
        Ok(received.bytes)
    }
}

/// Sockets as the next process inherits them.
#[derive(Debug)]
pub struct Left {
    sockets: Vec<Listener>,
}

impl Left {
    /// Makes copies that survive `exec`, under numbers that programs do not count on. Whoever starts a process while this lives
    /// leaves them to it.
    pub fn new(listeners: Vec<Listener>) -> Left {
        const LOWEST_NUMBER: i32 = 700;
        let copy = |listener: Listener| {
            // With a low limit there are no such numbers.
            let socket = fcntl_dupfd_cloexec(&listener.socket, LOWEST_NUMBER)
                .or_else(|_| fcntl_dupfd_cloexec(&listener.socket, 3))
                .and_then(|socket| fcntl_setfd(&socket, FdFlags::empty()).map(|()| socket));
            let address = listener.address;
            socket
                .inspect_err(|error| tracing::warn!(%error, "a socket is not left to the program"))
                .ok()
                .map(|socket| Listener { socket, address })
        };
        Left {
            sockets: listeners.into_iter().filter_map(copy).collect(),
        }
    }

    /// The variable that tells of them, with its value; `None` if there are none.
    pub fn variable(&self) -> Option<(&'static str, String)> {
        let sockets = self.sockets.iter();
        let list = listener::list(sockets.map(|it| (it.socket.as_raw_fd(), &*it.address)));
        (!list.is_empty()).then_some((listener::VARIABLE, list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

    #[test]
    fn sockets_come_beside_the_bytes_and_go_on_by_inheritance() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let files = [listener.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        let bytes = io::IoSlice::new(b"ab");
        sendmsg(&ours, &[bytes], &mut control, SendFlags::empty()).unwrap();
        ours.write_all(b"cd").unwrap();
        drop((listener, ours));
        let mut stream = WithFiles::new(theirs);
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcd");
        let listeners = stream.listeners(vec![vec![2, 0]]);
        assert_eq!(listeners.len(), 1);
        assert!(stream.listeners(vec![vec![2, 0]]).is_empty(), "taken");

        let left = Left::new(listeners);
        let (name, value) = left.variable().unwrap();
        let inode = std::process::Command::new("sh")
            .args(["-c", "readlink /proc/self/fd/${LIVESWAP_LISTENERS%%:*}"])
            .env(name, value)
            .output()
            .unwrap();
        let text = String::from_utf8(inode.stdout).unwrap();
        assert!(text.starts_with("socket:"), "{text}");
        // It listens all the time, and no more when nobody has it.
        drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        drop(left);
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(Left::new(Vec::new()).variable(), None);
    }
}
