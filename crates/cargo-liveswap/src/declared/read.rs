//! Finds declarations in the tokens of a file, wherever they stand: in modules, in bodies, in macros.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

use super::places::{By, Call, Item};
use super::{ANY, Declared, once, untyped};
use crate::interface::source::{Kind, Source};

/// What a file declares; nothing, if it is not understood.
pub(super) fn read(text: &str) -> Declared {
    let mut declared = Declared::default();
    let Ok(source) = Source::new(text) else {
        declared.untyped = Some(untyped::Untyped::unknown());
        return declared;
    };
    let mut reader = Reader {
        source: &source,
        attributes: Vec::new(),
        convention: String::new(),
        scopes: Vec::new(),
        repeated: Vec::new(),
    };
    let mut at = 0;
    let end = source.all().end;
    while at < end {
        at = reader.step(at, end, &mut declared);
    }
    declared.untyped = untyped::find(&source);
    declared
}

struct Reader<'s, 'a> {
    source: &'s Source<'a>,
    /// The attributes before the item that begins.
    attributes: Vec<Range<usize>>,
    /// The `extern "…"` before it.
    convention: String,
    /// What it stands in.
    scopes: Vec<Scope>,
    /// Where groups `$(…)` end that are open.
    repeated: Vec<usize>,
}

/// What items can stand in.
struct Scope {
    close: usize,
    name: String,
    /// It is the macro of this name.
    of_macro: Option<String>,
    /// How functions are called that are declared there.
    convention: String,
}

/// What may follow a macro's parameter in its pattern.
const FRAGMENTS: [&str; 15] = [
    "block",
    "expr",
    "expr_2021",
    "ident",
    "item",
    "lifetime",
    "literal",
    "meta",
    "pat",
    "pat_param",
    "path",
    "stmt",
    "tt",
    "ty",
    "vis",
];

impl Reader<'_, '_> {
    /// Reads from `at` and says where to go on.
    fn step(&mut self, at: usize, end: usize, declared: &mut Declared) -> usize {
        let source = self.source;
        self.scopes.retain(|scope| at <= scope.close);
        if let Some(next) = self.parameter_at(at, declared) {
            return next;
        }
        if matches!(source.kind(at), Some(Kind::Ident)) {
            once::enter(source, at, || self.place(), &mut declared.once);
        }
        declared.aliases.extend(untyped::alias(source, at));
        if let Some(open) = source.macro_call(at) {
            self.call_at(at, open, declared);
        }
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
                let length = match source.kind(at + 1) {
                    Some(Kind::Literal) => 1,
                    Some(Kind::Punct(b'$')) => 2,
                    _ => 0,
                };
                let next = at + 1 + length;
                self.convention = self.tokens(at..next);
                if source.kind(next) == Some(Kind::Open(b'{')) {
                    let convention = std::mem::take(&mut self.convention);
                    self.enter(next, "extern".to_owned(), None, convention);
                    self.attributes.clear();
                    return next + 1;
                }
                next
            }
            word => {
                match word {
                    "struct" | "enum" | "union" => self.type_at(at, end, declared),
                    "trait" => self.trait_at(at, end, declared),
                    "fn" => self.function_at(at, declared),
                    _ => {}
                }
                self.scope_at(at, end);
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
        let is_open = representation.iter().any(|text| text.contains('$'));
        let item = Item {
            place: self.place(),
            how: representation.join(" "),
            by: self.by(is_open),
        };
        declared.types.entry(name.clone()).or_default().push(text);
        declared.representations.entry(name).or_default().push(item);
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
        let item = self.function();
        let others = self.attributes.iter().flat_map(|it| self.exported(it));
        for other in others.filter(|other| *other != name) {
            let all = declared.functions.entry(other).or_default();
            all.push(item.clone());
        }
        declared.functions.entry(name).or_default().push(item);
    }

    /// A function that has the attributes before.
    fn function(&self) -> Item {
        let outer = self
            .scopes
            .last()
            .map_or("", |scope| scope.convention.as_str());
        let own = self.convention.as_str();
        let mut how = if own.is_empty() { outer } else { own }.to_owned();
        let mut attributes = self.attributes.iter();
        if attributes.any(|attribute| self.mentions(attribute, "track_caller")) {
            how.push_str(" track_caller");
        }
        Item {
            place: self.place(),
            by: self.by(how.contains('$')),
            how,
        }
    }

    /// The names by which linkers know an item with this attribute.
    fn exported(&self, attribute: &Range<usize>) -> Vec<String> {
        let source = self.source;
        let names = attribute.clone().filter(|at| {
            matches!(source.word(*at), "export_name" | "link_name") && source.is(at + 1, b'=')
        });
        let name = |at: usize| match source.kind(at + 2)? {
            Kind::Literal => {
                let text = source.text(at + 2).trim_start_matches('r');
                Some(text.trim_matches('#').trim_matches('"').to_owned())
            }
            // A macro makes it.
            _ => Some(ANY.to_owned()),
        };
        names.filter_map(name).collect()
    }

