//! Unwind information: how a function's caller is found from one of its instructions.
//!
//! All of it is copied by the reader that does not fault, because libraries can be closed meanwhile.

use std::collections::HashMap;
use std::rc::Rc;

use gimli::{
    BaseAddresses, CfaRule, EhFrame, EhFrameHdr, EhFrameOffset, FrameDescriptionEntry,
    LittleEndian, RegisterRule, UnwindContext, UnwindExpression, UnwindSection,
};

use super::expression::Expression;
use crate::check::Span;
use crate::sys::objects::Object;
use crate::sys::stack;

type Bytes<'a> = gimli::EndianSlice<'a, LittleEndian>;

/// The registers' numbers in unwind information.
pub mod register {
    /// Callee-saved, or the frame pointer.
    pub const RBP: usize = 6;
    /// The stack pointer.
    pub const RSP: usize = 7;
    /// The return address, which is no register.
    pub const RETURN: usize = 16;
    /// What a function gives back as it was: rbx, rbp, r12 to r15.
    pub const CALLEE_SAVED: [usize; 6] = [3, RBP, 12, 13, 14, 15];
    /// With the return address.
    pub const COUNT: usize = 17;
}

/// No record of unwind information is larger.
const LARGEST_RECORD: u64 = 1 << 20;
/// No table and no image's section is larger.
const LARGEST_SECTION: u64 = 1 << 30;

/// Code of a patch, and its unwind information.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Code and read-only data.
    pub code: Span,
    /// Address of the unwind information, which lies in `code`.
    pub eh_frame: u64,
}

/// Where the value is that the caller had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Where it was.
    Same,
    /// Nowhere; of a return address: there is no caller.
    Nowhere,
    /// In memory, so far from the canonical frame address.
    At(i64),
    /// It is the canonical frame address plus this.
    Value(i64),
    /// In this register.
    Register(usize),
    /// In memory at the address that this gives.
    AtExpression(Expression),
    /// What this gives.
    Expression(Expression),
}

/// The canonical frame address: the stack pointer before the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameAddress {
    /// A register plus this.
    Register(usize, i64),
    /// What this gives.
    Expression(Expression),
}

/// What holds at one instruction.
#[derive(Clone, Debug)]
pub struct Row {
    /// The function.
    pub function: Span,
    /// The canonical frame address.
    pub address: FrameAddress,
    /// Registers and return address of the caller.
    pub rules: [Rule; register::COUNT],
    /// It is called by the kernel: the "caller" was interrupted and can be anywhere.
    pub signal: bool,
    /// Where the frame pointer has just been set.
    pub body: Option<u64>,
}

/// All unwind information of the process, looked up once for each address.
pub struct Cfi<'a> {
    /// By address.
    objects: Vec<Object>,
    /// By address.
    images: &'a [Image],
    /// Contents of `.eh_frame_hdr`, by address.
    tables: HashMap<u64, Rc<[u8]>>,
    rows: HashMap<u64, Option<Rc<Row>>>,
    context: UnwindContext<usize>,
}

