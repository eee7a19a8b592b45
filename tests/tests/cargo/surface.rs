//! What a user configures is respected, and what the user has is left alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use liveswap_tests::LiveProject;
use liveswap_tests::live_command::liveswap_command;

const MAIN: &str = "src/main.rs";

const PROGRAM: &str = r#"
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("ready {arguments:?}");
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        if let Some(code) = line.strip_prefix("exit ") {
            std::process::exit(code.parse().unwrap());
        }
        if line == "quit" {
            return;
        }
        println!("{}", show(&line));
    }
}

#[inline(never)]
fn show(line: &str) -> String {
    match line {
        "number" => 1.to_string(),
        "feature" => cfg!(feature = "extra").to_string(),
        "release" => (!cfg!(debug_assertions)).to_string(),
        "cwd" => std::env::current_dir().unwrap().display().to_string(),
        "exe" => std::env::current_exe().unwrap().display().to_string(),
        "child" => {
            let child = std::process::Command::new("env").output().unwrap();
            let text = String::from_utf8(child.stdout).unwrap();
            text.lines().filter(|line| line.contains("LIVESWAP")).count().to_string()
        }
        "flag" => cfg!(from_config).to_string(),
        name => std::env::var(name).unwrap_or_else(|_| "none".to_owned()),
    }
}
"#;

#[test]
fn flags_arguments_environment_and_exit_code_pass_through() {
    let project = LiveProject::with_main(PROGRAM);
    project.append("Cargo.toml", "\n[features]\nextra = []\n");
    let manifest = project.path("Cargo.toml");
    let elsewhere = LiveProject::empty();
    let mut live = project
        .live()
        .cwd(elsewhere.root().to_path_buf())
        .args(&["--release", "-F", "extra", "--manifest-path"])
        .arg(manifest.to_str().expect("a plain path"))
        .env("GREETING", "hello")
        .program_arg("--events")
        .program_arg("two words")
        .start();
    assert_eq!(live.line(), "ready [\"--events\", \"two words\"]");
    let folder = elsewhere.root().display().to_string();
    for (question, answer) in [
        ("number", "1"),
        ("feature", "true"),
        ("release", "true"),
        ("cwd", folder.as_str()),
        ("GREETING", "hello"),
        ("CARGO_PKG_NAME", "app"),
        ("child", "0"),
    ] {
        assert_eq!(live.ask(question), answer, "{question}");
    }
    project.edit(MAIN, "1.to_string()", "2.to_string()");
    let event = live.swapped();
    assert_eq!(event.modules(), ["app"], "{event}");
    assert_eq!(live.ask("number"), "2");
    assert_eq!(live.ask("feature"), "true");
    let shown = live
        .stderr_until(|line| line.starts_with("liveswap: generation 1"))
        .pop()
        .unwrap_or_default();
    assert!(shown.contains("1 function in app"), "{shown}");
    assert!(shown.contains(" ms (compile "), "{shown}");
    live.send("exit 7");
    assert_eq!(live.event_named("exited").number("code"), 7);
    let exit = live.wait();
    assert_eq!(exit.code(), Some(7));
    assert!(exit.stdout.is_empty(), "{exit:?}");
}

