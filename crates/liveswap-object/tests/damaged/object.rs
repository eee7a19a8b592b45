//! Everything that is done with an object, for tests and for the fuzz target `object`.

use std::process::Command;
use std::sync::{Arc, OnceLock};

use liveswap_object::elf::Elf;
use liveswap_object::functions::Functions;
use liveswap_object::patch::{
    Identities, NewObject, NewUnit, NoSupply, Planned, Refusal, Renamed, Room, plan,
};
use liveswap_object::program::Program;
use liveswap_object::program::executable::Executable;
use liveswap_object::program::index::ObjectIndex;
use liveswap_object::program::target::Statics;
use liveswap_object::rewrite::{Origin, for_linking};
use liveswap_object::slots::{SLOTS_SYMBOL, TLS_ROOM_SYMBOL, WORDS_SYMBOL};

/// Uses it. Gives whether all of it was understood.
pub fn use_it(bytes: &[u8]) -> bool {
    let mut understood = true;
    for optimised in [false, true] {
        let origin = Origin {
            cgu: "one",
            optimised,
        };
        let rewritten = for_linking(bytes, &origin);
        if let Ok(rewritten) = &rewritten {
            assert!(
                Elf::parse(&rewritten.bytes).is_ok(),
                "what is rewritten is an object"
            );
        }
        understood &= rewritten.is_ok();
    }
    // It is neither, mostly.
    let _ = Executable::parse(bytes);
    let Ok(object) = Elf::parse(bytes) else {
        return false;
    };
    for section in 0..object.sections.len() {
        for rela in object.relocations(section).iter().flatten() {
            assert!(rela.symbol < object.symbols.len());
        }
    }
    let functions = Functions::of(&object);
    let statics = Statics::of(&object);
    let index =
        |optimised| ObjectIndex::of(&object, &functions, &statics, optimised, &Renamed::new());
    let digests = |index: ObjectIndex| -> Vec<_> {
        index
            .functions
            .iter()
            .map(|function| function.digest)
            .collect()
    };
    match (index(false), index(true)) {
        (Ok(one), Ok(other)) => assert_eq!(digests(one), digests(other), "what functions do"),
        (one, _) => understood &= one.is_ok(),
    }
    for optimised in [false, true] {
        understood &= as_new(bytes, optimised).is_ok();
    }
    understood
}

/// The patch that brings all of an object to a program that has nothing.
fn as_new(bytes: &[u8], optimised: bool) -> Result<Planned, Refusal> {
    static PROGRAM: OnceLock<Program> = OnceLock::new();
    let unit = NewUnit {
        unit: "unit".into(),
        name: "live".into(),
        optimised,
        changed: vec![NewObject {
            cgu: "one".into(),
            bytes: Arc::from(bytes),
        }],
        all: vec!["one".into()],
    };
    let room = Room {
        slices: 64,
        page_size: 4096,
    };
    let program = PROGRAM.get_or_init(|| Program::new(executable()));
    let planned = plan(program, &[unit], &Identities::default(), &NoSupply, &room)?;
    if let Some(image) = &planned.patch.image {
        let end = image.data_offset.max(image.code.len() as u64) + image.data_len;
        assert!(end <= 64 * 65536, "it lies in the room that there is");
        let (offset, len) = image.eh_frame;
        assert!(offset + len <= image.code.len() as u64);
    }
    assert!(planned.patch.encode().is_ok());
    Ok(planned)
}

/// With the symbols of the link stage, and nothing else.
fn executable() -> Executable {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("a.c"), dir.path().join("a.so"));
    let text = format!(
        "char slots[16] __asm__(\"{SLOTS_SYMBOL}\"), words[16] __asm__(\"{WORDS_SYMBOL}\");
         __thread char room[4096] __asm__(\"{TLS_ROOM_SYMBOL}\") = {{ 1 }};"
    );
    std::fs::write(&source, text).unwrap();
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-nostdlib", "-Wl,--build-id=sha1", "-o"])
        .args([&out, &source])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Executable::parse(&std::fs::read(out).unwrap()).unwrap()
}
