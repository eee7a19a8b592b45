//! A chat on actix-web: people in rooms, over websockets that stay open, and a browser.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::http::Http;
use super::super::script::{Edit, Origin, Program, Promise, Surroundings, User, edit, take_back};
use super::super::websocket::WebSocket;

pub(super) fn program() -> Program {
    Program {
        name: "chat",
        origin: Origin::Fixture("chat"),
        flags: &[],
        arguments: |site| vec![site.port.to_string()],
        environment: &[],
        prepare: |_| Ok(()),
        ready: "^listening$",
        surroundings: Surroundings::Nothing,
        held: &["pair", "idle pair", "page"],
        connect: |site, who| {
            Ok(match who {
                "page" | "new page" => Box::new(Http::open(site.port)?),
                _ => Box::new(Pair::enter(site.port)?),
            })
        },
        goodbye: None,
        load: &[
            ("hello", "^(anna: hello|<anna> hello|<anna/5> hello) = 2$"),
            ("/who", "^(anna bert|2: anna bert)$"),
        ],
        edits,
    }
}

/// Two in a room of their own. Answers with what the one who speaks gets, and says whether both got that.
struct Pair {
    anna: WebSocket,
    bert: WebSocket,
}

impl Pair {
    fn enter(port: u16) -> Result<Self, String> {
        static ROOMS: AtomicU64 = AtomicU64::new(1);
        let room = ROOMS.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            anna: WebSocket::open(port, &format!("/chat/{room}/anna"))?,
            bert: WebSocket::open(port, &format!("/chat/{room}/bert"))?,
        })
    }
}

impl User for Pair {
    fn ask(&mut self, text: &str) -> Result<String, String> {
        self.anna.send(text)?;
        let own = self.anna.text()?;
        if text.starts_with('/') {
            return Ok(own);
        }
        let other = self.bert.text()?;
        Ok(if own == other {
            format!("{own} = 2")
        } else {
            format!("{own} and {other}")
        })
    }
}

const CONNECTION: &str = "src/connection.rs";
const HUB: &str = "src/hub.rs";
const MAIN: &str = "src/main.rs";
const PAGES: &str = "src/pages.rs";

fn edits() -> Vec<Edit> {
    vec![
        edit("how a line looks")
            .replace(HUB, "\"{name}: {text}\"", "\"<{name}> {text}\"")
            .look("pair", "hi", "^anna: hi = 2$", "^<anna> hi = 2$")
            .look("new pair", "hi", "^anna: hi = 2$", "^<anna> hi = 2$"),
        edit("connection::serve holds a counter over its awaits")
            .replace(
                CONNECTION,
                "    while let Some(Ok(message)) = messages.recv().await {",
                "    let mut heard = [0u64; 6];\n    while let Some(Ok(message)) = messages.recv().await {\n        heard[2] += 1;",
            )
            .replace(
                CONNECTION,
                "let answer = command(&text, &room, &hub);",
                "let mut answer = command(&text, &room, &hub);
                if &*text == \"/count\" {
                    answer = heard.iter().sum::<u64>().to_string();
                }",
            )
            .names("connection::serve")
            .look("pair", "/count", "^what is /count[?]$", "^[0-9]+$")
            .look("new pair", "/count", "^what is /count[?]$", "^1$"),
        edit("a parameter more for the function that makes lines")
            .replace(HUB, "line(name, text);", "line(name, text.len(), text);")
            .replace(HUB, "fn line(name: &str, text", "fn line(name: &str, length: usize, text")
            .replace(HUB, "\"<{name}> {text}\"", "\"<{name}/{length}> {text}\"")
            .names("hub::say")
            .names("hub::line")
            .look("pair", "hello", "^<anna> hello = 2$", "^<anna/5> hello = 2$")
            .look("new pair", "hello", "^<anna> hello = 2$", "^<anna/5> hello = 2$"),
        take_back("the parameter is taken back"),
        edit("hub::say holds who it has told over its awaits")
            .replace(HUB, "    let line = line(name, text);\n", "    let line = line(name, text);\n    let mut told = vec![text.len()];\n")
            .replace(
                HUB,
                "        let _ = session.text(line.clone()).await;\n",
                "        let _ = session.text(line.clone()).await;\n        told.push(told.len());\n",
            )
            .names("connection::serve")
            .names("hub::say")
            .look("idle pair", "hi", "^<anna> hi = 2$", "^<anna> hi = 2$")
            .look("pair", "hi", "^<anna> hi = 2$", "^<anna> hi = 2$")
            .look("new pair", "hi", "^<anna> hi = 2$", "^<anna> hi = 2$"),
        edit("a type that is none")
            .replace(PAGES, "use crate::hub::Hub;", "use crate::hub::Hob;")
            .promise(Promise::Broken)
            .look("page", "GET /rooms", "\n\nrooms: ", "\n\nrooms: "),
        take_back("the type is taken back"),
        edit("the handler of a page, which routes hold")
            .replace(PAGES, "\"rooms: {}\"", "\"all rooms: {}\"")
            .look("page", "GET /rooms", "\n\nrooms: 1 ", "\n\nall rooms: 1 ")
            .look("new page", "GET /rooms", "\n\nrooms: 1 ", "\n\nall rooms: 1 "),
        edit("that handler takes the request as well")
            .replace(PAGES, "pub async fn rooms(hub", "pub async fn rooms(request: actix_web::HttpRequest, hub")
            .replace(PAGES, "    format!(\"all rooms: {}\", ", "    format!(\"{} {}\", request.path(), ")
            .promise(Promise::Waits)
            .names("rooms")
            .look("page", "GET /rooms", "\n\nall rooms: 1 ", "\n\n/rooms 1 ")
            .look("new page", "GET /rooms", "\n\nall rooms: 1 ", "\n\n/rooms 1 "),
        take_back("that is taken back"),
        edit("a page more, in the routes that exist")
            .replace(
                MAIN,
                "            .route(\"/time\"",
                "            .route(\"/more\", web::get().to(pages::time))\n            .route(\"/time\"",
            )
            .promise(Promise::Waits)
            .names("main")
            .look("page", "GET /more", " 404 ", " 200 ")
            .look("new page", "GET /time", "\n\nsome beats", "\n\nsome beats"),
        edit("a field more in the hub, which lives")
            .replace(HUB, "    time: AtomicU64,", "    time: AtomicU64,\n    said: AtomicU64,")
            .promise(Promise::Refused("LS0001"))
            .names("Hub")
            .look("pair", "hi", "^<anna> hi = 2$", "^<anna> hi = 2$"),
        take_back("the field is taken back"),
        edit("the task that counts the time holds more over its awaits")
            .replace(MAIN, "    let mut beats = 0;\n", "    let mut beats = 0;\n    let mut last = [0u64; 4];\n")
            .replace(MAIN, "        beats += 1;\n", "        beats += 1;\n        last[beats as usize % 4] = beats;\n")
            .replace(MAIN, "        hub.set_time(beats);", "        hub.set_time(last.iter().copied().max().unwrap_or(beats));")
            .names("count_time")
            .look("page", "GET /time", "\n\nsome beats", "\n\nsome beats"),
        edit("what is said of who is there")
            .replace(
                CONNECTION,
                "        \"/who\" => hub.names(room).join(\" \"),",
                "        \"/who\" => {
            let names = hub.names(room);
            format!(\"{}: {}\", names.len(), names.join(\" \"))
        }",
            )
            .look("idle pair", "/who", "^anna bert$", "^2: anna bert$")
            .look("new pair", "/who", "^anna bert$", "^2: anna bert$"),
    ]
}
