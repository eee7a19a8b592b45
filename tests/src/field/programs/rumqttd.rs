//! rumqttd: clients that publish and subscribe, and a browser that looks at the broker's console.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::http::Http;
use super::super::mqtt::Mqtt;
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, User, edit, take_back};

pub(super) fn program() -> Program {
    Program {
        name: "rumqttd",
        origin: Origin::Registry {
            package: "rumqttd",
            version: "0.20.0",
            with: &[],
            newer: &[("metrics", "0.22.4")],
        },
        // Without its TLS and its websockets, half of what there is to compile.
        flags: &["--no-default-features"],
        arguments: |site| {
            let config = site.data.join("rumqttd.toml");
            vec![
                "-v".to_owned(),
                "--config".to_owned(),
                config.display().to_string(),
            ]
        },
        environment: &[],
        prepare: |site| {
            let config = format!(
                "id = 0\n[router]\nid = 0\nmax_connections = 100\nmax_outgoing_packet_count = 200\n\
                 max_segment_size = 1048576\nmax_segment_count = 4\n\
                 [v4.1]\nname = \"v4-1\"\nlisten = \"127.0.0.1:{}\"\nnext_connection_delay_ms = 1\n\
                 [v4.1.connections]\nconnection_timeout_ms = 60000\nmax_payload_size = 20480\n\
                 max_inflight_count = 100\ndynamic_filters = true\n\
                 [console]\nlisten = \"127.0.0.1:{}\"\n",
                site.port, site.other_port
            );
            fs::write(site.data.join("rumqttd.toml"), config)
        },
        ready: "Listening for remote connections",
        surroundings: Surroundings::Nothing,
        held: &["busy", "idle", "console"],
        connect: |site, who| {
            Ok(match who {
                "console" | "new console" => Box::new(Http::open(site.other_port)?),
                _ => Box::new(Client::enter(site.port)?),
            })
        },
        goodbye: None,
        load: &[
            ("ping", "^alive$"),
            ("a b", "^t a b(!|#[0-9]+)*$"),
            ("c", "^t c(!|#[0-9]+)*$"),
        ],
        edits,
    }
}

/// Who gets what it publishes itself. Its own topic is left out of the answer.
struct Client {
    mqtt: Mqtt,
    topic: String,
}

impl Client {
    fn enter(port: u16) -> Result<Self, String> {
        static CLIENTS: AtomicU64 = AtomicU64::new(1);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let mut mqtt = Mqtt::open(port, &format!("client-{number}"))?;
        let topic = format!("topics/{number}");
        mqtt.subscribe(&topic)?;
        Ok(Self { mqtt, topic })
    }
}

impl User for Client {
    fn ask(&mut self, text: &str) -> Result<String, String> {
        if text == "ping" {
            return self.mqtt.ping();
        }
        self.mqtt.publish(&self.topic, text)?;
        let message = self.mqtt.message()?;
        match message.strip_prefix(&self.topic) {
            Some(payload) => Ok(format!("t{payload}")),
            None => Err(format!("a message for somebody else: {message}")),
        }
    }
}

const NETWORK: &str = "src/link/network.rs";
const REMOTE: &str = "src/link/remote.rs";
const CONSOLE: &str = "src/link/console.rs";
const BROKER: &str = "src/server/broker.rs";
const WRITE: &str = "        for packet in packets {
            Protocol::write(&self.protocol, packet, &mut self.write)?;
        }";

