//! A program under one of the run-times that obeys commands: a line to it, a line back.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};

pub struct Session {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    name: &'static str,
}

impl Session {
    /// Starts the program and waits until it says that it is ready.
    pub fn start(command: &mut Command, name: &'static str) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let to = child.stdin.take().context("no stdin")?;
        let from = BufReader::new(child.stdout.take().context("no stdout")?);
        let mut session = Self {
            child,
            to,
            from,
            name,
        };
        let first = session.read()?;
        if first != ["ready"] {
            bail!("{name} begins with {first:?}");
        }
        Ok(session)
    }

    /// One command; the words of the answer.
    pub fn ask(&mut self, command: &str) -> Result<Vec<String>> {
        let sent = writeln!(self.to, "{command}").and_then(|()| self.to.flush());
        if sent.is_err() {
            return self.ended(command);
        }
        self.read()
            .with_context(|| format!("after the command {command:?}"))
    }

    /// One command that is answered by times in nanoseconds.
    pub fn times(&mut self, command: &str) -> Result<Vec<f64>> {
        let answer = self.ask(command)?;
        answer
            .iter()
            .map(|word| {
                word.parse()
                    .with_context(|| format!("{} answers {command:?} with {answer:?}", self.name))
            })
            .collect()
    }

    /// One command that is answered by one time.
    pub fn time(&mut self, command: &str) -> Result<f64> {
        self.times(command)?
            .first()
            .copied()
            .with_context(|| format!("{} has no answer to {command:?}", self.name))
    }

    fn read(&mut self) -> Result<Vec<String>> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return self.ended("start");
        }
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    fn ended<T>(&mut self, command: &str) -> Result<T> {
        let status = self.child.wait()?;
        bail!(
            "the program under {} ended at {command:?} with {status}",
            self.name
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended already, which was reported where it mattered.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
