//! MQTT 3.1.1 as a client needs it.

use super::socket::Socket;

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGREQ: u8 = 0xc0;
const PINGRESP: u8 = 0xd0;

pub(super) struct Mqtt(Socket);

impl Mqtt {
    /// Connects under this name.
    pub(super) fn open(port: u16, name: &str) -> Result<Self, String> {
        let mut client = Self(Socket::open(port)?);
        let mut body = text("MQTT");
        // Version 4, a clean session, and ten minutes without a word are no reason to part.
        body.extend([4, 2, 2, 88]);
        body.extend(text(name));
        client.send(CONNECT, &body)?;
        client.answer(CONNACK)?;
        Ok(client)
    }

    pub(super) fn subscribe(&mut self, topic: &str) -> Result<(), String> {
        let mut body = vec![0, 1];
        body.extend(text(topic));
        body.push(0);
        self.send(SUBSCRIBE, &body)?;
        self.answer(SUBACK).map(|_| ())
    }

    pub(super) fn publish(&mut self, topic: &str, payload: &str) -> Result<(), String> {
        let mut body = text(topic);
        body.extend(payload.as_bytes());
        self.send(PUBLISH, &body)
    }

    /// Topic and payload of the next message.
    pub(super) fn message(&mut self) -> Result<String, String> {
        let body = self.answer(PUBLISH)?;
        let strange = || format!("no message: {body:?}");
        let (length, rest) = body.split_at_checked(2).ok_or_else(strange)?;
        let length = usize::from(length[0]) << 8 | usize::from(length[1]);
        let (topic, payload) = rest.split_at_checked(length).ok_or_else(strange)?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(format!("{} {}", text(topic), text(payload)))
    }

    pub(super) fn ping(&mut self) -> Result<String, String> {
        self.send(PINGREQ, &[])?;
        self.answer(PINGRESP).map(|_| "alive".to_owned())
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<(), String> {
        let length = u8::try_from(body.len())
            .ok()
            .filter(|length| *length < 0x80)
            .ok_or("a packet too long for this client")?;
        let mut packet = vec![kind, length];
        packet.extend(body);
        self.0.send(&packet)
    }

    /// The body of the next packet, which has to be of this kind.
    fn answer(&mut self, kind: u8) -> Result<Vec<u8>, String> {
        let head = self.0.bytes(2)?;
        if head[0] != kind || head[1] >= 0x80 {
            return Err(format!(
                "a packet {head:x?} instead of one of kind {kind:#x}"
            ));
        }
        self.0.bytes(head[1].into())
    }
}

/// A text with its length before it.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}
