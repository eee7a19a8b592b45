//! Projects as one finds them everywhere, with the crates that everybody uses.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use liveswap_tests::LiveProject;

const LOAD: Duration = Duration::from_secs(30);
const SWAPS: u64 = 20;
const CLIENTS: usize = 4;

/// A connection that stays open.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .expect("a socket");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// The body of the answer, which must be a good one.
    fn get(&mut self, path: &str) -> String {
        write!(
            self.stream.get_mut(),
            "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        .expect("the connection is open");
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("an answer");
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("a header");
            if line == "\r\n" {
                break;
            }
            let header = line.to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole body");
        String::from_utf8(body).expect("text")
    }
}

/// Asks for the page again and again until it is told to stop; the number of answers.
fn load(port: u16, newest: &AtomicU64, stop: &Receiver<()>) -> u64 {
    let mut client = Client::connect(port);
    let mut answers = 0;
    loop {
        let live = newest.load(Ordering::SeqCst);
        let page = client.get("/");
        let version: u64 = page
            .strip_prefix("version ")
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("a page without a version: {page}"));
        assert!(version >= live, "version {version} after {live}");
        answers += 1;
        // A request every millisecond, so that the compiler has a share of the machine as well.
        match stop.recv_timeout(Duration::from_millis(1)) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return answers,
        }
    }
}

#[test]
fn a_server_answers_every_request_over_20_swaps() {
    let project = LiveProject::new("server");
    let mut live = project.live().keep_dependencies("server").start();
    let line = live.line();
    let port: u16 = line
        .strip_prefix("listening on ")
        .and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("no port: {line}"));
    let mut own = Client::connect(port);
    assert_eq!(own.get("/"), "version 1 for guest");
    let newest = std::sync::Arc::new(AtomicU64::new(1));
    let clients: Vec<(Sender<()>, JoinHandle<u64>)> = (0..CLIENTS)
        .map(|_| {
            let (stop, stopped) = channel();
            let newest = std::sync::Arc::clone(&newest);
            let thread = std::thread::spawn(move || load(port, &newest, &stopped));
            (stop, thread)
        })
        .collect();
    let start = Instant::now();
    let mut asked = 1;
    for version in 2..=SWAPS + 1 {
        // The next swap comes when its share of the time of load is over.
        let share = LOAD.mul_f64((version - 1) as f64 / SWAPS as f64);
        project.edit(
            "src/main.rs",
            &format!("/*version*/ {}", version - 1),
            &format!("/*version*/ {version}"),
        );
        live.swapped();
        newest.store(version, Ordering::SeqCst);
        assert_eq!(own.get("/"), format!("version {version} for guest"));
        asked += 1;
        while start.elapsed() < share {
            own.get("/");
            asked += 1;
        }
    }
    for (stop, thread) in clients {
        stop.send(()).expect("the client is at work");
        asked += thread.join().expect("every request was answered");
    }
    assert!(asked > 1000, "{asked}");
    assert_eq!(own.get("/hits"), format!("{asked} hits"));

    // A new route needs a restart, and new code in an old one does not: with what nobody used so far. The
    // sleep is the server's, for tokio's timers: no test waits by it.
    project.edit(
        "src/main.rs",
        "    format!(\"version",
        "    tokio::time::sleep(std::time::Duration::from_millis(1)).await;\n    let _ = tokio::task::spawn_blocking(|| 3).await;\n    format!(\"version",
    );
    live.swapped();
    assert_eq!(own.get("/"), format!("version {} for guest", SWAPS + 1));
    project.edit("src/main.rs", "for {name}", "for dear {name}");
    live.swapped();
    assert_eq!(
        own.get("/?name=anna"),
        format!("version {} for dear anna", SWAPS + 1)
    );
    live.quit();
}

#[test]
fn parallel_loops_and_derived_formats_go_live() {
    let project = LiveProject::new("compute");
    let mut live = project.live().keep_dependencies("compute").start();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("sum"), "499500");
    assert_eq!(live.ask("json"), "{\"name\":\"a\",\"size\":1}");
    project.edit("src/work.rs", "|n| *n)", "|n| *n * 2)");
    live.swapped();
    assert_eq!(live.ask("sum"), "999000");
    // Another combinator, which needs new code of the library itself.
    project.edit(
        "src/work.rs",
        "numbers.par_iter().map(|n| *n * 2).sum()",
        "{\n        let mut copy = numbers.to_vec();\n        copy.par_sort_unstable_by_key(|n| std::cmp::Reverse(*n));\n        copy.par_chunks(10).map(|chunk| chunk[0]).max().unwrap_or(0)\n    }",
    );
    live.swapped();
    assert_eq!(live.ask("sum"), "999");
    project.edit("src/work.rs", "size: 1,", "size: 2,");
    live.swapped();
    assert_eq!(live.ask("json"), "{\"name\":\"a\",\"size\":2}");
    let text = project.read("src/work.rs").replace(
        "serde_json::to_string(&thing)",
        "serde_json::to_string_pretty(&More { thing, rest: vec![Some(1.5), None] })",
    ) + "\n#[derive(Serialize, Deserialize, Debug)]\n#[serde(rename_all = \"UPPERCASE\")]\nstruct More {\n    thing: Thing,\n    rest: Vec<Option<f64>>,\n}\n";
    project.save("src/work.rs", &text);
    live.swapped();
    live.send("json");
    let lines = live.lines_until(|line| line == "}");
    let text = lines.join("");
    assert!(text.contains("\"REST\": [    1.5,    null  ]"), "{text}");
    project.edit(
        "src/work.rs",
        "serde_json::to_string_pretty(&More { thing, rest: vec![Some(1.5), None] })",
        "serde_json::from_str::<More>(&format!(\"{{\\\"THING\\\":{},\\\"REST\\\":[2]}}\", serde_json::to_string(&thing).unwrap())).map(|more| format!(\"{more:?}\"))",
    );
    live.swapped();
    assert_eq!(
        live.ask("json"),
        "More { thing: Thing { name: \"a\", size: 2 }, rest: [Some(2.0)] }"
    );
    live.quit();
}
