//! The trace: every step on request, nothing without.

use liveswap_tests::{CModule, CProject, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b")
        .global("long", "g", "")
        .before("")
        .after("")
        .proc("version", &format!("return {version};"))
}

/// All that a program says on standard error at its start, in one reload and at its end.
fn stderr_with(level: Option<&str>) -> Vec<String> {
    let project = CProject::new();
    project.write(&b(1));
    let options = HostOptions::importing(["b"]);
    let options = match level {
        Some(level) => options.env("LIVESWAP_LOG", level),
        None => options,
    };
    let (mut host, start) = options.start(&project);
    project.write(&b(2));
    let reload = host.reload();
    let exit = host.quit();
    [start.stderr, reload.stderr, exit.stderr].concat()
}

#[test]
fn nothing_is_said_without_a_reason() {
    assert_eq!(stderr_with(None), [""; 0]);
}

#[test]
fn nothing_is_said_by_a_level_that_has_nothing_to_say() {
    assert_eq!(stderr_with(Some("error")), [""; 0]);
    assert_eq!(stderr_with(Some("warn")), [""; 0]);
}

#[test]
fn debug_shows_every_step_of_a_reload() {
    let lines = stderr_with(Some("debug"));
    assert!(!lines.is_empty());
    for line in &lines {
        assert!(
            line.starts_with("liveswap: debug: ") || line.starts_with("liveswap: info: "),
            "{line}"
        );
    }
    let text = lines.join("\n");
    assert!(text.contains("/b.so"), "the module: {text}");
    assert!(text.contains(".liveswap-"), "the private copy: {text}");
    assert!(text.contains("Init000"), "the passes: {text}");
    assert!(text.contains("generation"), "the generation: {text}");
    assert!(text.contains("handler"), "the handlers: {text}");
}

#[test]
fn each_level_shows_what_the_one_before_shows_and_more() {
    let counts = ["error", "info", "debug", "trace"].map(|level| stderr_with(Some(level)).len());
    assert!(counts.is_sorted(), "{counts:?}");
    assert!(counts[2] > counts[0], "{counts:?}");
    assert!(counts[3] > counts[2], "{counts:?}");
}

#[test]
fn trace_shows_every_registration() {
    let text = stderr_with(Some("trace")).join("\n");
    assert!(text.contains("version"), "the proc: {text}");
    assert!(text.contains("liveswap: trace: "), "{text}");
}

#[test]
fn an_unknown_level_is_reported() {
    let lines = stderr_with(Some("loud"));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("liveswap: ") && line.contains("LIVESWAP_LOG")),
        "{lines:?}"
    );
}
