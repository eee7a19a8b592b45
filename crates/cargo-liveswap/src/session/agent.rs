//! The connection of the run-time in the program.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use liveswap_protocol::frame;
use liveswap_protocol::message::FromAgent;

use super::event::Event;
use super::listeners::WithFiles;

/// Where the run-time connects.
#[derive(Debug)]
pub struct AgentSocket<P> {
    expected: Arc<Mutex<Option<Expected<P>>>>,
}

/// Whose run-time is heard, and by whom.
#[derive(Debug)]
struct Expected<P> {
    child: u32,
    events: Sender<Event<P>>,
}

impl<P> Clone for Expected<P> {
    fn clone(&self) -> Expected<P> {
        Expected {
            child: self.child,
            events: self.events.clone(),
        }
    }
}

impl<P: Send + 'static> AgentSocket<P> {
    /// Listens. Nobody is heard yet.
    ///
    /// # Errors
    /// Those of the system.
    pub fn listen(path: &Path) -> io::Result<AgentSocket<P>> {
        let listener = UnixListener::bind(path)?;
        let expected = Arc::new(Mutex::new(None));
        let asked = Arc::clone(&expected);
        std::thread::Builder::new()
            .name("agent".into())
            .spawn(move || {
                let mut current: Option<Talk> = None;
                for stream in listener.incoming() {
                    let Ok(stream) = stream else { continue };
                    // Whoever is being started is known once this can be locked.
                    let expected = asked.lock().unwrap_or_else(PoisonError::into_inner);
                    let expected: Option<Expected<P>> = expected.clone();
                    if let Some(expected) = expected {
                        take(&expected, stream, &mut current);
                    }
                }
            })?;
        Ok(AgentSocket { expected })
    }

    /// Starts a program by `start`, which gives its process id. From now on its connection is taken, and nobody
    /// else's, and again if it executes itself anew.
    ///
    /// # Errors
    /// Those of `start`.
    pub fn serve<T>(
        &self,
        events: Sender<Event<P>>,
        start: impl FnOnce() -> io::Result<(u32, T)>,
    ) -> io::Result<T> {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let (child, program) = start()?;
        *expected = Some(Expected { child, events });
        Ok(program)
    }
}

/// Takes a connection, if it is one of the program.
fn take<P: Send + 'static>(expected: &Expected<P>, stream: UnixStream, current: &mut Option<Talk>) {
    let pid = match peer(&stream) {
        Some(pid) if is_or_comes_from(pid, expected.child) => pid,
        other => {
            tracing::warn!(pid = ?other, "a stranger connected: closed");
            return;
        }
    };
    let is_copy = |talk: &Talk| talk.pid != pid && is_running(talk.pid);
    if current.as_ref().is_some_and(is_copy) {
        // A receiver that is gone means that the session ends.
        let _ = expected.events.send(Event::Copy(pid));
        return;
    }
    if let Some(earlier) = current.take() {
        earlier.end();
    }
    match Talk::begin(pid, stream, expected.events.clone()) {
        Ok(talk) => *current = Some(talk),
        Err(error) => tracing::warn!(%error, "no thread for the program"),
    }
}

/// The process at the other end, if it is our own user's.
pub fn peer(stream: &impl AsFd) -> Option<u32> {
    let peer = rustix::net::sockopt::socket_peercred(stream).ok()?;
    let ours = peer.uid == rustix::process::getuid();
    ours.then(|| peer.pid.as_raw_nonzero().get().unsigned_abs())
}

