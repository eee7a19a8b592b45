//! Patches that do not fit, made by hand, one mistake each.

use liveswap_protocol::patch::{Image, Place, RelocationKind, SLICE_SIZE};

use super::examples::{good, process, symbol};
use super::*;

fn check(patch: &Patch) -> Result<Ready, Refusal> {
    Checker::new(process()).check(&patch.encode().unwrap(), &symbol)
}

/// A name, what makes the good patch bad, and the code that it is refused with.
type Case = (&'static str, fn(&mut Patch), Code);

fn image(patch: &mut Patch) -> &mut Image {
    patch.image.as_mut().unwrap()
}

const BAD: &[Case] = &[
    (
        "another executable",
        |p| p.build_id[0] = 9,
        Code::OtherExecutable,
    ),
    ("no build id", |p| p.build_id.clear(), Code::OtherExecutable),
    (
        "the generation there is",
        |p| p.generation = 0,
        Code::Generation,
    ),
    (
        "one generation left out",
        |p| p.generation = 2,
        Code::Generation,
    ),
    (
        "behind the range",
        |p| image(p).first_slice = 16,
        Code::Misfit,
    ),
    (
        "far behind the range",
        |p| image(p).first_slice = u32::MAX,
        Code::Misfit,
    ),
    (
        "too much data",
        |p| image(p).data_len = 16 * SLICE_SIZE,
        Code::Misfit,
    ),
    (
        "endless data",
        |p| image(p).data_len = u64::MAX,
        Code::Misfit,
    ),
    (
        "data longer than its room",
        |p| image(p).data_len = 31,
        Code::Misfit,
    ),
    (
        "data in the code's page",
        |p| image(p).data_offset = 0,
        Code::Misfit,
    ),
    (
        "data not at a page",
        |p| image(p).data_offset = 4100,
        Code::Misfit,
    ),
    (
        "data far away",
        |p| image(p).data_offset = u64::MAX - 4095,
        Code::Misfit,
    ),
    (
        "an empty image",
        |p| {
            p.image = Some(Image::default());
        },
        Code::Misfit,
    ),
    (
        "a field over the code's end",
        |p| {
            image(p).relocations[0].at = image(p).code.len() as u32 - 3;
        },
        Code::Misfit,
    ),
    (
        "a field between code and data",
        |p| image(p).relocations[0].at = 2000,
        Code::Misfit,
    ),
    (
        "a field in the zeros",
        |p| image(p).relocations[2].at = 4096 + 28,
        Code::Misfit,
    ),
    (
        "a field far outside",
        |p| image(p).relocations[2].at = u32::MAX,
        Code::Misfit,
    ),
    (
        "a target behind the executable",
        |p| {
            image(p).relocations[0].target = Place::Executable(0x5001);
        },
        Code::Misfit,
    ),
    (
        "a target that wraps",
        |p| {
            image(p).relocations[0].target = Place::Executable(u64::MAX);
        },
        Code::Misfit,
    ),
    (
        "a target behind the image",
        |p| {
            image(p).relocations[0].target = Place::Range(4096 + 65);
        },
        Code::Misfit,
    ),
    (
        "a target in the unused range",
        |p| {
            image(p).relocations[0].target = Place::Range(5 * SLICE_SIZE);
        },
        Code::Misfit,
    ),
    (
        "an import that there is not",
        |p| {
            image(p).relocations[2].target = Place::Import(1);
        },
        Code::Misfit,
    ),
    (
        "a distance that does not fit",
        |p| {
            image(p).relocations[0].target = Place::Import(0);
        },
        Code::Relocation,
    ),
    (
        "an addend that does not fit",
        |p| {
            image(p).relocations[0].addend = i64::MIN;
        },
        Code::Relocation,
    ),
    (
        "an address that does not fit",
        |p| {
            image(p).relocations[0].kind = RelocationKind::Abs32;
        },
        Code::Relocation,
    ),
    (
        "a relocation of another machine",
        |p| {
            image(p).relocations[0].kind = RelocationKind::Aarch64Call26;
        },
        Code::Relocation,
    ),
    (
        "a missing symbol",
        |p| p.imports[0].name = "none_such".to_owned(),
        Code::MissingSymbol,
    ),
    (
        "a slot word outside of the words",
        |p| {
            p.slots[0].word = Place::Executable(0x3040);
        },
        Code::Misfit,
    ),
    (
        "a slot word before the words",
        |p| {
            p.slots[0].word = Place::Executable(0x2ff8);
        },
        Code::Misfit,
    ),
    (
        "a slot word that is not aligned",
        |p| {
            p.slots[0].word = Place::Executable(0x3004);
        },
        Code::Misfit,
    ),
    (
        "a slot word in code",
        |p| p.slots[1].word = Place::Range(8),
        Code::Misfit,
    ),
    (
        "a slot word over the end of data",
        |p| {
            p.slots[1].word = Place::Range(4096 + 64);
        },
        Code::Misfit,
    ),
    (
        "a slot word in a library",
        |p| p.slots[0].word = Place::Import(0),
        Code::Misfit,
    ),
    (
        "a slot target in data",
        |p| p.slots[0].target = Place::Range(4096),
        Code::Misfit,
    ),
    (
        "a slot target between code and data",
        |p| {
            p.slots[0].target = Place::Range(2000);
        },
        Code::Misfit,
    ),
    (
        "a slot target in the executable's data",
        |p| {
            p.slots[1].target = Place::Executable(0x2000);
        },
        Code::Misfit,
    ),
    (
        "a slot target in a library",
        |p| p.slots[0].target = Place::Import(0),
        Code::Misfit,
    ),
    (
        "an initialiser in data",
        |p| {
            image(p).initialisers[0] = Place::Range(4096);
        },
        Code::Misfit,
    ),
    (
        "a thread-local behind the room",
        |p| p.thread_locals[0].offset = 49,
        Code::ThreadLocalRoom,
    ),
    (
        "a thread-local far away",
        |p| {
            p.thread_locals[0].offset = u64::MAX - 3;
        },
        Code::ThreadLocalRoom,
    ),
    (
        "two thread-locals at one place",
        |p| {
            let mut second = p.thread_locals[0].clone();
            second.offset = 40;
            p.thread_locals.push(second);
        },
        Code::ThreadLocalRoom,
    ),
    (
        "an address over a thread-local's end",
        |p| {
            p.thread_locals[0].pointers[0].0 = 9;
        },
        Code::Misfit,
    ),
    (
        "an address of nothing in a thread-local",
        |p| {
            p.thread_locals[0].pointers[0].1 = Place::Range(1 << 40);
        },
        Code::Misfit,
    ),
    (
        "unwind information outside",
        |p| image(p).eh_frame.0 = 1 << 40,
        Code::Malformed,
    ),
    (
        "unwind information that is cut off",
        |p| image(p).eh_frame.1 -= 4,
        Code::Malformed,
    ),
    (
        "unwind information that goes on",
        |p| {
            image(p).code.extend([1, 0, 0, 0]);
            image(p).eh_frame.1 += 4;
        },
        Code::Malformed,
    ),
    (
        "unwind information that starts elsewhere",
        |p| image(p).eh_frame.0 = 60,
        Code::Malformed,
    ),
    (
        "a record that is too long",
        |p| image(p).code[64] = 0xff,
        Code::Malformed,
    ),
    (
        "a CIE of version 9",
        |p| image(p).code[64 + 8] = 9,
        Code::Malformed,
    ),
    (
        "a function without CIE",
        |p| image(p).code[64 + 24 + 4] = 24,
        Code::Malformed,
    ),
    (
        "a function elsewhere",
        |p| image(p).code[64 + 24 + 11] = 0x10,
        Code::Malformed,
    ),
    (
        "a function that is too long",
        |p| image(p).code[64 + 24 + 14] = 1,
        Code::Malformed,
    ),
];

#[test]
fn what_does_not_fit_is_refused_with_its_code() {
    for (name, spoil, code) in BAD {
        let mut patch = good();
        spoil(&mut patch);
        let refusal = check(&patch).expect_err(name);
        assert_eq!(refusal.code, *code, "{name}: {refusal}");
    }
}