    /// Names of all around.
    fn place(&self) -> String {
        let names: Vec<&str> = self.scopes.iter().map(|scope| &*scope.name).collect();
        names.join(" / ")
    }

    /// The macro around, if its calls decide what the item that begins is: by an attribute, or by any word.
    fn by(&self, any_word: bool) -> Option<By> {
        let has_parameter = |attribute: &Range<usize>| {
            matches!(
                self.source.word(attribute.start),
                "" | "cfg_attr" | "unsafe"
            ) && self.has_parameter(attribute.clone())
        };
        if !any_word && !self.attributes.iter().any(has_parameter) {
            return None;
        }
        let name = self.macro_around()?;
        Some(By { name, any_word })
    }

    fn macro_around(&self) -> Option<String> {
        let mut scopes = self.scopes.iter().rev();
        scopes.find_map(|scope| scope.of_macro.clone())
    }

    fn has_parameter(&self, mut range: Range<usize>) -> bool {
        range.any(|at| self.source.is(at, b'$'))
    }

    fn enter(&mut self, open: usize, name: String, of_macro: Option<String>, convention: String) {
        if let Some(close) = self.source.close(open) {
            self.scopes.push(Scope {
                close,
                name,
                of_macro,
                convention,
            });
        }
    }

    /// Enters what begins with this word and has a body.
    fn scope_at(&mut self, at: usize, end: usize) {
        let source = self.source;
        let word = source.word(at);
        if word == "macro_rules" && source.is(at + 1, b'!') {
            let name = source.text(at + 2).trim_start_matches("r#");
            let head = format!("macro {name}");
            return self.enter(at + 3, head, Some(name.to_owned()), String::new());
        }
        if !matches!(word, "mod" | "trait" | "fn" | "impl") {
            return;
        }
        let name = self.name(at);
        if word != "impl" && name.is_none() {
            return;
        }
        let mut open = at + 1;
        while open < end && source.kind(open) != Some(Kind::Open(b'{')) {
            if source.is(open, b';') || matches!(source.kind(open), Some(Kind::Close(_))) {
                return;
            }
            open = source.close(open).unwrap_or(open) + 1;
        }
        // `fn f() -> impl Trait {`: entered already.
        let close = source.close(open);
        if self.scopes.last().map(|scope| scope.close) == close {
            return;
        }
        let head = match (word, name) {
            ("impl", _) | (_, None) => self.tokens(at..open),
            (word, Some(name)) => format!("{word} {name}"),
        };
        self.enter(open, head, None, String::new());
    }

    /// In a macro, `$name`, `$name:vis`, and both ends of `$(…)*`: attributes before are those of what follows.
    fn parameter_at(&mut self, at: usize, declared: &mut Declared) -> Option<usize> {
        let source = self.source;
        if source.is(at, b'$') {
            if let Some(close) = source.close(at + 1) {
                self.repeated.push(close);
                return Some(at + 2);
            }
            if !matches!(source.kind(at + 1)?, Kind::Ident | Kind::RawIdent) {
                return None;
            }
            let is_pattern = source.is(at + 2, b':') && FRAGMENTS.contains(&source.word(at + 3));
            let next = at + 2 + if is_pattern { 2 } else { 0 };
            // It may itself be the function.
            let is_prefix = matches!(
                source.word(next),
                "fn" | "const" | "async" | "unsafe" | "safe" | "extern" | "pub" | "default"
            ) || matches!(source.kind(next), Some(Kind::Punct(b'$' | b'#')));
            let function = self.function();
            if !is_prefix && (!function.how.is_empty() || function.by.is_some()) {
                let all = declared.functions.entry(ANY.to_owned()).or_default();
                all.push(function);
            }
            return Some(next);
        }
        if self.repeated.last() == Some(&at) {
            self.repeated.pop();
            let is_repeat = |at| matches!(source.kind(at), Some(Kind::Punct(b'*' | b'+' | b'?')));
            return Some(match (is_repeat(at + 1), is_repeat(at + 2)) {
                (true, _) => at + 2,
                (false, true) => at + 3,
                _ => at + 1,
            });
        }
        None
    }

    fn call_at(&self, at: usize, open: usize, declared: &mut Declared) {
        let source = self.source;
        let Some(close) = source.close(open) else {
            return;
        };
        let mut hasher = DefaultHasher::new();
        for token in open..close {
            if source.kind(token) != Some(Kind::Doc) {
                source.text(token).hash(&mut hasher);
            }
        }
        let arguments = open..close;
        let passes_on = self.has_parameter(arguments.clone());
        let mut words = ["track_caller", "repr", "extern"].into_iter();
        let name = source.text(at).trim_start_matches("r#").to_owned();
        declared.calls.entry(name).or_default().push(Call {
            digest: hasher.finish(),
            counts: passes_on || words.any(|word| self.mentions(&arguments, word)),
            passed_by: self.macro_around().filter(|_| passes_on),
        });
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
