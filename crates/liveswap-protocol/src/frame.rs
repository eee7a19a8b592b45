//! Framing: a message is its length (4 bytes, little endian) and its postcard encoding.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest message in bytes; more is refused before memory is spent on it.
pub const LARGEST: u32 = 256 * 1024 * 1024;

/// Writes one message.
///
/// # Errors
/// Those of the writer; `InvalidInput` for a message that is too large.
pub fn write<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let body = postcard::to_allocvec(message)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    let len = u32::try_from(body.len())
        .ok()
        .filter(|len| *len <= LARGEST)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "message too large"))?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(&body)?;
    to.flush()
}

/// Reads one message; `None` where the other side closed the connection between two messages.
///
/// # Errors
/// Those of the reader; `InvalidData` for what is not a message; `UnexpectedEof` for half a one.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut len = [0; 4];
    if !read_or_end(from, &mut len)? {
        return Ok(None);
    }
    let len = u32::from_le_bytes(len);
    if len > LARGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {len} bytes"),
        ));
    }
    // Grows with what arrives, so that a wrong length does not cost its memory.
    let mut body = Vec::new();
    from.take(u64::from(len)).read_to_end(&mut body)?;
    if body.len() != len as usize {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    match postcard::take_from_bytes(&body) {
        Ok((message, [])) => Ok(Some(message)),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "bytes after a message",
        )),
        Err(error) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            error.to_string(),
        )),
    }
}

/// Fills `buffer`, or returns false if there is nothing at all.
fn read_or_end(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut done = 0;
    while done < buffer.len() {
        match from.read(&mut buffer[done..]) {
            Ok(0) if done == 0 => return Ok(false),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToAgent;

    #[test]
    fn messages_come_back_in_order_and_then_the_end() {
        let mut wire = Vec::new();
        write(&mut wire, &ToAgent::Announce(3)).unwrap();
        write(&mut wire, &ToAgent::Apply(vec![1, 2])).unwrap();
        let mut from = wire.as_slice();
        assert_eq!(read(&mut from).unwrap(), Some(ToAgent::Announce(3)));
        assert_eq!(read(&mut from).unwrap(), Some(ToAgent::Apply(vec![1, 2])));
        assert_eq!(read::<ToAgent>(&mut from).unwrap(), None);
    }

    #[test]
    fn half_a_message_is_an_error() {
        let mut wire = Vec::new();
        write(&mut wire, &ToAgent::Apply(vec![1, 2, 3])).unwrap();
        for len in 1..wire.len() {
            assert!(read::<ToAgent>(&mut &wire[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn a_huge_length_is_refused_before_memory_is_spent() {
        let mut from: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0];
        assert!(read::<ToAgent>(&mut from).is_err());
    }
}
