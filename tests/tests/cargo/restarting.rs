//! What cannot go live takes effect by a restart: the program is what a fresh run would start, and edits go live again.

use std::fs;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use liveswap_tests::live_command::{clean_environment, liveswap_command};
use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

/// A value of `Kept` lives as long as the program, and another layout of it is refused.
const KEEPER: &str = r#"
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

struct Kept { count: u64 }

static KEPT: Mutex<Kept> = Mutex::new(Kept { count: 0 });
static CALLS: AtomicU64 = AtomicU64::new(0);

fn main() {
    println!("ready {:?} {}", std::env::args().skip(1).collect::<Vec<_>>(), std::process::id());
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "quit" => return,
            "group" => println!("{}", group()),
            name if name.starts_with('$') => println!("{}", std::env::var(&name[1..]).unwrap_or_default()),
            _ => println!("{}", show()),
        }
    }
}

fn group() -> String {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let group = stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap();
    format!("{group} {}", std::env::current_dir().unwrap().display())
}

#[inline(never)]
fn show() -> String {
    let mut kept = KEPT.lock().unwrap();
    kept.count += 1;
    format!("first {} {}", kept.count, CALLS.fetch_add(1, Ordering::SeqCst))
}
"#;

fn ask_for_restart(project: &LiveProject) -> Output {
    let mut command = Command::new(liveswap_command());
    clean_environment(&mut command);
    let output = command
        .args(["liveswap", "restart"])
        .current_dir(project.root())
        .output();
    output.expect("the command can be run")
}

/// Another layout of what is kept.
fn grow(project: &LiveProject) {
    project.edit(MAIN, "struct Kept {", "struct Kept { more: [u64; 4],");
    let text = project.read(MAIN);
    project.save(
        MAIN,
        &text
            .replace("Kept { count: 0 }", "Kept { more: [7; 4], count: 0 }")
            .replace(
                "first {} {}\", kept.count",
                "second {} {} {}\", kept.more[0], kept.count",
            ),
    );
}

/// The save that makes sense at last is refused; half of it may not have compiled.
fn refused_at_last(live: &mut LiveRun) {
    loop {
        let event = live.outcome();
        match event.name() {
            "refused" => return,
            "build_failed" => {}
            _ => live.disappoint(&format!("`refused`, not {event}")),
        }
    }
}

#[test]
fn a_refused_edit_takes_effect_by_a_restart_and_edits_go_live_again() {
    let project = LiveProject::with_main(KEEPER);
    let mut live = project
        .live()
        .program_arg("two words")
        .env("GREETING", "hello")
        .start();
    assert!(live.line().starts_with("ready [\"two words\"]"));
    let group = live.ask("group");
    assert_eq!(live.ask("show"), "first 1 0");
    project.edit(MAIN, "first {}", "one {}");
    live.swapped();
    assert_eq!(live.ask("show"), "one 2 1");
    project.edit(MAIN, "one {}", "first {}");
    live.swapped();
    grow(&project);
    refused_at_last(&mut live);
    live.stderr_until(|line| {
        line.contains("refused") && line.ends_with("`cargo liveswap restart` applies it")
    });
    assert_eq!(live.ask("show"), "first 3 2");

    let first = live.pid();
    let answer = ask_for_restart(&project);
    assert!(answer.status.success(), "{answer:?}");
    live.event_named("restarting");
    let started = live.started_again();
    assert_eq!(started.number("restart"), 1);
    assert_ne!(live.pid(), first);
    assert!(live.line().starts_with("ready [\"two words\"]"));
    assert_eq!(live.ask("group"), group);
    assert_eq!(live.ask("$GREETING"), "hello");
    assert_eq!(live.ask("$LIVESWAP_SOCKET"), "");
    assert_eq!(live.ask("show"), "second 7 1 0");

    // As after any start: generation 1 comes next, what is refused is refused, and the status is that of the new one.
    project.edit(MAIN, "second {}", "third {}");
    assert_eq!(live.swapped().number("generation"), 1);
    assert_eq!(live.ask("show"), "third 7 2 1");
    project.edit(MAIN, "more: [u64; 4],", "more: [u64; 4], most: u8,");
    let text = project.read(MAIN);
    project.save(
        MAIN,
        &text.replace("more: [7; 4],", "more: [7; 4], most: 1,"),
    );
    refused_at_last(&mut live);
    let status = Command::new(liveswap_command())
        .args(["liveswap", "status"])
        .current_dir(project.root())
        .output()
        .expect("the command can be run");
    let status = String::from_utf8(status.stdout).expect("text");
    assert!(status.contains("started again once"), "{status}");
    assert!(
        status.contains("`cargo liveswap restart` applies it"),
        "{status}"
    );
    assert!(ask_for_restart(&project).status.success());
    assert_eq!(live.started_again().number("restart"), 2);
    live.lines_until(|line| line.starts_with("ready"));
    assert_eq!(live.ask("show"), "third 7 1 0");
    live.quit();
}

