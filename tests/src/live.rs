//! `cargo liveswap run` under test: its program's lines, its events, its end.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::live_event::Event;
use crate::pipes::Pipes;
use crate::process::{DEADLINE, Exit, Target, send_signal};
use crate::stream::{Next, Stream};

/// How long the first build of a project may take: it may have many dependencies.
const FIRST_BUILD: Duration = Duration::from_secs(420);
/// How often a wait for an event looks whether the command is still there.
const LOOK: Duration = Duration::from_millis(200);

/// A running `cargo liveswap run`. It and everything that it started is killed when the value is
/// dropped.
pub struct LiveRun {
    child: Child,
    tail: Child,
    pipes: Pipes,
    events: Stream,
    events_file: PathBuf,
    program: Option<u32>,
    generation: i64,
    time: f64,
    reasons: Vec<String>,
    ended: bool,
}

impl LiveRun {
    /// Starts the command, which writes to this file of events.
    #[track_caller]
    pub(crate) fn begin(mut command: Command, events_file: PathBuf) -> Self {
        File::create(&events_file).expect("the events file can be created");
        let mut tail = Command::new("tail")
            .args(["-n", "+1", "-f"])
            .arg(&events_file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`tail` is needed: {error}"));
        let events = Stream::read("events", tail.stdout.take().expect("stdout is a pipe"));
        let (child, pipes) = Pipes::start(&mut command);
        Self {
            pipes,
            events,
            events_file,
            tail,
            child,
            program: None,
            generation: 0,
            time: 0.0,
            reasons: Vec::new(),
            ended: false,
        }
    }

    /// Waits for the event `started`.
    #[track_caller]
    pub fn started(&mut self) -> Event {
        let event = self.event_within(FIRST_BUILD, "the event `started`", |_| true);
        assert_eq!(event.name(), "started", "{event}");
        self.program = Some(u32::try_from(event.number("pid")).expect("a process id"));
        event
    }

    /// Waits for the event `started` after a restart.
    #[track_caller]
    pub fn started_again(&mut self) -> Event {
        let event = self.event_named("started");
        assert!(event.number("restart") > 0, "{event}");
        self.program = Some(u32::try_from(event.number("pid")).expect("a process id"));
        event
    }

    /// Process id of the command.
    pub fn command_pid(&self) -> u32 {
        self.child.id()
    }

    /// Process id of the program.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.program.expect("the program has been started")
    }

    /// The generation that the last swap made.
    pub fn generation(&self) -> i64 {
        self.generation
    }

