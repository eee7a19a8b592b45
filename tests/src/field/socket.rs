//! A connection to the program, read with a deadline.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// The pause after a connection that was refused.
const PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Socket {
    stream: BufReader<TcpStream>,
}

impl Socket {
    pub(super) fn open(port: u16) -> Result<Self, String> {
        let stream = connect(port)
            .and_then(|stream| {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                Ok(stream)
            })
            .map_err(|error| format!("no connection: {error}"))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream
            .get_mut()
            .write_all(bytes)
            .map_err(|error| format!("nothing can be sent: {error}"))
    }

    /// A line without its end.
    pub(super) fn line(&mut self) -> Result<String, String> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => return Err("the connection was closed".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("no answer: {error}")),
        }
        let line = String::from_utf8_lossy(&line);
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; count];
        self.stream
            .read_exact(&mut bytes)
            .map_err(|error| format!("half an answer: {error}"))?;
        Ok(bytes)
    }

    pub(super) fn text(&mut self, count: usize) -> Result<String, String> {
        Ok(String::from_utf8_lossy(&self.bytes(count)?).into_owned())
    }
}

/// A program may listen on one port before it does on the other: nothing tells when, but an answer.
fn connect(port: u16) -> io::Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && Instant::now() < deadline =>
            {
                thread::park_timeout(PAUSE);
            }
            done => return done,
        }
    }
}
