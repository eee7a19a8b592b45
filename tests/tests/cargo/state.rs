//! What a program knows survives every edit of its code.

use liveswap_tests::LiveProject;

const EDITS: u64 = 100;

/// Edits functions around every kind of static and thread-local, in the program and in its library
/// by turns, and sees all of them count on.
fn counts_on_over_100_edits(opt_level: &str) {
    let project = LiveProject::new("state");
    let state = project.read("state.rs");
    project.write("src/state.rs", &state);
    project.write("logic/src/state.rs", &state);
    project.append(
        "Cargo.toml",
        &format!("\n[profile.dev]\nopt-level = {opt_level}\n"),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let mut edited = [1, 1];
    for count in 1..=EDITS {
        let (which, file) = if count % 2 == 0 {
            (0, "src/state.rs")
        } else {
            (1, "logic/src/state.rs")
        };
        edited[which] = count + 1;
        let mut text = state.replace("/*edited*/ 1", &format!("/*edited*/ {}", edited[which]));
        if count > 4 {
            text = text.replace("/*locals*/ 1", &format!("/*locals*/ {}", count + 1));
        }
        if count > EDITS - 2 {
            text = text.replace("/*dropped*/ 1", "/*dropped*/ 100");
        }
        project.save(file, &text);
        live.swapped();
        let expected = |edited| format!("{count} edited={edited} table=111 same");
        assert_eq!(live.ask("app"), expected(edited[0]), "edit {count}");
        assert_eq!(live.ask("logic"), expected(edited[1]), "edit {count}");
        assert_eq!(live.ask("threads"), format!("{count} {count}"));
    }
    // 8 threads with two thread-locals each: their destructors run, and they are the new ones.
    live.send("quit");
    assert_eq!(live.line(), "dropped 1600 1600");
    live.quit();
}

#[test]
fn statics_and_thread_locals_survive_100_edits() {
    counts_on_over_100_edits("0");
}

#[test]
fn statics_and_thread_locals_survive_100_edits_at_optimisation_level_1() {
    counts_on_over_100_edits("1");
}

#[test]
fn statics_and_thread_locals_survive_100_edits_at_optimisation_level_2() {
    counts_on_over_100_edits("2");
}

#[test]
fn statics_and_thread_locals_survive_100_edits_at_optimisation_level_3() {
    counts_on_over_100_edits("3");
}
