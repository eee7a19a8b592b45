//! A program under test: fed line by line, watched with a deadline.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use crate::pipes::Pipes;
use crate::stream::Next;

/// How long a test waits for a program before it gives up.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running program. It is killed when the value is dropped.
pub struct Process {
    child: Child,
    pipes: Pipes,
    deadline: Duration,
    exited: bool,
}

/// How a program ended, and what it had said by then.
#[derive(Debug)]
pub struct Exit {
    /// The exit status, or the signal.
    pub status: ExitStatus,
    /// The lines of standard output that nobody had taken before.
    pub stdout: Vec<String>,
    /// The lines of standard error that nobody had taken before.
    pub stderr: Vec<String>,
}

impl Exit {
    /// The signal that ended the program, if one did.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// The program's own exit code, unless a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

impl Process {
    /// Starts the command with all three standard streams connected to the test.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        let (child, pipes) = Pipes::start(command);
        Self {
            child,
            pipes,
            deadline: DEADLINE,
            exited: false,
        }
    }

    /// Changes how long the test waits for each single event.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The program's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one line to the program's standard input. A program that is gone is no error here:
    /// the next wait tells how it ended.
    #[track_caller]
    pub fn send(&mut self, line: &str) {
        self.pipes.send(line);
    }

    /// The next line of standard output.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.pipes.stdout.next(Instant::now() + self.deadline) {
            Next::Line(line) => line,
            other => self.give_up(&other, "a line on stdout"),
        }
    }

    /// The lines of standard output up to and with the first one that `is_last` accepts.
    #[track_caller]
    pub fn lines_until(&mut self, is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + self.deadline;
        match self.pipes.stdout.until(deadline, is_last) {
            Ok(lines) => lines,
            Err(end) => self.give_up(&end, "a certain line on stdout"),
        }
    }

    /// The lines of standard error up to and with the first one that `is_last` accepts.
    #[track_caller]
    pub fn stderr_until(&mut self, is_last: impl FnMut(&str) -> bool) -> Vec<String> {
        let deadline = Instant::now() + self.deadline;
        match self.pipes.stderr.until(deadline, is_last) {
            Ok(lines) => lines,
            Err(end) => self.give_up(&end, "a certain line on stderr"),
        }
    }

    /// Waits until the program has ended by itself. Its standard input is closed first.
    #[track_caller]
    pub fn wait(mut self) -> Exit {
        let (stdout, stderr) = match self.pipes.rest(Instant::now() + self.deadline) {
            Ok(rests) => rests,
            Err(timeout) => self.give_up(&timeout, "the end"),
        };
        let status = self.child.wait().expect("the program can be waited for");
        self.exited = true;
        Exit {
            status,
            stdout,
            stderr,
        }
    }

    /// Ends the program with a signal and waits for its end.
    #[track_caller]
    pub fn kill(self, signal: i32) -> Exit {
        if let Err(error) = send_signal(Target::Process(self.pid()), signal) {
            panic!("kill: {error}");
        }
        self.wait()
    }

    #[track_caller]
    fn give_up(&mut self, end: &Next, wanted: &str) -> ! {
        // Killed first, so that the streams end and everything that was said can be shown.
        let _ = self.child.kill();
        let status = self.child.wait();
        self.exited = true;
        let happened = match end {
            Next::Timeout => format!("nothing for {:?} (killed then)", self.deadline),
            _ => format!("its end ({status:?})"),
        };
        panic!(
            "waited for {wanted} of the program and saw {happened}\n{}",
            self.pipes.last_account()
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.exited {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The process with this id.
    Process(u32),
    /// All processes of the group with this id.
    Group(u32),
}

/// Sends a signal.
///
/// # Errors
/// What the system says, for example that there is no such process any more.
///
/// # Panics
/// When the number is none of a process.
pub fn send_signal(target: Target, signal: i32) -> std::io::Result<()> {
    let number = |id: u32| {
        let id = libc::pid_t::try_from(id).expect("a process id");
        assert!(id > 1, "{id} is no process of a test");
        id
    };
    let id = match target {
        Target::Process(id) => number(id),
        Target::Group(id) => -number(id),
    };
    // SAFETY: kill takes plain numbers and touches no memory of ours.
    if unsafe { libc::kill(id, signal) } == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
