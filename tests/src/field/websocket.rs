//! Websockets as a client needs them: one that sends texts and takes texts.

use super::socket::Socket;

const TEXT: u8 = 1;
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Frames of clients carry a mask; this one changes nothing.
const MASK: [u8; 4] = [0; 4];
/// Above this a length has two bytes of its own.
const SHORT: usize = 125;

pub(super) struct WebSocket(Socket);

impl WebSocket {
    pub(super) fn open(port: u16, path: &str) -> Result<Self, String> {
        let mut socket = Socket::open(port)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        socket.send(request.as_bytes())?;
        let status = socket.line()?;
        if !status.contains(" 101 ") {
            return Err(format!("no websocket: {status}"));
        }
        while !socket.line()?.is_empty() {}
        Ok(Self(socket))
    }

    pub(super) fn send(&mut self, text: &str) -> Result<(), String> {
        let length = u8::try_from(text.len())
            .ok()
            .filter(|length| usize::from(*length) <= SHORT)
            .ok_or("a text too long for this client")?;
        let mut frame = vec![LAST | TEXT, MASKED | length];
        frame.extend(MASK);
        frame.extend(text.as_bytes());
        self.0.send(&frame)
    }

    pub(super) fn text(&mut self) -> Result<String, String> {
        let head = self.0.bytes(2)?;
        if head[0] != LAST | TEXT {
            return Err(format!("a frame of kind {:#x}", head[0]));
        }
        let mut length = usize::from(head[1]);
        if length > SHORT {
            let long = self.0.bytes(2)?;
            length = usize::from(long[0]) << 8 | usize::from(long[1]);
        }
        self.0.text(length)
    }
}
