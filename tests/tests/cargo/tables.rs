//! Statics that nobody can write to: another initialiser goes live, wherever they are used.

use liveswap_tests::LiveProject;

const MAIN: &str = r#"
use std::io::BufRead;

mod show;

fn main() {
    let held: &'static [u32] = &logic::NUMBERS;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "quit" {
            return;
        }
        println!("{} held={}", show::show(), held[1]);
    }
}
"#;

const SHOW: &str = r#"
pub fn show() -> String {
    format!("{} {} {} {}", logic::NUMBERS[1], logic::sum(), logic::generic::<u8>(), logic::inner::all())
}
"#;

const LOGIC: &str = r#"
pub mod inner;

pub static NUMBERS: [u32; 3] = [1, 2, 3];
pub(crate) static TABLES: &[(&str, &[u32])] = &[("numbers", &NUMBERS)];

pub fn sum() -> u32 {
    NUMBERS.iter().sum()
}

pub fn generic<T: Default + std::fmt::Debug>() -> String {
    format!("{:?}{}", T::default(), NUMBERS[2])
}
"#;

const INNER: &str = r#"
pub fn all() -> String {
    format!("{:?}", super::TABLES)
}
"#;

/// One edit of a table in the library; who uses it is in the same file, in another module, in a generic
/// function of another crate, in another crate, and behind another table.
fn tables_go_live(settings: &str) {
    let project = LiveProject::with_main(MAIN);
    project.append(
        "Cargo.toml",
        &format!("[dependencies]\nlogic = {{ path = \"logic\" }}\n{settings}"),
    );
    project.write(
        "logic/Cargo.toml",
        "[package]\nname = \"logic\"\nversion = \"0.1.0\"\nedition = \"2024\"\n",
    );
    project.write("src/show.rs", SHOW);
    project.write("logic/src/lib.rs", LOGIC);
    project.write("logic/src/inner.rs", INNER);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let first = "2 6 03 [(\"numbers\", [1, 2, 3])] held=2";
    assert_eq!(live.ask("show"), first);
    project.save(
        "logic/src/lib.rs",
        &LOGIC.replace("[1, 2, 3]", "[1, 20, 30]"),
    );
    live.swapped();
    // Who holds the old table holds the old table.
    let second = "20 51 030 [(\"numbers\", [1, 20, 30])] held=2";
    assert_eq!(live.ask("show"), second);
    let longer = LOGIC.replace("[u32; 3] = [1, 2, 3]", "[u32; 4] = [1, 200, 300, 4000]");
    project.save("logic/src/lib.rs", &longer);
    live.swapped();
    assert_eq!(
        live.ask("show"),
        "200 4501 0300 [(\"numbers\", [1, 200, 300, 4000])] held=2"
    );
    project.save("logic/src/lib.rs", LOGIC);
    live.swapped();
    assert_eq!(live.ask("show"), first);
    live.quit();
}

#[test]
fn a_table_that_changed_is_used_by_all_who_used_the_old_one() {
    tables_go_live("");
}

#[test]
fn a_table_that_changed_is_used_by_all_in_optimised_code() {
    tables_go_live("[profile.dev]\nopt-level = 3\n");
}

const LOGGING: &str = r#"
use std::io::BufRead;

fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .without_time()
        .with_ansi(false)
        .init();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        if line == "quit" {
            return;
        }
        step(&line);
    }
}

#[inline(never)]
fn step(line: &str) {
    let length = line.len();
    tracing::warn!(length, twice = 2 * length, "step");
    println!("end");
}
"#;

fn logs_go_live(settings: &str) {
    let project = LiveProject::with_main(LOGGING);
    project.append(
        "Cargo.toml",
        &format!(
            "[dependencies]\ntracing = \"0.1\"\n\
             tracing-subscriber = {{ version = \"0.3\", default-features = false, features = [\"fmt\"] }}\n{settings}"
        ),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    live.send("abc");
    let logged = |live: &mut liveswap_tests::LiveRun| {
        let lines = live.lines_until(|line| line == "end");
        lines[..lines.len() - 1].join("\n")
    };
    assert_eq!(logged(&mut live), " WARN app: step length=3 twice=6");
    let edits = [
        (
            "    let length",
            "    tracing::error!(a = 1, b = 2, c = 3, \"before\");\n    let length",
            "ERROR app: before a=1 b=2 c=3\n WARN app: step length=3 twice=6",
        ),
        (
            "warn!(length, twice",
            "info!(length, more = \"!\", twice",
            "ERROR app: before a=1 b=2 c=3\n INFO app: step length=3 more=\"!\" twice=6",
        ),
        (
            "    println!(\"end\");",
            "    tracing::info_span!(\"outer\", line).in_scope(|| tracing::warn!(\"within\"));\n    println!(\"end\");",
            "ERROR app: before a=1 b=2 c=3\n INFO app: step length=3 more=\"!\" twice=6\n WARN outer{line=\"abc\"}: app: within",
        ),
        (
            "    tracing::error!(a = 1, b = 2, c = 3, \"before\");\n",
            "",
            " INFO app: step length=3 more=\"!\" twice=6\n WARN outer{line=\"abc\"}: app: within",
        ),
    ];
    for (from, to, expected) in edits {
        project.edit("src/main.rs", from, to);
        live.swapped();
        live.send("abc");
        assert_eq!(logged(&mut live), expected);
    }
    project.edit(
        "src/main.rs",
        "#[inline(never)]",
        "// A line more.\n#[inline(never)]",
    );
    live.unchanged();
    live.quit();
}

/// A log line before another one made the old one panic: it had the description of the new one.
#[test]
fn log_lines_of_tracing_come_go_and_change() {
    logs_go_live("");
}

#[test]
fn log_lines_of_tracing_come_go_and_change_in_optimised_code() {
    logs_go_live("[profile.dev]\nopt-level = 2\n");
}
