//! Files with holes: blocks of zeros where a disk or a copying tool has not written yet.

use std::fs;

use liveswap_tests::elf_damage::{self, Landmarks};
use liveswap_tests::{CModule, CProject, HostOptions};

/// Blocks that file systems write at once.
const BLOCK: usize = 512;

fn b(version: i64) -> CModule {
    CModule::new("b")
        .global("long", "g", "*g = 1;")
        .proc("version", &format!("return {version};"))
}

/// Puts the library with zeros at each of the places in turn; each must be refused, and the whole
/// library be loaded in the end.
#[track_caller]
fn refused_with_zeros_at(places: impl Fn(&Landmarks) -> Vec<usize>) {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let whole = fs::read(project.compile(&b(2))).expect("the library can be read");
    let places = places(&Landmarks::of(&whole));
    assert!(!places.is_empty());
    for place in places {
        project.install_bytes(&elf_damage::hole(&whole, place, BLOCK), "b");
        let reply = host.reload();
        assert_eq!(reply.number(), 0, "zeros at {place}: {reply:?}");
        assert_eq!(reply.stderr.len(), 1, "zeros at {place}: {reply:?}");
        let refusal = "liveswap: reload refused, generation 0 goes on: module ";
        assert!(reply.stderr[0].starts_with(refusal), "{reply:?}");
        assert_eq!(host.call("b", "version", 0), 1);
    }
    project.install_bytes(&whole, "b");
    assert_eq!(host.reload().quiet().number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}

/// The blocks, counted from the file's start, that a part of the file reaches into.
fn blocks(start: usize, end: usize) -> Vec<usize> {
    (start / BLOCK..end.div_ceil(BLOCK))
        .map(|block| block * BLOCK)
        .collect()
}

#[test]
fn a_library_with_zeros_for_program_headers_is_refused() {
    refused_with_zeros_at(|marks| vec![0, marks.program_headers]);
}

#[test]
fn a_library_with_zeros_for_a_dynamic_section_is_refused() {
    refused_with_zeros_at(|marks| {
        let mut places = blocks(marks.dynamic.start, marks.dynamic.start + 1);
        places.push(marks.dynamic.start);
        places
    });
}

#[test]
fn a_library_with_zeros_for_its_exported_functions_is_refused() {
    refused_with_zeros_at(|marks| {
        let mut places: Vec<usize> = marks
            .exports
            .iter()
            .flat_map(|&function| blocks(function, function + 1))
            .chain(marks.exports.iter().copied())
            .collect();
        places.sort_unstable();
        places.dedup();
        places
    });
}
