//! The program: a direct child in our process group, with our terminal and streams.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::Sender;

use rustix::process::{Pid, Signal, kill_process};

use crate::model::Launch;

use super::event::Event;
use super::listeners::Left;
use super::run_dir::RunDir;

/// The running program.
#[derive(Debug)]
pub struct Program {
    pid: u32,
}

impl Program {
    /// Starts it, with these sockets; its end becomes an event.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start<P: Send + 'static>(
        launch: &Launch,
        run_dir: &RunDir,
        left: &Left,
        events: Sender<Event<P>>,
    ) -> io::Result<Program> {
        let mut child = Command::new(&launch.exe)
            .args(&launch.args)
            .env_clear()
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .env("LIVESWAP_SOCKET", run_dir.agent_socket())
            .env("LIVESWAP_IMAGES", run_dir.images())
            .envs(left.variable())
            .current_dir(&launch.cwd)
            .spawn()?;
        let pid = child.id();
        std::thread::Builder::new()
            .name("program".into())
            .spawn(move || {
                match child.wait() {
                    // A receiver that is gone means that the session ends.
                    Ok(status) => drop(events.send(Event::Ended(status))),
                    Err(error) => tracing::error!(%error, "the program cannot be waited for"),
                }
            })?;
        Ok(Program { pid })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends it a signal. If it has just ended there is nobody to get it.
    pub fn signal(&self, number: i32) {
        send_signal(self.pid, number);
    }
}

/// Sends a process a signal. If it has just ended there is nobody to get it.
pub fn send_signal(pid: u32, number: i32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some((pid, signal)) = pid.zip(Signal::from_named_raw(number))
        && let Err(error) = kill_process(pid, signal)
    {
        tracing::debug!(%error, number, "the signal did not arrive");
    }
}

/// How the program ended: its exit code, or the signal that ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned or called exit.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> End {
        use std::os::unix::process::ExitStatusExt;
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Code(code),
            (None, Some(signal)) => End::Signal(signal),
            (None, None) => End::Code(1),
        }
    }
}

impl End {
    /// The exit code by which a shell would say so.
    pub fn code(self) -> i32 {
        match self {
            End::Code(code) => code,
            End::Signal(signal) => 128 + signal,
        }
    }

    /// Whether it is a fault, as opposed to somebody's wish.
    pub fn crashed(self) -> Option<i32> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
        match self {
            End::Signal(SIGINT | SIGTERM | SIGHUP | SIGQUIT) | End::Code(_) => None,
            End::Signal(signal) => Some(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    /// Its folders are there as long as the last value.
    type Folders = (RunDir, tempfile::TempDir);

    fn run(script: &str) -> (Program, std::sync::mpsc::Receiver<Event<()>>, Folders) {
        let target = tempfile::tempdir().unwrap();
        let run_dir = RunDir::new(target.path()).unwrap();
        let (events, ends) = channel();
        let launch = Launch {
            exe: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: vec![("ONLY".into(), "this".into())],
            cwd: "/".into(),
        };
        let program = Program::start(&launch, &run_dir, &Left::new(Vec::new()), events).unwrap();
        (program, ends, (run_dir, target))
    }

    fn end(events: &std::sync::mpsc::Receiver<Event<()>>) -> End {
        match events.recv_timeout(Duration::from_secs(10)) {
            Ok(Event::Ended(status)) => status.into(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn its_exit_code_is_ours() {
        let (_, events, _folders) = run("exit 7");
        assert_eq!(end(&events).code(), 7);
    }

    #[test]
    fn it_gets_the_recorded_environment_and_where_to_connect() {
        let (_, events, _folders) = run(
            "test \"$ONLY\" = this && test -z \"$HOME\" && test -n \"$LIVESWAP_SOCKET\" && test -d \"$LIVESWAP_IMAGES\" && test \"$PWD\" = /",
        );
        assert_eq!(end(&events), End::Code(0));
    }

    #[test]
    fn signals_reach_it() {
        let (program, events, _folders) = run("while :; do read x < /dev/zero; done");
        program.signal(signal_hook::consts::SIGTERM);
        let end = end(&events);
        assert_eq!(
            (end, end.code(), end.crashed()),
            (End::Signal(15), 143, None)
        );
        assert_eq!(End::Signal(11).crashed(), Some(11));
    }
}