    /// Writes a line to the program. One that is gone is no error: the next wait tells.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        self.pipes.send(line);
    }

    /// Writes a line to the program and takes the line that it answers.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line()
    }

    /// The next line that the program prints.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.pipes.stdout.next(Instant::now() + DEADLINE) {
            Next::Line(line) => line,
            end => self.give_up(&end, "a line of the program"),
        }
    }

    /// Lines of the program up to and with the first one that `is_last` accepts.
    #[track_caller]
    pub fn lines_until(&mut self, is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        match self.pipes.stdout.until(Instant::now() + DEADLINE, is_last) {
            Ok(lines) => lines,
            Err(end) => self.give_up(&end, "a certain line of the program"),
        }
    }

    /// Lines of standard error, the program's and the command's, up to and with the first one that
    /// `is_last` accepts.
    #[track_caller]
    pub fn stderr_until(&mut self, is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        match self.pipes.stderr.until(Instant::now() + DEADLINE, is_last) {
            Ok(lines) => lines,
            Err(end) => self.give_up(&end, "a certain line on stderr"),
        }
    }

    /// The next event with this name; others are passed over.
    #[track_caller]
    pub fn event_named(&mut self, name: &str) -> Event {
        self.event_within(DEADLINE, &format!("the event `{name}`"), |event| {
            event.name() == name
        })
    }

    /// What became of a save: the next `swapped`, `unchanged`, `refused` or `build_failed`. An event
    /// `pending` is none here, as it also accompanies others.
    #[track_caller]
    pub fn outcome(&mut self) -> Event {
        self.event_within(DEADLINE, "what became of a save", |event| {
            matches!(
                event.name(),
                "swapped" | "unchanged" | "refused" | "build_failed"
            )
        })
    }

    /// The save goes live.
    #[track_caller]
    pub fn swapped(&mut self) -> Event {
        self.expect("swapped")
    }

    /// The save goes live; saves before it may have changed nothing, such as those of files that
    /// nobody referred to yet.
    #[track_caller]
    pub fn at_last_swapped(&mut self) -> Event {
        loop {
            let event = self.outcome();
            match event.name() {
                "swapped" => return event,
                "unchanged" => {}
                _ => self.disappoint(&format!("`swapped`, not {event}")),
            }
        }
    }

    /// The save changes nothing.
    #[track_caller]
    pub fn unchanged(&mut self) -> Event {
        self.expect("unchanged")
    }

    /// The save cannot go live.
    #[track_caller]
    pub fn refused(&mut self) -> Event {
        self.expect("refused")
    }

    /// The save does not compile.
    #[track_caller]
    pub fn build_failed(&mut self) -> Event {
        self.expect("build_failed")
    }

    /// What became of a save, `pending` included.
    #[track_caller]
    pub fn outcome_or_pending(&mut self) -> Event {
        self.event_within(DEADLINE, "what became of a save", |event| {
            matches!(
                event.name(),
                "swapped" | "unchanged" | "refused" | "build_failed" | "pending"
            )
        })
    }

    /// The save goes live, or it is said why not.
    #[track_caller]
    pub fn swapped_or_held_back(&mut self) -> Event {
        let event = self.outcome_or_pending();
        if !matches!(event.name(), "swapped" | "refused" | "pending") {
            self.disappoint(&format!("`swapped`, `refused` or `pending`, not {event}"));
        }
        event
    }

    /// The save waits: `refused` or `pending` with a message that names this.
    #[track_caller]
    pub fn held_back(&mut self, what: &str) -> Event {
        let event = self.outcome_or_pending();
        if !matches!(event.name(), "refused" | "pending") {
            self.disappoint(&format!("`refused` or `pending`, not {event}"));
        }
        self.reason_naming(what);
        event
    }

    /// A `refused` or `pending` that names this comes, or has come and has not been asked for.
    #[track_caller]
    pub fn reason_naming(&mut self, what: &str) -> String {
        loop {
            if let Some(known) = self.reasons.iter().position(|reason| reason.contains(what)) {
                return self.reasons.drain(..=known).next_back().unwrap_or_default();
            }
            self.event_within(
                DEADLINE,
                &format!("a reason that names `{what}`"),
                |event| matches!(event.name(), "refused" | "pending"),
            );
        }
    }

    #[track_caller]
    fn expect(&mut self, name: &str) -> Event {
        let event = self.outcome();
        if event.name() != name {
            self.disappoint(&format!("`{name}`, not {event}"));
        }
        event
    }

    #[track_caller]
    fn event_within(
        &mut self,
        patience: Duration,
        wanted: &str,
        mut is_it: impl FnMut(&Event) -> bool,
    ) -> Event {
        let deadline = Instant::now() + patience;
        let mut gone = false;
        loop {
            let now = Instant::now();
            let line = match self.events.next(deadline.min(now + LOOK)) {
                Next::Line(line) => line,
                // One more look after the command's end: its last events may be on their way.
                Next::Timeout if now < deadline && !gone => {
                    gone = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
                    continue;
                }
                end => self.give_up(&end, wanted),
            };
            let event = Event::read(&line);
            self.note(&event);
            if is_it(&event) {
                return event;
            }
            if event.name() == "exited" {
                self.disappoint(&format!("{wanted}, not {event}"));
            }
        }
    }

    /// What must be so of every event, whoever waits for it.
    #[track_caller]
    fn note(&mut self, event: &Event) {
        let time = event.value()["t_ms"].as_f64().expect("a number");
        assert!(time >= self.time, "time goes backwards: {event}");
        self.time = time;
        match event.name() {
            // Another process begins anew.
            "started" => self.generation = 0,
            "swapped" => {
                let generation = event.number("generation");
                // What is only pending counts as well.
                assert!(generation > self.generation, "{event}");
                self.generation = generation;
                assert!(
                    event.functions("changed")
                        + event.functions("added")
                        + event.functions("removed")
                        > 0
                        || event.number("bytes") > 0,
                    "a swap of nothing: {event}"
                );
                for part in ["detect", "compile", "diff", "apply", "pause", "total"] {
                    let ms = event.ms(part);
                    assert!((0.0..600_000.0).contains(&ms), "{part} in {event}");
                }
            }
            "pending" => self.reasons.push(event.text("message").to_owned()),
            "refused" => {
                let code = event.text("code");
                assert!(
                    code.len() == 6 && code.starts_with("LS"),
                    "a code like LS0001: {event}"
                );
                assert!(!event.text("message").is_empty(), "{event}");
                self.reasons.push(event.text("message").to_owned());
            }
            _ => {}
        }
    }

    /// Sends a signal to one process of the run.
    #[track_caller]
    pub fn signal(&self, pid: u32, signal: i32) {
        send_signal(Target::Process(pid), signal)
            .unwrap_or_else(|error| panic!("kill {pid}: {error}"));
    }

    /// Sends a signal to all processes of the run, as a terminal does with Ctrl-C.
    #[track_caller]
    pub fn signal_all(&self, signal: i32) {
        send_signal(Target::Group(self.child.id()), signal)
            .unwrap_or_else(|error| panic!("kill: {error}"));
    }

    /// Asks the program to end (`quit`), and sees that it and the command end well.
    #[track_caller]
    pub fn quit(mut self) -> Exit {
        self.send("quit");
        let exited = self.event_within(DEADLINE, "the end", |event| event.name() == "exited");
        assert_eq!(exited.number("code"), 0, "{exited}");
        let exit = self.wait();
        assert_eq!(exit.code(), Some(0), "{exit:?}");
        exit
    }

    /// Waits until the command has ended by itself, and everything that wrote to its streams.
    /// Standard input is closed first.
    #[track_caller]
    pub fn wait(mut self) -> Exit {
        let (stdout, stderr) = match self.pipes.rest(Instant::now() + DEADLINE) {
            Ok(rests) => rests,
            Err(end) => self.give_up(&end, "the end"),
        };
        let status = self.child.wait().expect("the command can be waited for");
        self.ended = true;
        Exit {
            status,
            stdout,
            stderr,
        }
    }

    /// Waits until the command itself has ended; its program may go on.
    #[track_caller]
    pub fn command_ended(&mut self) -> std::process::ExitStatus {
        // Reaping is what shows the end: a killed command has closed none of the pipes, as its
        // program holds them too.
        self.child.wait().expect("the command can be waited for")
    }

    #[track_caller]
    fn give_up(&mut self, end: &Next, wanted: &str) -> ! {
        let happened = match end {
            Next::Timeout => "nothing more",
            _ => "its end",
        };
        self.disappoint(&format!("{wanted}, and saw {happened}"))
    }

    /// Fails with everything that was seen.
    #[track_caller]
    pub fn disappoint(&mut self, what: &str) -> ! {
        // What else there is already; nothing is waited for but the readers' threads.
        let soon = Instant::now() + LOOK;
        while let Next::Line(_) = self.events.next(soon) {}
        self.end_all();
        panic!(
            "expected {what}\n{}\n{}",
            self.events.account(),
            self.pipes.last_account()
        );
    }

    fn end_all(&mut self) {
        // The group is gone when all has ended by itself: nothing to do then.
        let _ = send_signal(Target::Group(self.child.id()), libc::SIGKILL);
        let _ = self.child.wait();
        let _ = self.tail.kill();
        let _ = self.tail.wait();
    }
}

impl Drop for LiveRun {
    fn drop(&mut self) {
        if self.ended {
            let _ = self.tail.kill();
            let _ = self.tail.wait();
        } else {
            self.end_all();
        }
        let _ = std::fs::remove_file(&self.events_file);
    }
}
