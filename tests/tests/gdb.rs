//! Debuggers see reloaded code: private copies stay on disk while they are mapped.

use std::process::Command;
use std::time::Duration;

use liveswap_tests::{CModule, CProject, HostOptions, Process};

fn version(number: u32) -> CModule {
    CModule::new("b")
        .proc(
            "version",
            &format!("long answer = {number};\n    return answer + x;"),
        )
        .flags(["-g", "-O0"])
}

#[test]
fn a_breakpoint_stops_in_reloaded_code_and_shows_its_source() {
    let project = CProject::new();
    project.write(&version(1111));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert_eq!(host.call("b", "version", 1), 1112);
    project.write(&version(2222));
    host.reload();
    assert_eq!(host.call("b", "version", 1), 2223);

    let mut program = host.into_process();
    let mut gdb = Process::start(Command::new("gdb").args([
        "-nx",
        "-batch",
        "-p",
        &program.pid().to_string(),
        "-ex",
        "break version_actual",
        "-ex",
        "echo LISTENING\\n",
        "-ex",
        "continue",
        "-ex",
        "next",
        "-ex",
        "print answer",
        "-ex",
        "info symbol $pc",
        "-ex",
        "list",
        "-ex",
        "delete",
        "-ex",
        "detach",
        "-ex",
        "echo DONE\\n",
    ]));
    gdb.set_deadline(Duration::from_secs(120));
    gdb.lines_until(|line| line.contains("LISTENING"));
    program.send(&format!("call 1 version {}", project.path("b").display()));
    let seen = gdb.lines_until(|line| line.contains("DONE")).join("\n");
    assert!(seen.contains("$1 = 2222"), "{seen}");
    assert!(seen.contains("version_actual"), "{seen}");
    assert!(
        seen.contains(".liveswap-"),
        "the private copy has symbols: {seen}"
    );
    assert!(seen.contains("long answer = 2222;"), "{seen}");
    assert_eq!(gdb.wait().code(), Some(0));
    program.send("quit");
    assert_eq!(program.wait().code(), Some(0));
}
