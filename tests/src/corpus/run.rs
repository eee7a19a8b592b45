//! One case is run: its program is started, the edits are saved, and what is seen is judged.

use std::path::Path;
use std::time::{Duration, Instant};

use super::case::{Case, Files, Label, Step};
use super::judge::{Outcome, Seen, judge};
use super::place::{self, Place, Project};
use super::watched::{Said, Watched, is_panic};

/// How long a first build may take, with all dependencies.
const FIRST_BUILD: Duration = Duration::from_secs(600);
/// How long it may take until something is said about a save.
const OUTCOME: Duration = Duration::from_secs(90);
/// A program that prints nothing for so long is dead.
const SILENCE: Duration = Duration::from_secs(20);
/// A look at stacks takes place a second after a swap, on a busy machine later: who has said nothing by then will not.
const LOOKS: Duration = Duration::from_secs(10);

/// So many lines of new code, with the heap looked at in each beat, are proof that it works.
const ENOUGH: usize = 15;
/// So many lines of old code are proof that it lives.
const ALIVE: usize = 30;
/// So many lines without new code are proof that none comes.
const MANY: usize = 150;

/// How many of the last lines tell which code is at work.
const TAIL: usize = 6;
/// How many lines of a failure are kept.
const KEPT: usize = 3;

/// What became of one edit.
#[derive(Clone, Debug)]
pub struct Result {
    /// Name of the case.
    pub case: String,
    /// Optimisation level.
    pub level: u8,
    /// Number of the step, from 1.
    pub number: usize,
    /// Label of the step.
    pub label: Label,
    /// What was edited.
    pub about: String,
    /// The outcome.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: Seen,
    /// How long it took.
    pub took: Duration,
}

/// Runs a case at a level. What fails outside of the program (no command, a full disk) is an error.
///
/// # Errors
/// Why the case could not be run at all.
pub fn run(
    command: &Path,
    place: &Place,
    case: &Case,
    level: u8,
) -> std::result::Result<Vec<Result>, String> {
    let mut results = Vec::new();
    let mut run = None;
    let mut clock = Instant::now();
    let mut expects_more = false;
    for (index, step) in case.steps.iter().enumerate() {
        let mut result = Result {
            case: case.name.clone(),
            level,
            number: index + 1,
            label: step.label,
            about: step.about.clone(),
            outcome: Outcome::NotStarted,
            seen: Seen::default(),
            took: Duration::ZERO,
        };
        // After a shortfall what follows would tell nothing in the same run. The old one has to end
        // before the next begins: they share a folder.
        let kept = run.take().filter(|_| expects_more || !step.anew);
        let current = match kept {
            Some(current) => Ok(current),
            None if step.anew => Run::start(command, place, case, level)?,
            None => return Ok(results),
        };
        match current {
            Ok(mut current) => {
                current.save(case, step)?;
                if step.quick {
                    run = Some(current);
                    expects_more = true;
                    continue;
                }
                result.seen = current.watch(case, step);
                result.outcome = judge(step, &result.seen);
                expects_more = result.outcome.is_ok();
                if !spoils_what_follows(result.outcome) {
                    run = Some(current);
                }
            }
            Err(seen) => {
                result.seen = seen;
                expects_more = false;
            }
        }
        result.took = clock.elapsed();
        clock = Instant::now();
        results.push(result);
    }
    Ok(results)
}

/// Whether the program is no longer what the steps that follow are about. One that starts `anew` gets a
/// run of its own then; others are not reached.
fn spoils_what_follows(outcome: Outcome) -> bool {
    !outcome.is_ok() && outcome != Outcome::Unnamed
}

/// A program that runs, and the files as they are.
struct Run {
    project: Project,
    files: Files,
    watched: Watched,
}

impl Run {
    /// Starts the program of a case. What was seen instead is returned when it does not start.
    fn start(
        command: &Path,
        place: &Place,
        case: &Case,
        level: u8,
    ) -> std::result::Result<std::result::Result<Self, Seen>, String> {
        let project = place.project(case)?;
        let mut watched = Watched::start(command, &project, level)?;
        let deadline = Instant::now() + FIRST_BUILD;
        let mut seen = Seen::default();
        loop {
            match watched.next(deadline) {
                Said::Line(line) if case.start.is_match(&line) => break,
                Said::Line(line) => seen.line(line),
                Said::Error(line) => {
                    seen.bad.push(line);
                    let first = seen.bad.len().saturating_sub(KEPT);
                    seen.bad.drain(..first);
                }
                Said::Event(_) => {}
                Said::End | Said::Nothing => return Ok(Err(seen)),
            }
        }
        Ok(Ok(Self {
            files: place::complete(case, &case.files)?,
            project,
            watched,
        }))
    }

