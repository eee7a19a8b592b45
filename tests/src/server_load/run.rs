//! A run: the server is started, put under load, edited, and ended in order.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use regex_lite::Regex;

use super::client::Http;
use super::load::{Clients, Load, Ports, Volume};
use super::part::{Label, PARTS, Part};
use super::plan::{Edit, Plan};
use super::program::{self, Flavour};
use super::timeline::Timelines;
use crate::corpus::case::{Case, Files};
use crate::corpus::place::{self, Place, Project};
use crate::corpus::watched::{Said, Watched, is_panic};
use crate::library::target_directory;

/// The folder of the server: none of the corpus's.
const PLACE: usize = 10;
/// How long the first build may take, with all dependencies.
const FIRST_BUILD: Duration = Duration::from_secs(600);
/// How long it may take until something is said about a save.
const OUTCOME: Duration = Duration::from_secs(120);
/// How long it may take until new code has answered.
const ANSWERED: Duration = Duration::from_secs(30);
/// How long after a swap it may be said what waits: a look at stacks takes place a second after it.
const NAMED: Duration = Duration::from_secs(5);
/// How often it is looked whether the load has seen new code.
const LOOK: Duration = Duration::from_millis(10);
/// So many answers of new code, or of what an edit does not reach, are proof.
const ENOUGH: u64 = 4;
/// More failures say nothing new.
const FAILURES: usize = 10;

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many edits.
    pub edits: usize,
    /// Optimisation level, 0 or 3.
    pub level: u8,
    /// tokio's executor.
    pub flavour: Flavour,
    /// What determines the edits.
    pub seed: u64,
    /// Whether each edit is told of.
    pub verbose: bool,
}

/// What became of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Edits that were made, and those among them that changed a layout.
    pub edits: usize,
    /// See there.
    pub layouts: usize,
    /// How many went live.
    pub swapped: usize,
    /// How many had something waiting besides or instead.
    pub pending: usize,
    /// How many were refused, as they might.
    pub refused: usize,
    /// What was asked of the server.
    pub volume: Volume,
    /// How long it took from the first request to the last.
    pub took: Duration,
    /// What is not as it must be.
    pub failures: Vec<String>,
}

/// Runs the server and edits it.
///
/// # Errors
/// What fails outside of it: no command, a full disk.
pub fn run(command: &Path, options: &Options) -> Result<Report, String> {
    let place = Place::of_worker(PLACE)?;
    let plan = Plan::new(options.seed);
    let case = Case {
        name: "server-load".to_owned(),
        about: "a server under load".to_owned(),
        needs: ["axum", "tokio", "tower"].map(str::to_owned).into(),
        levels: vec![options.level],
        in_ci: false,
        start: Regex::new("^listening").map_err(|error| error.to_string())?,
        panics: false,
        files: program::files(options.flavour, &plan.bodies),
        steps: Vec::new(),
    };
    let project = place.project(&case)?;
    let watched = Watched::start(command, &project, options.level)?;
    let mut run = Run {
        files: place::complete(&case, &case.files)?,
        project,
        watched,
        report: Report::default(),
        said: Vec::new(),
        over: false,
        served: None,
        exit: None,
    };
    let Some(ports) = run.listens() else {
        return Ok(run.report);
    };
    run.work(options, plan, ports)?;
    if !run.report.failures.is_empty() {
        let kept = target_directory().join("tmp/liveswap-server-load");
        place::write(&kept, &run.files)?;
        run.fail(format!("the files as they were then: {}", kept.display()));
    }
    Ok(run.report)
}

struct Run {
    project: Project,
    files: Files,
    watched: Watched,
    report: Report,
    /// The events about saves since the last save.
    said: Vec<(String, String)>,
    /// Whether the program has ended.
    over: bool,
    /// How many requests the handler `shared` had, as the server says at its end.
    served: Option<u64>,
    exit: Option<i64>,
}

impl Run {
    fn fail(&mut self, what: String) {
        self.report.failures.push(what);
    }

