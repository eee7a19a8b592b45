//! Gives the pieces of an image their places, and writes the patch.

use std::collections::HashMap;
use std::sync::Arc;

use liveswap_protocol::patch::{
    Image, Patch, Place, Relocation, RelocationKind, SLICE_SIZE, SlotWrite,
};

use crate::elf::Section;
use crate::names;
use crate::patch::changes::{Fate, Refusal};
use crate::patch::collect::Builder;
use crate::patch::fields::{Filler, Words};
use crate::patch::first_call::{self, Stub, Word};
use crate::patch::goals::{Goal, Part};
use crate::patch::{PlacedObject, Room, stub};

/// A patch with what is to be known of its image.
pub(crate) struct LaidOut {
    pub patch: Patch,
    pub slices: u32,
    pub placed: Vec<PlacedObject>,
    pub symbols: Vec<(String, u64, u64)>,
    pub stubs: Vec<Stub>,
}

/// Lays out the image and writes the patch.
pub(crate) fn lay_out(builder: &mut Builder<'_, '_>, room: &Room) -> Result<LaidOut, Refusal> {
    let machine = builder.program.executable.machine;
    let mut words = Words::needed_by(builder);
    let mut stubs = first_call::needed_by(builder);
    let mut end = 0;
    place(builder, Part::Code, &mut end);
    for slot in &mut builder.slots {
        end = end.next_multiple_of(8);
        slot.offset = end;
        end += stub::size(machine);
    }
    for offset in words.stubs.values_mut() {
        end = end.next_multiple_of(8);
        *offset = end;
        end += stub::size(machine);
    }
    if !stubs.is_empty() {
        end = end.next_multiple_of(first_call::SIZE);
    }
    let stubs_start = end;
    for stub in &mut stubs {
        stub.offset = end;
        end += first_call::SIZE;
    }
    let stubs_len = end - stubs_start;
    place(builder, Part::ReadOnly, &mut end);
    end = end.next_multiple_of(8);
    for offset in words.words.values_mut() {
        *offset = end;
        end += 8;
    }
    let frames_start = end;
    place(builder, Part::Frames, &mut end);
    // Where nothing else can be unwound, stubs need not be.
    let stub_frames = if end > frames_start && stubs_len > 0 {
        Some((end, first_call::frames((stubs_start, stubs_len), end)?))
    } else {
        None
    };
    end += stub_frames
        .as_ref()
        .map_or(0, |(_, frames)| frames.len() as u64);
    let frames = if end > frames_start {
        // An empty entry ends the table.
        end += 4;
        (frames_start, end - frames_start)
    } else {
        (0, 0)
    };
    let code_len = end;
    let data_offset = end.next_multiple_of(room.page_size);
    end = data_offset;
    place(builder, Part::Writable, &mut end);
    for slot in &mut builder.slots {
        end = end.next_multiple_of(8);
        slot.word = end;
        end += 8;
    }
    let data_len = end - data_offset;
    let total = if data_len > 0 { end } else { code_len };
    let slices = u32::try_from(total.div_ceil(SLICE_SIZE)).map_err(|_| Refusal::Range)?;
    let first_slice = builder.program.next_slice;
    if first_slice
        .checked_add(slices)
        .is_none_or(|end| end > room.slices)
    {
        return Err(Refusal::Range);
    }
    let base = u64::from(first_slice) * SLICE_SIZE;
    let mut filler = Filler::new(builder, &words, base, code_len, data_offset, data_len);
    filler.pieces()?;
    filler.stubs()?;
    if let Some((at, frames)) = stub_frames {
        filler.put(at, &frames)?;
    }
    for stub in &stubs {
        filler.put(stub.offset, &stub.code(builder.pieces[stub.body].offset)?)?;
    }
    let thread_locals = filler.thread_locals()?;
    let initialisers = filler.initialisers()?;
    let (code, mut data, mut relocations) = filler.done();
    relocations.extend(
        stubs
            .iter()
            .map(|stub| stub.relocation(stub.word_at(builder, base))),
    );
    let first: HashMap<Word, u64> = stubs.iter().map(|it| (it.word, base + it.offset)).collect();
    for (n, slot) in builder.slots.iter().enumerate() {
        let target = match first.get(&Word::New(n)) {
            Some(stub) => Place::Range(*stub),
            None => body_place(builder, slot.body, base),
        };
        relocations.push(Relocation {
            at: slot.word as u32,
            kind: RelocationKind::Abs64,
            target,
            addend: 0,
        });
    }
    // Zeros at the end need not be said, except where the agent computes something.
    let computed = relocations
        .iter()
        .filter(|relocation| u64::from(relocation.at) >= data_offset)
        .map(|relocation| (u64::from(relocation.at) + 8 - data_offset) as usize)
        .max()
        .unwrap_or(0);
    while data.len() > computed && data.last() == Some(&0) {
        data.pop();
    }
    let image = (total > 0).then_some(Image {
        first_slice,
        code,
        data,
        data_offset,
        data_len,
        eh_frame: frames,
        relocations,
        initialisers,
    });
    let patch = Patch {
        build_id: builder.program.executable.build_id.clone(),
        generation: builder.program.generation + 1,
        image,
        imports: builder.imports.clone(),
        slots: flips(builder, base, &first),
        thread_locals,
    };
    Ok(LaidOut {
        patch,
        slices,
        placed: placed(builder),
        symbols: symbols(builder, &stubs),
        stubs,
    })
}

