//! Connections to the server: HTTP, and lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// An answer that takes longer is lost.
const PATIENCE: Duration = Duration::from_secs(30);

fn connect(port: u16) -> Result<BufReader<TcpStream>, String> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .map_err(|error| format!("no connection: {error}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_nodelay(true))
        .map_err(|error| error.to_string())?;
    Ok(BufReader::new(stream))
}

fn write(stream: &mut BufReader<TcpStream>, text: &str) -> Result<(), String> {
    let stream = stream.get_mut();
    stream
        .write_all(text.as_bytes())
        .map_err(|error| format!("lost: cannot send `{}`: {error}", text.trim_end()))
}

/// A line without its end. The end of the stream is an error.
fn line(stream: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(_) if line.ends_with('\n') => Ok(line.trim_end().to_owned()),
        Ok(_) => Err(format!("lost: the connection ends behind `{line}`")),
        Err(error) => Err(format!("lost: {error} behind `{line}`")),
    }
}

/// A connection for HTTP/1.1.
pub(super) struct Http {
    stream: BufReader<TcpStream>,
    kept: bool,
}

/// What was answered, with the status 200.
pub(super) struct Page {
    headers: Vec<(String, String)>,
    pub(super) text: String,
}

impl Page {
    /// The value of a header, by its name in small letters.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(header, _)| header == name)?;
        Some(value)
    }
}

impl Http {
    /// A connection that is kept for more than one request or not.
    pub(super) fn connect(port: u16, kept: bool) -> Result<Self, String> {
        let stream = connect(port)?;
        Ok(Self { stream, kept })
    }

    /// A request and its answer.
    pub(super) fn get(&mut self, path: &str) -> Result<Page, String> {
        self.asked(path).map_err(|error| format!("{path}: {error}"))
    }

    fn asked(&mut self, path: &str) -> Result<Page, String> {
        let close = if self.kept {
            ""
        } else {
            "connection: close\r\n"
        };
        write(
            &mut self.stream,
            &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{close}\r\n"),
        )?;
        let status = line(&mut self.stream)?;
        if status != "HTTP/1.1 200 OK" {
            return Err(status);
        }
        let mut headers = Vec::new();
        loop {
            let line = line(&mut self.stream)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("a header `{line}`"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut page = Page {
            headers,
            text: String::new(),
        };
        let length = page
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let mut body = vec![0; length.ok_or("no length")?];
        let read = self.stream.read_exact(&mut body);
        read.map_err(|error| format!("lost: {error} in the body"))?;
        page.text = String::from_utf8(body).map_err(|error| error.to_string())?;
        Ok(page)
    }
}

/// A connection for lines that are numbered from 1.
pub(super) struct Lines(BufReader<TcpStream>);

impl Lines {
    pub(super) fn connect(port: u16) -> Result<Self, String> {
        connect(port).map(Self)
    }

    /// Sends a line.
    pub(super) fn say(&mut self, text: &str) -> Result<(), String> {
        write(&mut self.0, &format!("{text}\n"))
    }

    /// The next line, which must have this number, without it.
    pub(super) fn hear(&mut self, number: usize) -> Result<String, String> {
        let line = line(&mut self.0)?;
        match line.split_once(' ') {
            Some((first, rest)) if first == number.to_string() => Ok(rest.to_owned()),
            _ => Err(format!("`{line}` is not number {number}")),
        }
    }

    /// Sends a line and takes the answer.
    pub(super) fn ask(&mut self, text: &str, number: usize) -> Result<String, String> {
        self.say(text)?;
        self.hear(number)
    }
}
