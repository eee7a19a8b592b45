//! One run of `cargo liveswap run`: build, start, watch, and take changes in until the program ends.
//!
//! Threads (watcher, worker, program, run-time, control socket, signals) send [`event::Event`]s; one
//! loop hands them to [`machine::Machine`], which has all the state. A restart begins another life, with all of that
//! anew but for what belongs to the session: [`Session`]. Reading order: [`parts`], [`machine`], [`worker`].

mod agent;
mod batch;
mod build;
pub mod calls;
mod child;
pub mod control;
mod crash;
mod debounce;
mod event;
mod inbox;
mod listeners;
mod machine;
mod old_bodies;
mod outcome;
pub mod parts;
pub mod poll;
mod report;
pub mod restart;
pub mod run_dir;
pub mod session_file;
mod signals;
mod stamps;
mod terminal;
mod watched;
mod watcher;
mod worker;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use liveswap_protocol::crash::Kind;
use liveswap_protocol::message::Hello;

use crate::build::{Build, Next};
use crate::engine;
use crate::log::stderr_line;
use crate::model::{BuildError, Launch, Linked, RunOptions};

use event::Event;
use inbox::Inbox;
use machine::{About, Machine};
use parts::Planner;
use report::{Report, Reports};
use restart::{Hands, Heritage, Over, Rules};
use run_dir::RunDir;
use terminal::Terminal;

type Plan = <engine::Engine as Planner>::Plan;

/// The worker gets so long to stop its compilers when the program has ended.
const TIME_TO_STOP: Duration = Duration::from_secs(3);

/// What `cargo liveswap run` was told.
#[derive(Debug)]
pub struct Options {
    /// For cargo and the program.
    pub run: RunOptions,
    /// Where events are written.
    pub events: Option<PathBuf>,
    /// Files are looked at that often, instead of being watched by the kernel.
    pub poll: Option<Duration>,
    /// Less output.
    pub quiet: bool,
    /// Colours, if that was said.
    pub color: Option<bool>,
    /// When the program is started anew.
    pub restart: Rules,
}

/// Runs a session; the exit code is the program's.
pub fn run(options: Options) -> ExitCode {
    let events = options.events.as_deref();
    let reports = match Reports::new(events, options.quiet, options.color) {
        Ok(reports) => reports,
        Err(error) => {
            let path = events.unwrap_or("?".as_ref()).display();
            stderr_line(&format!(
                "liveswap: the events file {path} cannot be written: {error}"
            ));
            return ExitCode::from(2);
        }
    };
    let code = session(&options, reports);
    // An exit code has eight bits, here as everywhere.
    ExitCode::from((code & 0xff) as u8)
}

fn session(options: &Options, mut reports: Reports) -> i32 {
    let built = Build::prepare(&options.run).and_then(|mut build| {
        build
            .first()
            .map(|(launch, linked)| (build, launch, linked))
    });
    let (build, launch, linked) = match built {
        Ok(built) => built,
        Err(error) => {
            let code = match &error {
                BuildError::Cargo { status } => *status,
                _ => 101,
            };
            if let BuildError::Failed(_) | BuildError::NeedsRestart { .. } = &error {
                reports.note(&error.to_string());
            }
            let diagnostics = outcome::diagnostics(&error);
            reports.record(&Report::BuildFailed {
                diagnostics,
                runs: false,
            });
            return code;
        }
    };
    match lives(build, launch, linked, options, reports) {
        Ok(code) => code,
        Err(error) => {
            stderr_line(&format!("liveswap: {error}"));
            101
        }
    }
}

/// What a session has as long as it lasts, whatever becomes of the program.
struct Session {
    run_dir: RunDir,
    socket: agent::AgentSocket<Plan>,
    inbox: Inbox<Plan>,
    terminal: Arc<Terminal>,
    target_dir: PathBuf,
    poll: Option<Duration>,
    rules: Rules,
}

