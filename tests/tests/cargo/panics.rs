//! Panics, destructors and backtraces in code that came with an edit.

use liveswap_tests::{LiveProject, LiveRun};

const WORK: &str = "src/work.rs";

/// Number of the only line with this text, from 1.
#[track_caller]
fn line_of(project: &LiveProject, text: &str) -> usize {
    let file = project.read(WORK);
    let mut lines = (1..)
        .zip(file.lines())
        .filter(|(_, line)| line.contains(text));
    let (number, _) = lines.next().unwrap_or_else(|| panic!("no line `{text}`"));
    assert!(lines.next().is_none(), "two lines `{text}`");
    number
}

/// Moves everything down and changes every function on the way of a panic.
fn edit(project: &LiveProject) {
    let text = project
        .read(WORK)
        .replace("// lines", &"// moved down\n".repeat(12))
        .replace("deeper(x) + 1", "deeper(x) + 2")
        .replace("// body", "let _another = Guard;")
        .replace("\"old {x}\"", "\"new {x}\"")
        .replace("{} old", "{} new")
        .replace(
            "force_capture();",
            "force_capture(); // the new one\n    let _more = Guard;",
        )
        .replace("callback();", "callback();\n    callback();");
    project.save(WORK, &text);
}

/// The message on stderr of the panic that comes next, with its backtrace.
fn panic_message(live: &mut LiveRun) -> String {
    let mut lines = live.stderr_until(|line| line.contains("panicked at"));
    let message = lines.pop().unwrap_or_default();
    let trace = live.stderr_until(|line| line.contains("note: Some details are omitted"));
    format!("{message}\n{}", trace.join("\n"))
}

/// Edits the program and has it panic: the message, and the line of the assertion that failed.
#[track_caller]
fn edited_panic(project: &LiveProject, live: &mut LiveRun) -> (String, usize) {
    edit(project);
    live.swapped();
    assert_eq!(live.ask("catch"), "new 7, 3 drops");
    (panic_message(live), line_of(project, "assert!(x == 0"))
}

#[test]
fn panics_in_new_code_unwind_and_say_where_they_are() {
    let project = LiveProject::new("panics");
    let mut live = project.live().env("RUST_BACKTRACE", "1").start();
    assert_eq!(live.line(), "ready");
    // std keeps what it learns of the process at its first backtrace.
    assert_eq!(live.ask("catch"), "old 7, 2 drops");
    let message = panic_message(&mut live);
    assert!(message.contains("panics::work::deeper"), "{message}");

    let (message, asserted) = edited_panic(&project, &mut live);
    for wanted in [
        format!("src/work.rs:{asserted}:5"),
        "panics::work::deeper".to_owned(),
        format!("at ./src/work.rs:{asserted}"),
        "panics::work::fails".to_owned(),
        format!("at ./src/work.rs:{}", line_of(&project, "deeper(x) + 2")),
        "panics::caught".to_owned(),
    ] {
        assert!(message.contains(&wanted), "no `{wanted}` in {message}");
    }
    assert_eq!(live.ask("caught inside"), "true new");
    panic_message(&mut live);
    // New frames below and above old ones.
    assert_eq!(live.ask("callback"), "true 6");
    let message = panic_message(&mut live);
    assert!(message.contains("panics::work::calls"), "{message}");
    assert!(message.contains("panics::calls_back"), "{message}");
    assert_eq!(live.ask("thread"), "true");
    panic_message(&mut live);

    live.send("trace");
    let trace = live.lines_until(|line| line == "end of trace").join("\n");
    let captured = line_of(&project, "// the new one");
    assert!(trace.contains("panics::work::trace"), "{trace}");
    assert!(
        trace.contains(&format!("at ./src/work.rs:{captured}:")),
        "line {captured}: {trace}"
    );
    assert!(trace.contains("panics::main"), "{trace}");
    assert_eq!(live.ask("work"), "22");

    // The next generation says its own lines.
    project.edit(WORK, "\"new {x}\"", "\"newest {x}\"");
    live.swapped();
    project.edit(WORK, "// the new one", "// the new one\n    let _more = 1;");
    live.swapped();
    let caught = live.ask("catch");
    assert!(caught.starts_with("newest 7, "), "{caught}");
    live.quit();
}

#[test]
fn a_first_backtrace_after_an_edit_shows_the_new_code() {
    let project = LiveProject::new("panics");
    project.append("Cargo.toml", "\n[profile.release]\ndebug = 1\n");
    let mut live = project
        .live()
        .arg("--release")
        .env("RUST_BACKTRACE", "1")
        .start();
    assert_eq!(live.line(), "ready");
    let (message, asserted) = edited_panic(&project, &mut live);
    for wanted in [
        "panics::work::deeper",
        "panics::work::fails",
        &format!("at ./src/work.rs:{asserted}"),
    ] {
        assert!(message.contains(wanted), "no `{wanted}` in {message}");
    }
    live.quit();
}

#[test]
fn programs_that_abort_on_panic_can_be_edited() {
    let project = LiveProject::new("panics");
    project.append("Cargo.toml", "\n[profile.dev]\npanic = \"abort\"\n");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("work"), "21");
    edit(&project);
    live.swapped();
    assert_eq!(live.ask("work"), "22");
    live.send("panic");
    let message = live.stderr_until(|line| line.contains("new 3"));
    assert!(
        message
            .iter()
            .any(|line| line.contains("panicked at src/work.rs:")),
        "{message:?}"
    );
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("signal"), 6);
    let exit = live.wait();
    assert_eq!(exit.code(), Some(128 + 6), "{exit:?}");
}
