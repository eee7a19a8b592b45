//! Does a file bring the text of another one into the crate, other than as a module?

use super::source::{Kind, Source};

/// May `text` include the file with this name (the last part of its path) by `include!`, `include_str!` or
/// `include_bytes!`? Its text is then not that of a module, and [`super::unchanged`] says nothing about it.
pub fn may_include(text: &str, file_name: &str) -> bool {
    if !text.contains("include") {
        return false;
    }
    let Ok(source) = Source::new(text) else {
        return true;
    };
    source.all().any(|at| {
        let including = matches!(source.text(at), "include" | "include_str" | "include_bytes");
        if !including || !source.is(at + 1, b'!') {
            return false;
        }
        let Some(close) = source.close(at + 2) else {
            return true;
        };
        // The last literal is the end of the path; `concat!(env!("OUT_DIR"), "/bindings.rs")`.
        let last = (at + 3..close)
            .rev()
            .find(|&at| !matches!(source.kind(at), Some(Kind::Close(_) | Kind::Punct(b','))));
        match last {
            Some(last) if source.kind(last) == Some(Kind::Literal) => {
                let literal = source.text(last);
                let is_end_of_name = last > at + 3 && !literal.contains('/');
                is_end_of_name
                    || literal.contains('\\')
                    || literal
                        .trim_matches(['r', '#', '"'])
                        .rsplit('/')
                        .next()
                        .is_none_or(|name| name.is_empty() || name == file_name)
            }
            _ => true,
        }
    })
}
