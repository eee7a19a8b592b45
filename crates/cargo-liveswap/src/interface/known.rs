//! Attributes and macros of which it is known what they expand to, and what names a file gives to others.

use std::collections::HashMap;
use std::ops::Range;

use super::source::{Kind, Source};

/// What an attribute does to the thing that it stands on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Attribute {
    /// It leaves the thing as it is written.
    Harmless,
    /// The body may be compiled into other crates.
    Inline,
    /// It may be a macro, and so anything.
    Unknown,
}

/// Attributes of the language that change nothing for other crates. None of these names can be given to a macro, except
/// `derive` and `test`, which are looked at closer.
const HARMLESS: &[&str] = &[
    "allow",
    "automatically_derived",
    "cfg",
    "cold",
    "default",
    "deny",
    "deprecated",
    "doc",
    "expect",
    "export_name",
    "forbid",
    "ignore",
    "link_section",
    "macro_export",
    "macro_use",
    "must_use",
    "no_mangle",
    "non_exhaustive",
    "path",
    "repr",
    "should_panic",
    "target_feature",
    "test",
    "track_caller",
    "used",
    "warn",
];

/// Attributes of a whole file or module, in addition.
const HARMLESS_INNER: &[&str] = &[
    "crate_name",
    "crate_type",
    "feature",
    "no_implicit_prelude",
    "no_main",
    "no_std",
    "recursion_limit",
    "type_length_limit",
];

/// Tools whose attributes the compiler passes over.
const TOOLS: &[&str] = &["clippy", "diagnostic", "miri", "rust_analyzer", "rustfmt"];

/// Derives of std: each adds one `impl` for the type that it stands on.
const DERIVES: &[&str] = &[
    "Clone",
    "Copy",
    "Debug",
    "Default",
    "Eq",
    "Hash",
    "Ord",
    "PartialEq",
    "PartialOrd",
];

/// Macros of std that expand to expressions (and, for `thread_local`, to statics) and never to an `impl` or a macro.
const STD_MACROS: &[&str] = &[
    "addr_of",
    "addr_of_mut",
    "asm",
    "assert",
    "assert_eq",
    "assert_ne",
    "cfg",
    "column",
    "compile_error",
    "concat",
    "dbg",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "env",
    "eprint",
    "eprintln",
    "file",
    "format",
    "format_args",
    "include_bytes",
    "include_str",
    "is_x86_feature_detected",
    "line",
    "matches",
    "module_path",
    "offset_of",
    "option_env",
    "panic",
    "pin",
    "print",
    "println",
    "ready",
    "stringify",
    "thread_local",
    "todo",
    "try",
    "unimplemented",
    "unreachable",
    "vec",
    "write",
    "writeln",
];

/// Macros of much used crates that expand to expressions as well.
const CRATE_MACROS: &[(&str, &[&str])] = &[
    ("anyhow", &["anyhow", "bail", "ensure"]),
    ("log", &["debug", "error", "info", "log", "trace", "warn"]),
    ("serde_json", &["json"]),
    (
        "tracing",
        &["debug", "error", "event", "info", "trace", "warn"],
    ),
];

/// Names that a file imports or defines, and the first segment of the path from which they come (empty: unclear).
pub(super) struct Names<'a> {
    roots: HashMap<&'a str, &'a str>,
}

impl<'a> Names<'a> {
    pub fn new(source: &Source<'a>) -> Self {
        let mut names = Names {
            roots: HashMap::new(),
        };
        for index in source.all() {
            match source.word(index) {
                "use" if !source.is(index + 1, b'<') => names.imports(source, index + 1),
                "macro_rules" => names.add(source.text(index + 2), ""),
                "macro" | "mod" => names.add(source.text(index + 1), ""),
                // `extern crate a as b;`
                "as" if source.is(index + 2, b';') => names.add(source.text(index + 1), ""),
                _ => {}
            }
        }
        names
    }

