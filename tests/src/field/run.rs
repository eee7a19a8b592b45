//! A program of the field is started, edited while users use it, and ended.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::corpus::watched::{Said, Watched, is_panic};
use crate::live_command::clean_environment;

use super::judge::{Heard, Seen, Sight, Verdict, judge};
use super::load::{Load, pattern};
use super::place::Site;
use super::report::Row;
use super::script::{Edit, Look, Program, User};
use super::steps::{Step, work_out};
use super::surroundings::Place;

/// How long a first build may take, with all dependencies.
const FIRST_BUILD: Duration = Duration::from_secs(3600);
/// How long it may take until a save has an outcome.
const OUTCOME: Duration = Duration::from_secs(120);
/// How long what is still old may become new, or be named: stacks are looked at a second after a swap, on a
/// busy machine later.
const SETTLED: Duration = Duration::from_secs(10);
/// How long to wait for an event before users look again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long the program may take to end.
const END: Duration = Duration::from_secs(20);

/// A program that is used.
struct Session {
    // First: its thread ends before what it uses.
    load: Option<Load>,
    held: Vec<(&'static str, Box<dyn User>)>,
    watched: Watched,
    /// It outlives the program in it.
    _place: Place,
    /// What must never happen, if it did.
    trouble: Option<String>,
    pid: Option<u32>,
}

/// Only sees that a script fits its program.
///
/// # Errors
/// Which edit does not.
pub fn check(program: &Program) -> Result<(), String> {
    work_out((program.edits)(), &Site::of(program)?).map(|_| ())
}

/// Runs a program with all its edits. After a crash it is started anew, with the files as they are.
///
/// # Errors
/// What keeps it from running at all.
pub fn run(command: &Path, program: &Program, mut tell: impl FnMut(&Row)) -> Result<bool, String> {
    let site = Site::of(program)?;
    let mut fine = true;
    let mut note = |number, about, heard, verdict| {
        let row = Row {
            program: program.name,
            number,
            about,
            heard,
            verdict,
        };
        fine &= row.is_fine();
        tell(&row);
    };
    let steps = work_out((program.edits)(), &site)?;
    let mut session = Session::start(command, program, &site)?;
    for (index, Step { edit, texts }) in steps.iter().enumerate() {
        let (heard, verdict) = session.edit(program, &site, edit, texts)?;
        note(index + 1, edit.about, heard, verdict);
        if session.trouble.is_some() {
            // The old one has to end first: they share a port.
            drop(session);
            session = Session::start(command, program, &site)?;
        }
    }
    let answered = session.load.as_ref().map_or(0, Load::answered);
    let verdict = session.end(program);
    let heard = Heard {
        outcome: Some(format!("{answered} requests")),
        ..Heard::default()
    };
    note(steps.len() + 1, "(the end)", heard, verdict);
    Ok(fine)
}

impl Session {
    fn start(command: &Path, program: &Program, site: &Site) -> Result<Self, String> {
        let events = site.target.join("events.jsonl");
        let mut run = Command::new(command);
        clean_environment(&mut run);
        run.args(["liveswap", "run", "--events"])
            .arg(&events)
            .args(program.flags)
            .arg("--")
            .args((program.arguments)(site))
            .current_dir(&site.root)
            .env("CARGO_TARGET_DIR", &site.target)
            .envs(program.environment.iter().copied());
        let (place, run) = Place::make(program.surroundings, site, run)?;
        let mut session = Self {
            load: None,
            held: Vec::new(),
            watched: Watched::begin(run, events)?,
            _place: place,
            trouble: None,
            pid: None,
        };
        session.wait_until_ready(program)?;
        for who in program.held {
            session.held.push((who, (program.connect)(site, who)?));
        }
        if !program.load.is_empty() {
            let user = (program.connect)(site, "load")?;
            session.load = Some(Load::start(user, program.load)?);
        }
        Ok(session)
    }

    fn wait_until_ready(&mut self, program: &Program) -> Result<(), String> {
        let ready = pattern(program.ready)?;
        let deadline = Instant::now() + FIRST_BUILD;
        let (mut is_ready, mut last) = (program.ready.is_empty(), Vec::new());
        while !is_ready || self.pid.is_none() {
            match self.watched.next(deadline) {
                Said::Line(line) | Said::Error(line) => {
                    is_ready |= ready.is_match(&line);
                    last.push(line);
                }
                Said::Event(event) if event["event"] == "started" => {
                    self.pid = event["pid"].as_u64().and_then(|pid| pid.try_into().ok());
                }
                Said::Event(_) => {}
                Said::End | Said::Nothing => {
                    let first = last.len().saturating_sub(30);
                    let said = last[first..].join("\n");
                    return Err(format!("{} does not start:\n{said}", program.name));
                }
            }
        }
        Ok(())
    }

