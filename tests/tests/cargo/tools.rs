//! Debuggers and profilers see code that came with an edit.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use liveswap_tests::{LiveProject, LiveRun, Process};

const WORK: &str = "src/work.rs";

/// A variable of the environment that a program was started with.
pub fn start_environment(live: &LiveRun, name: &str) -> String {
    let text = fs::read(format!("/proc/{}/environ", live.pid())).expect("the program is ours");
    text.split(|byte| *byte == 0)
        .map(|variable| String::from_utf8_lossy(variable).into_owned())
        .find_map(|variable| {
            variable
                .strip_prefix(&format!("{name}="))?
                .to_owned()
                .into()
        })
        .unwrap_or_else(|| panic!("the program was started without {name}"))
}

/// The program after an edit that moved `deeper` to where no code was before; the line of its
/// assertion.
fn edited() -> (LiveProject, LiveRun, usize) {
    let project = LiveProject::new("panics");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let text = project
        .read(WORK)
        .replace("// lines", &"// moved down\n".repeat(60))
        .replace("// body", "let added = x + 2222;\n    let _ = added;")
        .replace("\"old {x}\"", "\"new {added}\"")
        .replace("    here\n", "    here.wrapping_add(0)\n");
    project.save(WORK, &text);
    live.swapped();
    let (line, _) = (1..)
        .zip(text.lines())
        .find(|(_, line)| line.contains("assert!(x == 0"))
        .expect("it is there");
    (project, live, line)
}

/// What gdb says when the program is asked to work, stops at the breakpoint, and gdb is given these
/// commands. The program goes on afterwards.
#[track_caller]
fn seen_at(live: &mut LiveRun, breakpoint: &str, commands: &[&str]) -> String {
    let pid = live.pid().to_string();
    let breakpoint = format!("break {breakpoint}");
    let mut gdb = Command::new("gdb");
    gdb.args(["-nx", "-batch", "-p", &pid]);
    for command in [&breakpoint, "echo LISTENING\\n", "continue"]
        .iter()
        .chain(commands)
        .chain(&["delete", "detach", "echo DONE\\n"])
    {
        gdb.args(["-ex", command]);
    }
    let mut gdb = Process::start(&mut gdb);
    gdb.set_deadline(Duration::from_secs(120));
    gdb.lines_until(|line| line.contains("LISTENING"));
    live.send("work");
    let seen = gdb.lines_until(|line| line.contains("DONE")).join("\n");
    assert_eq!(gdb.wait().code(), Some(0), "{seen}");
    assert_eq!(live.line(), "21", "{seen}");
    seen
}

#[test]
fn gdb_stops_in_new_code_and_shows_its_source() {
    let (_project, mut live, line) = edited();
    let seen = seen_at(
        &mut live,
        &format!("work.rs:{line}"),
        &["print added", "backtrace", "list"],
    );
    assert!(seen.contains("$1 = 2222"), "{seen}");
    assert!(seen.contains("panics::work::deeper"), "{seen}");
    assert!(seen.contains("panics::work::fails"), "{seen}");
    assert!(seen.contains("panics::main"), "{seen}");
    assert!(seen.contains("let added = x + 2222;"), "{seen}");
    live.quit();
}

#[test]
fn gdb_stops_at_a_function_by_its_name_after_an_edit() {
    let (_project, mut live, line) = edited();
    let seen = seen_at(
        &mut live,
        "panics::work::deeper",
        &["next", "next", "next", "info source", "info line"],
    );
    assert!(seen.contains(&format!("{line}\t")), "line {line}: {seen}");
    live.quit();
}

#[test]
fn gdb_finds_the_callers_of_every_instruction_of_a_first_call() {
    let (_project, mut live, _) = edited();
    let images = PathBuf::from(start_environment(&live, "LIVESWAP_IMAGES"));
    let nm = Command::new("nm")
        .arg(images.join("slice-0000.gdb"))
        .output()
        .expect("nm can be run");
    let symbols = String::from_utf8_lossy(&nm.stdout).into_owned();
    let stub = symbols
        .lines()
        .find(|line| line.contains("deeper") && line.ends_with(".first"))
        .unwrap_or_else(|| panic!("no stub in {symbols}"));
    let address = stub.split(' ').next().expect("nm gives the address first");
    // Up to the jump to the body.
    let steps = ["backtrace", "stepi"].repeat(6);
    let seen = seen_at(&mut live, &format!("*0x{address}"), &steps);
    assert_eq!(seen.matches("in panics::main").count(), 6, "{seen}");
    assert_eq!(seen.matches("in panics::work::fails").count(), 6, "{seen}");
    live.quit();
}

#[test]
fn an_address_in_new_code_is_found_in_its_file() {
    let (project, mut live, _) = edited();
    let address = live.ask("where");
    let images = PathBuf::from(start_environment(&live, "LIVESWAP_IMAGES"));
    let found: Vec<String> = fs::read_dir(&images)
        .expect("a folder of images")
        .map(|entry| entry.expect("an image").path())
        .filter(|image| image.extension().is_some())
        .map(|image| {
            let image = image.to_str().expect("a plain path");
            project.tool("addr2line", &["-f", "-C", "-e", image, &address])
        })
        .filter(|answer| !answer.starts_with("??"))
        .collect();
    let line = project
        .read(WORK)
        .lines()
        .position(|line| line.contains("asm!("))
        .expect("it is there")
        + 1;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("panics::work::place"), "{found:?}");
    assert!(found[0].contains(&format!("work.rs:{line}")), "{found:?}");
    live.quit();
}
