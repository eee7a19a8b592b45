//! Nim's strings as they arrive in C calls.

/// The bytes of a string argument.
///
/// Under refc the first word is a pointer to `{len, reserved, data…}`. Under arc and orc the string is
/// passed by value, as two words: the length, and a pointer to `{capacity, data…}`. No pointer is
/// below 65536, and no module hash is longer.
///
/// # Safety
/// The words are such a string, which lives during the call.
pub(crate) unsafe fn bytes<'a>(first: usize, second: usize) -> &'a [u8] {
    const LARGEST_LENGTH: usize = 65536;
    let word = size_of::<usize>();
    let (length, data) = if first < LARGEST_LENGTH {
        (first, second.wrapping_add(word))
    } else {
        // SAFETY: a refc string begins with its length.
        (unsafe { *(first as *const usize) }, first + 2 * word)
    };
    if length == 0 {
        return &[];
    }
    // SAFETY: `length` bytes of data follow the header, by the layout above.
    unsafe { std::slice::from_raw_parts(data as *const u8, length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C)]
    struct Refc {
        len: isize,
        reserved: isize,
        data: [u8; 8],
    }
    #[repr(C)]
    struct Payload {
        capacity: isize,
        data: [u8; 8],
    }

    #[test]
    fn a_refc_string() {
        let string = Refc {
            len: 4,
            reserved: 8,
            data: *b"hash\0\0\0\0",
        };
        // SAFETY: laid out as the compiler does.
        let hash = unsafe { bytes(&raw const string as usize, 0xdead) };
        assert_eq!(hash, b"hash");
        assert_eq!(string.reserved, 8);
    }

    #[test]
    fn an_arc_string() {
        let payload = Payload {
            capacity: 8,
            data: *b"hash\0\0\0\0",
        };
        // SAFETY: laid out as the compiler does.
        let hash = unsafe { bytes(4, &raw const payload as usize) };
        assert_eq!(hash, b"hash");
        assert_eq!(payload.capacity, 8);
    }

    #[test]
    fn nil_and_empty_strings() {
        // SAFETY: no data is read.
        assert_eq!(unsafe { bytes(0, 0) }, b"");
    }
}
