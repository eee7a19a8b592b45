//! What happened, for those who look on: lines on standard error, the events file, the log.
//!
//! One ordered stream feeds them all, so that they cannot disagree.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::parts::ModuleReport;
use crate::log::stderr_line;

/// Something that happened. The names of variants and fields are a contract (the events file).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// The program runs.
    Started {
        /// Its process id.
        pid: u32,
        /// The executable.
        exe: String,
        /// The crates whose code can be changed.
        modules: Vec<String>,
        /// How often it was started before in this session.
        restart: u32,
    },
    /// Sources were saved; work on them begins.
    Change {
        /// The files that changed.
        paths: Vec<String>,
    },
    /// They do not compile.
    BuildFailed {
        /// The compiler's messages, without colours.
        diagnostics: Vec<String>,
        /// There is a program that goes on.
        #[serde(skip)]
        runs: bool,
    },
    /// New code is live.
    Swapped {
        /// The generation now.
        generation: u64,
        /// What changed, by module.
        modules: Vec<ModuleReport>,
        /// Bytes of code and data that were sent.
        bytes: usize,
        /// Where the time went.
        ms: Ms,
    },
    /// The saved sources mean what the program does already.
    Unchanged {},
    /// The change was not taken in.
    Refused {
        /// `LS0001` …
        code: String,
        /// Why.
        message: String,
    },
    /// A part of the change waits.
    Pending {
        /// Which, and for what.
        message: String,
        /// A restart applies it.
        #[serde(skip)]
        restart: bool,
    },
    /// Functions were called for the first time since they got new bodies.
    Called {
        /// The generation that brought the bodies.
        generation: u64,
        /// The functions.
        functions: Vec<String>,
    },
    /// The program is asked to end, and is started anew then.
    Restarting {
        /// What for.
        reason: String,
    },
    /// A signal ended the program that nobody sent on purpose; or it panicked, and the session goes on without it.
    Crashed {
        /// The signal's number.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// The exit code of a panic.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The user's function in which it happened, if that is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        function: Option<String>,
        /// `file:line` in it.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<String>,
        /// The generation that the program was in.
        generation: u64,
        /// The session waits for a save, and starts it again then.
        waits: bool,
    },
    /// The program ended.
    Exited {
        /// Its exit code; 128 + n after signal n.
        code: i32,
    },
}

/// Milliseconds from the save to the new code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Ms {
    /// From the save to the start of the work.
    pub detect: f64,
    /// Compilation.
    pub compile: f64,
    /// Comparing with what is in the process.
    pub diff: f64,
    /// From sending to the flip.
    pub apply: f64,
    /// How long threads of the program were stopped.
    pub pause: f64,
    /// From the save to the flip.
    pub total: f64,
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a Report,
    t_ms: u64,
}

#[derive(Clone, Copy)]
enum Mood {
    Good,
    Fair,
    Bad,
}

/// Tells everybody.
#[derive(Debug)]
pub struct Reports {
    start: Instant,
    events: Option<File>,
    quiet: bool,
    colours: bool,
    /// What is said behind what a restart applies.
    hint: Option<&'static str>,
}

impl Reports {
    /// Time counts from now on.
    ///
    /// # Errors
    /// If the events file cannot be written.
    pub fn new(
        events: Option<&Path>,
        quiet: bool,
        colours: Option<bool>,
    ) -> std::io::Result<Reports> {
        let events = events
            .map(|path| File::options().append(true).create(true).open(path))
            .transpose()?;
        let wanted = std::env::var_os("NO_COLOR").is_none() && std::io::stderr().is_terminal();
        Ok(Reports {
            start: Instant::now(),
            events,
            quiet,
            colours: colours.unwrap_or(wanted),
            hint: None,
        })
    }

    /// From now on this is said behind what a restart applies.
    pub fn set_hint(&mut self, hint: Option<&'static str>) {
        self.hint = hint;
    }

    /// It happened.
    pub fn tell(&mut self, report: &Report) {
        self.record(report);
        if let Some((text, mood)) = self.line(report) {
            self.say(&text, mood);
        }
    }

