//! The rules themselves.

use std::fmt;

use super::source::line_of;
use super::{File, RustFile, boundaries};

/// A file longer than this is listed: it may have more than one subject.
pub const LINES_TO_LOOK_AT: usize = 500;
/// A file longer than this is refused.
const LINES_AT_MOST: usize = 800;

/// The run-time in its own right: it serves every door, so it knows none of them.
const CORE: &str = "crates/liveswap-runtime/";
/// What must not fail by panicking: it lives in somebody else's process.
const IN_THE_PROCESS: [&str; 4] = [
    "crates/liveswap-agent/src/",
    "crates/liveswap-runtime/src/",
    "crates/liveswap-trace/src/",
    "crates/nimhcr/src/",
];
/// The only places for `unsafe`: a folder ends with `/`.
const UNSAFE_ALLOWED: &[&str] = &[
    "crates/liveswap-agent/src/sys/",
    "crates/liveswap-agent/tests/process/refuse.rs",
    "crates/liveswap-runtime/src/sys/",
    "crates/liveswap-runtime/src/slots.rs",
    "crates/liveswap-runtime/src/image.rs",
    "crates/liveswap-runtime/src/storage.rs",
    "crates/liveswap-runtime/src/symbol_ref.rs",
    "crates/liveswap-runtime/src/registry/globals.rs",
    "crates/nimhcr/src/abi.rs",
    "crates/nimhcr/src/collector/",
    "crates/nimhcr/src/nim_string.rs",
    "crates/nimhcr/src/threadvars/room.rs",
    "crates/nimhcr/src/type_infos.rs",
    // The test harness: a signal to a program, a lock on a file.
    "tests/src/process.rs",
    "tests/src/nim/toolchain.rs",
];

/// Projects of users, as they are found in the world: what holds for our code does not for theirs.
const USERS_PROJECTS: [&str; 3] = ["tests/fixtures/", "tests/corpus/", "examples/"];

const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breach {
    pub path: String,
    /// 0 when it is about the file as a whole.
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.rule),
            line => write!(f, "{}:{line}: {}", self.path, self.rule),
        }
    }
}

pub fn all(files: &[File], rust: &[RustFile]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in rust.iter().filter(|file| !is_users(&file.path)) {
        core_knows_no_door(file, &mut breaches);
        length(file, &mut breaches);
        unsafe_in_its_place(file, &mut breaches);
        nothing_left_out(file, &mut breaches);
        no_sleeping_tests(file, &mut breaches);
        no_panics_in_the_process(file, &mut breaches);
        boundaries::modules(file, &mut breaches);
    }
    for file in files {
        manifest(file, &mut breaches);
        boundaries::dependencies(file, &mut breaches);
        no_path_of_a_machine(file, &mut breaches);
    }
    for licence in LICENCES {
        if !files.iter().any(|file| file.path == licence) {
            breaches.push(Breach::new(licence, 0, "the licence file is missing"));
        }
    }
    for place in UNSAFE_ALLOWED {
        let used = rust.iter().any(|file| {
            in_place(&file.path, place) && !word(&file.source.code, "unsafe").is_empty()
        });
        if !used {
            breaches.push(Breach::new(
                place,
                0,
                "is allowed `unsafe` (in xtask's tidy) and has none: take it off the list",
            ));
        }
    }
    breaches
}

fn core_knows_no_door(file: &RustFile, breaches: &mut Vec<Breach>) {
    if !file.path.starts_with(CORE) {
        return;
    }
    for (offset, name) in words(&file.source.with_strings) {
        // Tests may use the names of files as they come in real life.
        if file
            .source
            .is_test(line_of(&file.source.with_strings, offset))
        {
            continue;
        }
        if parts(name).any(|part| part.to_ascii_lowercase().starts_with("nim")) {
            let line = line_of(&file.source.with_strings, offset);
            breaches.push(Breach::new(
                &file.path,
                line,
                &format!("the run-time knows nothing of Nim: `{name}`"),
            ));
        }
    }
}

fn length(file: &RustFile, breaches: &mut Vec<Breach>) {
    if file.lines > LINES_AT_MOST {
        let rule = format!(
            "{} lines, more than {LINES_AT_MOST}: split it by subject",
            file.lines
        );
        breaches.push(Breach::new(&file.path, 0, &rule));
    }
}

