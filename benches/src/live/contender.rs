//! Those that are measured side by side, each with its own copy of the project.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::events::Events;
use super::place::{self, Place};
use super::process::compiles;
use super::project::{Edit, Form, Project, Size};
use super::running::Running;
use super::rustc::{self, Compilations};
use crate::samples::Samples;

/// An edit that is not live after so long never will be.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same for a contender that may not be able to.
const SHORT_PATIENCE: Duration = Duration::from_secs(8);
const FIRST_BUILD: Duration = Duration::from_secs(1800);

pub struct Contender {
    pub name: &'static str,
    pub project: Project,
    /// How long the first build took, with the start of the program where it is part of the command.
    pub first: Duration,
    /// Whether that was from nothing.
    pub from_nothing: bool,
    kind: Kind,
}

enum Kind {
    Rustc(Compilations),
    Cargo,
    /// Builds the library by itself, and the program takes it up.
    Library(Running),
    Liveswap(Session),
    Dx(Running),
}

/// A run of `cargo liveswap run`.
pub struct Session {
    pub running: Running,
    pub events: Events,
    /// What it says when the program was started.
    pub started: Value,
    /// When the program printed its first line.
    pub first_line: Instant,
}

impl Session {
    pub fn start(place: &Place, project: &Project) -> Result<Self> {
        let path = project.folder.with_extension("events");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        let (running, first_line) = start(&mut place.liveswap(&project.folder, &path), project)?;
        let mut events = Events::of(&path);
        let started = events.next(&["started"], PATIENCE)?;
        Ok(Self {
            running,
            events,
            started,
            first_line,
        })
    }

    /// Waits until what was saved is live and the program shows `mark`; gives the event.
    pub fn shows(&mut self, mark: &str) -> Result<Value> {
        let event = self.events.swapped(Duration::from_secs(120))?;
        let line = self.running.line_with(mark, Duration::from_secs(5))?;
        ensure!(
            line.is_some(),
            "{event}, but the program does not show {mark}"
        );
        Ok(event)
    }
}

/// Adds what an event accounts for each of these parts, in ms.
pub fn add_account(event: &Value, parts: &[&str], times: &mut [Samples]) {
    for (part, samples) in parts.iter().zip(times) {
        samples.add(event["ms"][*part].as_f64().unwrap_or(f64::NAN) * 1e6);
    }
}

/// What one edit cost.
pub struct Measured {
    /// From the save to the program's line, or the end of the build; nanoseconds.
    pub time: f64,
    /// Liveswap's own account.
    pub event: Option<Value>,
}

impl Contender {
    pub fn rustc(place: &Place, project: Project) -> Result<Self> {
        let mut cargo = place.cargo(&project.folder);
        let from_nothing = !project.target().exists();
        let begun = Instant::now();
        let compilations = Compilations::record(&mut cargo, &project.folder, &["logic", "app"])?;
        Ok(Self {
            name: "rustc alone",
            project,
            first: begun.elapsed(),
            from_nothing,
            kind: Kind::Rustc(compilations),
        })
    }

    pub fn cargo(place: &Place, project: Project) -> Result<Self> {
        let from_nothing = !project.target().exists();
        let begun = Instant::now();
        place::run(place.cargo(&project.folder).arg("build"))?;
        Ok(Self {
            name: "`cargo build`",
            project,
            first: begun.elapsed(),
            from_nothing,
            kind: Kind::Cargo,
        })
    }

    pub fn liveswap(place: &Place, project: Project) -> Result<Self> {
        let from_nothing = !project.target().exists();
        let begun = Instant::now();
        let session = Session::start(place, &project)?;
        Ok(Self {
            name: "Liveswap",
            project,
            first: begun.elapsed(),
            from_nothing,
            kind: Kind::Liveswap(session),
        })
    }

    /// hot-lib-reloader or hotcode.
    pub fn library(place: &Place, project: Project, name: &'static str) -> Result<Self> {
        let from_nothing = !project.target().exists();
        let begun = Instant::now();
        let folder = &project.folder;
        place::run(place.cargo(folder).args(["build", "--workspace"]))?;
        let (running, _) = start(place.cargo(folder).arg("run"), &project)?;
        Ok(Self {
            name,
            project,
            first: begun.elapsed(),
            from_nothing,
            kind: Kind::Library(running),
        })
    }