    /// It happened, and whoever sits at the terminal knows.
    pub fn record(&mut self, report: &Report) {
        tracing::debug!(?report, "report");
        let t_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(file) = &mut self.events
            && let Ok(mut line) = serde_json::to_vec(&Line { report, t_ms })
        {
            line.push(b'\n');
            // One write a line: readers never see half a line.
            if let Err(error) = file.write_all(&line) {
                self.events = None;
                self.note(&format!("the events file cannot be written: {error}"));
            }
        }
    }

    /// Something to know that is not an event.
    pub fn note(&self, text: &str) {
        self.say(text, Mood::Fair);
    }

    fn say(&self, text: &str, mood: Mood) {
        let colour = match mood {
            Mood::Good => "32",
            Mood::Fair => "33",
            Mood::Bad => "31",
        };
        if self.colours {
            stderr_line(&format!("\x1b[1;{colour}mliveswap\x1b[0m: {text}"));
        } else {
            stderr_line(&format!("liveswap: {text}"));
        }
    }

    fn line(&self, report: &Report) -> Option<(String, Mood)> {
        let mood = match report {
            Report::Started { .. } if self.quiet => return None,
            Report::Change { .. } | Report::Called { .. } | Report::Exited { .. } => return None,
            Report::Started { .. } | Report::Swapped { .. } | Report::Unchanged {} => Mood::Good,
            Report::Pending { .. } | Report::Restarting { .. } => Mood::Fair,
            Report::BuildFailed { .. } | Report::Refused { .. } | Report::Crashed { .. } => {
                Mood::Bad
            }
        };
        let mut text = report.summary();
        if let Some(hint) = self.hint.filter(|_| report.restart_applies()) {
            text.push_str("; ");
            text.push_str(hint);
        }
        Some((text, mood))
    }
}

impl Report {
    /// Whether it tells of what takes effect when the program is started anew.
    pub fn restart_applies(&self) -> bool {
        matches!(
            self,
            Report::Refused { .. } | Report::Pending { restart: true, .. }
        )
    }

    /// In one short line.
    pub fn summary(&self) -> String {
        match self {
            Report::Started { modules, .. } if modules.is_empty() => {
                "the program runs; its code cannot be changed".to_owned()
            }
            Report::Started {
                modules, restart, ..
            } => {
                let again = if *restart > 0 { "started again; " } else { "" };
                format!(
                    "{again}save a file, and it goes live: {}",
                    modules.join(", ")
                )
            }
            Report::Change { paths } => format!("changed: {}", paths.join(", ")),
            Report::BuildFailed { runs: false, .. } => "it does not compile".to_owned(),
            Report::BuildFailed { .. } => {
                "it does not compile; the program goes on as it was".to_owned()
            }
            Report::Swapped {
                generation,
                modules,
                ms,
                ..
            } => {
                let what = modules_text(modules);
                let (total, compile) = (ms.total.round(), ms.compile.round());
                format!("generation {generation}: {what}, {total} ms (compile {compile})")
            }
            Report::Unchanged {} => "unchanged".to_owned(),
            Report::Refused { code, message } => {
                format!("refused: {message} ({code}: `cargo liveswap explain {code}`)")
            }
            Report::Pending { message, .. } => format!("pending: {message}"),
            Report::Restarting { reason } => format!("restarting: {reason}"),
            Report::Called {
                generation,
                functions,
            } => format!(
                "generation {generation} was called: {}",
                functions.join(", ")
            ),
            Report::Crashed {
                signal,
                function,
                line,
                generation,
                waits,
                ..
            } => {
                let mut text = match signal {
                    None => "the program panicked".to_owned(),
                    Some(signal) => {
                        let name = signal_hook::low_level::signal_name(*signal);
                        let name = name.map_or_else(|| format!("signal {signal}"), str::to_owned);
                        format!("the program was ended by {name}")
                    }
                };
                if let Some(function) = function {
                    text.push_str(&format!(" in `{function}`"));
                }
                if let Some(line) = line {
                    text.push_str(&format!(" ({line})"));
                }
                if *generation > 0 {
                    text.push_str(&format!(", in generation {generation}"));
                }
                if *waits {
                    text.push_str("; the next save starts it again, Ctrl-C ends the session");
                }
                text
            }
            Report::Exited { code } => format!("the program ended with exit code {code}"),
        }
    }
}

