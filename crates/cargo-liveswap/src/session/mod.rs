//! One run of `cargo liveswap run`: build, start, watch, and take changes in until the program ends.
//!
//! Threads (watcher, worker, program, run-time, control socket, signals) send [`event::Event`]s; one
//! loop hands them to [`machine::Machine`], which has all the state. Reading order: [`parts`],
//! [`machine`], [`worker`].

mod agent;
mod batch;
mod build;
pub mod calls;
mod child;
pub mod control;
mod debounce;
mod event;
mod machine;
mod old_bodies;
mod outcome;
pub mod parts;
pub mod poll;
mod report;
pub mod run_dir;
pub mod session_file;
mod signals;
mod stamps;
mod watched;
mod watcher;
mod worker;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::build::Build;
use crate::engine;
use crate::log::stderr_line;
use crate::model::{BuildError, Launch, Linked, RunOptions};

use event::Event;
use machine::{About, Machine};
use parts::Planner;
use report::{Report, Reports};
use run_dir::RunDir;

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
            reports.record(&Report::BuildFailed { diagnostics });
            return code;
        }
    };
    match start(build, launch, linked, options.poll, reports) {
        Ok(code) => code,
        Err(error) => {
            stderr_line(&format!("liveswap: {error}"));
            101
        }
    }
}

/// Starts everything and goes on until the program has ended. An error comes before the start.
fn start(
    build: Build,
    launch: Launch,
    linked: Linked,
    poll: Option<Duration>,
    reports: Reports,
) -> Result<i32, String> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let target_dir = build.target_dir().to_owned();
    let (events, happened) = channel::<Event<Plan>>();
    let run_dir = RunDir::new(&target_dir)?;
    let socket =
        agent::AgentSocket::listen(&run_dir.agent_socket()).map_err(failed("no socket"))?;
    control::serve(&run_dir.control_socket(), events.clone()).map_err(failed("no socket"))?;
    let (exe, modules) = (shown_exe(&launch, &linked), modules(&linked));
    let obstacle = linked.obstacle.clone();

    // Before the start: who sees that the program runs may ask for its session.
    let published = session_file::SessionFile {
        pid: std::process::id(),
        control: run_dir.control_socket(),
        target_dir,
    }
    .publish(run_dir.sockets());
    if let Err(error) = &published {
        reports.note(&format!(
            "`cargo liveswap status` will not find this session: {error}"
        ));
    }

    let program = child::Program::start(&launch, &run_dir, events.clone()).map_err(failed(
        &format!("{} cannot be started", launch.exe.display()),
    ))?;
    // After the start: the program inherits which signals are ignored, not that we handle them.
    signals::listen(events.clone()).map_err(failed("signals"))?;
    run_dir.set_program(Some(program.pid()))?;
    socket
        .serve(program.pid(), events.clone())
        .map_err(failed("no thread"))?;
    let watcher = match watcher::Watcher::start(events.clone(), poll) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            reports.note(&format!(
                "{error}; `cargo liveswap swap` still takes changes in"
            ));
            None
        }
    };
    let fixed = build.fixed_crates();
    if !fixed.is_empty() {
        reports.note(&format!(
            "{}: in a dynamic library (`dylib`), whose code does not change while the program runs",
            fixed.join(", ")
        ));
    }
    let engine = open_engine(linked, events.clone())?;
    let (jobs, to_do) = channel();
    let (stopped, has_stopped) = channel::<()>();
    std::thread::Builder::new()
        .name("worker".into())
        .spawn(move || {
            let worker = worker::Worker::new(build, engine, events, watcher);
            worker.run(&to_do);
            drop(stopped);
        })
        .map_err(failed("no thread"))?;

    let about = About {
        pid: program.pid(),
        exe,
        modules,
        obstacle,
    };
    let signal = Box::new(move |number| program.signal(number));
    let machine = Machine::new(about, reports, jobs, signal, Instant::now());
    let code = listen(machine, &happened);
    // Its compilers are told to stop; what they leave should be whole.
    let _ = has_stopped.recv_timeout(TIME_TO_STOP);
    Ok(code)
}

/// The loop. The machine and with it the worker's jobs end with it.
fn listen<P>(mut machine: Machine<P>, happened: &Receiver<Event<P>>) -> i32 {
    loop {
        let event = match machine.deadline() {
            None => happened.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => happened.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let now = Instant::now();
        match event {
            Ok(event) => {
                if let Some(code) = machine.handle(event, now) {
                    return code;
                }
            }
            Err(RecvTimeoutError::Timeout) => machine.tick(now),
            // All threads are gone, the one that waits for the program too: that cannot be.
            Err(RecvTimeoutError::Disconnected) => return 101,
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
    let file = |path: &PathBuf| path.metadata().map(|data| (data.dev(), data.ino())).ok();
    if file(&started) == file(&linked.exe) {
        started
    } else {
        linked.exe.clone()
    }
}

fn modules(linked: &Linked) -> Vec<String> {
    let mut names: Vec<String> = linked.crates.iter().map(|it| it.name.clone()).collect();
    names.sort_unstable();
    names.dedup();
    names
}
