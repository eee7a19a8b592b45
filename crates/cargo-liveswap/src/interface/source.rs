//! A source file as tokens, with what the proof needs to know of each: its text, its place, what it touches.

use std::ops::Range;

use ra_ap_rustc_lexer::{
    FrontmatterAllowed, LiteralKind, TokenKind, strip_shebang, tokenize as lex,
};

use super::{Cause, Why};

/// What a token is. Comments and white space are no tokens, but doc comments are: macros see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Ident,
    /// `r#name`: never a keyword.
    RawIdent,
    Lifetime,
    Literal,
    Punct(u8),
    /// `(`, `[` or `{`.
    Open(u8),
    /// `)`, `]` or `}`.
    Close(u8),
    /// `///`, `//!`, `/** */`, `/*! */`.
    Doc,
}

#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub kind: Kind,
    /// Nothing lies between this token and the one before it.
    joint: bool,
    start: u32,
    end: u32,
    /// Of an opening delimiter: the index of the closing one.
    close: u32,
    line: u32,
    column: u32,
}

/// How exactly two runs of tokens are compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As a macro sees them: white space and doc comments count.
    AsMacro,
    /// As the compiler sees them.
    AsCode,
}

/// The tokens of one file.
pub(crate) struct Source<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    /// Shebang and front matter.
    pub head: &'a str,
}

