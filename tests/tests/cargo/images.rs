//! Programs that execute themselves, or another program, in their own process.

use liveswap_tests::LiveProject;

const MAIN: &str = "src/main.rs";

/// A program that executes `WHAT` once, with where to connect to as it was given itself.
const PROGRAM: &str = r#"
use std::os::unix::process::CommandExt as _;

fn main() {
    if std::env::var_os("AGAIN").is_none() {
        let given = std::fs::read("/proc/self/environ").unwrap();
        let given = given.split(|byte| *byte == 0).filter_map(|it| std::str::from_utf8(it).ok()?.split_once('='));
        let ours = given.filter(|(name, _)| name.starts_with("LIVESWAP_"));
        let error = std::process::Command::new(WHAT).env("AGAIN", "1").envs(ours).exec();
        panic!("{error}");
    }
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
