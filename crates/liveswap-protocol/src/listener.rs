//! Listening sockets on their way from one process of the program to the next: what the program asked `bind` for is their
//! name. The sockets themselves travel beside the messages.

use std::fmt::Write;

/// The variable by which a process learns of the sockets that it has from its predecessor: [`list`].
pub const VARIABLE: &str = "LIVESWAP_LISTENERS";

/// What a program asked `bind` for: bytes that are equal if the addresses are.
pub type Address = Vec<u8>;

/// Numbers of sockets with their addresses, as text.
pub fn list<'a>(sockets: impl IntoIterator<Item = (i32, &'a [u8])>) -> String {
    let mut text = String::new();
    for (number, address) in sockets {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(text, "{number}:");
        for byte in address {
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// Reads a list; what is not understood is left out.
pub fn read_list(text: &str) -> Vec<(i32, Address)> {
    let one = |item: &str| -> Option<(i32, Address)> {
        let (number, digits) = item.split_once(':')?;
        let pairs = digits.as_bytes().as_chunks::<2>();
        if !pairs.1.is_empty() {
            return None;
        }
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let address = pairs.0.iter().map(byte).collect::<Option<Vec<u8>>>()?;
        Some((number.parse().ok()?, address))
    };
    text.split(',').filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_nonsense_is_left_out() {
        let sockets = [(700, &[2_u8, 0, 255][..]), (701, &[][..])];
        let text = list(sockets);
        assert_eq!(text, "700:0200ff,701:");
        assert_eq!(
            read_list(&text),
            [(700, vec![2, 0, 255]), (701, Vec::new())]
        );
        assert_eq!(read_list(""), []);
        assert_eq!(read_list("x:00,5:0,6:zz,7:00"), [(7, vec![0])]);
    }
}
