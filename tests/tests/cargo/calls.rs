//! The first call of a new body is noticed, and what only the start of the program called is said to wait.

use std::process::Command;

use liveswap_tests::live_command::{clean_environment, liveswap_command};
use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

/// What `init` and `setup` give is used for ever; the others are called when they are asked for.
const PROGRAM: &str = r#"
use std::io::BufRead;

#[inline(never)]
fn init() -> u32 {
    1
}

#[inline(never)]
fn setup() -> u32 {
    10 + init()
}

#[inline(never)]
fn shared() -> u32 {
    100
}

#[inline(never)]
fn direct() -> String {
    format!("direct {}", 1 + shared() - 100)
}

#[inline(never)]
fn by_pointer() -> String {
    "pointer 1".to_owned()
}

trait Answer {
    fn answer(&self) -> String;
}

struct One;

impl Answer for One {
    #[inline(never)]
    fn answer(&self) -> String {
        "object 1".to_owned()
    }
}

#[inline(never)]
fn answer(line: &str, handlers: &[(&str, fn() -> String)], object: &dyn Answer) -> String {
    match line {
        "direct" => direct(),
        "object" => object.answer(),
        line => match handlers.iter().find(|(name, _)| *name == line) {
            Some((_, handler)) => handler(),
            None => format!("? {line}"),
        },
    }
}

#[inline(never)]
fn farewell(count: u32) {
    println!("bye {count}");
}

fn main() {
    let count = setup() + shared();
    let handlers: [(&str, fn() -> String); 1] = [("pointer", by_pointer)];
    println!("ready {count}");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line of text");
        if line == "quit" {
            break;
        }
        println!("{}", answer(&line, &handlers, &One));
    }
    farewell(count);
}
"#;

fn start(project: &LiveProject, arguments: &[&str]) -> LiveRun {
    let mut live = project.live().args(arguments).start();
    assert_eq!(live.line(), "ready 111");
    live
}

/// What `cargo liveswap status` says of the functions of the newest generation.
fn status(project: &LiveProject) -> String {
    let mut run = Command::new(liveswap_command());
    clean_environment(&mut run);
    let output = run
        .args(["liveswap", "status"])
        .current_dir(project.root())
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// An edit of a function that was called at the start only is said to wait.
#[track_caller]
fn assert_waits(live: &mut LiveRun, function: &str) {
    let pending = live.event_named("pending");
    let message = pending.text("message");
    assert!(
        message.contains(&format!(
            "`app::{function}` has not been called since the swap"
        )),
        "{message}"
    );
}

fn calls(arguments: &[&str]) {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = start(&project, arguments);
    assert_eq!(live.ask("direct"), "direct 1");

    // Handlers wait for whoever calls them, which is nothing to say. An event in between would be about them.
    project.edit(MAIN, "direct {}", "directly {}");
    live.swapped();
    project.edit(MAIN, "pointer 1", "pointer 2");
    live.swapped();
    project.edit(MAIN, "object 1", "object 2");
    live.swapped();
    project.edit(MAIN, "bye {count}", "farewell {count}");
    live.swapped();
    // What is called at the start and later as well.
    let text = project.edited(MAIN, "shared() - 100", "shared() - 200");
    project.save(MAIN, &text.replace("    100\n", "    200\n"));
    live.swapped();
    let text = status(&project);
    assert!(text.contains("    app::direct: not called yet\n"), "{text}");
    assert!(text.contains("    app::shared: not called yet\n"), "{text}");
    assert_eq!(live.ask("direct"), "directly 1");
    let text = status(&project);
    assert!(text.contains("    app::direct: called since\n"), "{text}");
    assert!(text.contains("    app::shared: called since\n"), "{text}");
    let called = live.event_named("called");
    assert_eq!(called.number("generation"), live.generation());
    let mut functions = called.texts("functions");
    functions.sort();
    assert_eq!(functions, ["app::direct", "app::shared"]);

    project.edit(MAIN, "10 + init()", "20 + init()");
    live.swapped();
    assert_waits(&mut live, "setup");
    assert_eq!(live.ask("pointer"), "pointer 2");
    assert_eq!(live.ask("object"), "object 2");
    status(&project);
    // Of earlier generations.
    let by_pointer = live.event_named("called");
    assert_eq!(by_pointer.texts("functions"), ["app::by_pointer"]);
    let object = live.event_named("called");
    assert_eq!(
        object.texts("functions"),
        ["<app::One as app::Answer>::answer"]
    );
    assert_eq!(
        object.number("generation"),
        by_pointer.number("generation") + 1
    );
    project.edit(MAIN, "    1\n}", "    2\n}");
    live.swapped();
    assert_waits(&mut live, "init");
    live.quit();
}

#[test]
fn first_calls_are_noticed_and_what_only_the_start_called_waits() {
    calls(&[]);
}

#[test]
fn first_calls_of_optimised_functions_are_noticed() {
    calls(&["--release"]);
}
