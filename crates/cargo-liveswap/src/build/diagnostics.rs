//! Messages of rustc: read from its JSON, shown as rustc and cargo show them.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};

use serde::Deserialize;

use super::project::value_of;
use crate::model::Diagnostic;

/// A line of rustc's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Something for people.
    Diagnostic(Diagnostic),
    /// The crate's metadata is written: dependents can be compiled.
    Metadata,
    /// Nothing that matters here.
    Other,
    /// No JSON: what a wrapper or a crashing compiler says.
    Text(String),
}

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "$message_type")]
    kind: Option<String>,
    emit: Option<String>,
    level: Option<String>,
    message: Option<String>,
    rendered: Option<String>,
}

impl Message {
    /// Reads a line of rustc's stderr.
    pub fn of_rustc(line: &str) -> Message {
        if !line.starts_with('{') {
            return Message::Text(line.to_owned());
        }
        match serde_json::from_str::<Line>(line) {
            Ok(line) => line.into_message(),
            Err(_) => Message::Text(line.to_owned()),
        }
    }

    /// Reads a line of cargo's stdout; `None` if it is not about the compiler.
    pub fn of_cargo(line: &str) -> Option<Message> {
        #[derive(Deserialize)]
        struct CargoLine {
            reason: String,
            message: Option<Line>,
        }
        let line: CargoLine = serde_json::from_str(line).ok()?;
        (line.reason == "compiler-message").then(|| {
            line.message
                .map_or(Message::Other, |line| line.into_message())
        })
    }
}

impl Line {
    fn into_message(self) -> Message {
        if self.kind.as_deref() == Some("artifact") {
            return match self.emit.as_deref() {
                Some("metadata") => Message::Metadata,
                _ => Message::Other,
            };
        }
        let (Some(level), Some(rendered)) = (self.level, self.rendered) else {
            return Message::Other;
        };
        // The sum at the end: cargo leaves it out, too.
        let message = self.message.unwrap_or_default();
        if message.starts_with("aborting due to")
            || message.ends_with("warning emitted")
            || message.ends_with("warnings emitted")
        {
            return Message::Other;
        }
        Message::Diagnostic(Diagnostic { level, rendered })
    }
}

/// Whether colours are shown on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colours(bool);

impl Colours {
    /// As cargo decides with these flags.
    pub fn of(cargo_args: &[OsString]) -> Colours {
        let mut rest = cargo_args.iter();
        let mut choice = env::var_os("CARGO_TERM_COLOR");
        while let Some(arg) = rest.next() {
            if let Some(value) = value_of(arg, "--color", &mut rest) {
                choice = Some(value);
            }
        }
        Colours(match choice.as_ref().and_then(|choice| choice.to_str()) {
            Some("always") => true,
            Some("never") => false,
            _ => io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none(),
        })
    }

    /// As a value of cargo's `--color`.
    pub fn as_cargo_says(self) -> &'static str {
        if self.0 { "always" } else { "never" }
    }

    /// Shows a message.
    pub fn show(self, rendered: &str) {
        let plain;
        let text = if self.0 {
            rendered
        } else {
            plain = without_colours(rendered);
            &plain
        };
        crate::log::stderr_text(text);
    }
}

/// The text without escape sequences of terminals.
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut chars = rest.char_indices();
        let end = match chars.next() {
            // ESC [ parameters, and a final letter.
            Some((_, '[')) => chars
                .find(|(_, c)| ('\x40'..='\x7e').contains(c))
                .map(|(at, c)| at + c.len_utf8()),
            // ESC ] text, and BEL or ESC \.
            Some((_, ']')) => rest
                .find(['\x07', '\x1b'])
                .map(|at| at + if rest[at..].starts_with('\x07') { 1 } else { 2 }),
            Some((at, c)) => Some(at + c.len_utf8()),
            None => None,
        };
        rest = rest.get(end.unwrap_or(rest.len())..).unwrap_or_default();
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_speaks_of_errors_and_files() {
        let error = r#"{"$message_type":"diagnostic","message":"mismatched types","code":null,"level":"error","spans":[],"children":[],"rendered":"error: x\n"}"#;
        assert_eq!(
            Message::of_rustc(error),
            Message::Diagnostic(Diagnostic {
                level: "error".into(),
                rendered: "error: x\n".into()
            })
        );
        let artifact =
            r#"{"$message_type":"artifact","artifact":"/t/libx.rmeta","emit":"metadata"}"#;
        assert_eq!(Message::of_rustc(artifact), Message::Metadata);
        let sum = r#"{"$message_type":"diagnostic","message":"aborting due to 1 previous error","level":"error","rendered":"error: aborting\n"}"#;
        assert_eq!(Message::of_rustc(sum), Message::Other);
        assert_eq!(
            Message::of_rustc("thread 'rustc' panicked"),
            Message::Text("thread 'rustc' panicked".into())
        );
        let cargo =
            format!(r#"{{"reason":"compiler-message","package_id":"x","message":{error}}}"#);
        assert!(matches!(
            Message::of_cargo(&cargo),
            Some(Message::Diagnostic(_))
        ));
        assert_eq!(Message::of_cargo(r#"{"reason":"build-finished"}"#), None);
    }

    #[test]
    fn colours_can_be_taken_out() {
        assert_eq!(
            without_colours("\x1b[0m\x1b[1m\x1b[38;5;9merror\x1b[0m: grün \x1b]8;;u\x07x\x1b\\"),
            "error: grün x"
        );
        assert_eq!(without_colours("plain"), "plain");
    }
}
