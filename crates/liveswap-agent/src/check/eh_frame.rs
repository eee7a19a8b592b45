//! Whether unwind information can be given to the unwinder.
//!
//! The unwinder trusts what it is given: a length that leads astray, or a function that lies
//! elsewhere, and the next panic of the program reads wild memory. So the records are walked here,
//! their fields filled in, before they are registered.

use super::Span;
use crate::refusal::{Code, Refusal};

/// Encoding of pointers: the address itself.
const ABSOLUTE: u8 = 0x00;
/// Encoding of pointers: 4 bytes, signed, counted from the field.
const RELATIVE_4: u8 = 0x1b;
/// Encoding of pointers: 8 bytes, signed, counted from the field.
const RELATIVE_8: u8 = 0x1c;
/// Encoding of pointers: there is none.
const OMITTED: u8 = 0xff;

/// Checks the section, which lies in the code part (bytes `code`, address `at`), all fields filled in.
pub fn check(code: &[u8], at: Span, section: Span) -> Result<(), Refusal> {
    let bad = |why: &str| Refusal::new(Code::Malformed, format!("unwind information: {why}"));
    if !at.holds(section.start, section.len) {
        return Err(bad("it lies outside of the code"));
    }
    let offset = usize::try_from(section.start - at.start).map_err(|_| bad("too large"))?;
    let len = usize::try_from(section.len).map_err(|_| bad("too large"))?;
    let bytes = offset
        .checked_add(len)
        .and_then(|end| code.get(offset..end))
        .ok_or_else(|| bad("it lies outside of the code"))?;
    walk(bytes, section.start, at).map_err(bad)
}

fn walk(bytes: &[u8], address: u64, code: Span) -> Result<(), &'static str> {
    // Offsets of the CIEs and how their FDEs write addresses.
    let mut cies: Vec<(usize, u8)> = Vec::new();
    let mut at = 0;
    loop {
        let mut record = Reader { bytes, at };
        let len = record.u32()?;
        if len == 0 {
            return if record.at == bytes.len() {
                Ok(())
            } else {
                Err("it goes on behind its end")
            };
        }
        if len == u32::MAX {
            return Err("a record of the 64-bit form");
        }
        let body = record.at;
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| body.checked_add(len))
            .filter(|end| *end <= bytes.len())
            .ok_or("a record reaches over the end")?;
        let mut record = Reader {
            bytes: &bytes[..end],
            at: body,
        };
        match record.u32()? {
            0 => cies.push((at, cie(&mut record)?)),
            distance => {
                let cie = usize::try_from(distance)
                    .ok()
                    .and_then(|distance| body.checked_sub(distance))
                    .ok_or("a function's CIE lies before the start")?;
                let index = cies
                    .binary_search_by_key(&cie, |(at, _)| *at)
                    .map_err(|_| "a function has no CIE")?;
                fde(&mut record, cies[index].1, address, code)?;
            }
        }
        at = end;
    }
}

/// Reads a CIE from behind its id; the encoding of its functions' addresses.
fn cie(record: &mut Reader<'_>) -> Result<u8, &'static str> {
    let version = record.u8()?;
    if version != 1 && version != 3 {
        return Err("a CIE of an unknown version");
    }
    let augmentation = record.string()?;
    record.leb128()?; // code alignment
    record.leb128()?; // data alignment
    if version == 1 {
        record.u8()?; // return address register
    } else {
        record.leb128()?;
    }
    let Some((b'z', letters)) = augmentation.split_first() else {
        return if augmentation.is_empty() {
            Ok(ABSOLUTE)
        } else {
            Err("a CIE of an unknown kind")
        };
    };
    record.leb128()?; // length of what follows
    let mut encoding = ABSOLUTE;
    for letter in letters {
        match letter {
            b'R' => encoding = record.u8()?,
            b'L' => drop(record.u8()?),
            b'P' => {
                let personality = record.u8()?;
                record.skip_pointer(personality)?;
            }
            b'S' | b'B' => {}
            _ => return Err("a CIE of an unknown kind"),
        }
    }
    match encoding {
        ABSOLUTE | RELATIVE_4 | RELATIVE_8 => Ok(encoding),
        _ => Err("an unknown encoding of addresses"),
    }
}

/// Reads an FDE from behind its CIE pointer: the function must lie in the image's code.
fn fde(
    record: &mut Reader<'_>,
    encoding: u8,
    section: u64,
    code: Span,
) -> Result<(), &'static str> {
    let field = section.wrapping_add(record.at as u64);
    let value = record.pointer(encoding)?;
    let start = match encoding {
        ABSOLUTE => value,
        _ => field.wrapping_add(value),
    };
    // The length has the format of the address, but counts from nothing.
    let len = match encoding {
        RELATIVE_4 => u64::from(record.u32()?),
        _ => record.u64()?,
    };
    // A function that is never reached can be empty.
    if !code.holds(start, len) {
        return Err("a function lies outside of the code");
    }
    Ok(())
}

/// Reads little endian fields and never over the end.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let chunk = rest.first_chunk::<N>().ok_or("a record is cut off")?;
        self.at += N;
        Ok(*chunk)
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        self.chunk().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// A pointer's value, its base not added.
    fn pointer(&mut self, encoding: u8) -> Result<u64, &'static str> {
        match encoding {
            ABSOLUTE | RELATIVE_8 => self.u64(),
            RELATIVE_4 => Ok(i64::from(self.u32()? as i32) as u64),
            _ => Err("an unknown encoding of addresses"),
        }
    }

    /// Passes a pointer of any encoding of a fixed length.
    fn skip_pointer(&mut self, encoding: u8) -> Result<(), &'static str> {
        match (encoding, encoding & 0x07) {
            (OMITTED, _) => Ok(()),
            (_, 0 | 4) => self.u64().map(drop),
            (_, 3) => self.u32().map(drop),
            _ => Err("an unknown encoding of addresses"),
        }
    }

    fn leb128(&mut self) -> Result<(), &'static str> {
        for _ in 0..10 {
            if self.u8()? & 0x80 == 0 {
                return Ok(());
            }
        }
        Err("a number has no end")
    }

    fn string(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut text = Vec::new();
        loop {
            match self.u8()? {
                0 => return Ok(text),
                byte if text.len() < 16 => text.push(byte),
                _ => return Err("a CIE of an unknown kind"),
            }
        }
    }
}
