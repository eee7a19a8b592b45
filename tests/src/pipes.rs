//! The three standard streams of a program under test.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::stream::{Next, Stream};

/// How long the last lines of a program that was ended may take.
const LAST_LINES: Duration = Duration::from_secs(5);

/// All three connected to the test. What the program says is read on threads of their own, so it never
/// blocks on a full pipe.
pub(crate) struct Pipes {
    stdin: Option<ChildStdin>,
    pub(crate) stdout: Stream,
    pub(crate) stderr: Stream,
}

impl Pipes {
    /// Starts the command.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> (Child, Self) {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let pipes = Self {
            stdin: child.stdin.take(),
            stdout: Stream::read("stdout", child.stdout.take().expect("stdout is a pipe")),
            stderr: Stream::read("stderr", child.stderr.take().expect("stderr is a pipe")),
        };
        (child, pipes)
    }

    /// Writes a line to the program. One that is gone is no error here: the next wait tells how it
    /// ended.
    #[track_caller]
    pub(crate) fn send(&mut self, line: &str) {
        let Some(stdin) = &mut self.stdin else {
            panic!("standard input of the program is closed already");
        };
        let written = stdin
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| stdin.flush());
        if written.is_err() {
            self.stdin = None;
        }
    }

    /// Closes standard input, and takes every line of standard output and standard error up to their
    /// ends. The program has ended when both have; a wait() on a process knows no deadline.
    pub(crate) fn rest(&mut self, deadline: Instant) -> Result<(Vec<String>, Vec<String>), Next> {
        self.stdin = None;
        let stdout = self.stdout.rest(deadline)?;
        Ok((stdout, self.stderr.rest(deadline)?))
    }

    /// The last lines seen of a program that was ended, for a failure's message.
    pub(crate) fn last_account(&mut self) -> String {
        let soon = Instant::now() + LAST_LINES;
        while let Next::Line(_) = self.stdout.next(soon) {}
        while let Next::Line(_) = self.stderr.next(soon) {}
        format!("{}\n{}", self.stdout.account(), self.stderr.account())
    }
}
