//! What the crates must not know: the dependencies that they may not have, and the parts of the
//! standard library that they may not use.

use super::rules::Breach;
use super::source::line_of;
use super::{File, RustFile};

/// What a crate must not know.
struct Boundary {
    /// Its folder.
    folder: &'static str,
    /// How a person calls it.
    what: &'static str,
    /// Crates of ours that it must not depend on.
    crates: &'static [&'static str],
    /// Modules of std that its code must not use; tests may.
    modules: &'static [&'static str],
}

const BOUNDARIES: [Boundary; 5] = [
    Boundary {
        folder: "crates/liveswap-runtime/",
        what: "the run-time of modules",
        crates: &["nimhcr", "cargo-liveswap", "liveswap-object"],
        modules: &[],
    },
    Boundary {
        folder: "crates/liveswap-agent/",
        what: "the agent",
        crates: &["nimhcr", "cargo-liveswap", "liveswap-object"],
        modules: &[],
    },
    Boundary {
        folder: "crates/liveswap-protocol/",
        what: "the protocol",
        crates: &[
            "nimhcr",
            "cargo-liveswap",
            "liveswap-object",
            "liveswap-agent",
            "liveswap-runtime",
        ],
        modules: &["fs", "process", "env", "net", "os"],
    },
    Boundary {
        folder: "crates/liveswap-object/",
        what: "the library of objects",
        crates: &[
            "nimhcr",
            "cargo-liveswap",
            "liveswap-agent",
            "liveswap-runtime",
        ],
        modules: &["fs", "process", "env", "net", "os"],
    },
    Boundary {
        folder: "crates/liveswap-trace/",
        what: "the trace",
        crates: &[
            "nimhcr",
            "cargo-liveswap",
            "liveswap-object",
            "liveswap-agent",
            "liveswap-protocol",
            "liveswap-runtime",
        ],
        modules: &["fs", "io", "process", "net", "os"],
    },
];

/// Libraries for commands: none of them belongs behind one of the boundaries.
const FOR_COMMANDS: [&str; 6] = [
    "cargo_metadata",
    "clap",
    "miette",
    "notify",
    "indicatif",
    "toml",
];

/// Dependencies that a crate's manifest must not name.
pub fn dependencies(file: &File, breaches: &mut Vec<Breach>) {
    let Some(boundary) = BOUNDARIES
        .iter()
        .find(|boundary| file.path == format!("{}Cargo.toml", boundary.folder))
    else {
        return;
    };
    let mut section = "";
    for (number, line) in file.text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
            continue;
        }
        let name = line
            .split(['=', '.', ' '])
            .next()
            .unwrap_or_default()
            .trim_matches('"');
        let is_forbidden = boundary.crates.contains(&name) || FOR_COMMANDS.contains(&name);
        if section.ends_with("dependencies") && is_forbidden {
            let rule = format!("{} must not depend on {name}", boundary.what);
            breaches.push(Breach::new(&file.path, number + 1, &rule));
        }
    }
}

/// Parts of the standard library that a crate's code must not use.
pub fn modules(file: &RustFile, breaches: &mut Vec<Breach>) {
    let Some(boundary) = BOUNDARIES
        .iter()
        .find(|boundary| file.path.starts_with(&format!("{}src/", boundary.folder)))
    else {
        return;
    };
    let code = &file.source.code;
    for (offset, _) in code.match_indices("std::") {
        let line = line_of(code, offset);
        if file.source.is_test(line) {
            continue;
        }
        for module in named(&code[offset + "std::".len()..]) {
            if boundary.modules.contains(&module) {
                let rule = format!("{} does no IO: `std::{module}`", boundary.what);
                breaches.push(Breach::new(&file.path, line, &rule));
            }
        }
    }
}

/// The modules that are named behind `std::`: one, or the first of each part of a list.
fn named(code: &str) -> impl Iterator<Item = &str> {
    let list = code
        .strip_prefix('{')
        .map(|rest| rest.split('}').next().unwrap_or_default());
    list.unwrap_or(code)
        .split(',')
        .take(if list.is_some() { usize::MAX } else { 1 })
        .map(|part| {
            let part = part.trim_start();
            let end = part.find(|c: char| !c.is_alphanumeric() && c != '_');
            &part[..end.unwrap_or(part.len())]
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::source::Source;

    fn found(path: &str, text: &str) -> Vec<usize> {
        let file = RustFile {
            path: path.to_owned(),
            source: Source::read(text),
            lines: text.lines().count(),
        };
        let mut breaches = Vec::new();
        modules(&file, &mut breaches);
        breaches.iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn io_is_found_in_paths_and_lists_and_not_in_tests() {
        let text = "use std::fs::File;\nuse std::{io, process};\nfn a() { std::env::vars() }\n\
                    use std::collections::HashMap; // std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\n";
        let path = "crates/liveswap-object/src/elf.rs";
        assert_eq!(found(path, text), [1, 2, 3]);
        for other in [
            "crates/liveswap-object/tests/plan/main.rs",
            "crates/cargo-liveswap/src/engine/mod.rs",
        ] {
            assert_eq!(found(other, text), [0_usize; 0]);
        }
    }

    #[test]
    fn what_runs_in_the_process_depends_on_nothing_of_the_command() {
        let text = "[package]\nclap = 1\n[dependencies]\nlibc.workspace = true\n\
                    clap.workspace = true\n[dev-dependencies]\nliveswap-object = \"1\"\n";
        let breaches = |folder: &str| {
            let mut breaches = Vec::new();
            let file = File {
                path: format!("crates/{folder}/Cargo.toml"),
                text: text.to_owned(),
            };
            dependencies(&file, &mut breaches);
            breaches.len()
        };
        assert_eq!(breaches("liveswap-agent"), 2);
        assert_eq!(breaches("liveswap-runtime"), 2);
        assert_eq!(breaches("liveswap-trace"), 2);
        assert_eq!(breaches("cargo-liveswap"), 0);
    }
}
