//! What needs a restart is said to, and is not done by halves.

use std::fs;

use liveswap_tests::{LiveProject, LiveRun};

const LOGIC: &str = "logic/src/lib.rs";

/// The fixture `grow`, whose library counts in a static.
fn counting() -> LiveProject {
    let project = LiveProject::new("grow");
    project.edit(
        LOGIC,
        "// items",
        "static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);",
    );
    project.edit(
        LOGIC,
        "format!(\"start {seven}\")",
        "format!(\"{} {seven}\", COUNT.fetch_add(1, std::sync::atomic::Ordering::SeqCst))",
    );
    project
}

/// Whatever the saves before the last one came to, that one is refused.
fn at_last_refused(live: &mut LiveRun, why: &str) {
    loop {
        let event = live.outcome();
        match event.name() {
            "refused" => {
                assert_eq!(event.text("code"), "LS0010");
                assert!(event.text("message").contains(why), "{event}");
                return;
            }
            // Half of it cannot be built.
            "build_failed" => {}
            _ => live.disappoint(&format!("`refused`, not {event}")),
        }
    }
}

#[test]
fn a_crate_that_moves_or_changes_its_types_does_not_start_its_statics_anew() {
    let project = counting();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("answer"), "0 7");
    let manifest = project.read("logic/Cargo.toml");
    project.save(
        "logic/Cargo.toml",
        &format!("{manifest}\n[lib]\ncrate-type = [\"rlib\"]\n"),
    );
    at_last_refused(&mut live, "the crate types of `logic` changed");
    assert_eq!(live.ask("answer"), "1 7");
    project.save("logic/Cargo.toml", &manifest);
    live.unchanged();

    fs::create_dir(project.path("crates")).expect("a folder");
    fs::rename(project.path("logic"), project.path("crates/logic")).expect("it moves");
    let workspace = project.read("Cargo.toml");
    project.save(
        "Cargo.toml",
        &workspace.replace("\"logic\"", "\"crates/logic\""),
    );
    at_last_refused(&mut live, "`logic` moved to another folder");
    assert_eq!(live.ask("answer"), "2 7");

    // Back again, it is the crate that it was.
    fs::rename(project.path("crates/logic"), project.path("logic")).expect("it moves");
    project.save("Cargo.toml", &workspace);
    project.edit(LOGIC, "7_u64", "8_u64");
    let mut outcome = live.outcome();
    while outcome.name() != "swapped" {
        outcome = live.outcome();
    }
    assert_eq!(live.ask("answer"), "3 8");
    live.quit();
}

#[test]
fn a_toolchain_file_that_is_made_while_the_program_runs_waits_for_a_restart() {
    let project = counting();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.save("rust-toolchain.toml", "[toolchain]\nchannel = \"1.0.0\"\n");
    live.held_back("the toolchain is chosen at the start");
    // Edits go live as before.
    project.edit(LOGIC, "7_u64", "8_u64");
    live.swapped();
    assert_eq!(live.ask("answer"), "0 8");
    fs::remove_file(project.path("rust-toolchain.toml")).expect("it is there");
    live.unchanged();
    live.quit();
}
