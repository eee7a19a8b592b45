//! HTTP/1.1 as a client speaks it who keeps the connection open.

use super::script::User;
use super::socket::Socket;

/// A connection on which one request follows the other.
pub(super) struct Http(Socket);

impl Http {
    pub(super) fn open(port: u16) -> Result<Self, String> {
        Ok(Self(Socket::open(port)?))
    }

    /// Sends a request and takes the answer: status line, headers in the order of their names, body.
    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let kind = match body.as_bytes().first() {
            Some(b'{') => "Content-Type: application/json\r\n",
            _ => "",
        };
        let length = match body {
            "" => String::new(),
            body => format!("{kind}Content-Length: {}\r\n", body.len()),
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n{length}\r\n{body}"
        );
        self.0.send(request.as_bytes())?;
        self.answer(method)
    }

    fn answer(&mut self, method: &str) -> Result<String, String> {
        let status = self.0.line()?;
        let mut headers = Vec::new();
        loop {
            let line = self.0.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("no header: {line:?}"))?;
            headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        let header = |wanted: &str| {
            let found = headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let bodiless = method == "HEAD" || status.contains(" 204") || status.contains(" 304");
        let body = if bodiless {
            String::new()
        } else if header("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else {
            let length = header("content-length").unwrap_or("0");
            self.0
                .text(length.parse().map_err(|_| format!("length {length}"))?)?
        };
        headers.sort();
        let headers: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        Ok(format!("{status}\n{}\n\n{body}", headers.join("\n")))
    }

    fn chunks(&mut self) -> Result<String, String> {
        let mut body = Vec::new();
        loop {
            let line = self.0.line()?;
            let length =
                usize::from_str_radix(&line, 16).map_err(|_| format!("no length: {line:?}"))?;
            body.extend(self.0.bytes(length)?);
            let end = self.0.line()?;
            if !end.is_empty() {
                return Err(format!("after a chunk: {end:?}"));
            }
            if length == 0 {
                return Ok(String::from_utf8_lossy(&body).into_owned());
            }
        }
    }
}

impl User for Http {
    /// `METHOD PATH`, and a body after another space.
    fn ask(&mut self, request: &str) -> Result<String, String> {
        let mut words = request.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default();
        self.exchange(next(), next(), next())
    }
}

/// As browsers do: when the server has closed a connection on which nothing was asked for some seconds, the
/// next request opens another one.
pub(super) struct Browser {
    port: u16,
    http: Http,
}

impl Browser {
    pub(super) fn open(port: u16) -> Result<Self, String> {
        let http = Http::open(port)?;
        Ok(Self { port, http })
    }
}

impl User for Browser {
    fn ask(&mut self, request: &str) -> Result<String, String> {
        match self.http.ask(request) {
            Ok(answer) if !answer.starts_with("HTTP/1.1 408 ") => Ok(answer),
            _ => {
                self.http = Http::open(self.port)?;
                self.http.ask(request)
            }
        }
    }
}

/// A file that is sent in halves: the second one when somebody asks for the answer. Who asks again is told
/// the same.
pub(super) struct Upload {
    http: Http,
    answer: Option<String>,
}

impl Upload {
    pub(super) fn begin(port: u16, path: &str) -> Result<Self, String> {
        let mut http = Http::open(port)?;
        let length = FIRST_HALF.len() + SECOND_HALF.len();
        let begin = format!(
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{FIRST_HALF}"
        );
        http.0.send(begin.as_bytes())?;
        Ok(Self { http, answer: None })
    }
}

const FIRST_HALF: &str = "first half, ";
const SECOND_HALF: &str = "second half";

impl User for Upload {
    fn ask(&mut self, _: &str) -> Result<String, String> {
        if let Some(answer) = &self.answer {
            return Ok(answer.clone());
        }
        self.http.0.send(SECOND_HALF.as_bytes())?;
        let answer = self.http.answer("PUT")?;
        Ok(self.answer.insert(answer).clone())
    }
}
