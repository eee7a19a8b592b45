//! `LIVESWAP_LOG`: the steps of a program as lines of text, one for each event of `tracing`.
//!
//! It serves the command and `libnimhcr.so` alike. It must not know whose events they are nor where
//! lines go: both are told to it. It depends on no crate of ours, does no IO, and does not panic, for it
//! lives in somebody's process, too.
//!
//! Start reading at [`init_from_env`].

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Installs the subscriber if `LIVESWAP_LOG` asks for it: once per process, later calls do nothing.
/// While the variable is not set no subscriber exists, and every trace point costs one relaxed load.
///
/// `target` is what the targets of events begin with (the path of a crate or module); other events are
/// passed over, and with "" none is. `write_line` gets each event as a line without its end; it may be
/// called on any thread.
///
/// # Errors
/// If the level is unknown. The text is for the user.
pub fn init_from_env(target: &'static str, write_line: fn(&str)) -> Result<(), String> {
    let Ok(text) = std::env::var("LIVESWAP_LOG") else {
        return Ok(());
    };
    if let Some(level) = level(&text)? {
        let lines = Lines {
            level,
            target,
            write_line,
        };
        // An error means that a subscriber is there already, which is as good.
        let _ = tracing::subscriber::set_global_default(lines);
    }
    Ok(())
}

/// The level that a value of the variable asks for; `None` if it asks for silence.
fn level(text: &str) -> Result<Option<Level>, String> {
    // Levels have names in any case, and numbers, of which this is the one below the first.
    if text.is_empty() || text.eq_ignore_ascii_case("off") || text == "0" {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        format!("LIVESWAP_LOG={text} is not one of error, warn, info, debug, trace, off")
    })
}

struct Lines {
    level: Level,
    target: &'static str,
    write_line: fn(&str),
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level && metadata.target().starts_with(self.target)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn event(&self, event: &Event<'_>) {
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut line = Line(format!("liveswap: {level}:"));
        event.record(&mut line);
        (self.write_line)(&line.0);
    }

    // There are no spans: steps follow one another.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static WRITTEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    /// The lines that `steps` writes.
    fn written(level: Level, target: &'static str, steps: impl FnOnce()) -> Vec<String> {
        let lines = Lines {
            level,
            target,
            write_line: |line| WRITTEN.with_borrow_mut(|written| written.push(line.to_owned())),
        };
        tracing::subscriber::with_default(lines, steps);
        WRITTEN.take()
    }

    #[test]
    fn a_line_has_level_message_and_fields() {
        let lines = written(Level::DEBUG, "", || {
            let module = std::path::Path::new("/b.so");
            tracing::debug!(module = %module.display(), generation = 2_u64, "loaded");
            tracing::warn!(error = ?Some("none"), "closed");
        });
        assert_eq!(
            lines,
            [
                "liveswap: debug: loaded module=/b.so generation=2",
                "liveswap: warn: closed error=Some(\"none\")",
            ]
        );
    }

    #[test]
    fn events_beyond_the_level_and_of_other_targets_are_passed_over() {
        let steps = || {
            tracing::info!(target: "ours::part", "1");
            tracing::debug!(target: "ours::part", "2");
            tracing::error!(target: "another", "3");
        };
        assert_eq!(written(Level::INFO, "ours", steps), ["liveswap: info: 1"]);
        assert_eq!(
            written(Level::INFO, "", steps),
            ["liveswap: info: 1", "liveswap: error: 3"]
        );
    }

    #[test]
    fn a_level_is_known_off_or_a_complaint() {
        assert_eq!(level("trace"), Ok(Some(Level::TRACE)));
        assert_eq!(level("DEBUG"), Ok(Some(Level::DEBUG)));
        assert_eq!(level("5"), Ok(Some(Level::TRACE)));
        for silence in ["off", "OFF", "0", ""] {
            assert_eq!(level(silence), Ok(None), "{silence:?}");
        }
        let complaint = level("loud").unwrap_err();
        assert!(complaint.starts_with("LIVESWAP_LOG=loud "), "{complaint}");
    }
}