    pub fn dx(dx: &Path, project: Project) -> Result<Self> {
        let mut command = place::plain(Command::new(dx), &project.folder);
        command.args([
            "serve",
            "--hot-patch",
            "--interactive",
            "false",
            "--platform",
            "linux",
        ]);
        // dx calls cargo and rustc by name.
        let mut path = rustc::sysroot()?.join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path);
        let from_nothing = !project.target().exists();
        let begun = Instant::now();
        let (running, _) = start(&mut command, &project)?;
        Ok(Self {
            name: "subsecond",
            project,
            first: begun.elapsed(),
            from_nothing,
            kind: Kind::Dx(running),
        })
    }

    /// Makes one edit; `None` if it does not go live.
    pub fn edit(&mut self, place: &Place, edit: Edit, value: u64) -> Result<Option<Measured>> {
        // The form of a project says what can change at all.
        if edit != Edit::Library && matches!(self.kind, Kind::Library(_)) {
            return Ok(None);
        }
        let begun = Instant::now();
        self.project.save(edit, value)?;
        let mark = edit.mark(value);
        let mut event = None;
        let time = match &mut self.kind {
            Kind::Rustc(compilations) => Some(compilations.repeat(match edit {
                Edit::Binary => &["app"],
                Edit::Library => &["logic"],
                Edit::Generic => &["logic", "app"],
            })?),
            Kind::Cargo => {
                place::run(place.cargo(&self.project.folder).arg("build"))?;
                Some(begun.elapsed().as_nanos() as f64)
            }
            Kind::Library(running) => {
                let mut cargo = place.cargo(&self.project.folder);
                place::run(cargo.args(["build", "-p", "logic", "--lib"]))?;
                shown(running, &mark, begun, PATIENCE)?
            }
            Kind::Dx(running) => {
                let patience = if edit == Edit::Binary {
                    PATIENCE
                } else {
                    SHORT_PATIENCE
                };
                shown(running, &mark, begun, patience)?
            }
            Kind::Liveswap(Session {
                running, events, ..
            }) => {
                event = Some(
                    events
                        .swapped(PATIENCE)
                        .with_context(|| running.messages())?,
                );
                let time = shown(running, &mark, begun, SHORT_PATIENCE)?;
                if time.is_none() {
                    bail!("{event:?}, but the program does not show {mark}");
                }
                time
            }
        };
        Ok(time.map(|time| Measured { time, event }))
    }

    /// Whether it is another tool that changes a running program.
    pub fn is_peer(&self) -> bool {
        matches!(self.kind, Kind::Library(_) | Kind::Dx(_))
    }

    /// Waits until nothing of it works any more.
    pub fn settle(&self) {
        std::thread::sleep(Duration::from_millis(300));
        let pid = match &self.kind {
            Kind::Rustc(_) | Kind::Cargo => return,
            Kind::Library(running)
            | Kind::Liveswap(Session { running, .. })
            | Kind::Dx(running) => running.pid(),
        };
        while compiles(pid) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.project.stop();
    }
}

/// Starts it and waits for the program's first line.
fn start(command: &mut Command, project: &Project) -> Result<(Running, Instant)> {
    let running = Running::start(command, &project.folder.with_extension("log"))?;
    match running.line_with("live bin=", FIRST_BUILD)? {
        Some((at, _)) => Ok((running, at)),
        None => bail!("the program does not begin\n{}", running.messages()),
    }
}

fn shown(running: &Running, mark: &str, begun: Instant, patience: Duration) -> Result<Option<f64>> {
    let line = running.line_with(mark, patience)?;
    Ok(line.map(|(at, _)| at.duration_since(begun).as_nanos() as f64))
}

/// The project of one of them, with the versions of dependencies that `like` has. Each has a target folder of
/// its own: cargo gives the same names to crates of two copies. A `warm` one begins as a copy of the other's.
pub fn copy(
    place: &Place,
    name: &str,
    (form, size, opt_level): (Form, Size, u8),
    like: Option<&Project>,
    warm: bool,
) -> Result<Project> {
    let project = Project::create(place.path(name), form, size, opt_level)?;
    if let Some(like) = like {
        std::fs::copy(
            like.folder.join("Cargo.lock"),
            project.folder.join("Cargo.lock"),
        )?;
        if warm && !project.target().exists() {
            let mut cp = Command::new("cp");
            cp.arg("-a").arg(like.target()).arg(project.target());
            place::run(&mut cp)?;
        }
    }
    Ok(project)
}
