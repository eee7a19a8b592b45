//! mini-redis: clients that set, get, publish and subscribe, idle and busy ones.

use std::time::{Duration, Instant};

use super::super::resp::Resp;
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, User, edit, take_back};

/// How long a key that expires may be there.
const EXPIRED: Duration = Duration::from_secs(10);

pub(super) fn program() -> Program {
    Program {
        name: "mini-redis",
        origin: Origin::Registry {
            package: "mini-redis",
            version: "0.4.1",
            with: &[],
            newer: &[],
        },
        flags: &["--bin", "mini-redis-server"],
        arguments: |site| vec!["--port".to_owned(), site.port.to_string()],
        environment: &[("RUST_LOG", "info")],
        prepare: |_| Ok(()),
        ready: "accepting inbound connections",
        surroundings: Surroundings::Nothing,
        held: &["busy", "idle", "subscriber"],
        connect: |site, who| {
            let mut commands = Resp::open(site.port)?;
            Ok(match who {
                "subscriber" | "late subscriber" => {
                    let mut messages = Resp::open(site.port)?;
                    // A channel of their own: each gets only what it asks for.
                    let channel = who.replace(' ', "-");
                    messages.command(&format!("SUBSCRIBE {channel}"))?;
                    Box::new(Subscriber {
                        messages,
                        commands,
                        channel,
                    })
                }
                "expiry" => Box::new(Expiry(commands)),
                _ => {
                    // What was set before an edit is there afterwards.
                    commands.command(&format!("SET {who} kept"))?;
                    Box::new(Client(commands))
                }
            })
        },
        goodbye: None,
        load: &[
            ("SET load 1", "^[+](OK|DONE)$"),
            ("GET load", "^[$]1$"),
            ("SET load 22", "^[+](OK|DONE)$"),
            ("GET load", "^[$]22$"),
            ("PUBLISH nobody text", "^:(0|100)$"),
            ("GET busy", "^[$]kept$"),
        ],
        edits,
    }
}

struct Client(Resp);

impl User for Client {
    fn ask(&mut self, request: &str) -> Result<String, String> {
        self.0.command(request)
    }
}

/// Answers with what the subscriber gets when a text is published, and what the publisher gets.
struct Subscriber {
    messages: Resp,
    commands: Resp,
    channel: String,
}

impl User for Subscriber {
    fn ask(&mut self, text: &str) -> Result<String, String> {
        let reached = self
            .commands
            .command(&format!("PUBLISH {} {text}", self.channel))?;
        Ok(format!("{} {reached}", self.messages.frame()?))
    }
}

/// Answers with what is at a key when its value has expired.
struct Expiry(Resp);

impl User for Expiry {
    fn ask(&mut self, key: &str) -> Result<String, String> {
        self.0.command(&format!("SET {key} fresh PX 20"))?;
        let deadline = Instant::now() + EXPIRED;
        while Instant::now() < deadline {
            let value = self.0.command(&format!("GET {key}"))?;
            if value != "$fresh" {
                return Ok(value);
            }
        }
        Err("the key does not expire".to_owned())
    }
}

const SERVER: &str = "src/server.rs";
const CONNECTION: &str = "src/connection.rs";
const DB: &str = "src/db.rs";
const SUBSCRIBE: &str = "src/cmd/subscribe.rs";

const APPLY: &str = "            cmd.apply(&self.db, &mut self.connection, &mut self.shutdown)
                .await?;";
const UNKNOWN: &str = "^-ERR no such command 'count'!?$";