fn unsafe_in_its_place(file: &RustFile, breaches: &mut Vec<Breach>) {
    if UNSAFE_ALLOWED
        .iter()
        .any(|place| in_place(&file.path, place))
    {
        return;
    }
    for offset in word(&file.source.code, "unsafe") {
        let line = line_of(&file.source.code, offset);
        breaches.push(Breach::new(
            &file.path,
            line,
            "`unsafe` outside of the places for it (the list is in xtask's tidy)",
        ));
    }
}

fn nothing_left_out(file: &RustFile, breaches: &mut Vec<Breach>) {
    for (needle, rule) in [
        ("todo!", "something is still to do"),
        ("unimplemented!", "something is not implemented"),
        ("#[ignore", "a test that is not run"),
    ] {
        for (offset, _) in file.source.code.match_indices(needle) {
            breaches.push(Breach::new(
                &file.path,
                line_of(&file.source.code, offset),
                rule,
            ));
        }
    }
}

fn no_sleeping_tests(file: &RustFile, breaches: &mut Vec<Breach>) {
    let is_test_file = file.path.starts_with("tests/") || file.path.contains("/tests/");
    let code = &file.source.code;
    for offset in word(code, "sleep") {
        let line = line_of(code, offset);
        let is_call = code[offset..].starts_with("sleep(");
        if is_call && (is_test_file || file.source.is_test(line)) {
            let rule = "a test waits for an event with a deadline, it never sleeps";
            breaches.push(Breach::new(&file.path, line, rule));
        }
    }
}

fn no_panics_in_the_process(file: &RustFile, breaches: &mut Vec<Breach>) {
    if !IN_THE_PROCESS
        .iter()
        .any(|folder| file.path.starts_with(folder))
    {
        return;
    }
    for needle in [".unwrap()", ".expect("] {
        for (offset, _) in file.source.code.match_indices(needle) {
            let line = line_of(&file.source.code, offset);
            if !file.source.is_test(line) {
                let rule = format!("`{needle}` can end somebody's process: handle the case");
                breaches.push(Breach::new(&file.path, line, &rule));
            }
        }
    }
}

fn manifest(file: &File, breaches: &mut Vec<Breach>) {
    if !file.path.ends_with("/Cargo.toml") || is_users(&file.path) {
        return;
    }
    let mut section = "";
    let mut lints = false;
    for line in file.text.lines() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        lints |= section == "lints" && line.replace(' ', "") == "workspace=true";
    }
    if !lints {
        breaches.push(Breach::new(
            &file.path,
            0,
            "`[lints] workspace = true` is missing",
        ));
    }
}

/// Absolute paths into the home of one developer or one machine mean nothing anywhere else.
fn no_path_of_a_machine(file: &File, breaches: &mut Vec<Breach>) {
    for folder in ["work", "root", "home"] {
        let needle = format!("/{folder}/");
        for (offset, _) in file.text.match_indices(&needle) {
            let before = file.text[..offset].chars().next_back();
            // Behind a name it is a folder of a project: only a path from the very top is meant.
            if !before.is_some_and(|c| c.is_alphanumeric() || "._-}>)".contains(c)) {
                let line = line_of(&file.text, offset);
                breaches.push(Breach::new(
                    &file.path,
                    line,
                    &format!("a path of one machine: `{needle}`"),
                ));
            }
        }
    }
}

fn is_users(path: &str) -> bool {
    USERS_PROJECTS.iter().any(|folder| path.starts_with(folder))
}

fn in_place(path: &str, place: &str) -> bool {
    if place.ends_with('/') {
        path.starts_with(place)
    } else {
        path == place
    }
}

/// Offsets of `wanted` where it stands as a word of its own.
fn word(code: &str, wanted: &str) -> Vec<usize> {
    words(code)
        .filter(|(_, word)| *word == wanted)
        .map(|(offset, _)| offset)
        .collect()
}

/// Identifiers, and words in strings, with their offsets.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_part)?;
        let end = code[start..]
            .find(|c| !is_part(c))
            .map_or(code.len(), |length| start + length);
        at = end;
        Some((start, &code[start..end]))
    })
}

/// The parts of `snake_case` and `CamelCase` names.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('_').flat_map(|piece| {
        let mut cuts: Vec<usize> = vec![0];
        let bytes = piece.as_bytes();
        cuts.extend(
            (1..bytes.len())
                .filter(|&i| bytes[i].is_ascii_uppercase() && bytes[i - 1].is_ascii_lowercase()),
        );
        cuts.push(piece.len());
        cuts.windows(2)
            .map(|cut| &piece[cut[0]..cut[1]])
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
