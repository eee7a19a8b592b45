//! What references of an image lead to.

use liveswap_protocol::patch::Place;

use crate::elf::{Rela, Section};
use crate::reference::Meaning;

/// Number of a piece of the image.
pub(crate) type PieceIndex = usize;

/// Where a reference leads to, its addend apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Goal {
    /// Into a piece of this image.
    Piece(PieceIndex, u64),
    /// To a place that exists.
    Fixed(Place),
    /// To a slot of this image.
    Slot(usize),
    /// To a symbol of a shared library.
    Import(u32),
    /// To a thread-local at this offset in the block.
    Thread(u64),
    /// An absolute value.
    Absolute(u64),
    /// Nowhere: the operand of a call that is replaced together with its neighbour.
    Dropped,
}

/// A reference of a piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub rela: Rela,
    pub meaning: Meaning,
    pub goal: Goal,
}

/// Which part of the image a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Instructions.
    Code,
    /// Data that nobody writes to.
    ReadOnly,
    /// Unwind information.
    Frames,
    /// Data that the program writes to.
    Writable,
}

/// A section of a source that is part of the image.
#[derive(Debug)]
pub(crate) struct Piece {
    pub source: usize,
    pub section: Section,
    pub part: Part,
    /// What it holds before its references are filled in; shorter than `size` for zeros.
    pub bytes: Vec<u8>,
    pub size: u64,
    pub align: u64,
    pub references: Vec<Reference>,
    /// Offset in the image, once it is laid out.
    pub offset: u64,
}

/// A slot for a function, in this image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSlot {
    pub body: Goal,
    /// Offset of its code, once it is laid out.
    pub offset: u64,
    /// Offset of its word.
    pub word: u64,
}

/// A new thread-local.
#[derive(Debug)]
pub(crate) struct NewThreadLocal {
    /// Offset in the block.
    pub offset: u64,
    pub bytes: Vec<u8>,
    pub references: Vec<Reference>,
}