#[test]
fn a_restart_by_itself_comes_once_for_each_save_that_needs_it() {
    let project = LiveProject::with_main(KEEPER);
    let mut live = project.live().args(&["--restart", "auto"]).start();
    live.line();
    assert_eq!(live.ask("show"), "first 1 0");
    let text = project.read(MAIN);
    project.save(
        MAIN,
        &text
            .replace("struct Kept {", "struct Kept { more: [u64; 4],")
            .replace("Kept { count: 0 }", "Kept { more: [7; 4], count: 0 }")
            .replace(
                "first {} {}\", kept.count",
                "second {} {} {}\", kept.more[0], kept.count",
            ),
    );
    live.refused();
    let restarting = live.event_named("restarting");
    assert!(
        restarting.text("reason").contains("refused"),
        "{restarting}"
    );
    assert_eq!(live.started_again().number("restart"), 1);
    live.lines_until(|line| line.starts_with("ready"));
    assert_eq!(live.ask("show"), "second 7 1 0");
    project.edit(MAIN, "second {}", "third {}");
    assert_eq!(live.swapped().number("generation"), 1);
    assert_eq!(live.ask("show"), "third 7 2 1");
    live.quit();
}

#[test]
fn what_cargo_decides_takes_effect_by_a_restart() {
    let project = LiveProject::with_main(
        &KEEPER
            .replace("first {}", "{} {}")
            .replace("kept.count,", "cfg!(feature = \"extra\"), kept.count,"),
    );
    project.append("Cargo.toml", "\n[features]\nextra = []\n");
    let mut live = project.run();
    live.line();
    assert_eq!(live.ask("show"), "false 1 0");
    project.append("Cargo.toml", "default = [\"extra\"]\n");
    live.refused();
    assert!(ask_for_restart(&project).status.success());
    live.started_again();
    live.lines_until(|line| line.starts_with("ready"));
    assert_eq!(live.ask("show"), "true 1 0");
    project.edit(MAIN, "{} {} {}", "now {} {} {}");
    live.swapped();
    assert_eq!(live.ask("show"), "now true 2 1");
    live.quit();
}

#[test]
fn a_restart_of_what_does_not_compile_leaves_the_program_running() {
    let project = LiveProject::with_main(KEEPER);
    let mut live = project.run();
    live.line();
    project.edit(MAIN, "first {}", "{broken");
    live.build_failed();
    let answer = ask_for_restart(&project);
    assert_eq!(answer.status.code(), Some(1), "{answer:?}");
    live.build_failed();
    assert_eq!(live.ask("show"), "first 1 0");
    project.edit(MAIN, "{broken", "mended {}");
    live.swapped();
    assert_eq!(live.ask("show"), "mended 2 1");
    live.quit();
}

#[test]
fn a_program_that_ignores_its_end_is_killed_after_its_grace() {
    let project = LiveProject::with_main(&KEEPER.replace(
        "    println!(\"ready",
        "    unsafe extern \"C\" { fn signal(number: i32, handler: usize) -> usize; }
    // SAFETY: it is ignored.
    unsafe { signal(15, 1) };
    println!(\"ready",
    ));
    let mut live = project.live().args(&["--grace", "0.2"]).start();
    live.line();
    let before = Instant::now();
    assert!(ask_for_restart(&project).status.success());
    live.started_again();
    assert!(before.elapsed() < Duration::from_secs(20));
    live.lines_until(|line| line.starts_with("ready"));
    assert_eq!(live.ask("show"), "first 1 0");
    live.quit();
}

/// The files of the executable and its objects are others by then, and the folder for images is.
#[test]
fn many_restarts_leave_one_session_and_nothing_else() {
    let project = LiveProject::with_main(KEEPER);
    let mut live = project.run();
    live.line();
    let target = project.path("target/liveswap");
    for round in 0..5 {
        assert_eq!(live.ask("show"), "first 1 0");
        assert!(ask_for_restart(&project).status.success());
        assert_eq!(live.started_again().number("restart"), round + 1);
        live.lines_until(|line| line.starts_with("ready"));
    }
    let images = fs::read_dir(target.join("images")).expect("a folder");
    assert_eq!(images.count(), 1);
    project.edit(MAIN, "first {}", "second {}");
    live.swapped();
    assert_eq!(live.ask("show"), "second 1 0");
    live.quit();
}
