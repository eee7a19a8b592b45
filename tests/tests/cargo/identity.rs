//! What stays the same function or static although the compiler gives it another symbol.

use liveswap_tests::LiveProject;

const MAIN: &str = r#"
use std::io::BufRead;

fn main() {
    let app = logic::App { add: 1 };
    let held: fn(u32) -> u32 = logic::free;
    let shapes = logic::shapes();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "quit" => return,
            "go" => println!("{} held={}", app.go(), held(5)),
            _ => println!("{}", shapes.iter().map(|s| s.name()).collect::<Vec<_>>().join(" ")),
        }
    }
}
"#;

const LOGIC: &str = r#"
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

pub struct App {
    pub add: u32,
}

// here

impl App {
    #[inline(never)]
    pub fn go(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        thread_local! {
            static HERE: Cell<u32> = const { Cell::new(10) };
        }
        HERE.set(HERE.get() + 1);
        format!("{} {} {}", COUNT.fetch_add(self.add, Ordering::Relaxed), HERE.get(), self.text())
    }

    #[inline(never)]
    fn text(&self) -> &'static str {
        "one"
    }
}

pub fn free(n: u32) -> u32 {
    n + 1
}

pub trait Shape {
    fn name(&self) -> String {
        String::from("shape")
    }
}

pub struct Round;
pub struct Square;

impl Shape for Round {
    // round
}

impl Shape for Square {
    fn name(&self) -> String {
        String::from("square")
    }
}

pub fn shapes() -> Vec<Box<dyn Shape>> {
    vec![Box::new(Round), Box::new(Square)]
}
"#;

const LIB: &str = "logic/src/lib.rs";

fn project() -> LiveProject {
    let project = LiveProject::with_main(MAIN);
    project.append(
        "Cargo.toml",
        "[dependencies]\nlogic = { path = \"logic\" }\n[workspace]\n",
    );
    project.write(
        "logic/Cargo.toml",
        "[package]\nname = \"logic\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    project.write(LIB, LOGIC);
    project
}

/// The compiler numbers the `impl` blocks of a module: all symbols below the new one were others. Statics
/// were refused as if their type had changed, and under v0 names nothing went live any more.
fn another_impl_block_changes_nothing_else(flags: &str) {
    let project = project();
    let mut live = project.live().env("RUSTFLAGS", flags).start();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("go"), "0 11 one held=6");
    project.edit(
        LIB,
        "// here",
        "impl App { pub fn more(&self) -> u32 { 7 } }",
    );
    live.swapped();
    assert_eq!(live.ask("go"), "1 12 one held=6");
    project.edit(LIB, "\"one\"", "\"two\"");
    live.swapped();
    assert_eq!(live.ask("go"), "2 13 two held=6");
    project.edit(LIB, "\"{} {} {}\"", "\"<{} {} {}>\"");
    live.swapped();
    assert_eq!(live.ask("go"), "<3 14 two> held=6");
    live.quit();
}

#[test]
fn what_stands_below_a_new_impl_block_stays_what_it_is() {
    another_impl_block_changes_nothing_else("");
}

#[test]
fn what_stands_below_a_new_impl_block_stays_what_it_is_under_names_of_version_0() {
    another_impl_block_changes_nothing_else("-C symbol-mangling-version=v0");
}

/// Such a function is compiled in the crates that use it, and was another function there.
#[test]
fn a_pointer_to_a_function_that_becomes_inline_runs_its_new_body() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    // Its symbol is another, for `main` as well.
    project.edit(LIB, "pub fn free", "#[inline]\npub fn free");
    live.held_back("main");
    project.edit(LIB, "n + 1", "n + 100");
    live.swapped();
    assert_eq!(live.ask("go"), "0 11 one held=105");
    project.edit(LIB, "#[inline]\npub fn free", "pub fn free");
    live.swapped_or_held_back();
    live.reason_naming("main");
    project.edit(LIB, "n + 100", "n + 1000");
    live.swapped();
    assert_eq!(live.ask("go"), "1 12 one held=1005");
    live.quit();
}

/// Objects from before went on with the trait's own method, for ever.
#[test]
fn a_method_in_the_place_of_the_traits_own_reaches_objects_from_before() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("shapes"), "shape square");
    let method = "fn name(&self) -> String { String::from(\"round\") }";
    project.edit(LIB, "// round", method);
    live.swapped();
    assert_eq!(live.ask("shapes"), "round square");
    project.edit(LIB, "\"round\"", "\"circle\"");
    live.swapped();
    assert_eq!(live.ask("shapes"), "circle square");
    project.edit(LIB, &method.replace("round", "circle"), "// round");
    live.swapped();
    assert_eq!(live.ask("shapes"), "shape square");
    project.edit(LIB, "\"shape\"", "\"form\"");
    live.swapped();
    assert_eq!(live.ask("shapes"), "form square");
    live.quit();
}

#[test]
fn an_initialiser_that_is_the_first_one_again_is_no_news() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(LIB, "AtomicU32::new(0)", "AtomicU32::new(5)");
    live.held_back("COUNT");
    project.edit(LIB, "AtomicU32::new(5)", "AtomicU32::new(0)");
    live.unchanged();
    live.quit();
}
