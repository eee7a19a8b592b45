//! Listening sockets stay open through a restart.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use liveswap_tests::live_command::{clean_environment, liveswap_command};
use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

/// Listens by std at addresses of each kind, and answers each connection with its process id.
const PLAIN: &str = r#"
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let v4 = TcpListener::bind(&arguments[0]).expect("the first address");
    let v6 = TcpListener::bind(&arguments[1]).expect("the second address");
    let any = TcpListener::bind("127.0.0.1:0").expect("any port");
    // As programs do that were killed before.
    let _ = std::fs::remove_file(&arguments[2]);
    let unix = UnixListener::bind(&arguments[2]).expect("the path");
    println!("ready {}", any.local_addr().unwrap().port());
    for listener in [v4, v6, any] {
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = write!(stream.unwrap(), "{}", std::process::id());
            }
        });
    }
    std::thread::spawn(move || {
        for stream in unix.incoming() {
            let _ = write!(stream.unwrap(), "{}", std::process::id());
        }
    });
    for line in std::io::stdin().lines() {
        if line.unwrap() == "quit" { return }
    }
}
"#;

/// Asks again and again, and counts.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    answered: Mutex<u64>,
    is_answered: Condvar,
    /// Accepted by a process that ended before it had answered.
    cut_off: AtomicU64,
    /// What should not happen.
    refused: AtomicU64,
}