/// Gives the pieces of one part their places from `end` on.
fn place(builder: &mut Builder<'_, '_>, part: Part, end: &mut u64) {
    for piece in builder.pieces.iter_mut().filter(|piece| piece.part == part) {
        // Unwind information has no gaps: a zero would end it.
        if part != Part::Frames {
            *end = end.next_multiple_of(piece.align);
        }
        piece.offset = *end;
        *end += piece.size;
    }
}

fn body_place(builder: &Builder<'_, '_>, body: Goal, base: u64) -> Place {
    match body {
        Goal::Piece(piece, offset) => Place::Range(base + builder.pieces[piece].offset + offset),
        Goal::Fixed(place) => place,
        _ => Place::Range(base),
    }
}

fn flips(builder: &Builder<'_, '_>, base: u64, first: &HashMap<Word, u64>) -> Vec<SlotWrite> {
    let mut at: HashMap<(usize, usize), u64> = HashMap::new();
    for piece in &builder.pieces {
        if piece.part == Part::Code {
            at.insert((piece.source, piece.section), piece.offset);
        }
    }
    let mut flips = Vec::new();
    for change in &builder.changes.functions {
        if let Some(offset) = at.get(&(change.source, change.section))
            && matches!(change.fate, Fate::Replaced | Fate::Copied)
        {
            flips.extend(change.flips.iter().map(|slot| SlotWrite {
                word: slot.word,
                target: Place::Range(match first.get(&Word::Known(slot.word)) {
                    Some(stub) => *stub,
                    None => base + offset,
                }),
            }));
        }
    }
    flips
}

fn placed(builder: &Builder<'_, '_>) -> Vec<PlacedObject> {
    let mut by_source: HashMap<usize, PlacedObject> = HashMap::new();
    for piece in &builder.pieces {
        if piece.part != Part::Frames {
            by_source
                .entry(piece.source)
                .or_insert_with(|| PlacedObject {
                    bytes: Arc::clone(builder.sources[piece.source].bytes),
                    sections: HashMap::new(),
                })
                .sections
                .insert(piece.section, piece.offset);
        }
    }
    by_source.into_values().collect()
}

fn symbols(builder: &Builder<'_, '_>, stubs: &[Stub]) -> Vec<(String, u64, u64)> {
    let mut code: HashMap<usize, HashMap<Section, u64>> = HashMap::new();
    for piece in builder
        .pieces
        .iter()
        .filter(|piece| piece.part == Part::Code)
    {
        let of_source = code.entry(piece.source).or_default();
        of_source.insert(piece.section, piece.offset);
    }
    let mut symbols = Vec::new();
    for (source, code) in code {
        for symbol in &builder.sources[source].object.symbols {
            if symbol.is_function()
                && let Some(offset) = symbol.section.and_then(|section| code.get(&section))
                && names::is_identity(symbol.name, symbol.is_local())
            {
                symbols.push((symbol.name.to_owned(), offset + symbol.value, symbol.size));
            }
        }
    }
    symbols.extend(stubs.iter().map(|stub| {
        let function = &builder.changes.functions[stub.change];
        let name = names::first_call(&function.key.name);
        (name, stub.offset, first_call::SIZE)
    }));
    symbols.sort_by_key(|(_, offset, _)| *offset);
    symbols
}
