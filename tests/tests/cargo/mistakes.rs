//! What cannot go live is said, with the reason; the program goes on.

use liveswap_tests::LiveProject;

const MAIN: &str = "src/main.rs";

const PROGRAM: &str = r#"
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNTER: AtomicU64 = AtomicU64::new(5);
static WORDS: [&str; 2] = ["one", "two"];

fn main() {
    let greeting = "ready";
    println!("{greeting}");
    run(std::io::stdin().lock());
}

#[inline(never)]
fn run(input: impl BufRead) {
    for line in input.lines() {
        let line = line.expect("a line of text");
        if line == "quit" {
            break;
        }
        println!("{}", answer(&line));
    }
}

#[inline(never)]
fn answer(line: &str) -> String {
    let count = COUNTER.fetch_add(1, Ordering::SeqCst);
    format!("{line} {} {} {count}", number(), WORDS[1])
}

fn number() -> u64 {
    1
}
"#;

#[test]
fn a_compile_error_is_shown_and_the_corrected_save_goes_live() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(MAIN, "    1\n", "    \"one\"\n");
    let failed = live.build_failed();
    let diagnostics = failed.texts("diagnostics").join("\n");
    assert!(
        diagnostics.contains("error[E0308]: mismatched types"),
        "{diagnostics}"
    );
    let line = 1 + project
        .read(MAIN)
        .lines()
        .position(|line| line == "    \"one\"")
        .expect("it is there");
    assert!(
        diagnostics.contains(&format!("src/main.rs:{line}:5")),
        "{diagnostics}"
    );
    assert!(
        !diagnostics.contains('\u{1b}'),
        "without colours: {diagnostics}"
    );
    // As rustc shows it, for the person at the terminal.
    let shown = live
        .stderr_until(|line| line.contains("expected `u64`, found `&str`"))
        .join("\n");
    assert!(shown.contains("mismatched types"), "{shown}");
    assert_eq!(live.ask("a"), "a 1 two 5");
    // A second mistake, of the parser.
    project.edit(MAIN, "    \"one\"\n", "    2 +\n");
    live.build_failed();
    assert_eq!(live.ask("b"), "b 1 two 6");
    project.edit(MAIN, "    2 +\n", "    2\n");
    live.swapped();
    assert_eq!(live.ask("c"), "c 2 two 7");
    // Back to what is live, by way of an error.
    project.edit(MAIN, "    2\n", "    nothing\n");
    live.build_failed();
    project.edit(MAIN, "    nothing\n", "    2\n");
    live.unchanged();
    assert_eq!(live.ask("d"), "d 2 two 8");
    live.quit();
}

#[test]
fn an_error_in_a_library_and_one_in_its_dependent_are_shown_and_mended() {
    let project = LiveProject::new("grow");
    let lib = "logic/src/lib.rs";
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(
        lib,
        "pub fn answer() -> String",
        "pub fn answer(_x: u8) -> String",
    );
    let failed = live.build_failed();
    let diagnostics = failed.texts("diagnostics").join("\n");
    assert!(diagnostics.contains("error[E0061]"), "{diagnostics}");
    assert_eq!(live.ask("answer"), "start 7");
    // The dependent follows: both go live together.
    project.edit(MAIN, "logic::answer()", "logic::answer(1)");
    live.swapped_or_held_back();
    live.reason_naming("main");
    // `main` goes on in its old body, which calls what there was.
    assert_eq!(live.ask("answer"), "start 7");
    assert_eq!(live.ask("new thread"), "nothing");
    live.quit();
}

#[test]
fn a_main_that_never_returns_is_named() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(
        MAIN,
        "let greeting = \"ready\"",
        "let greeting = \"good morning\"",
    );
    live.held_back("main");
    assert_eq!(live.ask("a"), "a 1 two 5");
    // What else is in the save goes live, and the rest is named all the same.
    let text = project.edited(MAIN, "good morning", "good evening");
    project.save(MAIN, &text.replace("    1\n", "    2\n"));
    live.swapped();
    assert_eq!(live.ask("b"), "b 2 two 6");
    live.reason_naming("main");
    live.quit();
}

#[test]
fn a_function_that_goes_on_in_its_old_body_is_named() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(
        MAIN,
        "println!(\"{}\", answer(&line));",
        "println!(\"new {}\", answer(&line));",
    );
    live.swapped_or_held_back();
    live.reason_naming("run");
    assert_eq!(live.ask("a"), "a 1 two 5");
    live.quit();
}

