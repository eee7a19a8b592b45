//! Programs that execute themselves, or another program, in their own process.

use liveswap_tests::LiveProject;

const MAIN: &str = "src/main.rs";

/// A program that executes `WHAT` once.
const PROGRAM: &str = r#"
use std::os::unix::process::CommandExt as _;

fn main() {
    if std::env::var_os("AGAIN").is_none() {
        let error = std::process::Command::new(WHAT).env("AGAIN", "1").exec();
        panic!("{error}");
    }
    let seen: Vec<_> = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LIVESWAP_")).collect();
    assert!(seen.is_empty(), "{seen:?}");
    println!("ready");
    for line in std::io::stdin().lines() {
        if line.unwrap() == "quit" { return; }
        println!("{}", show());
    }
}

#[inline(never)]
fn show() -> String {
    format!("A {}", std::process::id())
}
"#;

#[test]
fn edits_of_a_program_that_executed_itself_were_refused_for_ever() {
    let program = PROGRAM.replace("WHAT", "std::env::current_exe().unwrap()");
    let project = LiveProject::with_main(&program);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let pid = live.pid();
    assert_eq!(live.ask("show"), format!("A {pid}"));
    project.edit(MAIN, "A {}", "B {}");
    live.swapped();
    assert_eq!(live.ask("show"), format!("B {pid}"));
    live.quit();
}

#[test]
fn a_program_that_executed_another_one_looked_as_if_edits_went_live() {
    let project = LiveProject::with_main(&PROGRAM.replace("WHAT", "\"cat\""));
    let mut live = project.run();
    assert_eq!(live.ask("echo"), "echo");
    let pending = live.event_named("pending");
    let message = pending.text("message");
    assert!(message.contains("run-time is gone"), "{message}");
    project.edit(MAIN, "A {}", "B {}");
    assert_eq!(live.refused().text("code"), "LS0011");
    live.signal(live.pid(), 15);
    assert_eq!(live.wait().code(), Some(143));
}
