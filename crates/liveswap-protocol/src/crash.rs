//! What the run-time notes when the program panics or aborts, and the command reads when the process is gone: a file in the
//! folder for images. Written without allocating.

/// Its name.
pub const FILE: &str = "crash";
/// The most addresses of a stack.
pub const MOST: usize = 64;
/// The longest file in bytes.
pub const LONGEST: usize = 8 + MOST * 8;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A panic of the main thread began.
    Panic,
    /// The program aborts.
    Abort,
}

/// Puts the addresses of a stack, from the innermost, into the buffer; returns how many bytes that takes.
pub fn write(kind: Kind, addresses: &[u64], buffer: &mut [u8; LONGEST]) -> usize {
    buffer[..8].copy_from_slice(&(kind as u64).to_le_bytes());
    let mut len = 8;
    for (address, place) in addresses.iter().zip(buffer[8..].chunks_exact_mut(8)) {
        place.copy_from_slice(&address.to_le_bytes());
        len += 8;
    }
    len
}

/// Reads them back; `None` for what is no such file.
pub fn read(bytes: &[u8]) -> Option<(Kind, Vec<u64>)> {
    let words = bytes.as_chunks::<8>().0.iter();
    let mut words = words.map(|word| u64::from_le_bytes(*word));
    let kind = match words.next()? {
        0 => Kind::Panic,
        1 => Kind::Abort,
        _ => return None,
    };
    Some((kind, words.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back() {
        let mut buffer = [0; LONGEST];
        let len = write(Kind::Abort, &[1, u64::MAX], &mut buffer);
        assert_eq!(read(&buffer[..len]), Some((Kind::Abort, vec![1, u64::MAX])));
        let many = [7; MOST + 1];
        assert_eq!(write(Kind::Panic, &many, &mut buffer), LONGEST);
        assert_eq!(read(&buffer), Some((Kind::Panic, vec![7; MOST])));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[9; 16]), None);
    }
}
