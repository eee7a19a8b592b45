//! What the body of a function may hold so that nobody outside sees that it changed.

use std::ops::Range;

use super::known::{Attribute, Names};
use super::source::{Kind, Mode, Source};
use super::{Cause, Why};

/// Things in a body that reach out of it.
#[derive(Default)]
struct Reach {
    /// Calls of macros that may expand to anything.
    macros: Vec<Range<usize>>,
    /// `use` items: they may give such a macro another meaning.
    imports: Vec<Range<usize>>,
    /// Other nested items: such a macro may make something of them that is seen outside.
    has_items: bool,
}

/// Checks the change of a body that other crates do not see as such.
pub(super) fn check(
    (old, old_names, before): (&Source<'_>, &Names<'_>, Range<usize>),
    (new, new_names, after): (&Source<'_>, &Names<'_>, Range<usize>),
) -> Result<(), Why> {
    let line = new.line(after.start);
    // What is wrong with the old body is reported at the new one: that is what the user has before the eyes.
    let gone = reach(old, old_names, before).map_err(|why| Why { line, ..why })?;
    let come = reach(new, new_names, after.clone())?;
    let unknown = |at: usize| Err(Why::new(Cause::UnknownMacro, new.line(at)));
    let same = |a: &[Range<usize>], b: &[Range<usize>]| {
        let differs = |pair: &(&Range<usize>, &Range<usize>)| {
            old.same(pair.0.clone(), new, pair.1.clone(), Mode::AsMacro)
                .is_err()
        };
        let first = a.iter().zip(b).find(differs).map(|(_, b)| b.start);
        match first {
            Some(at) => Err(at),
            None if a.len() == b.len() => Ok(()),
            None => Err(b.get(a.len()).map_or(after.start, |range| range.start)),
        }
    };
    if let Err(at) = same(&gone.macros, &come.macros) {
        return unknown(at);
    }
    let Some(first) = come.macros.first() else {
        return Ok(());
    };
    if gone.has_items || come.has_items || same(&gone.imports, &come.imports).is_err() {
        return unknown(first.start);
    }
    Ok(())
}

fn reach(source: &Source<'_>, names: &Names<'_>, body: Range<usize>) -> Result<Reach, Why> {
    let mut reach = Reach::default();
    let fail = |cause, at| Err(Why::new(cause, source.line(at)));
    let mut at = body.start;
    while at < body.end {
        if source.is(at, b'#') {
            let inner = source.is(at + 1, b'!');
            let open = at + 1 + usize::from(inner);
            let Some(close) = source.close(open) else {
                return fail(Cause::NotUnderstood, at);
            };
            match names.attribute(source, open + 1..close, inner) {
                Attribute::Harmless => {}
                // On a nested function, which is as hidden as the body. But `#![inline]` means this function.
                Attribute::Inline if !inner => {}
                _ => return fail(Cause::UnknownAttribute, at),
            }
            at = close + 1;
            continue;
        }
        if let Some(group) = source.macro_call(at) {
            let path = path_start(source, body.start, at);
            if names.knows_macro(source, path, at) {
                // The arguments are expressions like any others.
                at = group;
            } else {
                let close = source.close(group).unwrap_or(group);
                reach.macros.push(path..close + 1);
                at = close;
            }
        } else {
            match source.word(at) {
                "impl" => return fail(Cause::NestedImpl, at),
                "macro_rules" | "macro" => return fail(Cause::NestedMacro, at),
                "extern" if source.word(at + 1) == "crate" => {
                    return fail(Cause::NotUnderstood, at);
                }
                "use" => {
                    let end = (at..body.end).find(|&end| source.is(end, b';'));
                    reach.imports.push(at..end.unwrap_or(body.end));
                }
                "const" if at > body.start && source.is(at - 1, b'*') => {}
                "struct" | "enum" | "trait" | "type" | "mod" | "extern" | "static" | "const"
                | "fn" => reach.has_items = true,
                "union" if source.kind(at + 1) == Some(Kind::Ident) => reach.has_items = true,
                _ => {}
            }
        }
        at += 1;
    }
    Ok(reach)
}

/// The first token of the path that ends with the name at `last`.
fn path_start(source: &Source<'_>, from: usize, last: usize) -> usize {
    let mut start = last;
    while start >= from + 2 && source.is_path_separator(start - 2) {
        start -= 2;
        let named =
            start > from && matches!(source.kind(start - 1), Some(Kind::Ident | Kind::RawIdent));
        if !named {
            break;
        }
        start -= 1;
    }
    start
}