    fn save(&mut self, case: &Case, step: &Step) -> std::result::Result<(), String> {
        let files = place::complete(case, &step.files)?;
        self.project.save(&self.files, &files)?;
        self.files = files;
        Ok(())
    }

    /// Watches until it is clear what became of the save.
    fn watch(&mut self, case: &Case, step: &Step) -> Seen {
        let mut seen = Seen::default();
        let saved = Instant::now();
        let mut since: Option<Since> = None;
        let mut heard = saved;
        loop {
            let deadline = match since {
                Some(_) => heard + SILENCE,
                None => saved + OUTCOME,
            };
            match self.watched.next(deadline) {
                Said::Line(line) => {
                    if is_bad(&line, case) {
                        seen.bad_line(line);
                    } else if !line.is_empty() {
                        if let Some(since) = &mut since {
                            since.lines += 1;
                            seen.line(line);
                        }
                        heard = Instant::now();
                    }
                }
                Said::Error(line) if is_panic(&line) && !case.panics => seen.bad_line(line),
                Said::Error(_) => {}
                Said::Event(event) => {
                    let name = event["event"].as_str().unwrap_or_default();
                    match name {
                        "swapped" | "refused" | "build_failed" | "unchanged" | "pending" => {
                            seen.event(name, &event);
                            since.get_or_insert_with(Since::now);
                            heard = Instant::now();
                        }
                        "crashed" | "exited" => {
                            seen.dead = true;
                            seen.messages.push(event.to_string());
                        }
                        _ => {}
                    }
                }
                Said::End => seen.dead = true,
                Said::Nothing => {
                    seen.dead = since.is_some();
                    return seen;
                }
            }
            if seen.dead {
                return seen;
            }
            if let Some(since) = &mut since
                && since.is_settled(step, &seen)
            {
                return seen;
            }
        }
    }
}

/// What has happened since the first word about a save.
struct Since {
    time: Instant,
    lines: usize,
    /// When the new code alone was heard first: how many lines there were.
    new: Option<usize>,
}

impl Since {
    fn now() -> Self {
        Self {
            time: Instant::now(),
            lines: 0,
            new: None,
        }
    }

    fn is_settled(&mut self, step: &Step, seen: &Seen) -> bool {
        if !seen.bad.is_empty() {
            // Whether it dies of it as well tells more than the first line.
            return self.lines >= ALIVE;
        }
        let (new, old) = (seen.is_new(step), seen.is_old(step));
        let is_live = match step.label {
            Label::Safe => new && !old,
            Label::Unsafe | Label::Pending => new,
        };
        if !is_live {
            self.new = None;
        } else if self.new.is_none() {
            self.new = Some(self.lines);
        }
        if let Some(first) = self.new {
            let enough = match step.label {
                Label::Safe => ENOUGH,
                Label::Unsafe | Label::Pending => ALIVE,
            };
            if self.lines >= first + enough {
                return true;
            }
        }
        let is_final = seen.has("refused")
            || seen.has("build_failed")
            || (seen.has("pending") && step.label != Label::Safe);
        if is_final {
            return self.lines >= ALIVE;
        }
        self.lines >= MANY && self.time.elapsed() >= LOOKS
    }
}

impl Seen {
    fn line(&mut self, line: String) {
        if self.tail.len() == TAIL {
            self.tail.remove(0);
        }
        self.tail.push(line);
    }

    fn bad_line(&mut self, line: String) {
        if self.bad.len() < KEPT {
            self.bad.push(line);
        }
    }

    fn event(&mut self, name: &str, event: &serde_json::Value) {
        self.events.push(name.to_owned());
        let code = event["code"].as_str().unwrap_or_default();
        if let Some(message) = event["message"].as_str() {
            self.messages
                .push(format!("{code} {message}").trim().to_owned());
        }
    }
}

fn is_bad(line: &str, case: &Case) -> bool {
    line.contains("BAD") || (line.contains("panicked") && !case.panics)
}