    /// The tree of one `use`, from behind the keyword.
    fn imports(&mut self, source: &Source<'a>, from: usize) {
        let start = if source.is_path_separator(from) {
            from + 2
        } else {
            from
        };
        // `use {a::b, c::d}` has no single root.
        let root = source.word(start);
        let mut index = start;
        while index < source.all().end && !source.is(index, b';') {
            let ends_name = source.is(index + 1, b',')
                || source.is(index + 1, b';')
                || source.kind(index + 1) == Some(Kind::Close(b'}'));
            if ends_name && matches!(source.kind(index), Some(Kind::Ident | Kind::RawIdent)) {
                self.add(source.text(index), root);
            }
            index += 1;
        }
    }

    fn add(&mut self, name: &'a str, root: &'a str) {
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.roots
            .entry(name)
            .and_modify(|known| {
                if *known != root {
                    *known = "";
                }
            })
            .or_insert(root);
    }

    /// The name is std's, unless this file gives it to something else.
    fn is_std(&self, name: &str) -> bool {
        self.roots
            .get(name)
            .is_none_or(|root| matches!(*root, "std" | "core" | "alloc"))
    }

    /// Is the macro with this name known? `path` is the index of the first token of the path, `name` of its last.
    pub fn knows_macro(&self, source: &Source<'_>, path: usize, name: usize) -> bool {
        let called = source.text(name);
        let called = called.strip_prefix("r#").unwrap_or(called);
        let root = if path == name {
            self.roots.get(called).copied().unwrap_or("std")
        } else {
            let first = if source.is_path_separator(path) {
                path + 2
            } else {
                path
            };
            // `use evil as std;`
            let word = source.word(first);
            if self.roots.get(word).is_some_and(|root| *root != word) {
                return false;
            }
            word
        };
        if matches!(root, "std" | "core" | "alloc") {
            return STD_MACROS.contains(&called);
        }
        CRATE_MACROS
            .iter()
            .any(|(krate, macros)| *krate == root && macros.contains(&called))
    }

    /// What the attribute in these brackets does (the range is what lies between them).
    pub fn attribute(&self, source: &Source<'_>, inside: Range<usize>, inner: bool) -> Attribute {
        let at = inside.start;
        let word = source.word(at);
        if source.is_path_separator(at + 1) {
            return if TOOLS.contains(&word) {
                Attribute::Harmless
            } else {
                Attribute::Unknown
            };
        }
        let arguments = source.close(at + 1).map(|close| at + 2..close);
        match word {
            // `#[inline(never)]` is a promise that the body is compiled here.
            "inline" => match arguments {
                Some(arguments)
                    if arguments.len() == 1 && source.word(arguments.start) == "never" =>
                {
                    Attribute::Harmless
                }
                _ => Attribute::Inline,
            },
            "cfg_attr" => arguments.map_or(Attribute::Unknown, |arguments| {
                let parts = split(source, arguments);
                parts
                    .into_iter()
                    .skip(1)
                    .map(|part| self.attribute(source, part, inner))
                    .max()
                    .unwrap_or(Attribute::Harmless)
            }),
            "unsafe" => arguments.map_or(Attribute::Unknown, |arguments| {
                self.attribute(source, arguments, inner)
            }),
            "derive" => match arguments {
                Some(arguments) if self.is_std("derive") => {
                    if self.all_std_derives(source, arguments) {
                        Attribute::Harmless
                    } else {
                        Attribute::Unknown
                    }
                }
                _ => Attribute::Unknown,
            },
            "test" if !self.is_std("test") => Attribute::Unknown,
            _ if HARMLESS.contains(&word) => Attribute::Harmless,
            _ if inner && HARMLESS_INNER.contains(&word) => Attribute::Harmless,
            _ => Attribute::Unknown,
        }
    }

    fn all_std_derives(&self, source: &Source<'_>, arguments: Range<usize>) -> bool {
        split(source, arguments).into_iter().all(|part| {
            part.is_empty()
                || (part.len() == 1 && {
                    let name = source.word(part.start);
                    DERIVES.contains(&name) && self.is_std(name)
                })
        })
    }
}

/// Splits at the commas outside of groups.
fn split(source: &Source<'_>, range: Range<usize>) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut index) = (range.start, range.start);
    while index < range.end {
        if source.is(index, b',') {
            parts.push(start..index);
            start = index + 1;
        }
        index = source.close(index).unwrap_or(index) + 1;
    }
    parts.push(start..range.end);
    parts
}