    /// Takes what is said until a deadline, one thing at most. A line of the program is returned.
    fn hear(&mut self, deadline: Instant) -> Option<String> {
        match self.watched.next(deadline) {
            Said::Line(line) => {
                if line.contains("BAD") || line.contains("panicked") {
                    self.fail(format!("the server says `{line}`"));
                }
                if let Some(count) = line.strip_prefix("shared ") {
                    self.served = count.parse().ok();
                }
                return Some(line);
            }
            Said::Error(line) if is_panic(&line) => self.fail(line),
            Said::Error(_) | Said::Nothing => {}
            Said::Event(event) => {
                let name = event["event"].as_str().unwrap_or_default();
                match name {
                    "swapped" | "refused" | "build_failed" | "unchanged" | "pending" => {
                        let message = match name {
                            "swapped" => event["ms"].to_string(),
                            _ => event["message"].as_str().unwrap_or_default().to_owned(),
                        };
                        self.said.push((name.to_owned(), message));
                    }
                    "crashed" | "exited" => {
                        self.exit = event["code"].as_i64();
                        if self.exit != Some(0) {
                            self.fail(format!("the server ends: {event}"));
                        }
                    }
                    _ => {}
                }
            }
            Said::End => self.over = true,
        }
        None
    }

    fn has_said(&self, name: &str) -> bool {
        self.said.iter().any(|(said, _)| said == name)
    }

    /// Waits until the server listens.
    fn listens(&mut self) -> Option<Ports> {
        let deadline = Instant::now() + FIRST_BUILD;
        while !self.over && Instant::now() < deadline {
            let Some(line) = self.hear(deadline) else {
                continue;
            };
            let ports: Option<Vec<u16>> = line
                .strip_prefix("listening ")
                .and_then(|ports| ports.split(' ').map(|port| port.parse().ok()).collect());
            if let Some([http, lines, direct]) = ports.as_deref() {
                return Some(Ports {
                    http: *http,
                    lines: *lines,
                    direct: *direct,
                });
            }
        }
        self.fail("the server does not start".to_owned());
        None
    }

    fn work(&mut self, options: &Options, mut plan: Plan, ports: Ports) -> Result<(), String> {
        let begin = Instant::now();
        let load = Arc::new(Load::new(ports, Timelines::new(&plan.bodies)));
        let clients = Clients::start(&load, options.seed);
        let all_answer = |load: &Load| PARTS.iter().all(|&part| load.answers(part) > 0);
        self.wait(&load, ANSWERED, |_, load| all_answer(load));
        if !all_answer(&load) {
            self.fail("not all parts answer".to_owned());
        }
        for _ in 0..options.edits {
            if self.is_lost(&load) {
                break;
            }
            let edit = plan.next();
            let time = Instant::now();
            self.edit(&load, &mut plan, &edit)?;
            if self.is_lost(&load) {
                self.fail(format!("that was seen after {}", edit.about));
            }
            if options.verbose {
                self.tell(&edit, time.elapsed());
            }
        }
        clients.end();
        self.report.volume = load.volume();
        self.report.took = begin.elapsed();
        self.report.failures.extend(load.failures());
        if !self.over {
            self.end(&load, ports);
        }
        Ok(())
    }

    fn is_lost(&self, load: &Load) -> bool {
        self.over || self.report.failures.len() >= FAILURES || !load.failures().is_empty()
    }

    /// Listens until it is so, for a time at most, and as long as there is something to wait for.
    fn wait(&mut self, load: &Load, time: Duration, is_so: impl Fn(&Self, &Load) -> bool) {
        let deadline = Instant::now() + time;
        while !is_so(self, load) && !self.is_lost(load) && Instant::now() < deadline {
            self.hear(Instant::now() + LOOK);
        }
    }

