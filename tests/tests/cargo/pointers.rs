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

/// rustc's older symbol names have a hash of the signature, which counts the unnamed lifetimes of the
/// body as well: a closure with a reference for a parameter gives the function around it another name.
#[test]
fn functions_whose_symbols_change_with_their_bodies_stay_the_same_functions() {
    let project = LiveProject::with_main(
        r#"
struct Words(u64);

impl Words {
    fn method(&self, line: &str) -> String {
        // method
        format!("{line} {} 1", self.0)
    }
}

fn work(line: &str) -> String {
    // work
    format!("{line} 1")
}

fn main() {
    let pointer: fn(&str) -> String = work;
    let words = Words(5);
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        if line == "quit" {
            return;
        }
        println!("{} {} {}", work(&line), pointer(&line), words.method(&line));
    }
}
"#,
    );
    let main = "src/main.rs";
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("a"), "a 1 a 1 a 5 1");
    let text = project
        .read(main)
        .replace(
            "// work",
            "let line = [line].iter().map(|word: &&str| word.len()).sum::<usize>();",
        )
        .replace(
            "// method",
            "let line: &dyn Fn(&str) -> usize = &|word| word.len(); let line = line(\"four\");",
        );
    project.save(main, &text);
    live.swapped();
    assert_eq!(live.ask("a"), "1 1 1 1 4 5 1");
    project.edit(main, "{line} 1\")\n}", "{line} 2\")\n}");
    live.swapped();
    assert_eq!(live.ask("b"), "1 2 1 2 4 5 1");
    live.quit();
}