/// One life of the program after the other, until the session is over.
fn lives(
    mut build: Build,
    mut launch: Launch,
    mut linked: Linked,
    options: &Options,
    reports: Reports,
) -> Result<i32, String> {
    let target_dir = build.target_dir().to_owned();
    let run_dir = RunDir::new(&target_dir)?;
    let (inbox, mut happened) = Inbox::new();
    let socket =
        agent::AgentSocket::listen(&run_dir.agent_socket()).map_err(failed("no socket"))?;
    control::serve(&run_dir.control_socket(), inbox.clone()).map_err(failed("no socket"))?;
    // Before the start: who sees that the program runs may ask for its session.
    let published = session_file::SessionFile {
        pid: std::process::id(),
        control: run_dir.control_socket(),
        target_dir: target_dir.clone(),
    }
    .publish(run_dir.sockets());
    if let Err(error) = &published {
        reports.note(&format!(
            "`cargo liveswap status` will not find this session: {error}"
        ));
    }
    let mut session = Session {
        run_dir,
        socket,
        inbox,
        terminal: Arc::new(Terminal::now()),
        target_dir,
        poll: options.poll,
        rules: options.restart,
    };
    let mut heritage = Heritage::first(reports);
    loop {
        let first = heritage.restarts == 0;
        let fixed = build.fixed_crates();
        if first && !fixed.is_empty() {
            heritage.reports.note(&format!(
                "{}: in a dynamic library (`dylib`), whose code does not change while the program runs",
                fixed.join(", ")
            ));
        }
        let life = session.start(build, launch, linked, heritage)?;
        let mut machine = life.machine;
        let over = listen(&mut machine, &happened);
        heritage = machine.leave();
        // Its compilers are told to stop; what they leave should be whole.
        let next = life.stopped.recv_timeout(TIME_TO_STOP).ok().flatten();
        let next: Next = match (over, next) {
            (Over::Ended(code), _) => return Ok(code),
            (Over::Restart, Some(next)) => next,
            (Over::Restart, None) => return Err("the program for the restart is gone".to_owned()),
        };
        Next {
            build,
            launch,
            linked,
            ..
        } = next;
        session.terminal.restore();
        happened = session.inbox.renew(&happened);
        session.run_dir.renew(&session.target_dir)?;
    }
}

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> String {
    let what = what.to_owned();
    move |error| format!("{what}: {error}")
}

/// A process of the program, and what belongs to it.
struct Life {
    machine: Machine<Plan>,
    /// What the worker has linked for the next one, when it stops.
    stopped: Receiver<Option<Next>>,
}

/// What a machine does to this process and its terminal.
struct OfLife {
    program: child::Program,
    terminal: Arc<Terminal>,
    images: PathBuf,
}

impl Hands for OfLife {
    fn signal(&self, number: i32) {
        self.program.signal(number);
    }

    fn restore_terminal(&self) {
        self.terminal.restore();
    }

    fn crash_place(&self, kind: Kind, about: &About, hello: &Hello) -> Option<crash::Place> {
        crash::place(&self.images, kind, &about.exe, hello, &about.modules)
    }
}

