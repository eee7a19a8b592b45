//! One walk through `.debug_info`.

use super::dwarf::{at, op, tag};
use super::forms::{Abbreviation, Abbreviations, Attribute, Cursor, Encoding, Value};
use super::graph::{
    AddressAt, Graph, Index, NONE, OwnedType, RawFunction, RawMember, RawParameter, RawType,
    RawVariable, RawVariant, Scope, Unread,
};
use super::sections::{Sections, malformed};
use crate::Error;

/// What the children of an entry belong to.
#[derive(Clone, Copy)]
enum Frame {
    Scope(Index),
    /// The unit itself.
    Root,
    Type {
        number: Index,
        scope: Index,
    },
    VariantPart(Index),
    Variant(Index),
    Function(Index),
    Array(Index),
    /// Nothing in there is of interest.
    Skip,
}

struct Walk<'s, 'a> {
    sections: &'s Sections<'a>,
    graph: Graph<'s>,
    cursor: Cursor<'s>,
    encoding: Encoding,
    unit_start: usize,
    string_offsets: u64,
    addresses: u64,
}

/// Whether an entry's name is read.
#[derive(Clone, Copy)]
enum Naming {
    Now,
    Later,
    Never,
}

/// What an entry says, as far as it is of interest.
struct Entry<'s> {
    name: &'s str,
    /// The name, if it is read later.
    unread: Unread<'s>,
    linkage: &'s str,
    target: usize,
    size: Option<u64>,
    align: u64,
    offset: u64,
    count: Option<u64>,
    discriminant: Option<i128>,
    origin: usize,
    declaration: bool,
    has_code: bool,
    address: Option<AddressAt>,
}

/// Reads all units.
pub(super) fn walk<'s>(sections: &'s Sections<'_>) -> Result<Graph<'s>, Error> {
    let mut walk = Walk {
        sections,
        graph: Graph::default(),
        cursor: Cursor {
            data: &sections.info,
            at: 0,
        },
        encoding: Encoding {
            version: 0,
            address_size: 0,
        },
        unit_start: 0,
        string_offsets: 0,
        addresses: 0,
    };
    let mut abbreviations: Option<(u64, Encoding, Abbreviations)> = None;
    while walk.cursor.at < sections.info.len() {
        let (end, offset) = walk.unit_header()?;
        let encoding = walk.encoding;
        let known = match abbreviations.take() {
            Some(known) if known.0 == offset && known.1 == encoding => known,
            _ => {
                let parsed = Abbreviations::parse(sections.abbrev, offset, encoding)?;
                (offset, encoding, parsed)
            }
        };
        walk.cursor.data = &sections.info[..end];
        walk.unit(&known.2)?;
        walk.cursor.data = &sections.info;
        walk.cursor.at = end;
        abbreviations = Some(known);
    }
    walk.graph.finish();
    Ok(walk.graph)
}

