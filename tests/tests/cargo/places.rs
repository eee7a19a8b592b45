//! Wherever a project lies.

use liveswap_tests::LiveProject;

const SHOWS: &str = r#"
fn main() {
    println!("ready");
    for line in std::io::stdin().lines() {
        if line.unwrap() == "quit" { return; }
        println!("{}", show());
    }
}

#[inline(never)]
fn show() -> String {
    format!("{}", 1)
}
"#;

/// Cargo takes braces in the name of its folder for builds for a template.
#[test]
fn a_brace_in_the_path_of_a_project_ended_the_command() {
    let project = LiveProject::with_main(SHOWS);
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
