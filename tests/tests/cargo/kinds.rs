//! Functions of every kind go live, wherever in a project they stand.

use std::collections::BTreeMap;

use liveswap_tests::{LiveProject, LiveRun};

/// Every crate of the fixture `everything`: name, its sources, and a function of another crate that
/// takes its closures.
const CRATES: [(&str, &str, &str); 5] = [
    ("app", "workspace/app/src/kinds.rs", "logic::apply"),
    ("logic", "workspace/logic/src/kinds.rs", "deep::apply"),
    ("deep", "workspace/deep/src/kinds.rs", "crate::apply"),
    ("both", "workspace/both/src/kinds.rs", "crate::apply"),
    ("outside", "outside/src/kinds.rs", "crate::apply"),
];

/// The program's commands, and the crate whose functions each shows. `far` shows the copies that
/// another crate has: generic, inlined, constants, macros.
const SHOWN: [(&str, &str); 10] = [
    ("app", "app"),
    ("logic", "logic"),
    ("deep", "deep"),
    ("both", "both"),
    ("outside", "outside"),
    ("far logic", "logic"),
    ("far deep", "deep"),
    ("far both", "both"),
    ("far outside", "outside"),
    ("far deep in logic", "deep"),
];

fn everything() -> LiveProject {
    let project = LiveProject::new("everything");
    let kinds = project.read("kinds.rs");
    for (name, file, apply) in CRATES {
        project.write(file, &kinds.replace("CRATE", name).replace("APPLY", apply));
    }
    project
}

fn file_of(name: &str) -> &'static str {
    CRATES
        .iter()
        .find(|of| of.0 == name)
        .map(|of| of.1)
        .expect("a crate of the fixture")
}

/// The names of all kinds, in the order of the file.
fn kinds(project: &LiveProject) -> Vec<String> {
    let text = project.read("kinds.rs");
    let mut kinds: Vec<String> = text
        .split("/*")
        .skip(1)
        .filter_map(|rest| rest.split_once("*/"))
        .map(|(kind, _)| kind.to_owned())
        .collect();
    kinds.dedup();
    assert!(kinds.len() > 40, "{kinds:?}");
    kinds
}

/// What the numbers behind the names are now.
struct Versions {
    of: BTreeMap<(&'static str, String), u32>,
}

impl Versions {
    fn new() -> Self {
        Self {
            of: BTreeMap::new(),
        }
    }

    fn get(&self, name: &'static str, kind: &str) -> u32 {
        *self.of.get(&(name, kind.to_owned())).unwrap_or(&1)
    }

    /// Raises the numbers of some kinds of one crate, in one save.
    #[track_caller]
    fn edit(&mut self, project: &LiveProject, name: &'static str, kinds: &[String]) {
        let file = file_of(name);
        let mut text = project.read(file);
        for kind in kinds {
            let old = self.get(name, kind);
            let new = old + 1;
            let at = [
                (format!("/*{kind}*/ {old}"), format!("/*{kind}*/ {new}")),
                (format!("/*{kind}*/ \"{old}"), format!("/*{kind}*/ \"{new}")),
            ];
            let (from, to) = at
                .iter()
                .find(|(from, _)| text.contains(from))
                .unwrap_or_else(|| panic!("{kind} is not in {file}"));
            text = text.replacen(from, to, 1);
            self.of.insert((name, kind.clone()), new);
        }
        project.save(file, &text);
    }

    /// Asks the program for all values that one command shows.
    #[track_caller]
    fn check(&self, live: &mut LiveRun, command: &str, name: &'static str, after: &str) {
        let answer = live.ask(command);
        let words: Vec<&str> = answer.split(' ').collect();
        assert!(words.len() > 10, "{answer}");
        let wrong: Vec<String> = words
            .iter()
            .filter_map(|word| {
                let (kind, value) = word.split_once('=').expect("name=value");
                let wanted = format!("7{}", self.get(name, kind));
                (value != wanted).then(|| format!("{kind} is {value}, not {wanted}"))
            })
            .collect();
        if !wrong.is_empty() {
            live.disappoint(&format!(
                "other values of `{command}` after {after}: {wrong:?}"
            ));
        }
    }