impl<'s> Walk<'s, '_> {
    /// Reads the header of a unit; gives its end and where its abbreviations are.
    fn unit_header(&mut self) -> Result<(usize, u64), Error> {
        self.unit_start = self.cursor.at;
        let length = self.cursor.number(4)?;
        if length >= 0xffff_fff0 {
            return Err(malformed("64-bit units"));
        }
        let end = self.cursor.at + length as usize;
        if end > self.sections.info.len() {
            return Err(malformed("a unit beyond the end"));
        }
        let version = self.cursor.number(2)? as u16;
        let (offset, address_size) = match version {
            2..=4 => (self.cursor.number(4)?, self.cursor.number(1)?),
            5 => {
                let kind = self.cursor.number(1)?;
                let address_size = self.cursor.number(1)?;
                let offset = self.cursor.number(4)?;
                match kind {
                    // Skeletons and their counterparts have an identifier, type units more.
                    4 | 5 => self.cursor.skip(8)?,
                    2 | 6 => self.cursor.skip(12)?,
                    _ => {}
                }
                (offset, address_size)
            }
            _ => return Err(malformed("an unknown version")),
        };
        if address_size != 8 {
            return Err(malformed("addresses of a strange size"));
        }
        self.encoding = Encoding {
            version,
            address_size: 8,
        };
        self.string_offsets = if version >= 5 && self.sections.split {
            8
        } else {
            0
        };
        self.addresses = if version >= 5 { 8 } else { 0 };
        Ok((end, offset))
    }

    fn unit(&mut self, abbreviations: &Abbreviations) -> Result<(), Error> {
        let mut stack: Vec<Frame> = Vec::new();
        while self.cursor.at < self.cursor.data.len() {
            let place = self.cursor.at;
            let code = self.cursor.unsigned()?;
            if code == 0 {
                stack.pop();
                if stack.is_empty() {
                    return Ok(());
                }
                continue;
            }
            let abbreviation = abbreviations.get(code)?;
            let Some(parent) = stack.last().copied() else {
                self.bases(abbreviations.attributes(abbreviation))?;
                if !abbreviation.children {
                    return Ok(());
                }
                stack.push(Frame::Root);
                continue;
            };
            let frame = self.entry(place, abbreviation, abbreviations, parent)?;
            if abbreviation.children {
                stack.push(frame);
            }
        }
        Ok(())
    }

    /// Reads the unit's own entry: where its strings and addresses begin.
    fn bases(&mut self, attributes: &[Attribute]) -> Result<(), Error> {
        for attribute in attributes {
            let value = self.encoding.read(attribute, &mut self.cursor)?;
            match (attribute.at, value) {
                (at::STR_OFFSETS_BASE, Value::Number(base)) => self.string_offsets = base,
                (at::ADDR_BASE, Value::Number(base)) => self.addresses = base,
                _ => {}
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        place: usize,
        abbreviation: &Abbreviation,
        abbreviations: &Abbreviations,
        parent: Frame,
    ) -> Result<Frame, Error> {
        let wanted = match (abbreviation.tag, parent) {
            (_, Frame::Skip) => false,
            (tag::VARIANT_PART, Frame::Type { .. }) => true,
            (tag::VARIANT, Frame::VariantPart(_)) => true,
            (tag::MEMBER, Frame::Type { .. } | Frame::VariantPart(_) | Frame::Variant(_)) => true,
            (tag::ENUMERATOR, Frame::Type { .. }) => true,
            (tag::FORMAL_PARAMETER, Frame::Function(_)) => true,
            (tag::TEMPLATE_TYPE, Frame::Function(_)) => true,
            (tag::SUBRANGE, Frame::Array(_)) => true,
            (tag::VARIABLE, Frame::Function(_)) => true,
            (tag::LEXICAL_BLOCK, Frame::Function(_)) => {
                abbreviations.skip(abbreviation, &mut self.cursor, self.encoding)?;
                return Ok(parent);
            }
            // Of what stands inside of functions only statics and types count, and the compiler puts those
            // into namespaces.
            (_, Frame::Function(_) | Frame::Array(_)) => false,
            (
                tag::NAMESPACE
                | tag::STRUCTURE
                | tag::UNION
                | tag::ENUMERATION
                | tag::POINTER
                | tag::ARRAY
                | tag::SUBROUTINE
                | tag::BASE
                | tag::SUBPROGRAM
                | tag::VARIABLE,
                _,
            ) => true,
            _ => false,
        };
        if !wanted {
            abbreviations.skip(abbreviation, &mut self.cursor, self.encoding)?;
            return Ok(Frame::Skip);
        }
        // Most strings are names of parameters and functions, which hardly anybody asks for.
        let naming = match abbreviation.tag {
            tag::TEMPLATE_TYPE => Naming::Never,
            tag::VARIABLE if matches!(parent, Frame::Function(_)) => Naming::Never,
            tag::FORMAL_PARAMETER | tag::SUBPROGRAM => Naming::Later,
            _ => Naming::Now,
        };
        let entry = self.read(abbreviations.attributes(abbreviation), naming)?;
        Ok(self.record(place, abbreviation.tag, &entry, parent))
    }

    fn read(&mut self, attributes: &[Attribute], naming: Naming) -> Result<Entry<'s>, Error> {
        let mut entry = Entry {
            name: "",
            unread: Unread::default(),
            linkage: "",
            target: NONE,
            size: None,
            align: 0,
            offset: 0,
            count: None,
            discriminant: None,
            origin: NONE,
            declaration: false,
            has_code: false,
            address: None,
        };
        for attribute in attributes {
            let value = self.encoding.read(attribute, &mut self.cursor)?;
            match attribute.at {
                at::NAME => match naming {
                    Naming::Now => entry.name = self.string(value)?.text(),
                    Naming::Later => entry.unread = self.string(value)?,
                    Naming::Never => {}
                },
                at::LINKAGE_NAME => entry.linkage = self.string(value)?.text(),
                at::TYPE => entry.target = self.place(value),
                at::BYTE_SIZE => entry.size = number(value),
                at::ALIGNMENT => entry.align = number(value).unwrap_or(0),
                at::DATA_MEMBER_LOCATION => entry.offset = number(value).unwrap_or(0),
                at::COUNT => entry.count = number(value),
                at::UPPER_BOUND => entry.count = number(value).map(|last| last.wrapping_add(1)),
                at::DISCR_VALUE | at::CONST_VALUE => entry.discriminant = wide(value),
                at::SPECIFICATION | at::ABSTRACT_ORIGIN => entry.origin = self.place(value),
                at::DECLARATION => entry.declaration = true,
                at::LOW_PC | at::RANGES => entry.has_code = true,
                at::LOCATION => entry.address = self.address(value),
                _ => {}
            }
        }
        Ok(entry)
    }

    fn record(&mut self, place: usize, tag: u16, entry: &Entry<'s>, parent: Frame) -> Frame {
        let graph = &mut self.graph;
        let scope = match parent {
            Frame::Scope(scope) | Frame::Type { scope, .. } => Some(scope),
            _ => None,
        };
        match (tag, parent) {
            (tag::NAMESPACE, _) => {
                graph.scopes.push(Scope {
                    parent: scope,
                    name: entry.name,
                    of_type: None,
                });
                Frame::Scope((graph.scopes.len() - 1) as Index)
            }
            (tag::VARIANT_PART, Frame::Type { number, .. }) => {
                graph.types[number as usize].variants = true;
                Frame::VariantPart(number)
            }
            (tag::MEMBER, Frame::VariantPart(owner)) => {
                graph.discriminants.push(member(owner, entry));
                Frame::Skip
            }
            (tag::VARIANT, Frame::VariantPart(owner)) => {
                graph.variants.push(variant(owner, entry));
                Frame::Variant((graph.variants.len() - 1) as Index)
            }
            (tag::MEMBER, Frame::Variant(number)) => {
                let variant = &mut graph.variants[number as usize];
                variant.name = entry.name;
                variant.target = entry.target;
                Frame::Skip
            }
            (tag::ENUMERATOR, Frame::Type { number, .. }) => {
                graph.variants.push(variant(number, entry));
                Frame::Skip
            }
            (tag::MEMBER, Frame::Type { number, .. }) => {
                graph.members.push(member(number, entry));
                Frame::Skip
            }
            (tag::FORMAL_PARAMETER, Frame::Function(owner)) => {
                graph.parameters.push(RawParameter {
                    owner,
                    name: entry.unread,
                    target: entry.target,
                });
                Frame::Skip
            }
            (tag::TEMPLATE_TYPE, Frame::Function(owner)) => {
                let target = entry.target;
                graph.function_arguments.push(OwnedType { owner, target });
                Frame::Skip
            }
            (tag::SUBRANGE, Frame::Array(number)) => {
                graph.types[number as usize].count = entry.count;
                Frame::Skip
            }
            (tag::SUBPROGRAM, _) => {
                graph.functions.push(RawFunction {
                    place,
                    parent: scope,
                    linkage: entry.linkage,
                    name: entry.unread,
                    target: entry.target,
                    origin: entry.origin,
                    has_code: entry.has_code,
                });
                Frame::Function((graph.functions.len() - 1) as Index)
            }
            (tag::VARIABLE, Frame::Function(owner)) => {
                if entry.target != NONE {
                    let target = entry.target;
                    graph.locals.push(OwnedType { owner, target });
                }
                Frame::Skip
            }
            (tag::VARIABLE, _) => {
                graph.variables.push(RawVariable {
                    name: entry.name,
                    linkage: entry.linkage,
                    target: entry.target,
                    address: entry.address,
                });
                Frame::Skip
            }
            _ => type_entry(graph, place, tag, entry, scope),
        }
    }

    /// A string; what is not text has no name that anybody could refer to.
    fn string(&self, value: Value<'s>) -> Result<Unread<'s>, Error> {
        let (section, start) = match value {
            Value::Text(text) => return Ok(Unread(text)),
            Value::StringAt(start) => (self.sections.strings, start),
            Value::LineStringAt(start) => (self.sections.line_strings, start),
            Value::StringIndex(index) => {
                let at = index.wrapping_mul(4).wrapping_add(self.string_offsets);
                let offsets = &self.sections.string_offsets;
                let start = usize::try_from(at)
                    .ok()
                    .and_then(|at| offsets.get(at..)?.first_chunk::<4>())
                    .ok_or_else(|| malformed("a string that is not there"))?;
                (self.sections.strings, u32::from_le_bytes(*start).into())
            }
            _ => return Ok(Unread::default()),
        };
        let rest = usize::try_from(start)
            .ok()
            .and_then(|start| section.get(start..))
            .ok_or_else(|| malformed("a string that is not there"))?;
        Ok(Unread(rest))
    }

    fn place(&self, value: Value<'_>) -> usize {
        let place = match value {
            Value::InUnit(offset) => (self.unit_start as u64).checked_add(offset),
            Value::InSection(offset) => Some(offset),
            _ => None,
        };
        place
            .and_then(|place| usize::try_from(place).ok())
            .unwrap_or(NONE)
    }

    /// The address of a variable, if that is all that its location says.
    fn address(&self, value: Value<'_>) -> Option<AddressAt> {
        let Value::Block(bytes, start) = value else {
            return None;
        };
        match bytes.first()? {
            &op::ADDR => Some(AddressAt::Info(start + 1)),
            &op::ADDRX | &op::GNU_ADDR_INDEX => {
                let mut cursor = Cursor { data: bytes, at: 1 };
                let index = cursor.unsigned().ok()?;
                let offset = index.checked_mul(8)?.checked_add(self.addresses)?;
                Some(AddressAt::Table(offset))
            }
            _ => None,
        }
    }
}

fn type_entry<'s>(
    graph: &mut Graph<'s>,
    place: usize,
    tag: u16,
    entry: &Entry<'s>,
    scope: Option<Index>,
) -> Frame {
    let number = graph.types.len() as Index;
    graph.types.push(RawType {
        place,
        tag,
        parent: scope,
        name: entry.name,
        size: entry.size,
        align: entry.align,
        target: entry.target,
        count: None,
        declaration: entry.declaration,
        variants: false,
    });
    match tag {
        tag::ARRAY => Frame::Array(number),
        tag::STRUCTURE | tag::UNION | tag::ENUMERATION => {
            graph.scopes.push(Scope {
                parent: scope,
                name: entry.name,
                of_type: Some(number),
            });
            Frame::Type {
                number,
                scope: (graph.scopes.len() - 1) as Index,
            }
        }
        _ => Frame::Skip,
    }
}

fn member<'s>(owner: Index, entry: &Entry<'s>) -> RawMember<'s> {
    RawMember {
        owner,
        name: entry.name,
        offset: entry.offset,
        target: entry.target,
    }
}

fn variant<'s>(owner: Index, entry: &Entry<'s>) -> RawVariant<'s> {
    RawVariant {
        owner,
        name: entry.name,
        discriminant: entry.discriminant,
        target: NONE,
    }
}

fn number(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(number) => Some(number),
        Value::Signed(number) => u64::try_from(number).ok(),
        _ => None,
    }
}

fn wide(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Number(number) => Some(number.into()),
        Value::Signed(number) => Some(number.into()),
        Value::Block(bytes, _) => {
            let bytes = bytes.iter().rev();
            Some(bytes.fold(0_i128, |value, byte| {
                value.wrapping_shl(8) | i128::from(*byte)
            }))
        }
        _ => None,
    }
}
