//! The end of a program.

use liveswap_tests::{CModule, CProject, HostOptions};

/// A module with a destructor, as C and C++ libraries have them.
fn b(version: i64) -> CModule {
    CModule::new("b")
        .global("long", "g", "*g = 1;")
        .proc("version", &format!("return {version};"))
        .declare(&format!(
            "__attribute__((destructor)) static void leave(void) {{ fixture_log(\"b {version} leaves\"); }}"
        ))
}

#[test]
fn an_orderly_release_closes_every_image_and_removes_every_copy() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_SHUTDOWN", "release")
        .start(&project);
    project.write(&b(2));
    host.reload().quiet();
    let exit = host.quit();
    assert_eq!(exit.stderr, [""; 0]);
    let mut lines = exit.stdout;
    lines.sort();
    assert_eq!(
        lines,
        ["b 1 leaves", "b 2 leaves"],
        "each destructor ran once"
    );
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn an_orderly_release_leaves_a_program_without_reloads_alone() {
    let project = CProject::new();
    project.write(&b(1));
    let (host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_SHUTDOWN", "release")
        .start(&project);
    let exit = host.quit();
    assert_eq!(exit.stdout, ["b 1 leaves"]);
    assert_eq!(exit.stderr, [""; 0]);
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn code_that_runs_at_exit_finds_its_procs_and_globals() {
    for shutdown in ["", "release"] {
        let project = CProject::new();
        project.write(
            &CModule::new("b")
                .global("long", "g", "*g = 40;")
                .proc("sum", "return x + *g;")
                .declare(
                    "int atexit(void (*)(void));\n\
                     static void at_exit(void) { fixture_log(\"at exit %ld\", sum(2)); }",
                )
                .top_level("atexit(at_exit);"),
        );
        let (host, _) = HostOptions::importing(["b"])
            .env("LIVESWAP_SHUTDOWN", shutdown)
            .start(&project);
        let exit = host.quit();
        assert_eq!(
            exit.stdout,
            ["at exit 42"],
            "LIVESWAP_SHUTDOWN={shutdown:?}"
        );
        assert_eq!(exit.stderr, [""; 0]);
    }
}

#[test]
fn a_normal_exit_says_nothing() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    host.reload().quiet();
    assert_eq!(host.quit().stderr, [""; 0]);
}