    fn edit(&mut self, load: &Load, plan: &mut Plan, edit: &Edit) -> Result<(), String> {
        self.said.clear();
        self.report.edits += 1;
        self.report.layouts += usize::from(edit.changes_layout);
        let (seen, answers) = (load.seen(edit.part, edit.body.id), load.answers(edit.part));
        load.timelines().save(edit.part, edit.body.clone());
        self.save(
            program::path(edit.part),
            program::file(edit.part, &edit.body),
        )?;
        self.settle(load);
        if self.is_lost(load) {
            return Ok(());
        }
        if self.has_said("refused") {
            return self.take_back(load, plan, edit);
        }
        plan.made(edit);
        if !self.has_said("swapped") {
            self.fail(format!("{}: {:?}", edit.about, self.said));
            return Ok(());
        }
        self.report.swapped += 1;
        load.timelines().is_live(edit.part);
        let is_proved = |load: &Load| match edit.label {
            Label::Live | Label::Beside => load.seen(edit.part, edit.body.id) >= seen + ENOUGH,
            Label::Held => load.answers(edit.part) >= answers + ENOUGH,
        };
        self.wait(load, ANSWERED, |_, load| is_proved(load));
        if !is_proved(load) && !self.is_lost(load) {
            self.fail(format!(
                "{}: no answer of new code; {:?}",
                edit.about, self.said
            ));
        }
        if edit.label != Label::Live {
            self.wait(load, NAMED, |run, _| run.names(edit.part));
            if !self.names(edit.part) && !self.is_lost(load) {
                self.fail(format!(
                    "{}: nothing says what goes on in old code; {:?}",
                    edit.about, self.said
                ));
            }
        }
        self.report.pending += usize::from(self.has_said("pending"));
        Ok(())
    }

    /// Waits until it is said what became of a save. A pending alone may still be about the save before.
    fn settle(&mut self, load: &Load) {
        let finals = ["swapped", "refused", "build_failed", "unchanged"];
        self.wait(load, OUTCOME, |run, _| {
            finals.iter().any(|name| run.has_said(name))
        });
    }

    /// After a refusal: the file becomes what it was, so that the next save can be taken in.
    fn take_back(&mut self, load: &Load, plan: &Plan, edit: &Edit) -> Result<(), String> {
        if edit.label != Label::Held {
            self.fail(format!("{}: {:?}", edit.about, self.said));
        }
        self.report.refused += 1;
        load.timelines().is_refused(edit.part);
        let old = program::file(edit.part, &plan.bodies[&edit.part]);
        self.said.clear();
        self.save(program::path(edit.part), old)?;
        self.settle(load);
        Ok(())
    }

    /// Whether it was said since the swap that something of a part, or of one whose future it is in, waits.
    fn names(&self, part: Part) -> bool {
        let names: Vec<String> = part
            .group()
            .iter()
            .map(|part| format!("app::{}::", part.name()))
            .collect();
        let mut since = self.said.iter().skip_while(|(said, _)| said != "swapped");
        since.any(|(said, message)| {
            said == "pending" && names.iter().any(|name| message.contains(name))
        })
    }

    fn save(&mut self, path: String, text: String) -> Result<(), String> {
        let mut files = self.files.clone();
        files.insert(path, text);
        self.project.save(&self.files, &files)?;
        self.files = files;
        Ok(())
    }

    #[expect(
        clippy::print_stdout,
        reason = "a tool's own words, when it is asked for them"
    )]
    fn tell(&self, edit: &Edit, took: Duration) {
        println!("{} ({:?}, {} ms)", edit.about, edit.label, took.as_millis());
        for (name, message) in &self.said {
            println!("    {name} {message}");
        }
    }

    /// Asks the server to end, and looks whether it had all requests.
    fn end(&mut self, load: &Load, ports: Ports) {
        let asked = Http::connect(ports.http, false).and_then(|mut http| http.get("/end/0"));
        if let Err(why) = asked {
            self.fail(why);
        }
        let deadline = Instant::now() + ANSWERED;
        while !self.over && Instant::now() < deadline {
            self.hear(deadline);
        }
        if self.exit != Some(0) {
            self.fail("the server does not end in order".to_owned());
        }
        if self.served != Some(load.shared()) {
            self.fail(format!(
                "the server had {:?} requests for a page, and {} were sent",
                self.served,
                load.shared()
            ));
        }
    }
}
