//! Pointers that were taken before an edit run the code after it.

use liveswap_tests::LiveProject;

fn kinds(project: &LiveProject) -> Vec<String> {
    project
        .read("src/work.rs")
        .split("/*")
        .skip(1)
        .filter_map(|rest| rest.split_once("*/"))
        .map(|(kind, _)| kind.to_owned())
        .collect()
}

fn run_new_code(opt_level: &str, step: usize) {
    let project = LiveProject::new("pointers");
    project.append(
        "Cargo.toml",
        &format!("\n[profile.dev]\nopt-level = {opt_level}\n"),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let kinds = kinds(&project);
    assert_eq!(kinds.len(), 22);
    let first = live.ask("show");
    assert_eq!(first.split(' ').count(), 21, "{first}");
    assert!(
        first.split(' ').all(|word| word.ends_with("=71")),
        "{first}"
    );

    let mut edited: Vec<&String> = Vec::new();
    for group in kinds.chunks(step) {
        let mut text = project.read("src/work.rs");
        for kind in group {
            // `compare` sorts the other way round from then on, and shows that as 3 - 1.
            text = text.replace(&format!("/*{kind}*/ 1"), &format!("/*{kind}*/ 2"));
            edited.push(kind);
        }
        project.save("src/work.rs", &text);
        live.swapped();
        let shown = live.ask("show");
        for word in shown.split(' ') {
            let (kind, value) = word.split_once('=').expect("name=value");
            let new = edited.iter().any(|edited| *edited == kind);
            let wanted = if new { "72" } else { "71" };
            assert_eq!(value, wanted, "{kind} after {group:?}: {shown}");
        }
    }
    live.send("quit");
    assert_eq!(live.line(), "at exit 72");
    live.quit();
}

#[test]
fn pointers_taken_before_an_edit_run_the_new_code() {
    run_new_code("0", 1);
}

#[test]
fn pointers_taken_before_an_edit_run_the_new_code_in_optimised_builds() {
    run_new_code("3", 6);
}