/// Whether `pid` is `child`, or a runner that is `child` started it.
fn is_or_comes_from(mut pid: u32, child: u32) -> bool {
    // Process ids are given anew while we look, so the chain could be a ring.
    for _ in 0..64 {
        if pid == child {
            return true;
        }
        match parent(pid) {
            Some(above) if above > 1 => pid = above,
            _ => return false,
        }
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    status(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether there is such a process and it has not ended.
fn is_running(pid: u32) -> bool {
    status(pid).is_some_and(|status| !status.trim_start().starts_with(['Z', 'X']))
}

/// What the kernel says of a process, from its state on.
fn status(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may have any characters.
    stat.rsplit_once(')').map(|(_, rest)| rest.to_owned())
}

/// A connection with a thread that reads it.
struct Talk {
    pid: u32,
    stream: UnixStream,
    thread: JoinHandle<()>,
}

impl Talk {
    fn begin<P: Send + 'static>(
        pid: u32,
        stream: UnixStream,
        events: Sender<Event<P>>,
    ) -> io::Result<Talk> {
        let to_read = stream.try_clone()?;
        let thread = std::thread::Builder::new()
            .name("agent-in".into())
            .spawn(move || talk(to_read, &events))?;
        Ok(Talk {
            pid,
            stream,
            thread,
        })
    }

    /// Ends it, and waits until its end is told: before the beginning of the next.
    fn end(self) {
        // It has ended already if that fails.
        let _ = self.stream.shutdown(Shutdown::Both);
        if self.thread.join().is_err() {
            tracing::error!("the thread for the program broke down");
        }
    }
}

/// Reads until the connection ends. Writing has a thread of its own: a program that is stopped does not
/// read, and the session must not stop with it.
fn talk<P: Send + 'static>(stream: UnixStream, events: &Sender<Event<P>>) {
    let (requests, to_write) = channel();
    let writer = stream.try_clone().and_then(|mut stream| {
        std::thread::Builder::new()
            .name("agent-out".into())
            .spawn(move || {
                for request in to_write {
                    if let Err(error) = frame::write(&mut stream, &request) {
                        tracing::warn!(%error, "a request did not go out");
                        return;
                    }
                }
            })
    });
    let reason = match writer {
        Err(error) => error.to_string(),
        Ok(_) => {
            if events.send(Event::AgentConnected(requests)).is_err() {
                return;
            }
            read(stream, events)
        }
    };
    // A receiver that is gone means that the session ends.
    let _ = events.send(Event::AgentGone(reason));
}

fn read<P>(stream: UnixStream, events: &Sender<Event<P>>) -> String {
    let mut stream = io::BufReader::new(WithFiles::new(stream));
    loop {
        match frame::read(&mut stream) {
            Ok(Some(FromAgent::Listeners(addresses))) => {
                let listeners = stream.get_mut().listeners(addresses);
                if events.send(Event::Listeners(listeners)).is_err() {
                    return String::new();
                }
            }
            Ok(Some(message)) => {
                if events.send(Event::Agent(message)).is_err() {
                    return String::new();
                }
            }
            Ok(None) => return "it closed the connection".to_owned(),
            Err(error) => return error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use liveswap_protocol::message::ToAgent;
    use std::io::Read;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(10);

    #[test]
    fn the_program_is_heard_and_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (events, heard) = channel::<Event<()>>();
        let socket = AgentSocket::listen(&path).unwrap();
        let started = || Ok((std::process::id(), ()));
        socket.serve(events, started).unwrap();
        let mut program = UnixStream::connect(&path).unwrap();
        let Ok(Event::AgentConnected(requests)) = heard.recv_timeout(LONG) else {
            panic!("not connected");
        };
        requests.send(ToAgent::Announce(7)).unwrap();
        assert_eq!(
            frame::read(&mut program).unwrap(),
            Some(ToAgent::Announce(7))
        );
        frame::write(&mut program, &FromAgent::Announced).unwrap();
        assert!(matches!(
            heard.recv_timeout(LONG),
            Ok(Event::Agent(FromAgent::Announced))
        ));
        drop(program);
        assert!(matches!(heard.recv_timeout(LONG), Ok(Event::AgentGone(_))));
    }

    #[test]
    fn a_stranger_is_not_heard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (events, _heard) = channel::<Event<()>>();
        let socket = AgentSocket::listen(&path).unwrap();
        // No process has this id, and we do not come from it.
        socket.serve(events, || Ok((4_194_305, ()))).unwrap();
        let mut stranger = UnixStream::connect(&path).unwrap();
        stranger.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(stranger.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_program_that_executed_itself_was_not_heard_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (events, heard) = channel::<Event<()>>();
        let socket = AgentSocket::listen(&path).unwrap();
        let started = || Ok((std::process::id(), ()));
        socket.serve(events, started).unwrap();
        let next = || heard.recv_timeout(LONG).unwrap();
        let first = UnixStream::connect(&path).unwrap();
        assert!(matches!(next(), Event::AgentConnected(_)));
        // Before the end of the first is noticed: what is told comes in order all the same.
        let mut second = UnixStream::connect(&path).unwrap();
        assert!(matches!(next(), Event::AgentGone(_)));
        let Event::AgentConnected(requests) = next() else {
            panic!("not connected again");
        };
        drop(first);
        requests.send(ToAgent::Announce(7)).unwrap();
        let request = frame::read(&mut second).unwrap();
        assert_eq!(request, Some(ToAgent::Announce(7)));
    }

    #[test]
    fn a_process_that_has_ended_does_not_run() {
        assert!(is_running(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!is_running(pid));
    }

    #[test]
    fn a_runners_child_is_the_program() {
        let own = std::process::id();
        assert!(is_or_comes_from(own, own));
        assert!(is_or_comes_from(own, parent(own).unwrap()));
        assert!(!is_or_comes_from(parent(own).unwrap(), own));
    }
}
