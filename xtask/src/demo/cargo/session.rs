//! `cargo liveswap run` while it runs: what it and the program say is shown as it comes, the program's
//! lines and the command's events are handed over.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::sky::Line;
use crate::project::{json_text, run};
use crate::{Result, project};

/// How long the program takes for a line, in milliseconds.
const LINE_MS: &str = "250";
/// A program that is silent for so long hangs; the first build happens within it.
const SILENCE: Duration = Duration::from_secs(60);
/// The session has so much time to end.
const TIME_TO_END: Duration = Duration::from_secs(10);

pub struct Session {
    command: Child,
    lines: Receiver<String>,
    events: PathBuf,
    /// Bytes of the events file that were read.
    read: usize,
}

/// An event of the command: a line of JSON.
#[derive(Debug)]
pub struct Event {
    pub name: String,
    pub json: String,
}

impl Session {
    pub fn start(command: &Path, folder: &Path) -> Result<Self> {
        let events = folder.join("events.jsonl");
        let mut start = Command::new(command);
        // A user's shell has none of what the cargo that started us has set.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_") && text != "CARGO_HOME" || text == "CARGO" {
                start.env_remove(&name);
            }
        }
        let mut command = start
            .args(["liveswap", "run", "--quiet", "--events"])
            .arg(&events)
            .args(["--", LINE_MS])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", command.display()))?;
        let (sender, lines) = channel();
        let stdout = command.stdout.take().ok_or("the command has no stdout")?;
        let stderr = command.stderr.take().ok_or("the command has no stderr")?;
        read_lines(stdout, Some(sender));
        read_lines(stderr, None);
        Ok(Self {
            command,
            lines,
            events,
            read: 0,
        })
    }

    /// The next line of the program.
    pub fn next_line(&mut self) -> Result<Line> {
        loop {
            match self.lines.recv_timeout(SILENCE) {
                Ok(text) => {
                    if let Some(line) = Line::parse(&text) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err("the program is silent".to_owned()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.command.wait().map_err(|e| e.to_string())?;
                    return Err(format!("the session ended with {status}"));
                }
            }
        }
    }

    /// The events since the last call.
    pub fn events(&mut self) -> Result<Vec<Event>> {
        let text = match fs::read_to_string(&self.events) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(format!("{}: {e}", self.events.display())),
        };
        let new = text.get(self.read..).ok_or("the events file was cut")?;
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole;
        new[..whole]
            .lines()
            .map(|line| {
                let name = json_text(line, "event").ok_or(format!("no event: {line}"))?;
                let json = line.to_owned();
                Ok(Event { name, json })
            })
            .collect()
    }

    /// Ends the program and the session as a closed terminal does.
    pub fn end(&mut self) -> Result<()> {
        run(Command::new("kill")
            .arg("-TERM")
            .arg(self.command.id().to_string()))?;
        let deadline = Instant::now() + TIME_TO_END;
        while self
            .command
            .try_wait()
            .map_err(|e| format!("cannot wait for the session: {e}"))?
            .is_none()
        {
            if Instant::now() > deadline {
                return Err("the session does not end".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Event {
    /// A number, such as a process id.
    pub fn number(&self, key: &str) -> Option<u64> {
        let start = self.json.find(&format!("\"{key}\":"))? + key.len() + 3;
        let digits = self.json[start..].split(|c: char| !c.is_ascii_digit());
        digits.take(1).next()?.parse().ok()
    }

    pub fn text(&self, key: &str) -> Option<String> {
        project::json_text(&self.json, key)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without its command the program ends by itself, as nobody reads its lines. Both may have ended
        // already: then there is nothing to do.
        let _ = self.command.kill();
        let _ = self.command.wait();
    }
}

/// Shows what comes, and hands it over line by line.
fn read_lines(stream: impl Read + Send + 'static, sender: Option<Sender<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(stream)
            .lines()
            .map_while(std::io::Result::ok)
        {
            println!("   {line}");
            if let Some(sender) = &sender
                && sender.send(line).is_err()
            {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_of_an_event_are_found() {
        let json = r#"{"event":"swapped","generation":12,"code":"LS0001","ms":{"total":1.5}}"#;
        let event = Event {
            name: "swapped".into(),
            json: json.into(),
        };
        assert_eq!(event.number("generation"), Some(12));
        assert_eq!(event.number("pid"), None);
        assert_eq!(event.text("code").as_deref(), Some("LS0001"));
    }
}