fn edits() -> Vec<Edit> {
    vec![
        edit("a page of the console")
            .replace(
                CONSOLE,
                "    let event = Event::PrintStatus(Print::Config);
    let message = (console.connection_id, event);
    if console.router_tx.send(message).is_err() {
        return Response::builder().status(404).body(\"\".to_owned()).unwrap();
    }

    Response::new(\"OK\".to_owned())",
                "    let event = Event::PrintStatus(Print::Config);
    let message = (console.connection_id, event);
    if console.router_tx.send(message).is_err() {
        return Response::builder().status(404).body(\"\".to_owned()).unwrap();
    }

    Response::new(\"PRINTED\".to_owned())",
            )
            .look("console", "GET /config", "\n\nOK$", "\n\nPRINTED$")
            .look("new console", "GET /config", "\n\nOK$", "\n\nPRINTED$"),
        edit("what is sent to subscribers")
            .replace(
                NETWORK,
                WRITE,
                "        for mut packet in packets {
            if let Packet::Publish(publish, _) = &mut packet {
                publish.payload = [&publish.payload[..], b\"!\"].concat().into();
            }
            Protocol::write(&self.protocol, packet, &mut self.write)?;
        }",
            )
            .look("busy", "x", "^t x$", "^t x!$")
            .look("new", "x", "^t x$", "^t x!$"),
        edit("RemoteLink::start holds a counter over its awaits")
            .replace(
                REMOTE,
                "        // Shouldn't result in bounded queue deadlocks because of blocking n/w send\n",
                "        let mut sent = [0u64; 5];\n        // Shouldn't result in bounded queue deadlocks because of blocking n/w send\n",
            )
            .replace(
                REMOTE,
                "                        if let Some(packet) = notif.into() {
                            packets.push_back(packet);",
                "                        if let Some(mut packet) = notif.into() {
                            if let Packet::Publish(publish, _) = &mut packet {
                                sent[3] += 1;
                                let text = String::from_utf8_lossy(&publish.payload).into_owned();
                                publish.payload = format!(\"{text}#{}\", sent[3]).into();
                            }
                            packets.push_back(packet);",
            )
            .names("RemoteLink")
            .names("broker::remote")
            .look("busy", "y", "^t y!$", "^t y#[0-9]+!$")
            .look("new", "y", "^t y!$", "^t y#1!$"),
        edit("a name that is none")
            .replace(REMOTE, "self.network.writev(packets)", "self.network.writew(packets)")
            .promise(Promise::Broken)
            .look("idle", "ping", "^alive$", "^alive$"),
        take_back("the name is taken back"),
        take_back("the counter is taken back"),
        edit("Network::read_bytes holds more over its await")
            .replace(NETWORK, "        let mut total_read = 0;\n", "        let mut total_read = 0;\n        let mut reads = [0usize; 9];\n")
            .replace(NETWORK, "            total_read += read;\n", "            total_read += read;\n            reads[total_read % 9] += read;\n")
            .names("RemoteLink")
            .names("broker::remote")
            .look("idle", "z", "^t z!$", "^t z!$")
            .look("busy", "z", "^t z!$", "^t z!$")
            .look("new", "z", "^t z!$", "^t z!$"),
        edit("a field more in the type that every connection has")
            .replace(NETWORK, "    /// Protocol\n    protocol: P,", "    /// Protocol\n    protocol: P,\n    packets: u64,")
            .replace(NETWORK, "            protocol,\n        }", "            protocol,\n            packets: 0,\n        }")
            .promise(Promise::Refused("LS0001"))
            .names("Network")
            .look("busy", "z", "^t z!$", "^t z!$"),
        take_back("the field is taken back"),
        edit("the loop that accepts holds more over its awaits")
            .replace(BROKER, "        let mut count: usize = 0;\n", "        let mut count: usize = 0;\n        let mut ports = vec![0u16];\n")
            .replace(BROKER, "            count += 1;\n", "            count += 1;\n            ports.push(addr.port());\n")
            .promise(Promise::Waits)
            .names("start")
            .look("new", "z", "^t z!$", "^t z!$"),
        take_back("that is taken back"),
        edit("what is sent to subscribers, once more")
            .replace(NETWORK, "b\"!\"].concat()", "b\"!!\"].concat()")
            .names("RemoteLink")
            .names("broker::remote")
            .look("busy", "x", "^t x!$", "^t x!!$")
            .look("idle", "x", "^t x!$", "^t x!!$")
            .look("new", "x", "^t x!$", "^t x!!$"),
    ]
}
