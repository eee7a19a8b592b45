//! `cargo xtask demo`: a plain Cargo workspace under `cargo liveswap run` is edited while it runs.

mod edits;
mod session;
mod sky;

use std::path::Path;
use std::time::{Duration, Instant};

use super::Copy;
use crate::project::Project;
use crate::stage::Stages;
use crate::{Result, tools};
use edits::{EDITS, Edit, Expected};
use session::{Event, Session};
use sky::{Code, Line};

/// Lines that are watched before the first edit and after each one.
const LINES_WATCHED: usize = 3;
/// So much time may pass from a save to what comes of it.
const TIME_TO_CHANGE: Duration = Duration::from_secs(60);

pub fn run(project: &Project, stages: &mut Stages) -> Result<()> {
    stages.run("tools", || tools::provide(tools::FOR_DEMO))?;
    let command = stages.run("build cargo-liveswap", || project.build_command())?;
    let copy = Copy::of(&project.root.join("examples/orrery"))?;
    stages.run("demonstration", || {
        show(&copy.folder, &command)
            .map_err(|why| format!("{why}\nthe program is in {}", copy.folder.display()))
    })?;
    copy.remove()
}

fn show(folder: &Path, command: &Path) -> Result<()> {
    println!("cargo liveswap run, in a copy of examples/orrery\n");
    let mut session = Session::start(command, folder)?;
    let mut watched = Watched::start(&mut session)?;
    for (number, edit) in EDITS.iter().enumerate() {
        println!("\n-- edit {}, {}: {}", number + 1, edit.file, edit.told);
        for (old, new) in edit.replacements {
            show_difference(old, new);
        }
        super::edit(folder, edit.file, edit.replacements)?;
        let came = watched.wait(edit)?;
        println!("   ^ {came}");
        watched.lines(LINES_WATCHED)?;
    }
    let (pid, picture) = (watched.pid, watched.line.picture);
    session.end()?;
    println!(
        "\n{} edits, one process ({pid}), {picture} pictures without a gap: new code, old state.",
        EDITS.len()
    );
    Ok(())
}

/// The lines that are new or gone; what stands around them is the same.
fn show_difference(old: &str, new: &str) {
    for (sign, lines, others) in [('-', old, new), ('+', new, old)] {
        let lines: Vec<&str> = lines
            .lines()
            .filter(|line| !line.trim().is_empty() && others.lines().all(|other| other != *line))
            .collect();
        let indent = |line: &&str| line.len() - line.trim_start().len();
        let margin = lines.iter().map(indent).min().unwrap_or_default();
        for line in lines {
            println!("   {sign} {}", &line[margin..]);
        }
    }
}

/// The program as it was seen last.
struct Watched<'a> {
    session: &'a mut Session,
    pid: u64,
    line: Line,
    code: Code,
}

impl<'a> Watched<'a> {
    fn start(session: &'a mut Session) -> Result<Self> {
        let code = Code::FIRST;
        let line = session.next_line()?;
        code.check_start(&line)?;
        let mut watched = Self {
            session,
            pid: 0,
            line,
            code,
        };
        let started = watched.event(&["started"])?;
        watched.pid = started.number("pid").ok_or("`started` names no pid")?;
        watched.lines(LINES_WATCHED)?;
        Ok(watched)
    }

    /// Some lines during which the code does not change.
    fn lines(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let next = self.session.next_line()?;
            self.code.check_step(&self.line, &next)?;
            self.line = next;
        }
        match self.events()?.first() {
            None => Ok(()),
            Some(event) => Err(format!("unexpected: {}", event.json)),
        }
    }

    /// The events that came, without those that say that new code was called for the first time:
    /// when that is, is the program's own affair.
    fn events(&mut self) -> Result<Vec<Event>> {
        let mut events = self.session.events()?;
        events.retain(|event| event.name != "called");
        Ok(events)
    }

    /// The first event of one of these names; the program is watched meanwhile.
    fn event(&mut self, names: &[&str]) -> Result<Event> {
        let deadline = Instant::now() + TIME_TO_CHANGE;
        while Instant::now() < deadline {
            let events = self.events()?;
            if let Some(event) = events
                .into_iter()
                .find(|event| names.contains(&event.name.as_str()))
            {
                return Ok(event);
            }
            let next = self.session.next_line()?;
            self.code.check_step(&self.line, &next)?;
            self.line = next;
        }
        Err(format!("no {} within {TIME_TO_CHANGE:?}", names.join(", ")))
    }

    /// Waits for what comes of an edit, and says it.
    fn wait(&mut self, edit: &Edit) -> Result<String> {
        let deadline = Instant::now() + TIME_TO_CHANGE;
        let mut outcome = None;
        let mut between = false;
        while Instant::now() < deadline {
            for event in self.events()? {
                match event.name.as_str() {
                    "change" => {}
                    "swapped" | "unchanged" | "refused" | "build_failed" if outcome.is_none() => {
                        outcome = Some(event);
                    }
                    _ => return Err(format!("unexpected: {}", event.json)),
                }
            }
            let new = match edit.expected {
                Expected::Live(new) => new,
                _ => self.code,
            };
            if let Some(event) = &outcome
                && self.code == new
            {
                return edit.expected.check(event);
            }
            let next = self.session.next_line()?;
            let (line, old) = (&self.line, self.code);
            let under_old = old.check_step(line, &next);
            if old == new {
                under_old?;
            } else if under_old.is_err() {
                if between || new.check_step(line, &next).is_ok() {
                    new.check_step(line, &next)?;
                    self.code = new;
                } else {
                    // The code changed in the midst of what this line sums up.
                    old.check_change(new, line, &next)?;
                    between = true;
                }
            }
            self.line = next;
        }
        Err(format!(
            "nothing came of the edit within {TIME_TO_CHANGE:?}"
        ))
    }
}

impl Expected {
    /// What a person is told of it, if it is what came.
    fn check(&self, event: &Event) -> Result<String> {
        let text = match (self, event.name.as_str()) {
            (Self::Live(_), "swapped") => event.number("generation").map(|generation| {
                format!("generation {generation} is live; nothing was forgotten")
            }),
            (Self::BuildFailed, "build_failed") => {
                Some("the compiler's words; the program has the code that it had".to_owned())
            }
            (Self::Refused(code), "refused") => event
                .text("code")
                .filter(|came| came == code)
                .map(|came| format!("refused as {came}; the program has the code that it had")),
            (Self::Unchanged, "unchanged") => Some("the program has this code already".to_owned()),
            _ => None,
        };
        text.ok_or_else(|| format!("this was not expected: {}", event.json))
    }
}
