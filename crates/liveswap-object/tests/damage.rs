//! Objects that are cut off or changed are refused or understood, and never end in a panic.

#[path = "damaged/object.rs"]
mod use_of_objects;

use std::process::Command;

use liveswap_object::elf::Elf;
use use_of_objects::use_it;

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

#[test]
fn numbers_at_the_end_of_their_range_overflowed() {
    const HEADER: usize = 64;
    let whole = object();
    let object = Elf::parse(&whole).unwrap();
    let mut fields = Vec::new();
    for (number, section) in object.sections.iter().enumerate() {
        let header = object.headers_at as usize + number * HEADER;
        // Size, alignment, size of an entry.
        fields.extend([header + 32, header + 48, header + 56]);
        let (table, step) = match section.kind {
            object::elf::SHT_SYMTAB => (section.offset as usize, 24),
            object::elf::SHT_RELA if !section.name.starts_with(".rela.debug") => {
                (section.offset as usize, 24)
            }
            _ => continue,
        };
        // Value and size of a symbol; what is relocated, and what is added.
        let entries = (table..table + section.data.len()).step_by(step);
        fields.extend(entries.flat_map(|entry| match section.kind {
            object::elf::SHT_SYMTAB => [entry + 8, entry + 16],
            _ => [entry, entry + 16],
        }));
    }
    assert!(fields.len() > 100);
    let mut refused = 0;
    for field in fields {
        for value in [
            u64::MAX,
            u64::MAX - 7,
            i64::MAX as u64,
            1 << 63,
            1 << 46,
            24,
        ] {
            let mut damaged = whole.clone();
            damaged[field..field + 8].copy_from_slice(&value.to_le_bytes());
            refused += usize::from(!use_it(&damaged));
        }
    }
    assert!(refused > 100);
}
