//! A Rust file as the rules see it: comments and strings apart from code, tests apart from the rest.

/// Texts of the same length and lines as the file, with blanks in place of what was left out.
pub struct Source {
    /// Without comments, and without what stands inside of strings and character literals.
    pub code: String,
    /// Without comments, with strings.
    pub with_strings: String,
    /// Names of modules that `#[cfg(test)] mod name;` puts into other files.
    pub test_modules: Vec<String>,
    /// Line numbers (from 1, ends included) that are only compiled for tests.
    test_lines: Vec<(usize, usize)>,
}

impl Source {
    pub fn read(text: &str) -> Self {
        let (code, with_strings) = blank(text);
        let mut source = Self {
            code,
            with_strings,
            test_modules: Vec::new(),
            test_lines: Vec::new(),
        };
        source.find_tests();
        source
    }

    pub fn make_all_test(&mut self) {
        self.test_lines = vec![(1, usize::MAX)];
    }

    pub fn is_test(&self, line: usize) -> bool {
        self.test_lines
            .iter()
            .any(|&(first, last)| (first..=last).contains(&line))
    }

    fn find_tests(&mut self) {
        if self.code.contains("#![cfg(test)]") {
            self.make_all_test();
            return;
        }
        let marker = "#[cfg(test)]";
        let mut from = 0;
        while let Some(found) = self.code[from..].find(marker) {
            let start = from + found;
            let item = start + marker.len();
            let end = end_of_item(&self.code, item);
            let text = self.code[item..end].trim();
            // Another attribute or `pub` may stand between: the module's name is what follows `mod`.
            if let Some(rest) = text.strip_suffix(';')
                && let Some((_, name)) = rest.rsplit_once("mod ")
            {
                self.test_modules.push(name.trim().to_owned());
            }
            self.test_lines
                .push((line_of(&self.code, start), line_of(&self.code, end)));
            from = end;
        }
    }
}

/// The number, from 1, of the line that the byte at `offset` is in.
pub fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// Where the item that begins at `from` ends: after its `;`, or after the brace that closes its body.
fn end_of_item(code: &str, from: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && byte == b'}' {
                    return offset + 1;
                }
            }
            b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// What a stretch of a file is.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Code,
    Comment,
    Text,
}

/// The file without comments and strings, and without comments only.
fn blank(text: &str) -> (String, String) {
    let mut code = String::with_capacity(text.len());
    let mut with_strings = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_word = false;
    while let Some(first) = rest.chars().next() {
        let (kind, length) = stretch(rest, first, in_word);
        let (stretch, after) = rest.split_at(length);
        in_word = kind == Kind::Code && (first.is_alphanumeric() || first == '_');
        put(&mut code, stretch, kind == Kind::Code);
        put(&mut with_strings, stretch, kind != Kind::Comment);
        rest = after;
    }
    (code, with_strings)
}

fn put(out: &mut String, stretch: &str, keep: bool) {
    if keep {
        out.push_str(stretch);
    } else {
        // Byte for byte, so that offsets stay; line ends stay, so that line numbers do.
        out.extend(
            stretch
                .bytes()
                .map(|byte| if byte == b'\n' { '\n' } else { ' ' }),
        );
    }
}

/// Kind and length in bytes of what `rest` begins with.
fn stretch(rest: &str, first: char, in_word: bool) -> (Kind, usize) {
    if rest.starts_with("//") {
        return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Kind::Comment, block_comment(rest));
    }
    if first == '"' {
        return (Kind::Text, quoted(rest, '"'));
    }
    if first == '\'' {
        return character(rest);
    }
    if !in_word && let Some(length) = prefixed_string(rest) {
        return (Kind::Text, length);
    }
    (Kind::Code, first.len_utf8())
}

/// Length of a comment whose end may be nested several times.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of what begins with a quote and ends with the next one that no backslash hides.
fn quoted(rest: &str, quote: char) -> usize {
    let mut hidden = false;
    for (offset, c) in rest.char_indices().skip(1) {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            c if c == quote => return offset + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or the quote of a lifetime.
fn character(rest: &str) -> (Kind, usize) {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), _) => (Kind::Text, quoted(rest, '\'')),
        (Some(_), Some((offset, '\''))) => (Kind::Text, offset + 1),
        _ => (Kind::Code, 1),
    }
}

/// Length of a string with a prefix (`r`, `b`, `c`, `br`, `cr`, and hashes), if there is one.
fn prefixed_string(rest: &str) -> Option<usize> {
    let letters = rest
        .bytes()
        .take_while(|byte| matches!(byte, b'r' | b'b' | b'c'))
        .count();
    if !(1..=2).contains(&letters) {
        return None;
    }
    let after = &rest[letters..];
    if !rest[..letters].contains('r') {
        let quote = after
            .chars()
            .next()
            .filter(|quote| matches!(quote, '"' | '\''))?;
        return Some(letters + quoted(after, quote));
    }
    let hashes = after.bytes().take_while(|&byte| byte == b'#').count();
    let body = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(letters + hashes + 1 + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_everything_stays_in_its_place() {
        let text = "let a = \"// no \\\" comment\"; // yes \"x\"\n/* a /* b */ c */ let é = 'x';\nlet r = r#\"a \" b\"#;";
        let source = Source::read(text);
        for blanked in [&source.code, &source.with_strings] {
            assert_eq!(blanked.len(), text.len());
            assert_eq!(blanked.lines().count(), 3);
        }
        assert!(
            !source.code.contains("comment")
                && !source.code.contains("yes")
                && !source.code.contains(" b ")
        );
        assert!(source.code.contains("let é =") && source.code.contains("let r ="));
        assert!(source.with_strings.contains("// no") && !source.with_strings.contains("yes"));
    }

    #[test]
    fn a_lifetime_is_no_character_and_a_quote_in_a_character_opens_no_string() {
        let source =
            Source::read("fn f<'a>(x: &'a str) { g('\"', b'\\'', '\\u{1f}'); h(x) } // end");
        assert!(source.code.contains("fn f<'a>(x: &'a str)"));
        assert!(source.code.contains("h(x) }"));
        assert!(!source.code.contains("end") && !source.code.contains("1f"));
    }

    #[test]
    fn a_name_that_ends_in_r_opens_no_raw_string() {
        let source = Source::read("attr\"x\"; br\"y\"; c\"z\";");
        assert!(source.code.contains("attr"));
        assert!(!source.code.contains(['x', 'y', 'z']));
    }

    #[test]
    fn the_lines_of_test_modules_are_known() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { c(\"}\") }\n}\nfn d() {}\n#[cfg(test)]\nmod other;\n";
        let source = Source::read(text);
        let tests: Vec<usize> = (1..=8).filter(|&line| source.is_test(line)).collect();
        assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
        assert_eq!(source.test_modules, ["other"]);
    }

    #[test]
    fn a_test_function_with_attributes_ends_with_its_body() {
        let text =
            "#[cfg(test)]\n#[allow(dead_code)]\nfn a(x: [u8; 2]) -> u8 {\n    x[0]\n}\nfn b() {}\n";
        let source = Source::read(text);
        assert!(source.is_test(4) && source.is_test(5) && !source.is_test(6));
    }
}