    /// Saves an edit, and watches until it is clear what became of it.
    fn edit(
        &mut self,
        program: &Program,
        site: &Site,
        edit: &Edit,
        texts: &[(&'static str, String)],
    ) -> Result<(Heard, Verdict), String> {
        for (file, text) in texts {
            site.save(file, text)?;
        }
        let mut heard = Heard::default();
        self.hear_outcome(&mut heard, texts.len() > 1);
        let settled = Instant::now() + SETTLED;
        loop {
            let mut seen = Vec::new();
            for look in &edit.looks {
                seen.push(self.look(program, site, look)?);
            }
            self.hear(&mut heard, Instant::now());
            let trouble = self.trouble.clone();
            let failure = || self.load.as_ref().and_then(Load::failure);
            let verdict = match trouble.or_else(failure) {
                Some(trouble) => {
                    // Another one asks from now on, if the program lives.
                    self.trouble.get_or_insert(trouble.clone());
                    Verdict::Short(trouble)
                }
                None => judge(edit, &heard, &seen),
            };
            if !matches!(verdict, Verdict::NotYet(_)) || Instant::now() > settled {
                return Ok((heard, verdict));
            }
            self.hear(&mut heard, Instant::now() + LOOK_AGAIN);
        }
    }

    /// Waits for the word about a save. Of several files the first ones alone may mean nothing.
    fn hear_outcome(&mut self, heard: &mut Heard, several: bool) {
        let deadline = Instant::now() + OUTCOME;
        let mut is_ours = false;
        let mut pending_since: Option<Instant> = None;
        while self.trouble.is_none() {
            let until = pending_since.map_or(deadline, |since| since + SETTLED);
            let Some(event) = self.event(until) else {
                return;
            };
            // What is said before the work begins is about saves before this one.
            is_ours |= event["event"] == "change";
            if !is_ours {
                continue;
            }
            note(heard, &event);
            match event["event"].as_str() {
                Some("build_failed" | "unchanged") if several => several_failed(heard),
                Some("pending") => {
                    pending_since.get_or_insert_with(Instant::now);
                }
                _ => {}
            }
            if heard.outcome.is_some() {
                return;
            }
        }
    }

    /// Hears what else is said, until then.
    fn hear(&mut self, heard: &mut Heard, until: Instant) {
        while let Some(event) = self.event(until) {
            note(heard, &event);
        }
    }

    /// The next event until then. Trouble is kept.
    fn event(&mut self, until: Instant) -> Option<Value> {
        while self.trouble.is_none() {
            match self.watched.next(until) {
                Said::Event(event) => {
                    if matches!(event["event"].as_str(), Some("crashed" | "exited")) {
                        self.trouble = Some(event.to_string());
                    }
                    return Some(event);
                }
                Said::Line(_) => {}
                Said::Error(line) if is_panic(&line) => self.trouble = Some(line),
                Said::Error(_) => {}
                Said::End => self.trouble = Some("the command has ended".to_owned()),
                Said::Nothing => return None,
            }
        }
        None
    }

    fn look(&mut self, program: &Program, site: &Site, look: &Look) -> Result<Seen, String> {
        let (old, new) = (pattern(look.old)?, pattern(look.new)?);
        let held = self.held.iter_mut().find(|(name, _)| *name == look.user);
        let is_held = held.is_some();
        let said = match held {
            Some((_, user)) => user.ask(look.ask),
            None => (program.connect)(site, look.user).and_then(|mut user| user.ask(look.ask)),
        };
        let sight = match said {
            Err(why) => Sight::Lost(why),
            Ok(said) => match (old.is_match(&said), new.is_match(&said)) {
                (true, true) => Sight::Both,
                (true, false) => Sight::Old,
                (false, true) => Sight::New,
                (false, false) => Sight::Neither(said),
            },
        };
        if let Sight::Lost(why) = &sight
            && is_held
        {
            // Those who were there are gone: what follows would tell nothing about them.
            self.trouble
                .get_or_insert(format!("{} lost its connection: {why}", look.user));
        }
        Ok(Seen {
            what: format!("{} `{}`", look.user, look.ask),
            held: is_held,
            sight,
        })
    }

    /// Users leave, the program is interrupted, and ends by that.
    fn end(mut self, program: &Program) -> Verdict {
        self.load = None;
        if let Some(trouble) = self.trouble.take() {
            return Verdict::Short(trouble);
        }
        match (program.goodbye, self.held.first_mut()) {
            (Some(word), Some((_, user))) => {
                // The program may be gone before it has shown anything more.
                let _ = user.ask(word);
            }
            _ => {
                self.held.clear();
                self.watched.interrupt();
            }
        }
        let deadline = Instant::now() + END;
        loop {
            match self.event(deadline) {
                Some(event) if event["event"] == "exited" => return Verdict::Fine,
                Some(event) if event["event"] == "crashed" => {
                    return Verdict::Short(event.to_string());
                }
                Some(_) => {}
                None => {
                    let why = self.trouble.unwrap_or_else(|| "it does not end".to_owned());
                    return Verdict::Short(why);
                }
            }
        }
    }
}

fn several_failed(heard: &mut Heard) {
    heard.outcome = None;
}

fn note(heard: &mut Heard, event: &Value) {
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    let name = text("event");
    match name.as_str() {
        "swapped" => {
            heard.total = event["ms"]["total"].as_f64();
            heard.compile = event["ms"]["compile"].as_f64();
            heard.outcome = Some(name);
        }
        "refused" => {
            heard.code = text("code");
            heard.messages.push(text("message"));
            heard.outcome = Some(name);
        }
        "build_failed" => {
            heard.diagnostics = event["diagnostics"].to_string();
            heard.outcome = Some(name);
        }
        "unchanged" => heard.outcome = Some(name),
        "pending" => heard.messages.push(text("message")),
        _ => {}
    }
}
