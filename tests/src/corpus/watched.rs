//! A program of the corpus under `cargo liveswap run`: all that it and the command say, as one stream
//! in the order in which it arrived. Nothing here panics: a program that dies is a result.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::Project;
use crate::live_command::clean_environment;
use crate::process::{Target, send_signal};
use crate::stream::for_each_line;

/// How many there were: each has an events file of its own.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// How long the command may take to end after Ctrl-C.
const END: Duration = Duration::from_secs(5);

pub(crate) enum Said {
    /// A line of the program.
    Line(String),
    /// A line of standard error, the command's or the program's.
    Error(String),
    /// A line of the events file.
    Event(Value),
    /// Both streams have ended: so have the command and the program.
    End,
    /// Nothing until the deadline.
    Nothing,
}

/// One run. Whatever it started is ended when the value is dropped.
pub(crate) struct Watched {
    child: Child,
    tail: Child,
    said: Receiver<Said>,
    events: PathBuf,
    open: u8,
}

impl Watched {
    /// Starts the program of a project.
    pub(crate) fn start(command: &Path, project: &Project, level: u8) -> Result<Self, String> {
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let events = project.target.join(format!("corpus-events-{number}.jsonl"));
        let mut run = Command::new(command);
        clean_environment(&mut run);
        run.args(["liveswap", "run", "--events"])
            .arg(&events)
            .current_dir(&project.root)
            .env("CARGO_TARGET_DIR", &project.target)
            .stdin(Stdio::null());
        if level == 3 {
            run.arg("--release");
        }
        Self::begin(run, events)
    }

    /// Starts the command as a group of its own, with the standard input that it has been given. It writes to
    /// this file of events.
    pub(crate) fn begin(mut run: Command, events: PathBuf) -> Result<Self, String> {
        File::create(&events).map_err(|error| format!("{}: {error}", events.display()))?;
        let (sender, said) = channel();
        let mut tail = Command::new("tail")
            .args(["-n", "+1", "-f"])
            .arg(&events)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("`tail` is needed: {error}"))?;
        forward(tail.stdout.take(), sender.clone(), |line| {
            serde_json::from_str(&line).map_or(Said::Nothing, Said::Event)
        });
        run.stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = match run.spawn() {
            Ok(child) => child,
            Err(error) => {
                let _ = tail.kill();
                let _ = tail.wait();
                return Err(format!("{run:?}: {error}"));
            }
        };
        let mut watched = Self {
            child,
            tail,
            said,
            events,
            open: 2,
        };
        forward_to_end(watched.child.stdout.take(), sender.clone(), Said::Line);
        forward_to_end(watched.child.stderr.take(), sender, Said::Error);
        Ok(watched)
    }

    /// What is said next.
    pub(crate) fn next(&mut self, deadline: Instant) -> Said {
        loop {
            if self.open == 0 {
                return Said::End;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(Said::End) => self.open -= 1,
                Ok(Said::Nothing) => {}
                Ok(said) => return said,
                Err(RecvTimeoutError::Timeout) => return Said::Nothing,
                Err(RecvTimeoutError::Disconnected) => return Said::End,
            }
        }
    }
}

impl Watched {
    /// Does what Ctrl-C does in a terminal.
    pub(crate) fn interrupt(&self) {
        // Nothing is left to end when the group is gone.
        let _ = send_signal(Target::Group(self.child.id()), libc::SIGINT);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let group = Target::Group(self.child.id());
        self.interrupt();
        let deadline = Instant::now() + END;
        while !matches!(self.next(deadline), Said::End | Said::Nothing) {}
        let _ = send_signal(group, libc::SIGKILL);
        let _ = self.child.wait();
        let _ = self.tail.kill();
        let _ = self.tail.wait();
        let _ = fs::remove_file(&self.events);
    }
}

fn forward(
    source: Option<impl std::io::Read + Send + 'static>,
    sender: Sender<Said>,
    said: impl Fn(String) -> Said + Send + 'static,
) {
    let Some(source) = source else { return };
    thread::spawn(move || for_each_line(source, |line| sender.send(said(line)).is_ok()));
}

fn forward_to_end(
    source: Option<impl std::io::Read + Send + 'static>,
    sender: Sender<Said>,
    said: impl Fn(String) -> Said + Send + 'static,
) {
    let Some(source) = source else { return };
    thread::spawn(move || {
        for_each_line(source, |line| sender.send(said(line)).is_ok());
        let _ = sender.send(Said::End);
    });
}

/// Whether a line of standard error is the program's word about a panic.
pub(crate) fn is_panic(line: &str) -> bool {
    line.starts_with("thread '") && line.contains("panicked at")
}
