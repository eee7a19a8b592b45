//! The control socket: `status` and `swap` ask one question in a line of JSON and get a line back.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::agent::peer;
use super::calls::Called;
use super::event::Event;
use super::inbox::Inbox;

/// The longest question in bytes.
const LONGEST: u64 = 4096;
/// Who connects has so long to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// What runs, and in which generation?
    Status,
    /// Rebuild and swap now; what came of it?
    Swap,
    /// Build, and start the program anew; what came of it?
    Restart,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status {
        /// Process id of the program.
        pid: u32,
        /// The program.
        exe: PathBuf,
        /// Its generation.
        generation: u64,
        /// Functions that got new code since the start, added up.
        functions: u64,
        /// The functions that the generation changed or added, those that were not called first.
        #[serde(default)]
        calls: Vec<Called>,
        /// How often the program was started before in this session.
        #[serde(default)]
        restarts: u32,
        /// Something waits for a restart.
        #[serde(default)]
        waits: bool,
        /// No program runs: it has crashed, and the next save starts it again.
        #[serde(default)]
        crashed: bool,
        /// What came of the last change; `None` before the first.
        outcome: Option<String>,
        /// How long ago that was (or the start), in seconds.
        seconds: u64,
    },
    /// To [`Request::Swap`].
    Swapped {
        /// The code in the process is that of the sources.
        success: bool,
        /// What came of it.
        outcome: String,
    },
    /// To [`Request::Restart`].
    Restarted {
        /// The program runs as it is written now.
        success: bool,
        /// What came of it.
        outcome: String,
    },
}

/// Answers questions until the session ends.
///
/// # Errors
/// If the socket cannot be made.
pub fn serve<P: Send + 'static>(path: &Path, events: Inbox<P>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if peer(&stream).is_none() {
                    tracing::warn!("another user connected: closed");
                    continue;
                }
                let events = events.clone();
                let spawned = std::thread::Builder::new()
                    .name("control".into())
                    .spawn(move || {
                        if let Err(error) = answer(&stream, &events) {
                            tracing::debug!(%error, "a question came to nothing");
                        }
                    });
                if let Err(error) = spawned {
                    tracing::warn!(%error, "no thread for a question");
                }
            }
        })?;
    Ok(())
}

fn answer<P>(stream: &UnixStream, events: &Inbox<P>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    let request = serde_json::from_str(&line)?;
    let (answers, wait) = channel();
    let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the session ends");
    events
        .send(Event::Control(request, answers))
        .map_err(|_| ended())?;
    let answer = wait.recv().map_err(|_| ended())?;
    send(stream, &answer)
}

fn send(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Asks a session.
///
/// # Errors
/// If it does not answer: it is gone, or just ends.
pub fn ask(path: &Path, request: Request) -> io::Result<Answer> {
    let stream = UnixStream::connect(path)?;
    send(&stream, &request)?;
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (events, heard) = Inbox::<()>::new();
        serve(&path, events).unwrap();
        let answer = Answer::Swapped {
            success: true,
            outcome: "unchanged".into(),
        };
        let given = answer.clone();
        let session = std::thread::spawn(move || {
            let Ok(Event::Control(Request::Swap, answers)) = heard.recv() else {
                panic!("another question");
            };
            answers.send(given).unwrap();
        });
        assert_eq!(ask(&path, Request::Swap).unwrap(), answer);
        session.join().unwrap();
    }

    #[test]
    fn nonsense_is_not_answered() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (events, _heard) = Inbox::<()>::new();
        serve(&path, events).unwrap();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.write_all(b"{\"request\":\"erase\"}\n").unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    }
}