impl Session {
    /// Starts the program and all that belongs to it. An error comes before the start.
    fn start(
        &self,
        build: Build,
        launch: Launch,
        linked: Linked,
        mut heritage: Heritage,
    ) -> Result<Life, String> {
        let events = self.inbox.of_this_life();
        let (exe, modules) = (shown_exe(&launch, &linked), modules(&linked));
        let obstacle = linked.obstacle.clone();
        let is_direct = is_same_file(&launch.cwd.join(&launch.exe), &linked.exe);
        // Whoever does not know of them would leave them open and lock itself out.
        let takes = is_direct && obstacle.is_none();
        let listeners = std::mem::take(&mut heritage.listeners);
        let listeners = if takes { listeners } else { Vec::new() };
        let has_listeners = !listeners.is_empty();
        let program = self
            .socket
            .serve(events.clone(), || {
                let left = listeners::Left::new(listeners);
                let (run_dir, events) = (&self.run_dir, events.clone());
                let program = child::Program::start(&launch, run_dir, &left, events)?;
                Ok((program.pid(), program))
            })
            .map_err(failed(&format!(
                "{} cannot be started",
                launch.exe.display()
            )))?;
        if heritage.restarts == 0 {
            // After the start: the program inherits which signals are ignored, not that we handle them.
            signals::listen(self.inbox.clone()).map_err(failed("signals"))?;
        }
        self.run_dir.set_program(Some(program.pid()))?;
        let watcher = match watcher::Watcher::start(events.clone(), self.poll) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                heritage.reports.note(&format!(
                    "{error}; `cargo liveswap swap` still takes changes in"
                ));
                None
            }
        };
        let engine = open_engine(linked, events.clone())?;
        let (jobs, to_do) = channel();
        let (stops, stopped) = channel();
        std::thread::Builder::new()
            .name("worker".into())
            .spawn(move || {
                let mut worker = worker::Worker::new(build, engine, events, watcher);
                let next = worker.run(&to_do);
                // A receiver that is gone means that the session ends.
                let _ = stops.send(next);
            })
            .map_err(failed("no thread"))?;
        let about = About {
            pid: program.pid(),
            exe,
            modules,
            obstacle,
            is_direct,
            has_listeners,
        };
        let hands = Box::new(OfLife {
            program,
            terminal: Arc::clone(&self.terminal),
            images: self.run_dir.images(),
        });
        let machine = Machine::new(about, heritage, self.rules, jobs, hands, Instant::now());
        Ok(Life { machine, stopped })
    }
}

/// The loop.
fn listen<P>(machine: &mut Machine<P>, happened: &Receiver<Event<P>>) -> Over {
    loop {
        let event = match machine.deadline() {
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => happened.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let now = Instant::now();
        match event {
            Ok(event) => {
                if let Some(over) = machine.handle(event, now) {
                    return over;
                }
            }
            Err(RecvTimeoutError::Timeout) => machine.tick(now),
            // All threads are gone, the one that waits for the program too: that cannot be.
            Err(RecvTimeoutError::Disconnected) => return Over::Ended(101),
        }
    }
}

/// Opens the engine in a thread: the program starts at the same time.
fn open_engine(
    linked: Linked,
    events: Sender<Event<Plan>>,
) -> Result<worker::Engine<engine::Engine>, String> {
    let (opened, coming): (Sender<Result<engine::Engine, String>>, _) = channel();
    std::thread::Builder::new()
        .name("engine".into())
        .spawn(move || {
            let start = Instant::now();
            let engine = engine::Engine::open(&linked);
            tracing::debug!(elapsed = ?start.elapsed(), error = ?engine.as_ref().err(), "engine");
            if let Err(error) = &engine {
                let problem = format!("the code of this program cannot be changed: {error}");
                // A receiver that is gone means that the session ends.
                let _ = events.send(Event::Problem(problem));
            }
            // A receiver that is gone means that the session ends.
            let _ = opened.send(engine);
        })
        .map_err(|error| format!("no thread: {error}"))?;
    Ok(worker::Engine::Opening(coming))
}

/// The program under the name that `cargo run` shows: what cargo links it to, if nothing else is started.
fn shown_exe(launch: &Launch, linked: &Linked) -> PathBuf {
    let started = launch.cwd.join(&launch.exe);
    if is_same_file(&started, &linked.exe) {
        started
    } else {
        linked.exe.clone()
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let file = |path: &Path| path.metadata().map(|data| (data.dev(), data.ino())).ok();
    file(one).is_some() && file(one) == file(other)
}

fn modules(linked: &Linked) -> Vec<String> {
    let mut names: Vec<String> = linked.crates.iter().map(|it| it.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