impl<'a> Source<'a> {
    pub fn new(text: &'a str) -> Result<Self, Why> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if u32::try_from(text.len()).is_err() {
            return Err(Why::new(Cause::NotUnderstood, 1));
        }
        let shebang = strip_shebang(text).unwrap_or(0);
        let mut source = Source {
            text,
            tokens: Vec::with_capacity(text.len() / 4),
            head: &text[..shebang],
        };
        source.read(shebang)?;
        Ok(source)
    }

    fn read(&mut self, from: usize) -> Result<(), Why> {
        let text = self.text;
        let mut open: Vec<usize> = Vec::new();
        let (mut at, mut line, mut line_start, mut joint) = (from, 1_u32, 0_usize, false);
        for token in lex(&text[from..], FrontmatterAllowed::Yes) {
            let (start, end) = (at, at + token.len as usize);
            at = end;
            let place = (line, (start - line_start) as u32);
            let mut may_have_lines = true;
            let kind = match token.kind {
                TokenKind::LineComment { doc_style: None } => None,
                TokenKind::BlockComment {
                    doc_style: None,
                    terminated: true,
                }
                | TokenKind::Whitespace => None,
                TokenKind::LineComment { .. }
                | TokenKind::BlockComment {
                    terminated: true, ..
                } => Some(Kind::Doc),
                TokenKind::Literal { kind, .. } if is_whole(kind) => Some(Kind::Literal),
                // The manifest of a script: whatever stands there must not change.
                TokenKind::Frontmatter { .. } if self.tokens.is_empty() => {
                    self.head = &text[..end];
                    None
                }
                simple => {
                    may_have_lines = false;
                    match simple_kind(simple) {
                        Some(kind) => Some(kind),
                        None => return Err(Why::new(Cause::NotUnderstood, line)),
                    }
                }
            };
            if may_have_lines {
                for (offset, byte) in text.as_bytes()[start..end].iter().enumerate() {
                    if *byte == b'\n' {
                        line += 1;
                        line_start = start + offset + 1;
                    }
                }
            }
            let Some(kind) = kind else {
                joint = false;
                continue;
            };
            let index = self.tokens.len();
            match kind {
                Kind::Open(_) => open.push(index),
                Kind::Close(delimiter) => {
                    let opener = open.pop().map(|opener| &mut self.tokens[opener]);
                    match opener {
                        Some(opener) if opener.kind == Kind::Open(opposite(delimiter)) => {
                            opener.close = index as u32;
                        }
                        _ => return Err(Why::new(Cause::NotUnderstood, place.0)),
                    }
                }
                _ => {}
            }
            self.tokens.push(Token {
                kind,
                joint,
                start: start as u32,
                end: end as u32,
                close: 0,
                line: place.0,
                column: place.1,
            });
            joint = true;
        }
        match open.last() {
            Some(&opener) => Err(Why::new(Cause::NotUnderstood, self.tokens[opener].line)),
            None => Ok(()),
        }
    }

    /// All tokens.
    pub fn all(&self) -> Range<usize> {
        0..self.tokens.len()
    }

    /// The kind of a token; none behind the end.
    pub fn kind(&self, index: usize) -> Option<Kind> {
        self.tokens.get(index).map(|token| token.kind)
    }

    pub fn text(&self, index: usize) -> &'a str {
        self.tokens.get(index).map_or("", |token| {
            &self.text[token.start as usize..token.end as usize]
        })
    }

    /// The text of a name or keyword; empty for anything else, raw names included.
    pub fn word(&self, index: usize) -> &'a str {
        match self.kind(index) {
            Some(Kind::Ident) => self.text(index),
            _ => "",
        }
    }

    pub fn is(&self, index: usize, punct: u8) -> bool {
        self.kind(index) == Some(Kind::Punct(punct))
    }

    /// `::` starts here.
    pub fn is_path_separator(&self, index: usize) -> bool {
        self.is(index, b':') && self.is(index + 1, b':') && self.tokens[index + 1].joint
    }

    /// The `>` here ends an arrow: `->`.
    pub fn is_arrow_head(&self, index: usize) -> bool {
        index > 0 && self.is(index, b'>') && self.tokens[index].joint && self.is(index - 1, b'-')
    }

    /// Where the group ends that opens here: the index of its closing delimiter.
    pub fn close(&self, index: usize) -> Option<usize> {
        let token = self.tokens.get(index)?;
        matches!(token.kind, Kind::Open(_)).then_some(token.close as usize)
    }

    /// The line of a token, from 1; behind the end, the last line.
    pub fn line(&self, index: usize) -> u32 {
        self.tokens
            .get(index)
            .or(self.tokens.last())
            .map_or(1, |token| token.line)
    }

    /// Line and column of a token.
    pub fn place(&self, index: usize) -> (u32, u32) {
        self.tokens
            .get(index)
            .map_or((0, 0), |token| (token.line, token.column))
    }

    /// A macro is called here: `name!(…)`. The index is that of the name; the result, that of the group's opening
    /// delimiter.
    pub fn macro_call(&self, index: usize) -> Option<usize> {
        let named = match self.kind(index)? {
            Kind::Ident => !is_keyword(self.text(index)),
            Kind::RawIdent => true,
            _ => false,
        };
        (named && self.is(index + 1, b'!') && self.close(index + 2).is_some()).then_some(index + 2)
    }

    /// Compares a run of tokens with one of another file. The error is the index of the first difference in `theirs`.
    pub fn same(
        &self,
        ours: Range<usize>,
        other: &Source<'_>,
        theirs: Range<usize>,
        mode: Mode,
    ) -> Result<(), usize> {
        if self.slice(&ours) == other.slice(&theirs) {
            return Ok(());
        }
        let skip = |source: &Source<'_>, mut index: usize, end: usize| {
            while mode == Mode::AsCode && index < end && source.tokens[index].kind == Kind::Doc {
                index += 1;
            }
            index
        };
        let (mut a, mut b) = (ours.start, theirs.start);
        let mut before = None;
        loop {
            a = skip(self, a, ours.end);
            b = skip(other, b, theirs.end);
            if a == ours.end && b == theirs.end {
                return Ok(());
            }
            if a == ours.end || b == theirs.end {
                return Err(b);
            }
            let (left, right) = (&self.tokens[a], &other.tokens[b]);
            // `a & & b` is not `a && b`; elsewhere only `stringify!` and its like see white space.
            let glued = match (mode, before, left.kind) {
                (_, None, _) => false,
                (Mode::AsMacro, ..) => true,
                (Mode::AsCode, Some(Kind::Punct(_)), Kind::Punct(_)) => true,
                (Mode::AsCode, ..) => false,
            };
            if left.kind != right.kind
                || (glued && left.joint != right.joint)
                || self.text(a) != other.text(b)
            {
                return Err(b);
            }
            before = Some(left.kind);
            a += 1;
            b += 1;
        }
    }

    /// The same text, comments and white space included.
    pub fn is_same_text(
        &self,
        ours: &Range<usize>,
        other: &Source<'_>,
        theirs: &Range<usize>,
    ) -> bool {
        self.slice(ours) == other.slice(theirs)
    }

    fn slice(&self, range: &Range<usize>) -> &'a str {
        match (self.tokens.get(range.start), range.end.checked_sub(1)) {
            (Some(first), Some(last)) if last >= range.start => {
                &self.text[first.start as usize..self.tokens[last].end as usize]
            }
            _ => "",
        }
    }
}

