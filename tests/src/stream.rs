//! What a program says: its lines, taken with a deadline.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

/// The lines of one output stream: those seen last, and the channel where more arrive.
pub(crate) struct Stream {
    name: &'static str,
    lines: Receiver<String>,
    seen: VecDeque<String>,
    forgotten: usize,
}

pub(crate) enum Next {
    Line(String),
    End,
    Timeout,
}

impl Stream {
    pub(crate) fn read(name: &'static str, source: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || for_each_line(source, |line| sender.send(line).is_ok()));
        Self {
            name,
            lines,
            seen: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub(crate) fn next(&mut self, deadline: Instant) -> Next {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.remember(&line);
                Next::Line(line)
            }
            Err(RecvTimeoutError::Disconnected) => Next::End,
            Err(RecvTimeoutError::Timeout) => Next::Timeout,
        }
    }

    /// Keeps the line for a failure's message; a long test says more than anybody would read.
    fn remember(&mut self, line: &str) {
        const REMEMBERED: usize = 80;
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
            self.forgotten += 1;
        }
        self.seen.push_back(line.to_owned());
    }

    /// Every line up to the stream's end.
    pub(crate) fn rest(&mut self, deadline: Instant) -> Result<Vec<String>, Next> {
        let mut lines = Vec::new();
        loop {
            match self.next(deadline) {
                Next::Line(line) => lines.push(line),
                Next::End => return Ok(lines),
                Next::Timeout => return Err(Next::Timeout),
            }
        }
    }

    pub(crate) fn until(
        &mut self,
        deadline: Instant,
        mut is_last: impl FnMut(&str) -> bool,
    ) -> Result<Vec<String>, Next> {
        let mut lines = Vec::new();
        loop {
            match self.next(deadline) {
                Next::Line(line) => {
                    let last = is_last(&line);
                    lines.push(line);
                    if last {
                        return Ok(lines);
                    }
                }
                end => return Err(end),
            }
        }
    }

    /// The last lines seen, for a failure's message.
    pub(crate) fn account(&self) -> String {
        let mut text = format!("--- {}", self.name);
        if self.forgotten > 0 {
            text.push_str(&format!(" ({} lines before these)", self.forgotten));
        }
        for line in &self.seen {
            text.push('\n');
            text.push_str(line);
        }
        text
    }
}

/// Hands over each line of a source until it ends or nobody wants more.
pub(crate) fn for_each_line(source: impl Read, mut take: impl FnMut(String) -> bool) {
    let mut source = BufReader::new(source);
    loop {
        let mut line = Vec::new();
        match source.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                if !take(String::from_utf8_lossy(&line).into_owned()) {
                    return;
                }
            }
        }
    }
}
