//! Wherever a project lies.

use std::fs;
use std::process::Command;

use liveswap_tests::{LiveProject, LiveRun};

/// A program that shows a number.
fn project() -> LiveProject {
    LiveProject::answering(r#""{}", 1"#)
}

/// Its text with the next number.
fn showing(project: &LiveProject, new: u32) -> String {
    let (old, new) = (format!(", {})", new - 1), format!(", {new})"));
    project.edited("src/main.rs", &old, &new)
}

/// Cargo takes braces in the name of its folder for builds for a template.
#[test]
fn a_brace_in_the_path_of_a_project_ended_the_command() {
    let project = project();
    for folder in ["open { only", "both {workspace-root} of them"] {
        for file in ["Cargo.toml", "src/main.rs"] {
            project.write(&format!("{folder}/{file}"), &project.read(file));
        }
        // Also from where the folder has no name without them.
        let manifest = project.path(folder).join("Cargo.toml");
        let from_elsewhere = project
            .live()
            .arg("--manifest-path")
            .arg(&manifest.display().to_string());
        let main = format!("{folder}/src/main.rs");
        for (run, new) in [
            (from_elsewhere, 2),
            (project.live().cwd(project.path(folder)), 3),
        ] {
            let mut live = run.start();
            assert_eq!(live.line(), "ready");
            project.edit(&main, &format!(", {})", new - 1), &format!(", {new})"));
            live.swapped();
            assert_eq!(live.ask("show"), new.to_string());
            live.quit();
        }
    }
}

/// Saves in all ways, with a new file among them.
fn saves_go_live(project: &LiveProject, live: &mut LiveRun) {
    assert_eq!(live.line(), "ready");
    for new in 2..5 {
        let text = showing(project, new);
        if new % 2 == 0 {
            project.save("src/main.rs", &text);
        } else {
            project.save_in_place("src/main.rs", &text);
        }
        live.swapped();
        assert_eq!(live.ask("show"), new.to_string());
    }
    project.save("src/other/mod.rs", "pub fn number() -> u64 {\n    5\n}\n");
    let text = project.edited("src/main.rs", ", 4)", ", other::number())");
    project.save("src/main.rs", &format!("mod other;\n{text}"));
    // Both at once or one after the other.
    live.at_last_swapped();
    assert_eq!(live.ask("show"), "5");
    project.edit("src/other/mod.rs", "5", "6");
    live.swapped();
    assert_eq!(live.ask("show"), "6");
}

#[test]
fn without_events_of_the_kernel_saves_were_not_seen() {
    let project = project();
    let mut live = project.live().arg("--poll=50").start();
    saves_go_live(&project, &mut live);
    live.quit();
}

/// As in a container or on a network: the file is written elsewhere.
#[test]
fn what_the_host_writes_below_an_overlay_was_not_seen() {
    let project = project();
    let shown = tempfile::tempdir().expect("a folder");
    let changes = tempfile::tempdir().expect("a folder");
    for name in ["upper", "work"] {
        fs::create_dir(changes.path().join(name)).expect("a folder");
    }
    let (below, above) = (project.root().display(), changes.path().display());
    let shown = shown.path().display();
    let mut live = project
        .live()
        .wrapped(|command| {
            // Without a user of its own it would have to be root's.
            let mut outer = Command::new("unshare");
            outer.args(["--map-root-user", "--mount", "sh", "-c"]);
            outer.arg(format!(
                "mount -t overlay overlay -o 'lowerdir={below},upperdir={above}/upper,workdir={above}/work' '{shown}' && cd '{shown}' && exec {command}"
            ));
            outer
        })
        .start();
    live.stderr_until(|line| line.contains("on a file system (overlay)"));
    assert_eq!(live.line(), "ready");
    // In place: of a file that is replaced below, an overlay shows the old one.
    for new in 2..5 {
        let text = showing(&project, new);
        project.save_in_place("src/main.rs", &text);
        live.swapped();
        assert_eq!(live.ask("show"), new.to_string());
    }
    live.quit();
}
