//! Addresses of sockets, so that equal ones have equal bytes.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use liveswap_protocol::listener::Address;

use crate::sys::stack;

/// Length of the family in front of all addresses.
const FAMILY: usize = 2;

/// The address that `bind` was given; `None` for a family that is not looked after, and where nothing can be read: what
/// is wrong with it the kernel says.
pub fn read(address: *const libc::sockaddr, len: libc::socklen_t) -> Option<Address> {
    let len = usize::try_from(len).ok()?;
    let mut bytes = [0_u8; 128];
    let bytes = bytes.get_mut(..len).filter(|_| len >= FAMILY)?;
    if stack::read(address.addr() as u64, bytes) < len {
        return None;
    }
    from_bytes(bytes)
}

/// Whether the system is to choose a port.
pub fn is_any_port(address: &[u8]) -> bool {
    port(address) == Some([0, 0])
}

/// The same of the bytes of a `sockaddr`.
pub fn from_bytes(bytes: &[u8]) -> Option<Address> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let used = match family {
        // What follows port and address may be anything.
        libc::AF_INET => bytes.get(..8)?,
        libc::AF_INET6 => bytes.get(..28)?,
        libc::AF_UNIX => {
            let name = &bytes[FAMILY..];
            match name.first()? {
                // A name that is no path: all of it counts.
                0 => bytes,
                _ => {
                    let end = name.iter().position(|byte| *byte == 0);
                    &bytes[..FAMILY + end.unwrap_or(name.len())]
                }
            }
        }
        _ => return None,
    };
    Some(used.to_vec())
}

/// The port, in network order; `None` for what has none.
pub fn port(address: &[u8]) -> Option<[u8; 2]> {
    let family = i32::from(u16::from_ne_bytes(*address.first_chunk()?));
    matches!(family, libc::AF_INET | libc::AF_INET6)
        .then(|| address.get(FAMILY..FAMILY + 2)?.try_into().ok())
        .flatten()
}

/// Whether it is `::`, which can mean the addresses of version 4 as well.
pub fn is_any_v6(address: &[u8]) -> bool {
    let family = address.first_chunk().copied().map(u16::from_ne_bytes);
    family.map(i32::from) == Some(libc::AF_INET6) && address.get(8..24) == Some(&[0; 16])
}

/// The path of a Unix socket that has one.
pub fn path(address: &[u8]) -> Option<PathBuf> {
    let family = i32::from(u16::from_ne_bytes(*address.first_chunk()?));
    let name = &address[FAMILY..];
    let has_path = family == libc::AF_UNIX && name.first().is_some_and(|byte| *byte != 0);
    has_path.then(|| PathBuf::from(OsStr::from_bytes(name)))
}

/// A path for the system.
pub fn c_path(path: &std::path::Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_family(family: i32, rest: &[u8]) -> Vec<u8> {
        let family = u16::try_from(family).unwrap().to_ne_bytes();
        [&family[..], rest].concat()
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let inet = |end: u8| {
            let mut bytes = with_family(libc::AF_INET, &[0x1f, 0x90, 127, 0, 0, 1]);
            bytes.extend([end; 8]);
            from_bytes(&bytes).unwrap()
        };
        assert_eq!(inet(0), inet(7));
        assert_eq!(port(&inet(0)), Some([0x1f, 0x90]));
        assert_eq!(path(&inet(0)), None);
        let v6 = |last: u8| {
            let mut rest = [0; 26];
            rest[21] = last;
            from_bytes(&with_family(libc::AF_INET6, &rest)).unwrap()
        };
        assert!(is_any_v6(&v6(0)) && !is_any_v6(&v6(1)) && !is_any_v6(&inet(0)));
        let unix = |name: &[u8]| from_bytes(&with_family(libc::AF_UNIX, name));
        assert_eq!(unix(b"/a/b\0\0junk"), unix(b"/a/b"));
        assert_eq!(path(&unix(b"/a/b\0").unwrap()), Some("/a/b".into()));
        // Names that are no paths have all the bytes that they have.
        assert_ne!(unix(b"\0a"), unix(b"\0a\0"));
        assert_eq!(path(&unix(b"\0a").unwrap()), None);
        assert_eq!(port(&unix(b"/a").unwrap()), None);
        // None at all: the system chooses one.
        assert_eq!(unix(b""), None);
        assert_eq!(from_bytes(&with_family(libc::AF_NETLINK, &[0; 10])), None);
        assert_eq!(from_bytes(&with_family(libc::AF_INET, &[0])), None);
        assert_eq!(from_bytes(&[]), None);
    }
}
