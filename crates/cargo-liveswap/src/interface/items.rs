//! Finds the items of a file: where each begins and ends, and for functions, whether other crates can see the body.

use std::ops::Range;

use super::known::{Attribute, Names};
use super::source::{Kind, Source};
use super::{Cause, Why};

/// What an item is, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// A function with a body, and why other crates see that body.
    Function(Option<Cause>),
    /// `mod`, `impl` or `trait` with the items in its braces, and why other crates see the bodies in it.
    Container(Option<Cause>),
    /// `macro_rules!` or `macro`.
    MacroDefinition,
    /// Anything else: all its tokens count.
    Other,
}

/// One item.
pub(super) struct Item {
    pub what: What,
    /// All its tokens, attributes included.
    pub all: Range<usize>,
    /// The tokens between the braces of a function or container; empty, at the end, for other items.
    pub body: Range<usize>,
    /// It is compiled for tests only.
    pub only_in_tests: bool,
    /// What its attributes do.
    pub attributes: Attribute,
    /// It is an inner attribute, `#![…]`: it stands for what it is in.
    pub is_inner: bool,
    /// The name of a function.
    pub name: Option<usize>,
    /// No `pub` stands before it.
    pub is_private: bool,
    /// It is a `mod`.
    pub is_module: bool,
    /// It is the call of a macro that may define anything.
    pub is_macro_call: bool,
    /// The first attribute that is not known is a `derive`: those below it belong to it.
    pub is_derived: bool,
}

/// The items in a range of tokens.
pub(super) fn scan(
    source: &Source<'_>,
    names: &Names<'_>,
    range: Range<usize>,
) -> Result<Vec<Item>, Why> {
    let mut items = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let item = Scanner {
            source,
            names,
            end: range.end,
        }
        .item(at)?;
        at = item.all.end;
        items.push(item);
    }
    Ok(items)
}

struct Scanner<'s, 'a> {
    source: &'s Source<'a>,
    names: &'s Names<'a>,
    end: usize,
}

impl Scanner<'_, '_> {
    fn not_understood(&self, at: usize) -> Why {
        Why::new(Cause::NotUnderstood, self.source.line(at))
    }

    fn item(&self, start: usize) -> Result<Item, Why> {
        let source = self.source;
        let mut item = Item {
            what: What::Other,
            all: start..start,
            body: start..start,
            only_in_tests: false,
            attributes: Attribute::Harmless,
            is_inner: false,
            name: None,
            is_private: true,
            is_module: false,
            is_macro_call: false,
            is_derived: false,
        };
        let mut at = start;
        loop {
            if source.kind(at) == Some(Kind::Doc) {
                at += 1;
                // `//!` and `/*!` belong to what they are in, as the last item of a file may show.
                if at == self.end {
                    return Ok(self.end_at(item, at));
                }
                continue;
            }
            if !source.is(at, b'#') {
                break;
            }
            let inner = source.is(at + 1, b'!');
            let open = at + 1 + usize::from(inner);
            let close = source
                .close(open)
                .filter(|_| source.kind(open) == Some(Kind::Open(b'[')))
                .ok_or_else(|| self.not_understood(at))?;
            let inside = open + 1..close;
            let effect = self.names.attribute(source, inside.clone(), inner);
            if effect == Attribute::Unknown && item.attributes != Attribute::Unknown {
                item.is_derived = source.word(inside.start) == "derive";
            }
            item.attributes = item.attributes.max(effect);
            at = close + 1;
            if inner {
                item.is_inner = true;
                return Ok(self.end_at(item, at));
            }
            item.only_in_tests |= is_cfg_test(source, inside);
        }
        if source.word(at) == "pub" {
            item.is_private = false;
            at += 1;
            if source.kind(at) == Some(Kind::Open(b'('))
                && let Some(close) = source.close(at)
            {
                at = close + 1;
            }
        }
        self.after_visibility(item, at)
    }

    fn end_at(&self, mut item: Item, end: usize) -> Item {
        item.all.end = end;
        if matches!(item.what, What::Other | What::MacroDefinition) {
            item.body = end..end;
        }
        item
    }

