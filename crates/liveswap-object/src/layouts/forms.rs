//! Reading entries of `.debug_info`: abbreviations, and attributes in their forms.

use super::dwarf::form;
use super::sections::malformed;
use crate::Error;

/// Reads forwards; never past the end.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub data: &'a [u8],
    pub at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn skip(&mut self, count: usize) -> Result<(), Error> {
        self.take(count).map(|_| ())
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(count);
        let bytes = end.and_then(|end| self.data.get(self.at..end));
        let bytes = bytes.ok_or_else(|| malformed("it ends too early"))?;
        self.at += count;
        Ok(bytes)
    }

    /// A number of up to 8 bytes.
    pub(super) fn number(&mut self, size: usize) -> Result<u64, Error> {
        let bytes = self.take(size)?;
        Ok(bytes
            .iter()
            .rev()
            .take(8)
            .fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Error> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let Some(byte) = self.data.get(self.at).copied() else {
                return Err(malformed("it ends too early"));
            };
            self.at += 1;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            shift += 7;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
    }

    pub(super) fn signed(&mut self) -> Result<i64, Error> {
        let start = self.at;
        let value = self.unsigned()?;
        let bits = (self.at - start) * 7;
        if bits >= 64 {
            return Ok(value as i64);
        }
        let unused = 64 - bits;
        Ok(((value << unused) as i64) >> unused)
    }

    fn text(&mut self) -> Result<&'a [u8], Error> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or_else(|| malformed("a string without an end"))?)?;
        self.at += 1;
        Ok(text)
    }
}

/// An attribute's value.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// A number, an offset, an index of an address, or a flag.
    Number(u64),
    /// A number with a sign.
    Signed(i64),
    /// Offset in `.debug_str`.
    StringAt(u64),
    /// Offset in `.debug_line_str`.
    LineStringAt(u64),
    /// Index in `.debug_str_offsets`.
    StringIndex(u64),
    /// A string that stands here.
    Text(&'a [u8]),
    /// Bytes, an expression for instance, and where they stand.
    Block(&'a [u8], usize),
    /// An entry of the same unit.
    InUnit(u64),
    /// An entry of any unit.
    InSection(u64),
    /// What is of no use here.
    Other,
}

/// An attribute of an abbreviation.
#[derive(Clone, Copy)]
pub(super) struct Attribute {
    pub at: u16,
    pub form: u16,
    pub implicit: i64,
}

/// An abbreviation: the shape of an entry.
pub(super) struct Abbreviation {
    pub tag: u16,
    pub children: bool,
    first: usize,
    last: usize,
    /// How many bytes its attributes take, if that is always the same.
    fixed: Option<usize>,
}

/// The abbreviations of a unit.
pub(super) struct Abbreviations {
    list: Vec<Option<Abbreviation>>,
    attributes: Vec<Attribute>,
}

impl Abbreviations {
    pub(super) fn parse(data: &[u8], offset: u64, encoding: Encoding) -> Result<Self, Error> {
        let at = usize::try_from(offset).map_err(|_| malformed("a large offset"))?;
        let mut cursor = Cursor { data, at };
        let mut list: Vec<Option<Abbreviation>> = Vec::new();
        let mut attributes = Vec::new();
        loop {
            let code = cursor.unsigned()?;
            if code == 0 {
                return Ok(Abbreviations { list, attributes });
            }
            // Compilers number them from 1 on.
            if code > 0xffff {
                return Err(malformed("an abbreviation with a strange number"));
            }
            let tag = cursor.unsigned()? as u16;
            let children = cursor.number(1)? != 0;
            let first = attributes.len();
            let mut fixed = Some(0);
            loop {
                let at = cursor.unsigned()? as u16;
                let form = cursor.unsigned()? as u16;
                let implicit = if form == form::IMPLICIT_CONST {
                    cursor.signed()?
                } else {
                    0
                };
                if at == 0 && form == 0 {
                    break;
                }
                fixed = fixed.and_then(|sum| Some(sum + encoding.fixed_size(form)?));
                attributes.push(Attribute { at, form, implicit });
            }
            let code = code as usize;
            if list.len() <= code {
                list.resize_with(code + 1, || None);
            }
            list[code] = Some(Abbreviation {
                tag,
                children,
                first,
                last: attributes.len(),
                fixed,
            });
        }
    }

    pub(super) fn get(&self, code: u64) -> Result<&Abbreviation, Error> {
        let found = usize::try_from(code).ok().and_then(|n| self.list.get(n));
        found
            .and_then(Option::as_ref)
            .ok_or_else(|| malformed("an entry without a shape"))
    }

    pub(super) fn attributes(&self, abbreviation: &Abbreviation) -> &[Attribute] {
        &self.attributes[abbreviation.first..abbreviation.last]
    }

    /// Steps over the attributes of an entry.
    pub(super) fn skip(
        &self,
        abbreviation: &Abbreviation,
        cursor: &mut Cursor<'_>,
        encoding: Encoding,
    ) -> Result<(), Error> {
        if let Some(size) = abbreviation.fixed {
            return cursor.skip(size);
        }
        for attribute in self.attributes(abbreviation) {
            encoding.read(attribute, cursor)?;
        }
        Ok(())
    }
}

/// What the sizes of forms depend on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Encoding {
    pub version: u16,
    pub address_size: usize,
}