/// `2 functions in logic, 1 in app`.
fn modules_text(modules: &[ModuleReport]) -> String {
    let live = |module: &ModuleReport| module.changed + module.added;
    let mut parts = Vec::new();
    for module in modules.iter().filter(|module| live(module) > 0) {
        let count = live(module);
        let noun = match (parts.is_empty(), count) {
            (false, _) => "",
            (true, 1) => " function",
            (true, _) => " functions",
        };
        parts.push(format!("{count}{noun} in {}", module.name));
    }
    if parts.is_empty() {
        let removed: usize = modules.iter().map(|module| module.removed).sum();
        return if removed > 0 {
            format!("{removed} removed")
        } else {
            "data".to_owned()
        };
    }
    parts.join(", ")
}

/// The text without the escape sequences of terminals.
pub fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            // A control sequence: it ends with a letter or one of a few signs.
            Some('[') => drop(chars.find(|c| ('@'..='~').contains(c))),
            // An operating system command, such as a link: it ends with a bell or `ESC \`.
            Some(']') => {
                while let Some(c) = chars.next() {
                    if c == '\x07' || (c == '\x1b' && chars.next().is_some()) {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(name: &str, changed: usize, added: usize, removed: usize) -> ModuleReport {
        ModuleReport {
            name: name.into(),
            changed,
            added,
            removed,
        }
    }

    #[test]
    fn a_swap_is_one_short_line() {
        let ms = Ms {
            total: 213.6,
            compile: 190.2,
            ..Ms::default()
        };
        let swapped = |modules| Report::Swapped {
            generation: 3,
            modules,
            bytes: 9,
            ms,
        };
        assert_eq!(
            swapped(vec![module("logic", 2, 0, 0)]).summary(),
            "generation 3: 2 functions in logic, 214 ms (compile 190)"
        );
        assert_eq!(
            swapped(vec![module("logic", 1, 0, 0), module("app", 1, 2, 1)]).summary(),
            "generation 3: 1 function in logic, 3 in app, 214 ms (compile 190)"
        );
        assert_eq!(
            swapped(vec![module("app", 0, 0, 1)]).summary(),
            "generation 3: 1 removed, 214 ms (compile 190)"
        );
    }

    #[test]
    fn the_events_file_has_one_object_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, "{\"event\":\"earlier\"}\n").unwrap();
        let mut reports = Reports::new(Some(&path), true, Some(false)).unwrap();
        reports.tell(&Report::Change {
            paths: vec!["a\n.rs".into()],
        });
        reports.tell(&Report::Unchanged {});
        reports.tell(&Report::Swapped {
            generation: 1,
            modules: vec![module("app", 1, 0, 0)],
            bytes: 10,
            ms: Ms::default(),
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let names: Vec<_> = lines
            .iter()
            .map(|line| line["event"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["earlier", "change", "unchanged", "swapped"]);
        assert!(lines[1]["t_ms"].is_u64());
        assert_eq!(lines[3]["modules"][0]["changed"], 1);
        assert!(lines[3]["ms"]["pause"].is_f64());
    }

    #[test]
    fn diagnostics_lose_their_colours_and_nothing_else() {
        assert_eq!(
            without_colours("\x1b[0m\x1b[1m\x1b[38;5;9merror[E0308]\x1b[0m: [x] ü\n"),
            "error[E0308]: [x] ü\n"
        );
        assert_eq!(
            without_colours("\x1b]8;;http://a\x1b\\link\x1b]8;;\x07"),
            "link"
        );
        assert_eq!(without_colours("plain\x1b"), "plain");
    }
}