    fn after_visibility(&self, item: Item, mut at: usize) -> Result<Item, Why> {
        let source = self.source;
        let mut visible = None;
        loop {
            let next = source.word(at + 1);
            match source.word(at) {
                "fn" => return self.function(item, at + 1, visible),
                "const" if matches!(source.kind(at + 1), Some(Kind::Ident)) => match next {
                    "fn" | "async" | "unsafe" | "extern" | "impl" | "trait" | "gen" | "safe"
                    | "auto" | "const" => visible = Some(Cause::Const),
                    _ => return self.until_semicolon(item, at),
                },
                "const" | "static" | "type" | "use" => return self.until_semicolon(item, at),
                "async" | "gen" => visible = Some(Cause::Async),
                "unsafe" | "safe" | "auto" => {}
                "default" if source.kind(at + 1) == Some(Kind::Ident) => {}
                "extern" => {
                    if next == "crate" {
                        return self.until_semicolon(item, at);
                    }
                    let after = at + 1 + usize::from(source.kind(at + 1) == Some(Kind::Literal));
                    if source.kind(after) == Some(Kind::Open(b'{')) {
                        return self.until_braces(item, after);
                    }
                    at = after;
                    continue;
                }
                "struct" | "enum" => return self.until_braces(item, at + 1),
                "union" if source.kind(at + 1) == Some(Kind::Ident) => {
                    return self.until_braces(item, at + 1);
                }
                "mod" => {
                    let mut item = self.container(item, at + 1, visible)?;
                    item.is_module = true;
                    return Ok(item);
                }
                "trait" => return self.container(item, at + 1, Some(Cause::DefaultMethod)),
                "impl" => return self.implementation(item, at + 1, visible),
                "macro" => {
                    let mut item = self.until_braces(item, at + 1)?;
                    item.what = What::MacroDefinition;
                    return Ok(item);
                }
                _ => return self.macro_call(item, at),
            }
            at += 1;
        }
    }

    /// `use`, `const`, `static`, `type`, `extern crate`.
    fn until_semicolon(&self, item: Item, from: usize) -> Result<Item, Why> {
        let mut at = from;
        while at < self.end {
            if self.source.is(at, b';') {
                return Ok(self.end_at(item, at + 1));
            }
            at = self.source.close(at).unwrap_or(at) + 1;
        }
        Err(self.not_understood(from))
    }

    /// The end of a header: the index of the `{` or `;` that ends it.
    fn header_end(&self, from: usize) -> Result<usize, Why> {
        let source = self.source;
        let (mut at, mut angles) = (from, 0_usize);
        while at < self.end {
            match source.kind(at) {
                Some(Kind::Punct(b'<')) => angles += 1,
                Some(Kind::Punct(b'>')) if !source.is_arrow_head(at) => {
                    angles = angles
                        .checked_sub(1)
                        .ok_or_else(|| self.not_understood(at))?;
                }
                Some(Kind::Open(b'{') | Kind::Punct(b';')) if angles == 0 => return Ok(at),
                _ => {}
            }
            // The braces of a macro in a type are not those of the body.
            let group = source.macro_call(at).unwrap_or(at);
            at = source.close(group).unwrap_or(group) + 1;
        }
        Err(self.not_understood(from))
    }

    fn until_braces(&self, item: Item, from: usize) -> Result<Item, Why> {
        let end = self.header_end(from)?;
        Ok(self.end_at(item, self.source.close(end).unwrap_or(end) + 1))
    }

    fn container(&self, mut item: Item, from: usize, visible: Option<Cause>) -> Result<Item, Why> {
        let end = self.header_end(from)?;
        if let Some(close) = self.source.close(end) {
            item.what = What::Container(visible);
            item.body = end + 1..close;
        }
        Ok(self.end_at(item, self.source.close(end).unwrap_or(end) + 1))
    }

    fn implementation(
        &self,
        item: Item,
        mut from: usize,
        mut visible: Option<Cause>,
    ) -> Result<Item, Why> {
        if self.source.is(from, b'<') {
            let (after, only_lifetimes) = self.generics(from)?;
            from = after;
            if !only_lifetimes {
                visible = visible.or(Some(Cause::Generic));
            }
        }
        if self.source.word(from) == "const" {
            visible = visible.or(Some(Cause::Const));
        }
        let header_end = self.header_end(from)?;
        if (from..header_end).any(|at| self.source.macro_call(at).is_some()) {
            visible = visible.or(Some(Cause::MacroInSignature));
        }
        let item = self.container(item, from, visible)?;
        // `type Item = impl Trait;` is defined by whatever method mentions it.
        let opaque = self.opaque_type_in(item.body.clone())?;
        Ok(match item.what {
            What::Container(None) if opaque => Item {
                what: What::Container(Some(Cause::OpaqueType)),
                ..item
            },
            _ => item,
        })
    }

