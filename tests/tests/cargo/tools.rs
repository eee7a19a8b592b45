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

#[test]
fn gdb_stops_in_new_code_and_shows_its_source() {
    let (_project, mut live, line) = edited();
    let breakpoint = format!("break work.rs:{line}");
    let pid = live.pid().to_string();
    let mut arguments = vec!["-nx", "-batch", "-p", &pid];
    for command in [
        breakpoint.as_str(),
        "echo LISTENING\\n",
        "continue",
        "print added",
        "backtrace",
        "list",
        "delete",
        "detach",
        "echo DONE\\n",
    ] {
        arguments.extend(["-ex", command]);
    }
    let mut gdb = Process::start(Command::new("gdb").args(arguments));
    gdb.set_deadline(Duration::from_secs(120));
    gdb.lines_until(|line| line.contains("LISTENING"));
    live.send("work");
    let seen = gdb.lines_until(|line| line.contains("DONE")).join("\n");
    assert!(seen.contains("$1 = 2222"), "{seen}");
    assert!(seen.contains("panics::work::deeper"), "{seen}");
    assert!(seen.contains("panics::work::fails"), "{seen}");
    assert!(seen.contains("panics::main"), "{seen}");
    assert!(seen.contains("let added = x + 2222;"), "{seen}");
    assert_eq!(gdb.wait().code(), Some(0));
    assert_eq!(live.line(), "21");
    live.quit();
}

#[test]
fn gdb_stops_at_a_function_by_its_name_after_an_edit() {
    let (_project, mut live, line) = edited();
    let pid = live.pid().to_string();
    let mut arguments = vec!["-nx", "-batch", "-p", &pid];
    for command in [
        "break panics::work::deeper",
        "echo LISTENING\\n",
        "continue",
        "next",
        "next",
        "next",
        "info source",
        "info line",
        "delete",
        "detach",
        "echo DONE\\n",
    ] {
        arguments.extend(["-ex", command]);
    }
    let mut gdb = Process::start(Command::new("gdb").args(arguments));
    gdb.set_deadline(Duration::from_secs(120));
    gdb.lines_until(|line| line.contains("LISTENING"));
    live.send("work");
    let seen = gdb.lines_until(|line| line.contains("DONE")).join("\n");
    assert!(seen.contains(&format!("{line}\t")), "line {line}: {seen}");
    assert_eq!(gdb.wait().code(), Some(0));
    assert_eq!(live.line(), "21");
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