impl Encoding {
    fn fixed_size(self, form: u16) -> Option<usize> {
        Some(match form {
            form::ADDR => self.address_size,
            form::FLAG_PRESENT | form::IMPLICIT_CONST => 0,
            form::DATA1 | form::FLAG | form::REF1 | form::STRX1 | form::ADDRX1 => 1,
            form::DATA2 | form::REF2 | form::STRX2 | form::ADDRX2 => 2,
            form::STRX3 | form::ADDRX3 => 3,
            form::DATA4 | form::REF4 | form::STRX4 | form::ADDRX4 | form::REF_SUP4 => 4,
            form::STRP | form::SEC_OFFSET | form::LINE_STRP | form::STRP_SUP => 4,
            form::REF_ADDR if self.version <= 2 => self.address_size,
            form::REF_ADDR => 4,
            form::DATA8 | form::REF8 | form::REF_SIG8 => 8,
            form::DATA16 => 16,
            _ => return None,
        })
    }

    pub(super) fn read<'a>(
        self,
        attribute: &Attribute,
        cursor: &mut Cursor<'a>,
    ) -> Result<Value<'a>, Error> {
        let form = attribute.form;
        let block = |cursor: &mut Cursor<'a>, length: u64| {
            let length = usize::try_from(length).map_err(|_| malformed("a large block"))?;
            let at = cursor.at;
            Ok(Value::Block(cursor.take(length)?, at))
        };
        Ok(match form {
            form::FLAG_PRESENT => Value::Number(1),
            form::IMPLICIT_CONST => Value::Signed(attribute.implicit),
            form::DATA16 => block(cursor, 16)?,
            form::STRING => Value::Text(cursor.text()?),
            form::SDATA => Value::Signed(cursor.signed()?),
            form::UDATA | form::LOCLISTX | form::RNGLISTX | form::ADDRX => {
                Value::Number(cursor.unsigned()?)
            }
            form::GNU_ADDR_INDEX => Value::Number(cursor.unsigned()?),
            form::STRX | form::GNU_STR_INDEX => Value::StringIndex(cursor.unsigned()?),
            form::REF_UDATA => Value::InUnit(cursor.unsigned()?),
            form::BLOCK1 => {
                let length = cursor.number(1)?;
                block(cursor, length)?
            }
            form::BLOCK2 => {
                let length = cursor.number(2)?;
                block(cursor, length)?
            }
            form::BLOCK4 => {
                let length = cursor.number(4)?;
                block(cursor, length)?
            }
            form::BLOCK | form::EXPRLOC => {
                let length = cursor.unsigned()?;
                block(cursor, length)?
            }
            _ => {
                let size = self.fixed_size(form);
                let number = cursor.number(size.ok_or_else(|| malformed("an unknown form"))?)?;
                match form {
                    form::STRP => Value::StringAt(number),
                    form::LINE_STRP => Value::LineStringAt(number),
                    form::STRX1 | form::STRX2 | form::STRX3 | form::STRX4 => {
                        Value::StringIndex(number)
                    }
                    form::REF1 | form::REF2 | form::REF4 | form::REF8 => Value::InUnit(number),
                    form::REF_ADDR => Value::InSection(number),
                    form::REF_SUP4 | form::STRP_SUP | form::REF_SIG8 => Value::Other,
                    _ => Value::Number(number),
                }
            }
        })
    }
}
