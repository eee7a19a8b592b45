//! A process and a patch that fits it, for tests.

use liveswap_protocol::patch::{
    Image, Import, Place, Relocation, RelocationKind, SLICE_SIZE, SlotWrite, ThreadLocal,
};

use super::*;

pub(super) const BIAS: u64 = 0x5555_5555_0000;
pub(super) const RANGE: u64 = 0x5555_0000_0000;

/// An executable with code at 0x1000, slot words at 0x3000 and 64 bytes of thread-locals.
pub(super) fn process() -> Process {
    let span = |start, len| Span { start, len };
    Process {
        machine: Machine::X86_64,
        build_id: vec![1, 2, 3],
        bias: BIAS,
        page_size: 4096,
        range: span(RANGE, 16 * SLICE_SIZE),
        executable: span(BIAS, 0x5000),
        code: vec![span(BIAS + 0x1000, 0x1000)],
        words: span(BIAS + 0x3000, 64),
        tls_len: 64,
    }
}

/// Unwind information for one function at the start of the image, at `offset` of the code.
fn eh_frame(offset: u32) -> Vec<u8> {
    let mut bytes = vec![
        20, 0, 0, 0, 0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x1b, 12, 7, 8, 0x90, 1, 0, 0,
    ];
    bytes.extend([16, 0, 0, 0, 28, 0, 0, 0]);
    bytes.extend((0u32.wrapping_sub(offset + 32)).to_le_bytes());
    bytes.extend([8, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([0; 4]);
    bytes
}

/// A patch that uses everything, and fits.
pub(super) fn good() -> Patch {
    let mut code = vec![0x90; 64];
    let unwind = eh_frame(64);
    let eh_frame = (64, unwind.len() as u64);
    code.extend(unwind);
    let relocation = |at, kind, target, addend| Relocation {
        at,
        kind,
        target,
        addend,
    };
    Patch {
        build_id: vec![1, 2, 3],
        generation: 1,
        image: Some(Image {
            first_slice: 0,
            code,
            data: vec![0; 32],
            data_offset: 4096,
            data_len: 64,
            eh_frame,
            relocations: vec![
                relocation(1, RelocationKind::Pc32, Place::Executable(0x1010), -4),
                relocation(5, RelocationKind::Pc32, Place::Range(4096 + 64), -4),
                relocation(4096, RelocationKind::Abs64, Place::Import(0), 8),
                relocation(4096 + 24, RelocationKind::Abs64, Place::Range(16), 0),
            ],
            initialisers: vec![Place::Range(8)],
        }),
        imports: vec![Import {
            name: "memcpy".to_owned(),
            weak: false,
        }],
        slots: vec![
            SlotWrite {
                word: Place::Executable(0x3008),
                target: Place::Range(0),
            },
            SlotWrite {
                word: Place::Range(4096 + 56),
                target: Place::Executable(0x1800),
            },
        ],
        thread_locals: vec![ThreadLocal {
            offset: 48,
            bytes: vec![7; 16],
            pointers: vec![(8, Place::Range(4096), 4)],
        }],
    }
}

pub(super) fn symbol(name: &str) -> Option<u64> {
    (name == "memcpy").then_some(0x7fff_0000_1000)
}
