//! Initialisers that run once for a value, as the source has them. The optimiser makes them part of the functions that
//! ask for the value, so objects do not always tell that one of them changed.

use std::ops::Range;

use super::Named;
use crate::interface::source::{Kind, Source};

/// Methods that call what they are given at most once for each value.
const METHODS: [&str; 5] = [
    "get_or_init",
    "get_or_try_init",
    "get_mut_or_init",
    "call_once",
    "call_once_force",
];
/// Types of statics that make their value when it is asked for, by `new`.
const TYPES: [&str; 3] = ["LazyLock", "LazyCell", "Lazy"];

/// Enters the initialisers that begin at a token: by `place`, the function around, or by the static.
pub(super) fn enter(source: &Source<'_>, at: usize, place: impl Fn() -> String, into: &mut Named) {
    if matches!(source.word(at), "thread_local" | "lazy_static") {
        if let Some(open) = source.macro_call(at) {
            statics(source, open, into);
        }
        return;
    }
    let open = if METHODS.contains(&source.word(at)) {
        at + 1
    } else if TYPES.contains(&source.word(at))
        && source.is_path_separator(at + 1)
        && source.word(at + 3) == "new"
    {
        at + 4
    } else {
        return;
    };
    if source.kind(open) != Some(Kind::Open(b'(')) {
        return;
    }
    let place = place();
    let function = place.rsplit(" / ").find_map(|it| it.strip_prefix("fn "));
    if let (Some(function), Some(close)) = (function, source.close(open)) {
        add(source, function, open + 1..close, into);
    }
}

/// The statics in a call of `thread_local!` or `lazy_static!`.
fn statics(source: &Source<'_>, open: usize, into: &mut Named) {
    let close = source.close(open).unwrap_or(open);
    let mut at = open + 1;
    while at < close {
        if source.word(at) != "static" {
            at += 1;
            continue;
        }
        let name = at + 1 + usize::from(source.word(at + 1) == "ref");
        let equals = (name..close).find(|at| source.is(*at, b'='));
        let Some(value) = equals.map(|equals| equals + 1) else {
            return;
        };
        let mut end = value;
        while end < close && !source.is(end, b';') {
            end = source.close(end).unwrap_or(end) + 1;
        }
        // What is computed by the compiler is not code that runs.
        if source.word(value) != "const" {
            add(source, source.text(name), value..end, into);
        }
        at = end;
    }
}

fn add(source: &Source<'_>, owner: &str, value: Range<usize>, into: &mut Named) {
    let tokens: Vec<&str> = value.map(|at| source.text(at)).collect();
    let all = into.entry(owner.to_owned()).or_default();
    all.push(tokens.join(" "));
}