impl<'a> Cfi<'a> {
    /// Of these objects and images, the latter in the order of their addresses.
    pub fn new(mut objects: Vec<Object>, images: &'a [Image]) -> Cfi<'a> {
        objects.sort_unstable_by_key(|object| object.code.start);
        Cfi {
            objects,
            images,
            tables: HashMap::new(),
            rows: HashMap::new(),
            context: UnwindContext::new(),
        }
    }

    /// What holds at the instruction at this address.
    pub fn row(&mut self, address: u64) -> Option<Rc<Row>> {
        if let Some(known) = self.rows.get(&address) {
            return known.clone();
        }
        let found = self.find(address).map(Rc::new);
        self.rows.insert(address, found.clone());
        found
    }

    fn find(&mut self, address: u64) -> Option<Row> {
        let behind = self
            .images
            .partition_point(|image| image.code.start <= address);
        if let Some(image) = behind.checked_sub(1).and_then(|last| self.images.get(last))
            && image.code.holds(address, 1)
        {
            let len = image.code.end().checked_sub(image.eh_frame)?;
            let section = read(image.eh_frame, len, LARGEST_SECTION)?;
            let bases = bases(image.eh_frame);
            let frames = eh_frame(&section);
            let entry = frames
                .fde_for_address(&bases, address, EhFrame::cie_from_offset)
                .ok()?;
            return row(&frames, &bases, &entry, address, &mut self.context);
        }
        let behind = self
            .objects
            .partition_point(|object| object.code.start <= address);
        let object = self.objects.get(behind.checked_sub(1)?)?;
        if !object.code.holds(address, 1) {
            return None;
        }
        let span = object.table;
        let table = match self.tables.get(&span.start) {
            Some(table) => Rc::clone(table),
            None => {
                let table: Rc<[u8]> = read(span.start, span.len, LARGEST_SECTION)?.into();
                self.tables.insert(span.start, Rc::clone(&table));
                table
            }
        };
        let bases = BaseAddresses::default().set_eh_frame_hdr(span.start);
        let parsed = EhFrameHdr::new(&table, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        let entry_at = parsed
            .table()?
            .lookup(address, &bases)
            .ok()?
            .direct()
            .ok()?;
        let (section, start) = section_of(entry_at)?;
        let bases = self::bases(start);
        let frames = eh_frame(&section);
        let offset = usize::try_from(entry_at.wrapping_sub(start)).ok()?;
        let entry = frames
            .fde_from_offset(&bases, EhFrameOffset(offset), EhFrame::cie_from_offset)
            .ok()?;
        row(&frames, &bases, &entry, address, &mut self.context)
    }
}

/// Two records out of a section as a section of their own, and its address: the common information and the
/// function's, which lies where it lies in the process, as far as distances are counted from it.
fn section_of(entry: u64) -> Option<(Vec<u8>, u64)> {
    const POINTER: usize = 4;
    let function = record(entry)?;
    let field = function.get(POINTER..)?.first_chunk().copied()?;
    let common = entry
        .wrapping_add(POINTER as u64)
        .wrapping_sub(u64::from(u32::from_le_bytes(field)));
    let mut section = record(common)?;
    let common_len = section.len();
    section.extend_from_slice(&function);
    let distance = u32::try_from(common_len + POINTER).ok()?;
    section
        .get_mut(common_len + POINTER..)?
        .first_chunk_mut()
        .map(|field| *field = distance.to_le_bytes())?;
    Some((section, entry.wrapping_sub(common_len as u64)))
}

/// A record with its length. None is of the 64-bit form.
fn record(at: u64) -> Option<Vec<u8>> {
    let head = read(at, 4, 4)?;
    let len = u64::from(u32::from_le_bytes(*head.first_chunk()?));
    read(at, len + 4, LARGEST_RECORD)
}

fn read(at: u64, len: u64, most: u64) -> Option<Vec<u8>> {
    if len > most {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    let done = stack::read(at, &mut bytes);
    (done == bytes.len()).then_some(bytes)
}

fn bases(eh_frame: u64) -> BaseAddresses {
    // Some encodings count from these. What they encode is not used here, but it is read over.
    BaseAddresses::default()
        .set_eh_frame(eh_frame)
        .set_text(0)
        .set_got(0)
}

fn eh_frame(section: &[u8]) -> EhFrame<Bytes<'_>> {
    let mut frames = EhFrame::new(section, LittleEndian);
    frames.set_address_size(8);
    frames
}

fn row(
    frames: &EhFrame<Bytes<'_>>,
    bases: &BaseAddresses,
    entry: &FrameDescriptionEntry<Bytes<'_>>,
    address: u64,
    context: &mut UnwindContext<usize>,
) -> Option<Row> {
    if !entry.contains(address) {
        return None;
    }
    let expression = |it: UnwindExpression<usize>| {
        let bytes = it.get(frames).ok()?.0;
        Some(Expression::new(bytes.slice(), entry.cie().encoding()))
    };
    let mut table = entry.rows(frames, bases, context).ok()?;
    let mut body = None;
    while let Some(row) = table.next_row().ok()? {
        let frame_address = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                FrameAddress::Register(usize::from(register.0), *offset)
            }
            CfaRule::Expression(it) => FrameAddress::Expression(expression(*it)?),
        };
        if body.is_none() && matches!(frame_address, FrameAddress::Register(register::RBP, _)) {
            body = Some(row.start_address());
        }
        if !row.contains(address) {
            continue;
        }
        let mut rules = [const { Rule::Nowhere }; register::COUNT];
        for register in register::CALLEE_SAVED {
            rules[register] = Rule::Same;
        }
        for (register, rule) in row.registers() {
            let Some(slot) = rules.get_mut(usize::from(register.0)) else {
                continue;
            };
            *slot = match rule {
                RegisterRule::SameValue => Rule::Same,
                RegisterRule::Offset(from) => Rule::At(*from),
                RegisterRule::ValOffset(from) => Rule::Value(*from),
                RegisterRule::Register(other) => Rule::Register(usize::from(other.0)),
                RegisterRule::Expression(it) => Rule::AtExpression(expression(*it)?),
                RegisterRule::ValExpression(it) => Rule::Expression(expression(*it)?),
                _ => Rule::Nowhere,
            };
        }
        return Some(Row {
            function: Span {
                start: entry.initial_address(),
                len: entry.len(),
            },
            address: frame_address,
            rules,
            signal: entry.is_signal_trampoline(),
            body,
        });
    }
    None
}
