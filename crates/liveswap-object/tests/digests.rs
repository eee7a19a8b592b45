//! Digests of what a compiler made of data that refers to itself.

use std::collections::HashMap;
use std::process::Command;

use liveswap_object::elf::Elf;
use liveswap_object::functions::Functions;
use liveswap_object::patch::Renamed;
use liveswap_object::program::digest::Digest;
use liveswap_object::program::index::ObjectIndex;
use liveswap_object::program::target::Statics;

/// What the functions of a C file do, by name.
fn functions(source: &str) -> HashMap<String, Digest> {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("a.c"), dir.path().join("a.o"));
    std::fs::write(&file, source).unwrap();
    let output = Command::new("cc")
        .args(["-c", "-O1", "-fPIC", "-ffunction-sections"])
        .args(["-fdata-sections", "-o"])
        .args([&out, &file])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let bytes = std::fs::read(out).unwrap();
    let object = Elf::parse(&bytes).unwrap();
    let index = ObjectIndex::of(
        &object,
        &Functions::of(&object),
        &Statics::of(&object),
        true,
        &Renamed::new(),
    );
    let functions = index.unwrap().functions.into_iter();
    functions
        .map(|function| (function.name.to_string(), function.digest))
        .collect()
}

/// Data in a circle of three, whose names are no identities.
fn circle(values: [u32; 3]) -> String {
    let [a, b, c] = values;
    format!(
        "struct node {{ struct node *next; int value; }};
         static struct node a, b, c;
         static struct node a = {{ &b, {a} }}, b = {{ &c, {b} }}, c = {{ &a, {c} }};
         struct node *to_a(void) {{ return &a; }}
         struct node *to_b(void) {{ return &b; }}
         struct node *to_c(void) {{ return &c; }}"
    )
}

#[test]
fn a_digest_from_inside_of_a_circle_left_out_who_asked_first() {
    let before = functions(&circle([1, 2, 3]));
    assert_eq!(before.len(), 3);
    assert_eq!(before, functions(&circle([1, 2, 3])));
    for edited in [[9, 2, 3], [1, 9, 3], [1, 2, 9]] {
        let now = functions(&circle(edited));
        for (function, digest) in &before {
            assert_ne!(now[function], *digest, "{function} after {edited:?}");
        }
    }
}