    #[track_caller]
    fn check_all(&self, live: &mut LiveRun, after: &str) {
        for (command, name) in SHOWN {
            self.check(live, command, name, after);
        }
    }
}

/// Groups that each have kinds of all sorts.
fn groups(kinds: &[String], count: usize) -> Vec<Vec<String>> {
    (0..count)
        .map(|group| {
            kinds
                .iter()
                .skip(group)
                .step_by(count)
                .cloned()
                .collect::<Vec<String>>()
        })
        .collect()
}

fn edit_every_kind_in_every_crate(opt_level: &str, groups_per_crate: usize) {
    let project = everything();
    let kinds = kinds(&project);
    project.append(
        "workspace/Cargo.toml",
        &format!("\n[profile.dev]\nopt-level = {opt_level}\n"),
    );
    let mut live = project.live().cwd(project.path("workspace")).start();
    assert_eq!(live.line(), "ready");
    let mut versions = Versions::new();
    versions.check_all(&mut live, "the start");
    for (name, _, _) in CRATES {
        for group in groups(&kinds, groups_per_crate) {
            versions.edit(&project, name, &group);
            let event = live.swapped();
            assert!(event.modules().contains(&name), "{event}");
            versions.check_all(&mut live, &format!("an edit of {group:?} in {name}"));
        }
    }
    live.quit();
}

#[test]
fn every_kind_of_function_goes_live_in_every_crate() {
    edit_every_kind_in_every_crate("0", 4);
}

#[test]
fn every_kind_of_function_goes_live_at_optimisation_level_1() {
    edit_every_kind_in_every_crate("1", 3);
}

#[test]
fn every_kind_of_function_goes_live_at_optimisation_level_2() {
    edit_every_kind_in_every_crate("2", 3);
}

#[test]
fn every_kind_of_function_goes_live_at_optimisation_level_3() {
    edit_every_kind_in_every_crate("3", 3);
}

#[test]
fn each_kind_goes_live_when_it_alone_is_edited() {
    let project = everything();
    let mut live = project.live().cwd(project.path("workspace")).start();
    assert_eq!(live.line(), "ready");
    let mut versions = Versions::new();
    for kind in kinds(&project) {
        // In the binary, and where only other crates' copies show it.
        let name = if kind == "macro_far" { "deep" } else { "app" };
        versions.edit(&project, name, std::slice::from_ref(&kind));
        live.swapped();
        let after = format!("an edit of {kind} alone");
        versions.check(&mut live, "app", "app", &after);
        versions.check(&mut live, "far deep", "deep", &after);
    }
    live.quit();
}

#[test]
fn what_other_crates_have_copies_of_goes_live_when_it_alone_is_edited() {
    let project = everything();
    let mut live = project.live().cwd(project.path("workspace")).start();
    assert_eq!(live.line(), "ready");
    let mut versions = Versions::new();
    let copied = [
        "constant",
        "const_fn",
        "generic",
        "inline_always",
        "macro_far",
        "free",
        "returned_closure",
        "async_fn",
    ];
    for kind in copied {
        versions.edit(&project, "deep", &[kind.to_owned()]);
        live.swapped();
        versions.check_all(&mut live, &format!("an edit of {kind} alone in deep"));
    }
    live.quit();
}

#[test]
fn other_programs_of_a_workspace_and_an_example_go_live() {
    let project = everything();
    let workspace = || project.live().cwd(project.path("workspace"));
    let mut versions = Versions::new();

    let mut live = workspace().args(&["-p", "app", "--bin", "second"]).start();
    assert_eq!(live.line(), "ready");
    versions.edit(&project, "app", &["free".to_owned()]);
    live.swapped();
    versions.check(&mut live, "kinds", "app", "an edit in the second program");
    live.quit();

    let mut live = workspace().args(&["-p", "both", "--bin", "both"]).start();
    assert_eq!(live.line(), "ready");
    versions.edit(&project, "both", &["private".to_owned()]);
    live.swapped();
    versions.check(&mut live, "kinds", "both", "an edit beside the program");
    project.edit("workspace/both/src/main.rs", "/*own*/ 1", "/*own*/ 2");
    live.swapped();
    assert_eq!(live.ask("own"), "72");
    live.quit();

    let mut live = workspace()
        .args(&["-p", "both", "--example", "show"])
        .start();
    assert_eq!(live.line(), "ready");
    project.edit("workspace/both/examples/show.rs", "/*own*/ 1", "/*own*/ 3");
    live.swapped();
    assert_eq!(live.ask("own"), "73");
    versions.edit(&project, "both", &["generic".to_owned()]);
    live.swapped();
    versions.check(&mut live, "kinds", "both", "an edit beside the example");
    live.quit();
}
