//! `LIVESWAP_LOG=debug`: the command's steps on standard error.
//!
//! While the variable is not set no subscriber exists, and every trace point costs one relaxed load.

use std::fmt::Write as _;
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Installs the subscriber if `LIVESWAP_LOG` asks for it; a complaint if the level is unknown.
///
/// # Errors
/// The text is for the user.
pub fn init_from_env() -> Result<(), String> {
    let Ok(text) = std::env::var("LIVESWAP_LOG") else {
        return Ok(());
    };
    if text.is_empty() || text == "off" {
        return Ok(());
    }
    let level: Level = text.parse().map_err(|_| {
        format!("LIVESWAP_LOG={text} is not one of error, warn, info, debug, trace, off")
    })?;
    // An error means that a subscriber is there already, which is as good.
    let _ = tracing::subscriber::set_global_default(Stderr { level });
    Ok(())
}

/// A line on standard error, in one write. Nobody is left to be told if it is closed.
pub fn stderr_line(line: &str) {
    stderr_text(&format!("{line}\n"));
}

/// Text of whole lines on standard error. A program that has the whole screen has switched off that the
/// terminal returns to the first column at a line's end.
pub fn stderr_text(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let raw = rustix::termios::tcgetattr(&stderr).is_ok_and(|modes| {
        !modes
            .output_modes
            .contains(rustix::termios::OutputModes::OPOST)
    });
    let _ = if raw {
        stderr.write_all(text.replace('\n', "\r\n").as_bytes())
    } else {
        stderr.write_all(text.as_bytes())
    };
}

struct Stderr {
    level: Level,
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with("cargo_liveswap")
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut line = Line(format!("liveswap: {level}:"));
        event.record(&mut line);
        stderr_line(&line.0);
    }

    // The command has no spans: its steps follow one another.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
