//! Finds declarations in the tokens of a file, wherever they stand: in modules, in bodies, in macros.

use std::ops::Range;

use super::{ANY, Declared};
use crate::interface::source::{Kind, Source};

/// What a file declares; nothing, if it is not understood.
pub(super) fn read(text: &str) -> Declared {
    let mut declared = Declared::default();
    let Ok(source) = Source::new(text) else {
        return declared;
    };
    let mut reader = Reader {
        source: &source,
        attributes: Vec::new(),
        convention: String::new(),
    };
    let mut at = 0;
    let end = source.all().end;
    while at < end {
        at = reader.step(at, end, &mut declared);
    }
    declared
}

struct Reader<'s, 'a> {
    source: &'s Source<'a>,
    /// The attributes before the item that begins.
    attributes: Vec<Range<usize>>,
    /// The `extern "…"` before it.
    convention: String,
}

impl Reader<'_, '_> {
    /// Reads from `at` and says where to go on.
    fn step(&mut self, at: usize, end: usize, declared: &mut Declared) -> usize {
        let source = self.source;
        if source.is(at, b'#') {
            let open = at + 1 + usize::from(source.is(at + 1, b'!'));
            if let Some(close) = source.close(open) {
                self.attributes.push(open + 1..close);
                return close + 1;
            }
        }
        if source.kind(at) == Some(Kind::Doc) {
            return at + 1;
        }
        let next = match source.word(at) {
            "pub" => match source.kind(at + 1) {
                Some(Kind::Open(b'(')) => source.close(at + 1).unwrap_or(at) + 1,
                _ => at + 1,
            },
            "const" | "async" | "unsafe" | "safe" | "default" => at + 1,
            "extern" => {
                let has_name = source.kind(at + 1) == Some(Kind::Literal);
                self.convention = match has_name {
                    true => format!("extern {}", source.text(at + 1)),
                    false => "extern".to_owned(),
                };
                at + 1 + usize::from(has_name)
            }
            word => {
                match word {
                    "struct" | "enum" | "union" => self.type_at(at, end, declared),
                    "trait" => self.trait_at(at, end, declared),
                    "fn" => self.function_at(at, declared),
                    _ => {}
                }
                self.attributes.clear();
                self.convention.clear();
                at + 1
            }
        };
        next.max(at + 1)
    }

    /// The name that is declared behind a keyword.
    fn name(&self, keyword: usize) -> Option<String> {
        match self.source.kind(keyword + 1)? {
            Kind::Ident | Kind::RawIdent => Some(
                self.source
                    .text(keyword + 1)
                    .trim_start_matches("r#")
                    .to_owned(),
            ),
            Kind::Punct(b'$') => Some(ANY.to_owned()),
            _ => None,
        }
    }

    fn type_at(&self, at: usize, end: usize, declared: &mut Declared) {
        let Some(name) = self.name(at) else { return };
        let source = self.source;
        let mut last = at + 2;
        while last < end && !source.is(last, b';') {
            if source.kind(last) == Some(Kind::Open(b'{')) {
                last = source.close(last).unwrap_or(last);
                break;
            }
            last = source.close(last).unwrap_or(last) + 1;
        }
        let representation: Vec<String> = self
            .attributes
            .iter()
            .filter(|attribute| self.mentions(attribute, "repr"))
            .map(|attribute| self.tokens(attribute.clone()))
            .collect();
        let mut text = self.tokens(at..(last + 1).min(end));
        for attribute in &representation {
            text.push_str(attribute);
        }
        declared.types.entry(name.clone()).or_default().push(text);
        if !representation.is_empty() {
            let all = declared.representations.entry(name).or_default();
            all.push(representation.join(" "));
        }
    }

    fn trait_at(&self, at: usize, end: usize, declared: &mut Declared) {
        let Some(name) = self.name(at) else { return };
        let source = self.source;
        let mut open = at + 2;
        while open < end && source.kind(open) != Some(Kind::Open(b'{')) {
            if source.is(open, b';') {
                return;
            }
            open = source.close(open).unwrap_or(open) + 1;
        }
        let close = source.close(open).unwrap_or(end);
        let mut text = self.tokens(at..open);
        let mut item = open + 1;
        while item < close {
            // The body of a method that the trait provides is no part of its table.
            if source.kind(item) == Some(Kind::Open(b'{')) {
                text.push_str("; ");
                item = source.close(item).unwrap_or(item) + 1;
                continue;
            }
            let next = source.close(item).map_or(item + 1, |close| close + 1);
            text.push_str(&self.tokens(item..next));
            item = next;
        }
        declared.traits.entry(name).or_default().push(text);
    }

    fn function_at(&self, at: usize, declared: &mut Declared) {
        let Some(name) = self.name(at) else { return };
        let mut how = self.convention.clone();
        let mut attributes = self.attributes.iter();
        if attributes.any(|attribute| self.mentions(attribute, "track_caller")) {
            how.push_str(" track_caller");
        }
        if !how.is_empty() {
            declared.conventions.entry(name).or_default().push(how);
        }
    }

    fn mentions(&self, range: &Range<usize>, word: &str) -> bool {
        range.clone().any(|at| self.source.word(at) == word)
    }

    fn tokens(&self, range: Range<usize>) -> String {
        let mut text = String::new();
        for at in range {
            if self.source.kind(at) != Some(Kind::Doc) {
                text.push_str(self.source.text(at));
                text.push(' ');
            }
        }
        text
    }
}