fn opposite(close: u8) -> u8 {
    match close {
        b')' => b'(',
        b']' => b'[',
        _ => b'{',
    }
}

fn is_whole(literal: LiteralKind) -> bool {
    use LiteralKind::*;
    match literal {
        Int { .. } | Float { .. } => true,
        Char { terminated }
        | Byte { terminated }
        | Str { terminated }
        | ByteStr { terminated }
        | CStr { terminated } => terminated,
        RawStr { n_hashes } | RawByteStr { n_hashes } | RawCStr { n_hashes } => n_hashes.is_some(),
    }
}

/// Tokens that never span lines. `None`: not understood, or something whose meaning depends on the edition.
fn simple_kind(kind: TokenKind) -> Option<Kind> {
    use TokenKind::*;
    Some(match kind {
        Ident | UnknownPrefix => Kind::Ident,
        RawIdent => Kind::RawIdent,
        Lifetime {
            starts_with_number: false,
        }
        | RawLifetime => Kind::Lifetime,
        OpenParen => Kind::Open(b'('),
        OpenBracket => Kind::Open(b'['),
        OpenBrace => Kind::Open(b'{'),
        CloseParen => Kind::Close(b')'),
        CloseBracket => Kind::Close(b']'),
        CloseBrace => Kind::Close(b'}'),
        Semi => Kind::Punct(b';'),
        Comma => Kind::Punct(b','),
        Dot => Kind::Punct(b'.'),
        At => Kind::Punct(b'@'),
        Pound => Kind::Punct(b'#'),
        Tilde => Kind::Punct(b'~'),
        Question => Kind::Punct(b'?'),
        Colon => Kind::Punct(b':'),
        Dollar => Kind::Punct(b'$'),
        Eq => Kind::Punct(b'='),
        Bang => Kind::Punct(b'!'),
        Lt => Kind::Punct(b'<'),
        Gt => Kind::Punct(b'>'),
        Minus => Kind::Punct(b'-'),
        And => Kind::Punct(b'&'),
        Or => Kind::Punct(b'|'),
        Plus => Kind::Punct(b'+'),
        Star => Kind::Punct(b'*'),
        Slash => Kind::Punct(b'/'),
        Caret => Kind::Punct(b'^'),
        Percent => Kind::Punct(b'%'),
        _ => return None,
    })
}

/// Words after which `!` is an operator or the never type.
fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "as" | "async"
            | "await"
            | "break"
            | "const"
            | "continue"
            | "do"
            | "dyn"
            | "else"
            | "fn"
            | "for"
            | "if"
            | "impl"
            | "in"
            | "let"
            | "loop"
            | "match"
            | "move"
            | "mut"
            | "ref"
            | "return"
            | "static"
            | "unsafe"
            | "where"
            | "while"
            | "yield"
    )
}
