//! Repeats recorded compilations.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::diagnostics::Message;
use crate::model::{CancelToken, Diagnostic};
use crate::stage::env as names;
use crate::stage::layout::{self, Stage};
use crate::stage::record::Record;
use crate::stage::wrapper::Linking;

/// One compilation to repeat.
#[derive(Debug)]
pub struct Job<'a> {
    /// What.
    pub record: &'a Record,
    /// Numbers of jobs of which it needs the metadata (a library) or all (a program).
    pub after: Vec<usize>,
}

/// How a job ended.
#[derive(Debug, Default)]
pub struct Finished {
    /// Whether rustc was content. False also for a job that was not begun.
    pub success: bool,
    /// What it said.
    pub diagnostics: Vec<Diagnostic>,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it was run at all.
    pub begun: bool,
}

/// Why jobs could not be run.
#[derive(Debug)]
pub enum Stopped {
    /// The token said so.
    Cancelled,
    /// A program could not be started.
    Failed(String),
}

enum Event {
    Message(usize, Message),
    Ended(usize),
}

/// What jobs need to run.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The stage folder.
    pub stage: &'a Stage,
    /// Where the link stage collects objects.
    pub collect: PathBuf,
    /// Told of each message as it comes.
    pub show: &'a dyn ShowsMessages,
}

/// Shows messages of the compiler.
pub trait ShowsMessages: std::fmt::Debug {
    /// Shows one of this job.
    fn show(&self, job: usize, diagnostic: &Diagnostic);
}

struct Running {
    child: Child,
    begun: Instant,
}

#[derive(Default)]
struct State {
    running: Option<Running>,
    has_metadata: bool,
    finished: Option<Finished>,
    diagnostics: Vec<Diagnostic>,
}

impl Replay<'_> {
    /// Runs all jobs, several at once where they do not need each other. What depends on a job that
    /// fails is not begun.
    ///
    /// # Errors
    /// If it is cancelled, or a compiler cannot be started. None is running then.
    pub fn run(
        &self,
        jobs: &[Job<'_>],
        cancel: &CancelToken,
        ended: &mut dyn FnMut(usize, &Finished),
    ) -> Result<Vec<Finished>, Stopped> {
        let mut states: Vec<State> = jobs.iter().map(|_| State::default()).collect();
        let result = self.drive(jobs, &mut states, cancel, ended);
        for (job, state) in jobs.iter().zip(&mut states) {
            if let Some(mut running) = state.running.take() {
                let _ = running.child.kill();
                let _ = running.child.wait();
                remove_leftovers(job.record);
            }
        }
        result?;
        Ok(states
            .into_iter()
            .map(|state| state.finished.unwrap_or_default())
            .collect())
    }

    fn drive(
        &self,
        jobs: &[Job<'_>],
        states: &mut [State],
        cancel: &CancelToken,
        ended: &mut dyn FnMut(usize, &Finished),
    ) -> Result<(), Stopped> {
        const LOOK: Duration = Duration::from_millis(5);
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        let (to_here, events) = mpsc::channel();
        loop {
            for number in 0..jobs.len() {
                let running = states
                    .iter()
                    .filter(|state| state.running.is_some())
                    .count();
                if running < at_once && can_begin(jobs, states, number) {
                    states[number].running =
                        Some(self.begin(number, jobs[number].record, &to_here)?);
                }
            }
            if states.iter().all(|state| state.running.is_none()) {
                return Ok(());
            }
            match events.recv_timeout(LOOK) {
                Ok(Event::Message(job, message)) => self.take(job, message, &mut states[job]),
                Ok(Event::Ended(job)) => {
                    if let Some(finished) = end(&mut states[job]) {
                        ended(job, &finished);
                        states[job].finished = Some(finished);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if cancel.is_cancelled() {
                return Err(Stopped::Cancelled);
            }
        }
    }

    fn take(&self, job: usize, message: Message, state: &mut State) {
        let diagnostic = match message {
            Message::Metadata => {
                state.has_metadata = true;
                return;
            }
            Message::Other => return,
            Message::Diagnostic(diagnostic) => diagnostic,
            Message::Text(text) => Diagnostic {
                level: "note".to_owned(),
                rendered: format!("{text}\n"),
            },
        };
        self.show.show(job, &diagnostic);
        state.diagnostics.push(diagnostic);
    }

    fn begin(
        &self,
        job: usize,
        record: &Record,
        to_here: &Sender<Event>,
    ) -> Result<Running, Stopped> {
        let mut command = self.command(record)?;
        let begun = Instant::now();
        let mut child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            Stopped::Failed(format!("cannot run {program}: {error}"))
        })?;
        let stderr = child.stderr.take();
        let to_here = to_here.clone();
        thread::spawn(move || {
            if let Some(stderr) = stderr {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let _ = to_here.send(Event::Message(job, Message::of_rustc(&line)));
                }
            }
            let _ = to_here.send(Event::Ended(job));
        });
        Ok(Running { child, begun })
    }

    fn command(&self, record: &Record) -> Result<Command, Stopped> {
        let nothing = || Stopped::Failed(format!("{} has no command", record.stem));
        let recorded = record.command.as_ref().ok_or_else(nothing)?;
        let (program, rest) = recorded.programs.split_first().ok_or_else(nothing)?;
        let mut command = Command::new(&program.0);
        command
            .args(rest.iter().map(|arg| &arg.0))
            .args(recorded.args.iter().map(|arg| &arg.0))
            .current_dir(recorded.cwd.path())
            .envs(recorded.env.iter().map(|(name, value)| (&name.0, &value.0)))
            .env(names::STAGE_DIR, self.stage.root())
            .env(names::COLLECT, &self.collect)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if !record.is_program() {
            // A crate that is also a shared library need not be linked for this.
            let mut linker = OsString::from("linker=");
            linker.push(self.stage.bin().join(layout::LINKER));
            command.arg("-C").arg(linker);
        }
        let linker = recorded.linker.clone().map(|linker| linker.0);
        Linking::new(record.unit.clone(), linker, recorded.lld).apply(&mut command);
        Ok(command)
    }
}

/// Whether nothing is in the way of a job.
fn can_begin(jobs: &[Job<'_>], states: &[State], number: usize) -> bool {
    let state = &states[number];
    // Only of what becomes part of an executable or shared library all must be there.
    let needs_all = jobs[number]
        .record
        .crate_types
        .iter()
        .any(|kind| kind != "lib" && kind != "rlib");
    state.running.is_none()
        && state.finished.is_none()
        && jobs[number].after.iter().all(|&other| {
            let other = &states[other];
            match &other.finished {
                Some(finished) => finished.success,
                None => !needs_all && other.has_metadata,
            }
        })
}

fn end(state: &mut State) -> Option<Finished> {
    let mut running = state.running.take()?;
    let success = running.child.wait().is_ok_and(|status| status.success());
    Some(Finished {
        success,
        diagnostics: std::mem::take(&mut state.diagnostics),
        elapsed: running.begun.elapsed(),
        begun: true,
    })
}

/// Removes the objects that a compiler left when it was killed.
fn remove_leftovers(record: &Record) {
    let prefix = format!("{}.", record.stem);
    let Ok(entries) = fs::read_dir(record.out_dir.path()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&prefix) && name.ends_with(".rcgu.o") {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The folder in which the link stage puts a program's objects. It is named after the file: what cargo
/// made of another set of dependencies, and was refused, may lie beside it.
pub fn collected(collect: &Path, record: &Record) -> PathBuf {
    collect.join(&record.stem)
}