#[test]
fn code_that_became_a_part_of_main_is_named() {
    let program = PROGRAM.replace("#[inline(never)]\nfn run", "#[inline(always)]\nfn run");
    let program = program.replace(
        "#[inline(never)]\nfn answer",
        "#[inline(always)]\nfn answer",
    );
    let project = LiveProject::with_main(&program);
    let mut live = project.live().arg("--release").start();
    assert_eq!(live.line(), "ready");
    project.edit(MAIN, "{line} {}", "new {line} {}");
    live.swapped_or_held_back();
    let shown = live.ask("a");
    if !shown.starts_with("new ") {
        live.reason_naming("main");
    }
    live.quit();
}

#[test]
fn the_initialiser_of_a_living_static_is_named() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(MAIN, "AtomicU64::new(5)", "AtomicU64::new(50)");
    live.held_back("COUNTER");
    assert_eq!(live.ask("a"), "a 1 two 5");
    let text = project.edited(MAIN, "AtomicU64::new(50)", "AtomicU64::new(500)");
    project.save(MAIN, &text.replace("    1\n", "    2\n"));
    live.swapped_or_held_back();
    live.reason_naming("COUNTER");
    assert_eq!(live.ask("b").split(' ').next_back(), Some("6"));
    live.quit();
}

#[test]
fn a_new_function_that_only_runs_at_the_start_is_named() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.append(
        MAIN,
        "#[used]\n#[unsafe(link_section = \".init_array\")]\nstatic AT_START: extern \"C\" fn() = at_start;\n\
         extern \"C\" fn at_start() {\n    COUNTER.store(100, std::sync::atomic::Ordering::Relaxed);\n}\n",
    );
    live.swapped_or_held_back();
    live.reason_naming(".init_array");
    assert_eq!(live.ask("a"), "a 1 two 5");
    live.quit();
}

#[test]
fn a_constant_table_is_new_everywhere_or_named() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(MAIN, "[\"one\", \"two\"]", "[\"eins\", \"zwei\"]");
    live.swapped_or_held_back();
    if live.ask("a") != "a 1 zwei 5" {
        live.reason_naming("WORDS");
    }
    live.quit();
}

#[test]
fn a_changed_profile_feature_set_or_build_script_waits_for_a_restart() {
    let program = PROGRAM
        .replace("{line} {} {} {count}", "{line} {} {} {count} {}")
        .replace("WORDS[1])", "WORDS[1], env!(\"MADE\"))");
    let project = LiveProject::with_main(&program);
    project.write(
        "build.rs",
        "fn main() { println!(\"cargo::rerun-if-changed=input.txt\"); println!(\"cargo::rustc-env=MADE=1\"); }\n",
    );
    project.write("input.txt", "1");
    project.append("Cargo.toml", "\n[features]\nmore = []\n");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let manifest = project.read("Cargo.toml");
    project.save(
        "Cargo.toml",
        &format!("{manifest}\n[profile.dev]\nopt-level = 1\n"),
    );
    live.held_back("opt-level");
    assert_eq!(live.ask("a"), "a 1 two 5 1");
    project.save("Cargo.toml", &manifest);
    live.outcome();
    let featured = manifest.replace("more = []", "more = []\ndefault = [\"more\"]");
    project.save("Cargo.toml", &featured);
    live.held_back("more");
    project.save("Cargo.toml", &manifest);
    live.outcome();
    project.edit("build.rs", "MADE=1", "MADE=2");
    live.swapped_or_held_back();
    if live.ask("b") != "b 1 two 6 2" {
        live.reason_naming("build");
    }
    project.edit("build.rs", "MADE=2", "MADE=1");
    live.outcome();
    // Ordinary edits go live again.
    project.edit(MAIN, "    1\n", "    2\n");
    live.swapped();
    assert_eq!(live.ask("c"), "c 2 two 7 1");
    live.quit();
}

/// The tables of trait objects from before have nothing to call.
#[test]
fn a_new_drop_of_values_behind_trait_objects_is_named() {
    let project = LiveProject::with_main(
        r#"
use std::any::Any;
use std::io::BufRead;

struct Value(u32);

// here

#[inline(never)]
fn make() -> Box<dyn Any> {
    Box::new(Value(1))
}

fn main() {
    let mut held = make();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "quit" {
            return;
        }
        held = make();
        println!("{}", held.downcast_ref::<Value>().unwrap().0);
    }
    drop(held);
}
"#,
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("make"), "1");
    project.edit(
        MAIN,
        "// here",
        "impl Drop for Value {\n    fn drop(&mut self) {\n        println!(\"dropped {}\", self.0);\n    }\n}",
    );
    live.swapped_or_held_back();
    live.reason_naming("app::Value");
    // This one drops the last one from before.
    assert_eq!(live.ask("make"), "1");
    assert_eq!(live.ask("make"), "dropped 1");
    assert_eq!(live.line(), "1");
    live.quit();
}