impl Load {
    fn run<S: Read>(&self, connect: impl Fn() -> std::io::Result<S>) {
        while !self.over.load(Ordering::Relaxed) {
            let mut stream = match connect() {
                Ok(stream) => stream,
                Err(error) => {
                    // Anything else is the machine's: no more numbers, a signal.
                    let refused = [ErrorKind::ConnectionRefused, ErrorKind::NotFound];
                    assert!(refused.contains(&error.kind()), "{error}");
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
            };
            let mut text = String::new();
            match stream.read_to_string(&mut text) {
                Ok(len) if len > 0 => {
                    *self.answered.lock().expect("nobody panics") += 1;
                    self.is_answered.notify_all();
                }
                _ => {
                    self.cut_off.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// So many more have been answered.
    fn goes_on(&self, more: u64) {
        let answered = self.answered.lock().expect("nobody panics");
        let wanted = *answered + more;
        let patience = Duration::from_secs(60);
        let (answered, timeout) = self
            .is_answered
            .wait_timeout_while(answered, patience, |answered| *answered < wanted)
            .expect("nobody panics");
        assert!(!timeout.timed_out(), "{answered} of {wanted} answers");
    }

    fn answered(&self) -> u64 {
        *self.answered.lock().expect("nobody panics")
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

fn restart(live: &mut LiveRun, project: &LiveProject, target: Option<&Path>) {
    let mut command = Command::new(liveswap_command());
    clean_environment(&mut command);
    if let Some(target) = target {
        command.env("CARGO_TARGET_DIR", target);
    }
    let output = command
        .args(["liveswap", "restart"])
        .current_dir(project.root())
        .output()
        .expect("the command can be run");
    if !output.status.success() {
        live.disappoint(&format!("a restart, not {output:?}"));
    }
}

fn tcp(address: SocketAddr) -> impl Fn() -> std::io::Result<TcpStream> {
    move || TcpStream::connect_timeout(&address, Duration::from_secs(20))
}

struct Plain {
    project: LiveProject,
    live: LiveRun,
    v4: SocketAddr,
    v6: SocketAddr,
    any: SocketAddr,
    unix: PathBuf,
}

fn plain(flags: &[&str]) -> Plain {
    let project = LiveProject::with_main(PLAIN);
    let v4: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let v6: SocketAddr = ([0, 0, 0, 0, 0, 0, 0, 1], free_port()).into();
    let unix = project.path("s");
    let mut live = project
        .live()
        .args(flags)
        .program_arg(&v4.to_string())
        .program_arg(&v6.to_string())
        .program_arg(unix.to_str().expect("a plain path"))
        .start();
    let any = ([127, 0, 0, 1], ready(&mut live)).into();
    Plain {
        project,
        live,
        v4,
        v6,
        any,
        unix,
    }
}

/// The port that the program had any of.
fn ready(live: &mut LiveRun) -> u16 {
    let lines = live.lines_until(|line| line.starts_with("ready "));
    let line = lines.last().expect("it is the last");
    line["ready ".len()..].parse().expect("a port")
}

#[test]
fn twenty_restarts_under_load_refuse_no_connection() {
    let Plain {
        project,
        mut live,
        v4,
        v6,
        unix,
        ..
    } = plain(&[]);
    let load = Load::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load.run(tcp(v4)));
        scope.spawn(|| load.run(tcp(v6)));
        scope.spawn(|| load.run(|| UnixStream::connect(&unix)));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=20 {
                restart(&mut live, &project, None);
                assert_eq!(live.started_again().number("restart"), round);
                ready(&mut live);
                load.goes_on(20);
            }
        }));
        load.over.store(true, Ordering::Relaxed);
        // Nobody has to wait for ever for an answer that does not come.
        for address in [v4, v6] {
            let _ = tcp(address)();
        }
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(load.refused.load(Ordering::Relaxed), 0);
    assert!(load.answered() >= 400);
    // All of them are the new process's, and nobody else's.
    let mut text = String::new();
    let mut stream = tcp(v4)().expect("it listens");
    stream.read_to_string(&mut text).expect("an answer");
    assert_eq!(text, live.pid().to_string());
    live.quit();
    assert_eq!(
        tcp(v4)().map(drop).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    drop(project);
}

#[test]
fn a_program_that_binds_another_address_gets_it_and_the_old_one_is_given_up() {
    let Plain {
        project,
        mut live,
        v4,
        ..
    } = plain(&[]);
    // The same port of all addresses: what was left by the last process stands in its way.
    project.edit(
        MAIN,
        "TcpListener::bind(&arguments[0])",
        "TcpListener::bind(arguments[0].replace(\"127.0.0.1\", \"0.0.0.0\"))",
    );
    restart(&mut live, &project, None);
    live.started_again();
    ready(&mut live);
    let everywhere: SocketAddr = ([127, 0, 0, 2], v4.port()).into();
    for address in [v4, everywhere] {
        let mut text = String::new();
        let mut stream = tcp(address)().expect("it listens");
        stream.read_to_string(&mut text).expect("an answer");
        assert_eq!(text, live.pid().to_string(), "{address}");
    }
    live.quit();
}

#[test]
fn sockets_are_not_kept_if_nobody_wants_that() {
    let Plain {
        project,
        mut live,
        any,
        ..
    } = plain(&["--no-keep-sockets"]);
    restart(&mut live, &project, None);
    live.started_again();
    // The system gives ports in an order of its own; the old one is closed in any case.
    if ready(&mut live) != any.port() {
        let error = tcp(any)().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    live.quit();
}

/// axum, tokio and mio: sockets that do not block and are registered with epoll.
#[test]
fn restarts_of_an_async_server_refuse_no_connection() {
    let project = LiveProject::new("server");
    let target = liveswap_tests::library::target_directory().join("tmp/liveswap-cargo/server");
    let address: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let mut live = project
        .live()
        .keep_dependencies("server")
        .program_arg(&address.to_string())
        .start();
    let port = |live: &mut LiveRun| -> u16 {
        let lines = live.lines_until(|line| line.starts_with("listening on "));
        let line = lines.last().expect("it is the last");
        line["listening on ".len()..].parse().expect("a port")
    };
    assert_eq!(port(&mut live), address.port());
    let ask = || -> std::io::Result<TcpStream> {
        let mut stream = tcp(address)()?;
        // It may have ended by now.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        Ok(stream)
    };
    let load = Load::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load.run(ask));
        scope.spawn(|| load.run(ask));
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=5 {
                restart(&mut live, &project, Some(&target));
                assert_eq!(live.started_again().number("restart"), round);
                assert_eq!(port(&mut live), address.port());
                load.goes_on(50);
            }
        }));
        load.over.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(load.refused.load(Ordering::Relaxed), 0);
    // Edits go live in it as ever.
    project.edit("src/main.rs", "/*version*/ 1", "/*version*/ 2");
    live.swapped();
    let mut text = String::new();
    let mut stream = ask().expect("it listens");
    stream.read_to_string(&mut text).expect("an answer");
    assert!(text.contains("version 2"), "{text}");
    live.send("");
    live.event_named("exited");
    live.wait();
}
