//! The kernel's list of mappings (`/proc/self/maps`), read as text.

/// One mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// The first address behind it.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

/// The mappings of this process.
pub fn own() -> std::io::Result<Vec<Mapping>> {
    let text = std::fs::read("/proc/self/maps")?;
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Vec<Mapping> {
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// `start-end rwxp …`: names may hold any bytes, so the line is not taken for text as a whole.
fn line(line: &[u8]) -> Option<Mapping> {
    let mut words = line.split(|byte| *byte == b' ');
    let (start, end) = std::str::from_utf8(words.next()?).ok()?.split_once('-')?;
    let permissions = words.next()?;
    Some(Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        read: *permissions.first()? == b'r',
        write: *permissions.get(1)? == b'w',
        execute: *permissions.get(2)? == b'x',
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_whatever_the_names() {
        let text = b"7f00-7f80 r-xp 00000000 08:01 42 /a \xff\xfe b\n\
            8000-9000 rw-p 00000000 00:00 0 \nnonsense\n";
        let mapping = |start, end, write, execute| Mapping {
            start,
            end,
            read: true,
            write,
            execute,
        };
        let expected = [
            mapping(0x7f00, 0x7f80, false, true),
            mapping(0x8000, 0x9000, true, false),
        ];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn the_own_code_is_found() {
        let here = the_own_code_is_found as fn() as usize as u64;
        let mappings = own().unwrap();
        let mapping = mappings.iter().find(|m| m.start <= here && here < m.end);
        assert!(mapping.is_some_and(|m| m.execute && !m.write));
    }
}
