//! The agent as a guest: start, end, children, and programs that run alone.

use std::process::Command;

use liveswap_protocol::frame;
use liveswap_protocol::message::ToAgent;
use liveswap_protocol::patch::ThreadLocal;

use crate::harness::{Running, compile, library, program, returns, wait};

#[test]
fn the_library_exports_its_names_and_nothing_else() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only", "--format=just-symbols"])
        .arg(library())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut names: Vec<&str> = text.lines().collect();
    names.sort_unstable();
    let expected = [
        "_Unwind_RaiseException",
        "__jit_debug_descriptor",
        "__jit_debug_register_code",
        "abort",
        "bind",
        "dl_iterate_phdr",
        "execv",
        "execve",
        "execvp",
        "execvpe",
        "fexecve",
        "liveswap_start",
        "pthread_create",
        "unlink",
        "unlinkat",
    ];
    assert_eq!(names, expected);
    let output = Command::new("readelf")
        .arg("-d")
        .arg(library())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("NEEDED") && !text.contains("SONAME"),
        "{text}"
    );
}

#[test]
fn hello_describes_the_process() {
    let running = Running::start();
    let hello = &running.hello;
    assert_eq!(hello.version, liveswap_protocol::VERSION);
    assert_eq!(hello.pid, running.child.id());
    assert_eq!(hello.generation, 0);
    assert_eq!(hello.build_id.len(), 20);
    assert_eq!(hello.range_len, 256 << 20);
    assert!(hello.range_start.is_multiple_of(65536));
    // Below the executable, and not too far.
    assert!(hello.range_start + hello.range_len <= hello.bias);
    assert!(hello.bias - hello.range_start < 1 << 31);
}

#[test]
fn the_start_costs_the_program_less_than_a_millisecond() {
    // The best of some: the machine may be busy.
    let best = (0..20).map(|_| Running::start().facts["start_us"]).min();
    assert!(best.is_some_and(|best| best < 1000), "{best:?}");
}

#[test]
fn children_do_not_inherit_the_variables() {
    let mut running = Running::start();
    assert_eq!(running.ask("environment"), "environment 0 gone");
}

#[test]
fn a_program_without_a_command_runs_alone() {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new(program())
        .env_remove("LIVESWAP_SOCKET")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"call\nstart 2\nvalues\nlist\nfork\n")
        .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..3],
        ["answer 1 third 3 static 5", "started 2", "values -1 -1 -1"]
    );
    assert!(lines[3].starts_with("list slices=0 bad=0 "), "{text}");
    assert_eq!(lines[4], "fork 41");
    assert_eq!(output.stderr, b"");
    assert!(output.status.success());
}

#[test]
fn an_agent_that_is_linked_behind_the_c_library_still_patches() {
    let program = compile("liveswap-agent-behind", &["-fPIE", "-pie", "-l:libc.so.6"]);
    let mut running = Running::start_program(&program);
    assert_eq!(running.ask("start 2"), "started 2");
    let mut patch = running.patch("word_answer", &returns(10));
    running.apply(&patch);
    assert_eq!(running.ask("call"), "answer 10 third 3 static 5");
    // It does not see threads come and go.
    patch = running.patch("word_answer", &returns(11));
    patch.thread_locals = vec![ThreadLocal {
        offset: running.facts["tls_offset"],
        bytes: vec![1; 8],
        pointers: Vec::new(),
    }];
    assert_eq!(running.refused(&patch).0, "LS0108");
    assert_eq!(running.ask("call"), "answer 10 third 3 static 5");
}

#[test]
fn a_command_that_is_not_there_harms_nobody() {
    let output = Command::new(program())
        .env("LIVESWAP_SOCKET", "/nonexistent/agent.sock")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr, b"");
}

#[test]
fn programs_that_end_at_once_do_not_crash() {
    for _ in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let output = Command::new(program())
            .arg("at once")
            .env("LIVESWAP_SOCKET", &path)
            .env("LIVESWAP_IMAGES", folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", output.status);
        assert_eq!(output.stderr, b"");
    }
}

#[test]
fn a_command_that_is_killed_leaves_the_program_running() {
    let mut running = Running::start();
    let patch = running.patch("word_answer", &returns(10));
    running.apply(&patch);
    // In the middle of a message.
    let (socket, mut other) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut half = Vec::new();
    frame::write(&mut half, &ToAgent::Apply(vec![1; 100])).unwrap();
    std::io::Write::write_all(&mut running.socket, &half[..50]).unwrap();
    std::io::Write::write_all(&mut other, b"x").unwrap();
    drop(std::mem::replace(&mut running.socket, socket));
    assert_eq!(running.ask("call"), "answer 10 third 3 static 5");
    assert_eq!(running.ask("start 2"), "started 2");
    assert_eq!(running.ask("values"), "values -1 -1 -1");
    assert!(running.end().success());
}

#[test]
fn what_is_not_a_message_ends_the_conversation_and_nothing_else() {
    let mut running = Running::start();
    std::io::Write::write_all(&mut running.socket, &[0xff; 64]).unwrap();
    let end: std::io::Result<Option<ToAgent>> = frame::read(&mut running.socket);
    assert!(!matches!(end, Ok(Some(_))));
    assert_eq!(running.ask("call"), "answer 1 third 3 static 5");
    assert!(running.end().success());
}

#[test]
fn children_go_on_with_what_is_live() {
    let mut running = Running::start();
    let patch = running.patch("word_answer", &returns(10));
    running.apply(&patch);
    assert_eq!(running.ask("churn 99"), "churning");
    for _ in 0..50 {
        assert_eq!(running.ask("fork"), "fork 50");
    }
    assert_eq!(running.ask("still"), "churned many wrong 0");
    let patch = running.patch("word_answer", &returns(11));
    running.apply(&patch);
    assert_eq!(running.ask("fork"), "fork 51");
    assert!(running.end().success());
}

#[test]
fn a_program_whose_threads_all_end_ends_too() {
    let mut running = Running::start();
    running.tell("leave main");
    assert!(wait(&mut running.child).success());
}

#[test]
fn valgrind_finds_nothing_in_the_agent() {
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--error-exitcode=77", "--leak-check=no"])
        .arg(program());
    let mut running = Running::start_with(command);
    assert_eq!(running.ask("start 8"), "started 8");
    for round in 0..20 {
        let patch = running.patch("word_answer", &returns(round));
        running.apply(&patch);
        assert_eq!(
            running.ask("call"),
            format!("answer {round} third 3 static 5")
        );
    }
    let patch = crate::threads::reads_room(&running, 16, 77);
    running.apply(&patch);
    assert_eq!(running.ask("values"), format!("values{}", " 77".repeat(9)));
    let patch = crate::threads::around(&running);
    running.apply(&patch);
    assert!(running.ask("trace").contains(" main 1 "));
    let ranges = ToAgent::Frames(vec![(running.hello.range_start, 1 << 20)]);
    running.request(&ranges);
    assert_eq!(running.ask("fork"), "fork 59");
    let patch = running.patch("word_answer", &[]);
    running.refused(&patch);
    assert!(running.end().success());
}
