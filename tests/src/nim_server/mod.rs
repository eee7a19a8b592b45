//! A Nim server of std's asyncdispatch under load that is edited while it answers.
//!
//! Each answer names the version of the code that made it and says whether globals and thread-locals hold what they
//! should. Clients look whether that version was live while they asked. Versions differ in constants, in bodies, in
//! what they use of std (so that modules of std are reloaded as well), and in thread-locals that come and go.

mod clients;
mod versions;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use self::clients::Clients;
use self::versions::Versions;
use crate::nim::{Build, library_path};
use crate::process::Process;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines over asyncnet.
    Lines,
    /// asynchttpserver.
    Http,
}

/// What is done to a server.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which server.
    pub kind: Kind,
    /// How it is compiled.
    pub build: Build,
    /// How many requests all clients make together.
    pub requests: usize,
    /// How many reloads are spread over them.
    pub reloads: usize,
}

/// How many versions are compiled. They take turns.
const VERSIONS: usize = 4;
/// How long the server may need for a reload, or for its end.
const DEADLINE: Duration = Duration::from_secs(120);

/// Runs a server to its end. Hands back how many requests were answered in how much time.
///
/// # Panics
/// When an answer is wrong, none comes, or the server does not end well; with all that it said.
pub fn run(options: &Options) -> (usize, Duration) {
    let folder = tempfile::Builder::new()
        .prefix("liveswap-nim-server-")
        .tempdir()
        .expect("a temporary folder");
    let mut versions = Versions::compile(options, folder.path(), VERSIONS);
    versions.switch(0);
    let mut command = Command::new(versions.program());
    command
        .current_dir(folder.path())
        .env("LD_LIBRARY_PATH", library_path(options.build))
        .env_remove("LIVESWAP_LOG");
    let mut process = Process::start(&mut command);
    process.set_deadline(DEADLINE);
    let begin = Instant::now();
    let line = process.line();
    let port = line
        .strip_prefix("port ")
        .and_then(|port| port.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("the server said {line:?}"));
    let clients = Clients::start(options.kind, port);
    let mut live = 0;
    for reload in 0..options.reloads {
        let due = (reload + 1) * options.requests / (options.reloads + 1);
        if !clients.wait_for(due, DEADLINE) {
            break;
        }
        let mut next = (reload * 7 + 3) % VERSIONS;
        if next == live {
            next = (next + 1) % VERSIONS;
        }
        clients.will_be(next);
        versions.switch(next);
        fs::write(folder.path().join("go"), "").expect("a file can be made");
        let said = process.line();
        assert_eq!(
            said,
            format!("reloaded {next}"),
            "the server's answer to a reload"
        );
        clients.is_live(next);
        live = next;
    }
    clients.wait_for(options.requests, DEADLINE);
    let (answers, complaints) = clients.stop();
    let took = begin.elapsed();
    let exit = process.wait();
    let (stdout, stderr) = (exit.stdout.join("\n"), exit.stderr.join("\n"));
    assert!(
        complaints.is_empty() && exit.code() == Some(0),
        "{options:?}: {answers} answers, the server ended with {}\n{complaints:#?}\n{stdout}\n{stderr}",
        exit.status
    );
    (answers, took)
}