    /// Does an associated type in this body hide a type behind `impl`, or a macro?
    fn opaque_type_in(&self, body: Range<usize>) -> Result<bool, Why> {
        let source = self.source;
        let mut at = body.start;
        while at < body.end {
            if source.word(at) == "type" {
                while at < body.end && !source.is(at, b';') {
                    if source.word(at) == "impl" || source.macro_call(at).is_some() {
                        return Ok(true);
                    }
                    at += 1;
                }
            }
            at = source.close(at).unwrap_or(at) + 1;
        }
        Ok(false)
    }

    /// Generic parameters from `<` on: the index behind `>`, and whether all are lifetimes.
    fn generics(&self, from: usize) -> Result<(usize, bool), Why> {
        let source = self.source;
        let (mut at, mut angles) = (from, 0_usize);
        let (mut only_lifetimes, mut at_parameter) = (true, false);
        while at < self.end {
            let kind = source.kind(at);
            if at_parameter && kind != Some(Kind::Punct(b'>')) {
                only_lifetimes &= kind == Some(Kind::Lifetime);
            }
            at_parameter = false;
            match kind {
                Some(Kind::Punct(b'<')) => {
                    angles += 1;
                    at_parameter = angles == 1;
                }
                Some(Kind::Punct(b'>')) if !source.is_arrow_head(at) => {
                    angles -= 1;
                    if angles == 0 {
                        return Ok((at + 1, only_lifetimes));
                    }
                }
                Some(Kind::Punct(b',')) => at_parameter = angles == 1,
                _ => {}
            }
            at = source.close(at).unwrap_or(at) + 1;
        }
        Err(self.not_understood(from))
    }

    /// A function, from its name on.
    fn function(
        &self,
        mut item: Item,
        name: usize,
        mut visible: Option<Cause>,
    ) -> Result<Item, Why> {
        let source = self.source;
        if !matches!(source.kind(name), Some(Kind::Ident | Kind::RawIdent)) {
            return Err(self.not_understood(name));
        }
        item.name = Some(name);
        let mut at = name + 1;
        if source.is(at, b'<') {
            let (after, only_lifetimes) = self.generics(at)?;
            at = after;
            if !only_lifetimes {
                visible = visible.or(Some(Cause::Generic));
            }
        }
        if source.kind(at) != Some(Kind::Open(b'(')) {
            return Err(self.not_understood(at));
        }
        let end = self.header_end(at)?;
        for index in name..end {
            let cause = match source.word(index) {
                "impl" => Cause::OpaqueType,
                // The compiler never compiles such functions in their own crate alone.
                "f16" | "f128" => Cause::Inline,
                _ if source.macro_call(index).is_some() => Cause::MacroInSignature,
                _ => continue,
            };
            visible = visible.or(Some(cause));
        }
        match item.attributes {
            Attribute::Harmless => {}
            Attribute::Inline => visible = visible.or(Some(Cause::Inline)),
            Attribute::Unknown => visible = visible.or(Some(Cause::UnknownAttribute)),
        }
        let Some(close) = source.close(end) else {
            return Ok(self.end_at(item, end + 1));
        };
        item.what = What::Function(visible);
        item.body = end + 1..close;
        Ok(self.end_at(item, close + 1))
    }

    /// `path::name! {…}`, `macro_rules! name {…}`, a lone `;`.
    fn macro_call(&self, mut item: Item, from: usize) -> Result<Item, Why> {
        let source = self.source;
        if source.is(from, b';') {
            return Ok(self.end_at(item, from + 1));
        }
        let mut at = from;
        while at < self.end && !source.is(at, b'!') {
            let in_path = matches!(source.kind(at), Some(Kind::Ident | Kind::RawIdent))
                || source.is(at, b':');
            if !in_path {
                return Err(self.not_understood(at));
            }
            at += 1;
        }
        let mut group = at + 1;
        if source.word(from) == "macro_rules" {
            item.what = What::MacroDefinition;
            group += 1;
        } else {
            item.is_macro_call = !(at == from + 1 && self.names.knows_macro(source, from, from));
        }
        let close = source
            .close(group)
            .filter(|&close| close < self.end && at > from)
            .ok_or_else(|| self.not_understood(from))?;
        let semicolon = source.is(close + 1, b';') && close + 1 < self.end;
        Ok(self.end_at(item, close + 1 + usize::from(semicolon)))
    }
}

/// `#[cfg(test)]`, exactly.
fn is_cfg_test(source: &Source<'_>, inside: Range<usize>) -> bool {
    inside.len() == 4
        && source.word(inside.start) == "cfg"
        && source.kind(inside.start + 1) == Some(Kind::Open(b'('))
        && source.word(inside.start + 2) == "test"
}
