//! What the run-time notes when the program panics or aborts, and the command reads when the process is gone: a file in the
//! folder for images, which is mapped as long as the process lives.

/// Its name.
pub const FILE: &str = "crash";
/// The most addresses of a stack.
pub const MOST: usize = 63;
/// Its length in words of 8 bytes: the kind, and the addresses.
pub const WORDS: usize = 1 + MOST;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A panic of the main thread began.
    Panic = 1,
    /// The program aborts.
    Abort = 2,
}

/// What the file holds when this has happened; `addresses` are those of the stack, from the innermost.
pub fn words(kind: Kind, addresses: &[u64]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    words[0] = kind as u64;
    for (place, address) in words[1..].iter_mut().zip(addresses) {
        *place = *address;
    }
    words
}

/// Reads the file; `None` if nothing has happened, and for what is no such file. The byte order is the host's.
pub fn read(bytes: &[u8]) -> Option<(Kind, Vec<u64>)> {
    let words = bytes.as_chunks::<8>().0.iter();
    let mut words = words.map(|word| u64::from_ne_bytes(*word));
    let kind = match words.next()? {
        1 => Kind::Panic,
        2 => Kind::Abort,
        _ => return None,
    };
    Some((kind, words.take_while(|word| *word != 0).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back() {
        let file = |words: [u64; WORDS]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let some = file(words(Kind::Abort, &[1, u64::MAX]));
        assert_eq!(read(&some), Some((Kind::Abort, vec![1, u64::MAX])));
        let many = file(words(Kind::Panic, &[7; MOST + 1]));
        assert_eq!(read(&many), Some((Kind::Panic, vec![7; MOST])));
        assert_eq!(read(&[]), None);
        assert_eq!(read(&file([0; WORDS])), None);
        assert_eq!(read(&[9; 16]), None);
    }
}