#[test]
fn a_configured_target_folder_linker_wrapper_and_flags_are_used() {
    let project = LiveProject::with_main(PROGRAM);
    let script = |name: &str, text: &str| {
        project.write(name, text);
        let path = project.path(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        path.display().to_string()
    };
    let log = project.path("log.txt").display().to_string();
    let wrapper = script(
        "wrapper.sh",
        &format!("#!/bin/sh\necho \"wrapper $*\" >> '{log}'\nexec \"$@\"\n"),
    );
    let linker = script(
        "linker.sh",
        &format!("#!/bin/sh\necho linker >> '{log}'\nexec cc \"$@\"\n"),
    );
    project.write(
        ".cargo/config.toml",
        &format!(
            "[build]\ntarget-dir = \"made\"\nrustc-wrapper = \"{wrapper}\"\nrustflags = [\"--cfg\", \"from_config\", \"--check-cfg\", \"cfg(from_config)\"]\n
[target.'cfg(target_os = \"linux\")']\nlinker = \"{linker}\"\n
[env]\nFROM_CONFIG = \"yes\"\n"
        ),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready []");
    assert_eq!(live.ask("flag"), "true");
    assert_eq!(live.ask("FROM_CONFIG"), "yes");
    let exe = live.ask("exe");
    let made = project.path("made/liveswap");
    assert!(
        exe.starts_with(made.to_str().expect("a plain path")),
        "{exe}"
    );
    project.edit(MAIN, "1.to_string()", "2.to_string()");
    live.swapped();
    assert_eq!(live.ask("number"), "2");
    assert_eq!(live.ask("flag"), "true");
    live.quit();
    let log = project.read("log.txt");
    assert!(log.contains("linker\n"), "{log}");
    let compiled = log
        .lines()
        .filter(|line| line.starts_with("wrapper ") && line.contains("--crate-name app"))
        .count();
    assert!(compiled >= 2, "first build and edit: {log}");
    assert!(
        !project.path("target").exists(),
        "only the configured folder is used"
    );
}

#[test]
fn plain_cargo_stays_warm_and_untouched() {
    let project = LiveProject::with_main(PROGRAM);
    project.cargo(&["build"]);
    let mut live = project.run();
    assert_eq!(live.line(), "ready []");
    let output = project.cargo(&["build", "-v"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("Fresh app"), "{text}");
    let program = fs::read(project.path("target/debug/app")).expect("it was built");
    let name = b"liveswap_start";
    assert!(
        !program.windows(name.len()).any(|window| window == name),
        "the plain build knows nothing of liveswap"
    );
    // Building beside a running session does not disturb it.
    project.edit(MAIN, "1.to_string()", "2.to_string()");
    project.cargo(&["build"]);
    live.at_last_swapped();
    assert_eq!(live.ask("number"), "2");
    live.quit();

    // A second session starts from what the first one left, and with the newest code.
    let mut live = project.run();
    assert_eq!(live.line(), "ready []");
    assert_eq!(live.ask("number"), "2");
    project.edit(MAIN, "2.to_string()", "3.to_string()");
    live.swapped();
    assert_eq!(live.ask("number"), "3");
    live.quit();
    // Without a change in between, and after one that no session saw.
    project.edit(MAIN, "3.to_string()", "4.to_string()");
    let mut live = project.run();
    assert_eq!(live.line(), "ready []");
    assert_eq!(live.ask("number"), "4");
    project.edit(MAIN, "4.to_string()", "5.to_string()");
    live.swapped();
    assert_eq!(live.ask("number"), "5");
    live.quit();
}

#[test]
fn a_first_build_that_fails_ends_with_cargos_status() {
    let project = LiveProject::with_main("fn main() { nothing }");
    let live = project.live().spawn();
    let exit = live.wait();
    assert_eq!(exit.code(), Some(101), "{exit:?}");
    let text = exit.stderr.join("\n");
    assert!(text.contains("error[E0425]"), "{text}");
    assert!(exit.stdout.is_empty(), "{exit:?}");
}

#[test]
fn wrong_usage_ends_with_status_2_and_help_with_0() {
    let run = |arguments: &[&str]| {
        let output = Command::new(liveswap_command())
            .args(arguments)
            .output()
            .expect("the command starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, text) = run(&["liveswap", "run", "--no-such-flag"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--no-such-flag"), "{text}");
    for command in ["run", "status", "swap", "doctor", "explain"] {
        let (code, text) = run(&["liveswap", command, "--help"]);
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(command), "{text}");
    }
    let (code, text) = run(&["liveswap", "explain", "LS0001"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("layout"), "{text}");
    let (code, text) = run(&["liveswap", "explain", "LS9999"]);
    assert_ne!(code, Some(0), "{text}");
    let (code, text) = run(&["liveswap", "doctor"]);
    assert_eq!(code, Some(0), "this machine has everything: {text}");
}

#[test]
fn status_and_swap_speak_to_the_running_session() {
    let project = LiveProject::with_main(PROGRAM);
    let run = |command: &str| {
        let output = Command::new(liveswap_command())
            .args(["liveswap", command])
            .current_dir(project.root())
            // The session has the project's own folder, wherever this test's is.
            .env_remove("CARGO_TARGET_DIR")
            .output()
            .expect("the command starts");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let mut live = project.run();
    assert_eq!(live.line(), "ready []");
    let (code, text) = run("status");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&live.pid().to_string()), "{text}");
    project.edit(MAIN, "1.to_string()", "2.to_string()");
    live.swapped();
    assert_eq!(live.ask("number"), "2");
    let (code, text) = run("swap");
    assert_eq!(code, Some(0), "nothing is new: {text}");
    let (_, text) = run("status");
    assert!(text.contains("generation 1"), "{text}");
    live.quit();
    let (code, text) = run("status");
    assert!(!text.contains("generation 1"), "{code:?} {text}");
    // It may be another project than the one that was meant.
    let nothing = format!(
        "liveswap: no session runs in {}\n",
        project.root().display()
    );
    assert_eq!(text, nothing);
    assert_eq!(run("swap"), (Some(1), nothing));
}
