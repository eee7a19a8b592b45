//! Crates of the user that are in dynamic libraries: their code is not in the program, and stays as it is.

use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";
const ENGINE: &str = "engine/src/lib.rs";

/// A program that uses `engine`, which counts in a static; `engine` is a dynamic library.
fn project() -> LiveProject {
    LiveProject::answering(r#""A {}", engine::count()"#).with_library(
        "engine",
        "[lib]\ncrate-type = [\"dylib\"]\n",
        "use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
static COUNT: AtomicU32 = AtomicU32::new(0);
pub fn count() -> u32 {
    COUNT.fetch_add(1, SeqCst)
}
",
    )
}

fn refused(live: &mut LiveRun) {
    let refused = live.refused();
    assert_eq!(refused.text("code"), "LS0010");
    let message = refused.text("message");
    assert!(message.contains("in a dynamic library"), "{message}");
}

#[test]
fn an_edit_in_a_dylib_was_ignored_in_silence() {
    let project = project();
    let mut live = project.run();
    live.stderr_until(|line| line.contains("engine: in a dynamic library"));
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("show"), "A 0");
    project.edit(ENGINE, "add(1,", "add(2,");
    refused(&mut live);
    // New code would run beside the old library.
    project.edit(MAIN, "A {}", "B {}");
    refused(&mut live);
    assert_eq!(live.ask("show"), "A 1");
    project.edit(ENGINE, "add(2,", "add(1,");
    live.swapped();
    assert_eq!(live.ask("show"), "B 2");
    live.quit();
}

/// As `bevy_dylib`: a dynamic library around a crate that is none.
#[test]
fn an_edit_beside_a_dylib_gave_what_is_in_it_a_second_copy_of_its_statics() {
    let project = project();
    let wrapper = project
        .read("engine/Cargo.toml")
        .replace("\"engine\"", "\"all\"");
    project.write(
        "all/Cargo.toml",
        &format!("{wrapper}[dependencies]\nengine = {{ path = \"../engine\" }}\n"),
    );
    project.write("all/src/lib.rs", "pub use engine;\n");
    project.write(
        "engine/Cargo.toml",
        &project.edited("engine/Cargo.toml", "[lib]\ncrate-type = [\"dylib\"]\n", ""),
    );
    project.append("Cargo.toml", "all = { path = \"all\" }\n");
    project.append(MAIN, "use all as _;\n");
    let mut live = project.live().spawn();
    assert_eq!(live.started().texts("modules"), ["app"]);
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("show"), "A 0");
    project.edit(MAIN, "A {}", "B {}");
    live.swapped();
    assert_eq!(live.ask("show"), "B 1");
    // After a change of the library was taken back, every edit was refused.
    project.edit(ENGINE, "add(1,", "add(2,");
    refused(&mut live);
    project.edit(ENGINE, "add(2,", "add(1,");
    live.unchanged();
    project.edit(MAIN, "B {}", "C {}");
    live.swapped();
    assert_eq!(live.ask("show"), "C 2");
    live.quit();
}
