use super::*;
use crate::tidy::source::Source;

const RUNTIME: &str = "crates/liveswap-runtime/src/graph.rs";

fn rust(path: &str, text: &str) -> RustFile {
    RustFile {
        path: path.to_owned(),
        source: Source::read(text),
        lines: text.lines().count(),
    }
}

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// The lines on which `rule` finds a breach.
fn lines(rule: fn(&RustFile, &mut Vec<Breach>), path: &str, text: &str) -> Vec<usize> {
    let mut breaches = Vec::new();
    rule(&rust(path, text), &mut breaches);
    breaches.iter().map(|breach| breach.line).collect()
}

fn lines_of_text(rule: fn(&File, &mut Vec<Breach>), path: &str, text: &str) -> Vec<usize> {
    let mut breaches = Vec::new();
    rule(&file(path, text), &mut breaches);
    breaches.iter().map(|breach| breach.line).collect()
}

#[test]
fn nim_is_found_in_names_and_strings_of_the_core_and_not_in_minimum() {
    let text = "// Nim's seed\nfn minimum() {}\nfn nim_string() {}\nstruct NimClosure;\nlet a = \"libnimhcr.so, Nim\";\nlet b = DefaultNimMarker;\n";
    assert_eq!(lines(core_knows_no_door, RUNTIME, text), [3, 4, 5, 6]);
    assert_eq!(
        lines(core_knows_no_door, "crates/nimhcr/src/lib.rs", text),
        [0_usize; 0]
    );
}

#[test]
fn unsafe_is_refused_outside_of_its_places_and_the_word_in_lints_is_not_meant() {
    let text = "#![deny(unsafe_op_in_unsafe_fn)]\n// unsafe\nunsafe { f() }\n\"unsafe\";\n";
    assert_eq!(lines(unsafe_in_its_place, RUNTIME, text), [3]);
    assert_eq!(
        lines(
            unsafe_in_its_place,
            "crates/liveswap-runtime/src/sys/linux.rs",
            text
        ),
        [0_usize; 0]
    );
}

#[test]
fn a_place_that_needs_no_unsafe_any_more_is_taken_off_the_list() {
    let files = [file("LICENSE-MIT", ""), file("LICENSE-APACHE", "")];
    let stale: Vec<String> = all(&files, &[])
        .into_iter()
        .map(|breach| breach.path)
        .collect();
    assert_eq!(stale, UNSAFE_ALLOWED);
}

#[test]
fn unwrap_is_for_tests_only() {
    let text = "fn a() { b.unwrap() }\nfn c() { b.unwrap_or(1) } // .unwrap()\n#[cfg(test)]\nmod tests { fn a() { b.expect(\"x\") } }\n";
    assert_eq!(lines(no_panics_in_the_process, RUNTIME, text), [1]);
    assert_eq!(
        lines(no_panics_in_the_process, "xtask/src/main.rs", text),
        [0_usize; 0]
    );
}

#[test]
fn tests_do_not_sleep_and_programs_may() {
    let text = "fn a() { std::thread::sleep(d) }\n#[cfg(test)]\nmod tests { fn a() { thread::sleep(d) } }\n";
    assert_eq!(lines(no_sleeping_tests, "benches/src/main.rs", text), [3]);
    assert_eq!(
        lines(no_sleeping_tests, "tests/tests/soak.rs", text),
        [1, 3]
    );
}

#[test]
fn unfinished_code_and_tests_that_are_not_run_are_found() {
    let text = "fn a() { todo!() }\nfn b() { unimplemented!() }\n#[test]\n#[ignore = \"later\"]\nfn c() {}\n\"todo!\";\n";
    let mut found = lines(nothing_left_out, RUNTIME, text);
    found.sort_unstable();
    assert_eq!(found, [1, 2, 4]);
}

#[test]
fn a_long_file_is_refused() {
    assert_eq!(
        lines(length, RUNTIME, &"\n".repeat(LINES_AT_MOST)),
        [0_usize; 0]
    );
    assert_eq!(lines(length, RUNTIME, &"\n".repeat(LINES_AT_MOST + 1)), [0]);
}

#[test]
fn every_crate_opts_in_to_the_lints_and_projects_of_users_do_as_they_like() {
    let good = "[dependencies]\nlibc.workspace = true\n[lints]\nworkspace = true\n";
    let path = "crates/liveswap-runtime/Cargo.toml";
    assert_eq!(lines_of_text(manifest, path, good), [0_usize; 0]);
    assert_eq!(
        lines_of_text(manifest, path, "[package]\nworkspace = true\n"),
        [0]
    );
    for theirs in [
        "examples/orrery/sky/Cargo.toml",
        "tests/fixtures/a/Cargo.toml",
    ] {
        assert_eq!(lines_of_text(manifest, theirs, "[package]\n"), [0_usize; 0]);
    }
}

#[test]
fn a_path_of_one_machine_is_found() {
    let needle = ["", "work", "x"].join("/");
    assert_eq!(
        lines_of_text(
            no_path_of_a_machine,
            "README.md",
            &format!("a\n{needle}\n`{needle}`")
        ),
        [2, 3]
    );
    let inside = format!("target{needle} $dir{needle} ${{dir}}{needle}");
    assert_eq!(
        lines_of_text(no_path_of_a_machine, "README.md", &inside),
        [0_usize; 0]
    );
}
