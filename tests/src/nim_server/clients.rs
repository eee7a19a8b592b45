//! Clients that ask one thing after the other over connections that stay open, and look at each answer.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Kind;

/// How many there are.
const CLIENTS: usize = 8;
/// After so many requests a client comes over a new connection.
const REQUESTS_OF_CONNECTION: usize = 200;
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct State {
    /// The version that was live last, and the one that may be already.
    live: usize,
    next: usize,
    answers: usize,
    stopping: bool,
    complaints: Vec<String>,
}

/// All clients.
pub(super) struct Clients {
    kind: Kind,
    port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

const LOCK: &str = "no client panics with the lock held";

impl Clients {
    pub(super) fn start(kind: Kind, port: u16) -> Clients {
        let state = Arc::<(Mutex<State>, Condvar)>::default();
        let thread = |number: usize| {
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                if let Err(why) = ask_on(kind, port, number, &state) {
                    let mut locked = state.0.lock().expect(LOCK);
                    locked.complaints.push(format!("client {number}: {why}"));
                    locked.stopping = true;
                }
                state.1.notify_all();
            })
        };
        let threads = (0..CLIENTS).map(thread).collect();
        Clients {
            kind,
            port,
            state,
            threads,
        }
    }

    /// Waits for so many answers; false if it came otherwise.
    pub(super) fn wait_for(&self, answers: usize, deadline: Duration) -> bool {
        let (state, changed) = &*self.state;
        let mut state = state.lock().expect(LOCK);
        let mut seen = state.answers;
        while state.answers < answers && !state.stopping {
            let (locked, timeout) = changed.wait_timeout(state, deadline).expect(LOCK);
            state = locked;
            if timeout.timed_out() && state.answers == seen {
                state.complaints.push("no answers any more".to_owned());
                state.stopping = true;
            }
            seen = state.answers;
        }
        !state.stopping
    }

    /// From here on answers may be of this version as well.
    pub(super) fn will_be(&self, version: usize) {
        self.state.0.lock().expect(LOCK).next = version;
    }

    /// From here on answers to new questions are of this version.
    pub(super) fn is_live(&self, version: usize) {
        self.state.0.lock().expect(LOCK).live = version;
    }

    /// Ends clients and server. Hands back how many answers there were, and what was wrong.
    pub(super) fn stop(self) -> (usize, Vec<String>) {
        self.state.0.lock().expect(LOCK).stopping = true;
        for thread in self.threads {
            if thread.join().is_err() {
                self.state
                    .0
                    .lock()
                    .expect(LOCK)
                    .complaints
                    .push("a client panicked".to_owned());
            }
        }
        // The server may end before its answer is on its way; that it ends is looked at.
        let _ = Connection::new(self.kind, self.port).and_then(|mut it| it.ask("stop"));
        let mut state = self.state.0.lock().expect(LOCK);
        (state.answers, std::mem::take(&mut state.complaints))
    }
}

fn ask_on(
    kind: Kind,
    port: u16,
    number: usize,
    state: &(Mutex<State>, Condvar),
) -> std::io::Result<()> {
    let mut connection = Connection::new(kind, port)?;
    for request in 1.. {
        if request % REQUESTS_OF_CONNECTION == 0 {
            connection = Connection::new(kind, port)?;
        }
        let mut possible = BTreeSet::new();
        {
            let state = state.0.lock().expect(LOCK);
            if state.stopping {
                return Ok(());
            }
            possible.extend([state.live, state.next]);
        }
        let question = format!("m{number}x{request}");
        let answer = connection.ask(&question)?;
        let mut state_now = state.0.lock().expect(LOCK);
        possible.insert(state_now.next);
        let right = |version: &usize| answer == format!("v{version} {question} true");
        if !possible.iter().any(right) {
            let complaint = format!("{question}: {answer:?} while {possible:?} could be live");
            state_now.complaints.push(complaint);
            state_now.stopping |= state_now.complaints.len() > 5;
        }
        state_now.answers += 1;
        drop(state_now);
        state.1.notify_all();
    }
    Ok(())
}

struct Connection {
    kind: Kind,
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn new(kind: Kind, port: u16) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Connection {
            kind,
            stream: BufReader::new(stream),
        })
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    fn ask(&mut self, question: &str) -> std::io::Result<String> {
        match self.kind {
            Kind::Lines => {
                let request = format!("{question}\r\n");
                self.stream.get_mut().write_all(request.as_bytes())?;
                self.line()
            }
            Kind::Http => {
                let request = format!("GET /{question} HTTP/1.1\r\nHost: liveswap\r\n\r\n");
                self.stream.get_mut().write_all(request.as_bytes())?;
                let mut length = 0;
                loop {
                    let line = self.line()?.to_ascii_lowercase();
                    if let Some(text) = line.strip_prefix("content-length:") {
                        length = text.trim().parse().unwrap_or(0);
                    }
                    if line.is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                self.stream.read_exact(&mut body)?;
                Ok(String::from_utf8_lossy(&body).into_owned())
            }
        }
    }
}
