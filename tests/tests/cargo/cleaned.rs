//! What was built is removed while the program runs.

use std::fs;
use std::process::Command;

use liveswap_tests::live_command::{clean_environment, liveswap_command};
use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";
const LOGIC: &str = "logic/src/lib.rs";

/// A program that keeps a count, and a library that counts; a crate that no edit touches lies beside them.
fn project() -> LiveProject {
    LiveProject::answering(r#""A {}", logic::count()"#).with_library(
        "logic",
        "",
        "use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
static COUNT: AtomicU32 = AtomicU32::new(0);
#[inline(never)]
pub fn count() -> u32 {
    COUNT.fetch_add(1, SeqCst) + 0
}
",
    )
}

/// What a command of the session's project says, if it succeeds.
fn says(project: &LiveProject, command: &str) -> String {
    let mut run = Command::new(liveswap_command());
    clean_environment(&mut run);
    let output = run
        .args(["liveswap", command])
        .current_dir(project.root())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{command}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn cargo_clean_ended_a_session_without_a_word_of_it() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(LOGIC, "+ 0", "+ 10");
    live.swapped();
    assert_eq!(live.ask("show"), "A 10");
    project.cargo(&["clean"]);
    assert!(!project.path("target").exists());
    assert!(says(&project, "status").contains("generation 1"));
    // Nothing changed: what is built is what runs.
    assert_eq!(says(&project, "swap").trim(), "unchanged");
    live.unchanged();
    assert_eq!(live.ask("show"), "A 11");

    fs::remove_dir_all(project.path("target")).expect("it is there again");
    project.edit(MAIN, "A {}", "B {}");
    live.swapped();
    assert_eq!(live.ask("show"), "B 12");
    // From here on as before, also where the executable's objects are needed again.
    project.edit(LOGIC, "+ 10", "+ 20");
    live.swapped();
    assert_eq!(live.ask("show"), "B 23");
    assert!(says(&project, "status").contains("generation 3"));
    lasts(&project, &mut live);
    live.quit();
}

/// Parts of it are removed.
fn lasts(project: &LiveProject, live: &mut LiveRun) {
    let mut text = "B".to_owned();
    for (part, new) in [("debug", "C"), ("stage", "D"), ("debug/deps", "E")] {
        let path = project.path("target/liveswap").join(part);
        fs::remove_dir_all(&path).expect("it is there");
        project.edit(MAIN, &format!("{text} {{}}"), &format!("{new} {{}}"));
        live.swapped();
        assert!(live.ask("show").starts_with(new));
        text = new.to_owned();
    }
}

/// Two sessions in one folder would build over each other.
#[test]
fn a_cleaned_folder_that_another_session_took_is_not_taken_back() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.cargo(&["clean"]);
    let mut second = project.run();
    assert_eq!(second.line(), "ready");
    project.edit(MAIN, "A {}", "B {}");
    second.swapped();
    let refused = live.refused();
    assert_eq!(refused.text("code"), "LS0010");
    let message = refused.text("message");
    assert!(
        message.contains("another session builds there"),
        "{message}"
    );
    assert_eq!(live.ask("show"), "A 0");
    live.quit();
    second.quit();
}
