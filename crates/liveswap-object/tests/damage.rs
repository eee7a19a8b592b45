//! Objects that are cut off or changed are refused or understood, and never end in a panic.

use std::process::Command;

use liveswap_object::elf::Elf;
use liveswap_object::functions::Functions;
use liveswap_object::patch::Renamed;
use liveswap_object::program::executable::Executable;
use liveswap_object::program::index::ObjectIndex;
use liveswap_object::program::target::Statics;
use liveswap_object::rewrite::{Origin, for_linking};

const SOURCE: &str = "
static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(3);
thread_local!(static HERE: std::cell::Cell<u8> = const { std::cell::Cell::new(1) });
fn private(n: usize) -> usize { n + COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) }
pub fn public(n: usize) -> usize { HERE.with(|here| here.set(2)); private(n) / 3 }
";

fn object() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("damaged.rs");
    std::fs::write(&source, SOURCE).unwrap();
    let out = dir.path().join("damaged.o");
    let status = Command::new("rustc")
        .args(["--edition=2024", "--crate-type=lib", "--emit=obj"])
        .args(["-C", "codegen-units=1", "-o"])
        .arg(&out)
        .arg(&source)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::read(out).unwrap()
}

/// Everything that is done with an object. The result does not matter.
fn use_it(bytes: &[u8]) -> bool {
    let origin = Origin {
        cgu: "one",
        optimised: true,
    };
    let rewritten = for_linking(bytes, &origin).is_ok();
    let _ = Executable::parse(bytes);
    let Ok(object) = Elf::parse(bytes) else {
        return rewritten;
    };
    let functions = Functions::of(&object);
    let statics = Statics::of(&object);
    ObjectIndex::of(&object, &functions, &statics, true, &Renamed::new()).is_ok() && rewritten
}

#[test]
fn the_object_as_it_was_written_is_understood() {
    assert!(use_it(&object()));
}

#[test]
fn objects_that_are_cut_off_do_not_panic() {
    let whole = object();
    let step = (whole.len() / 2_000).max(1);
    for len in (0..whole.len()).step_by(step) {
        use_it(&whole[..len]);
    }
    assert!(!use_it(&whole[..whole.len() / 2]));
}

#[test]
fn objects_with_changed_bytes_do_not_panic() {
    let whole = object();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut understood = 0;
    for _ in 0..3_000 {
        let mut damaged = whole.clone();
        for _ in 0..1 + random() % 4 {
            let at = (random() % damaged.len() as u64) as usize;
            damaged[at] = random() as u8;
        }
        understood += usize::from(use_it(&damaged));
    }
    assert!(understood > 0, "a byte of code more or less is no damage");
}