fn edits() -> Vec<Edit> {
    vec![
        edit("GET of a key that is not there")
            .replace(
                "src/cmd/get.rs",
                "            Frame::Null",
                "            Frame::Bulk(Bytes::from_static(b\"nothing\"))",
            )
            .look("new", "GET none", "^[$]-1$", "^[$]nothing$")
            .look("busy", "GET none", "^[$]-1$", "^[$]nothing$")
            .look("busy", "GET busy", "^[$]kept$", "^[$]kept$"),
        edit("text of an error")
            .replace("src/cmd/unknown.rs", "ERR unknown command", "ERR no such command")
            .look("new", "COUNT", "unknown command", UNKNOWN)
            .look("busy", "COUNT", "unknown command", UNKNOWN),
        edit("Handler::run holds a counter over its awaits")
            .replace(
                SERVER,
                "        while !self.shutdown.is_shutdown() {",
                "        let mut served: u64 = 0;\n        while !self.shutdown.is_shutdown() {",
            )
            .replace(
                SERVER,
                APPLY,
                "            served += 1;
            if let Command::Unknown(_) = &cmd {
                self.connection.write_frame(&crate::frame::Frame::Integer(served)).await?;
                continue;
            }
            cmd.apply(&self.db, &mut self.connection, &mut self.shutdown)
                .await?;",
            )
            .names("Handler::run")
            .look("new", "COUNT", UNKNOWN, "^:2$")
            .look("busy", "COUNT", UNKNOWN, "^:[0-9]+$"),
        edit("and a table, with another answer")
            .replace(
                SERVER,
                "let mut served: u64 = 0;",
                "let mut served: u64 = 0; let mut sizes = [0usize; 16];",
            )
            .replace(
                SERVER,
                "            served += 1;",
                "            served += 1; sizes[served as usize % 16] += 1;",
            )
            .replace(
                SERVER,
                "&crate::frame::Frame::Integer(served)",
                "&crate::frame::Frame::Integer(1000 + served + sizes.iter().sum::<usize>() as u64)",
            )
            .names("Handler::run")
            .look("new", "COUNT", "^:2$", "^:1004$")
            .look("busy", "COUNT", "^:[0-9]{1,3}$|^-ERR no such command 'count'$", "^:1[0-9]{3}$"),
        edit("an error of types")
            .replace("src/cmd/publish.rs", "num_subscribers as u64", "num_subscribers as u32")
            .promise(Promise::Broken)
            .look("new", "PUBLISH nobody x", "^:0$", "^:100$"),
        take_back("the error is taken back"),
        take_back("the table is taken back"),
        take_back("the counter is taken back"),
        edit("PUBLISH counts from 100")
            .replace("src/cmd/publish.rs", "num_subscribers as u64", "num_subscribers as u64 + 100")
            .look("new", "PUBLISH nobody x", "^:0$", "^:100$")
            .look("idle", "PUBLISH nobody x", "^:0$", "^:100$"),
        edit("what subscribers get, by a function of theirs")
            .replace(SUBSCRIBE, "from_static(b\"message\")", "from_static(b\"news\")")
            .look("subscriber", "one", "^.[$]message [$]subscriber [$]one. :1", "^.[$]news [$]subscriber [$]one. :1")
            .look("late subscriber", "two", "^.[$]message", "^.[$]news"),
        edit("a parameter more for that function")
            .replace(
                SUBSCRIBE,
                "make_message_frame(channel_name, msg)).await?;",
                "make_message_frame(channel_name, msg, \"extra\")).await?;",
            )
            .replace(
                SUBSCRIBE,
                "fn make_message_frame(channel_name: String, msg: Bytes)",
                "fn make_message_frame(channel_name: String, msg: Bytes, extra: &'static str)",
            )
            .replace(
                SUBSCRIBE,
                "    response.push_bulk(msg);",
                "    response.push_bulk(msg);\n    response.push_bulk(Bytes::from_static(extra.as_bytes()));",
            )
            .names("Subscribe::apply")
            .names("make_message_frame")
            .look("subscriber", "three", "[$]three. :1", "[$]three [$]extra. :1")
            .look("late subscriber", "four", "[$]four. :1", "[$]four [$]extra. :1"),
        edit("Subscribe::apply holds a counter over its awaits")
            .replace(
                SUBSCRIBE,
                "        let mut subscriptions = StreamMap::new();\n",
                "        let mut subscriptions = StreamMap::new();\n        let mut got = [0u32; 4];\n",
            )
            .replace(
                SUBSCRIBE,
                "make_message_frame(channel_name, msg, \"extra\")).await?;",
                "make_message_frame(channel_name, msg, if got[1] == 0 { \"first\" } else { \"later\" })).await?; got[1] += 1;",
            )
            .names("Subscribe::apply")
            .look("subscriber", "five", "[$]five [$]extra. :1", "[$]five [$](first|later). :1")
            .look("late subscriber", "six", "[$]six [$]extra. :1", "[$]six [$]first. :1"),
        take_back("that counter is taken back"),
        edit("Connection::write_value holds a text over its awaits")
            .replace(
                CONNECTION,
                "                self.stream.write_u8(b'-').await?;
                self.stream.write_all(val.as_bytes()).await?;",
                "                let text = format!(\"{val}!\");
                self.stream.write_u8(b'-').await?;
                self.stream.write_all(text.as_bytes()).await?;",
            )
            .names("Handler::run")
            .names("Connection::write_value")
            .look("new", "COUNT", "'$", "'!$")
            .look("busy", "COUNT", "'$", "'!$")
            .look("idle", "GET idle", "^[$]kept$", "^[$]kept$"),
        edit("what is done with keys that expire")
            .replace(
                DB,
                "            state.entries.remove(key);",
                "            if let Some(entry) = state.entries.get_mut(key) {
                entry.data = Bytes::from_static(b\"gone\");
            }",
            )
            .look("expiry", "mayfly", "^[$]nothing$", "^[$]gone$"),
        edit("the task that removes them holds more over its awaits")
            .replace(
                DB,
                "    while !shared.is_shutdown() {
",
                "    let mut rounds = [0u64; 8];
    while !shared.is_shutdown() {
        rounds[1] += 1;
        if rounds[1] == u64::MAX {
            return;
        }
",
            )
            .names("purge_expired_tasks")
            .look("expiry", "dayfly", "^[$]gone$", "^[$]gone$"),
        edit("a field more in a type that has values")
            .replace(DB, "struct Entry {", "struct Entry {\n    reads: u64,")
            .replace(DB, "            Entry {\n", "            Entry {\n                reads: 0,\n")
            .promise(Promise::Refused("LS0001"))
            .names("Entry")
            .look("idle", "GET idle", "^[$]kept$", "^[$]kept$"),
        take_back("that field is taken back"),
        edit("Listener::run, which accepts, holds more over its awaits")
            .replace(
                SERVER,
                "        info!(\"accepting inbound connections\");\n",
                "        info!(\"accepting inbound connections\");\n        let mut accepted = [0u64; 4];\n",
            )
            .replace(
                SERVER,
                "let socket = self.accept().await?;",
                "let socket = self.accept().await?; accepted[0] += 1; debug!(?accepted);",
            )
            .promise(Promise::Waits)
            .names("Listener::run")
            .look("new", "GET idle", "^[$]kept$", "^[$]kept$")
            .look("subscriber", "last", "[$]last [$]extra. :1", "[$]last [$]extra. :1"),
        edit("SET answers something else")
            .replace("src/cmd/set.rs", "\"OK\".to_string()", "\"DONE\".to_string()")
            // Those who were there when write_value changed are in its old version, and in what it calls.
            .names("Set::apply")
            .look("new", "SET a b", "^[+]OK$", "^[+]DONE$")
            .look("idle", "SET a b", "^[+]OK$", "^[+]DONE$")
            .look("busy", "SET a b", "^[+]OK$", "^[+]DONE$"),
    ]
}
