//! The protocol of Redis, as far as a client needs it.

use super::socket::Socket;

/// A connection to a Redis server.
pub(super) struct Resp(Socket);

impl Resp {
    pub(super) fn open(port: u16) -> Result<Self, String> {
        Ok(Self(Socket::open(port)?))
    }

    /// Sends a command, given as words, and takes the frame that it answers.
    pub(super) fn command(&mut self, command: &str) -> Result<String, String> {
        self.send(command)?;
        self.frame()
    }

    pub(super) fn send(&mut self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.send(bytes.as_bytes())
    }

    /// The next frame as text: its sign and its value, `$-1` for nothing, and an array in brackets.
    pub(super) fn frame(&mut self) -> Result<String, String> {
        let line = self.0.line()?;
        let strange = || format!("no frame: {line:?}");
        let (sign, rest) = line.split_at_checked(1).ok_or_else(strange)?;
        match sign {
            "+" | "-" | ":" => Ok(line),
            "$" if rest == "-1" => Ok(line),
            "$" => {
                let length: usize = rest.parse().map_err(|_| strange())?;
                let text = self.0.text(length)?;
                match self.0.line()? {
                    end if end.is_empty() => Ok(format!("${text}")),
                    more => Err(format!("after {text:?} of {length} bytes: {more:?}")),
                }
            }
            "*" => {
                let length: usize = rest.parse().map_err(|_| strange())?;
                let parts: Vec<String> = (0..length)
                    .map(|_| self.frame())
                    .collect::<Result<_, _>>()?;
                Ok(format!("[{}]", parts.join(" ")))
            }
            _ => Err(strange()),
        }
    }
}
