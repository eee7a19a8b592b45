//! The run-time under valgrind: no invalid access, no use of undefined memory, and with an orderly
//! release at the end no memory that is lost for certain.

use std::time::Duration;

use liveswap_tests::{CModule, CProject, Exit, Host, HostOptions};

/// valgrind exits with this status when it has found an error, whatever the program's own is.
const ERRORS_FOUND: &str = "99";

fn valgrind(options: HostOptions) -> HostOptions {
    let found = std::process::Command::new("valgrind")
        .arg("--version")
        .output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "this test needs valgrind: install the package `valgrind` (apt-get install valgrind)"
    );
    let exit_code = format!("--error-exitcode={ERRORS_FOUND}");
    options.under([
        "valgrind",
        "--quiet",
        &exit_code,
        "--leak-check=full",
        // What valgrind calls possibly lost is what Rust refers to by an inner pointer: the text of
        // an `Arc<[u8]>`, the control bytes of a hash table.
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
        "--num-callers=40",
    ])
}

/// Starts the program in valgrind, which says its own lines on standard error.
#[track_caller]
fn start(options: HostOptions, project: &CProject) -> Host {
    let (mut host, reply) = valgrind(options).start(project);
    assert_eq!(reply.stderr, [""; 0], "errors at the start");
    host.set_deadline(Duration::from_secs(120));
    host
}

#[track_caller]
fn clean(exit: &Exit) {
    assert_eq!(exit.stderr, [""; 0], "valgrind found errors");
    assert_eq!(exit.code(), Some(0));
}

/// A module with everything: procs, globals of two sizes, handlers, calls into another module.
fn all_kinds(version: usize) -> CModule {
    let length = if version.is_multiple_of(2) { 3 } else { 300 };
    let mut module = CModule::new("b")
        .imports(["c"])
        .uses_proc("c", "twice")
        .global("long", "count", "*count = 0;")
        .global(
            &format!("long[{length}]"),
            "resized",
            &format!("(*resized)[{length} - 1] = 7;"),
        )
        .proc("version", &format!("return c_twice({version}) + ++*count;"))
        .before("fixture_log(\"before %ld\", version(0));")
        .after("fixture_log(\"after %ld\", version(0));")
        .top_level("fixture_log(\"top b\");");
    if version.is_multiple_of(3) {
        module = module
            .global("char[5000]", "passing", "(*passing)[4999] = 1;")
            .proc("passing_value", "return (*passing)[4999];");
    }
    module
}

fn leaf(version: usize) -> CModule {
    CModule::new("c").proc("twice", &format!("return 2 * x + 0 * {version};"))
}

/// A life with everything that a run-time goes through.
fn live(host: &mut Host, project: &CProject) {
    for version in 1..=8 {
        project.write(&all_kinds(version));
        if version.is_multiple_of(2) {
            project.write(&leaf(version));
        }
        // Said on stderr: the global that changes its size in every version.
        let reply = host.reload();
        assert_eq!(reply.stderr.len(), 1, "{reply:?}");
        assert!(reply.stderr[0].contains("it starts anew"), "{reply:?}");
        host.call("b", "version", 0);
        host.command("mark").quiet();
        assert!(!host.has_changed("b"));
        assert!(!host.reload_needed());
    }
    // Refusals of every step that a file can cause.
    project.install_bytes(b"rubbish", "b");
    host.reload();
    project.write(&all_kinds(9).without_export("Init000"));
    host.reload();
    project.write(&all_kinds(9).declare("void nobody(void);").init("nobody();"));
    host.reload();
    project.remove("b");
    host.reload();
    project.write(&all_kinds(11).imports(["new"]));
    project.write(&CModule::new("new").global("long", "g", ""));
    host.reload();
    host.call("b", "version", 0);
    // Modules disappear and return.
    project.write(&CModule::new("b"));
    host.reload().quiet();
    project.write(&all_kinds(12));
    host.reload();
    host.call("b", "version", 0);
    host.about("register-procs 5000", "b").quiet();
}

#[test]
fn a_whole_life_with_an_orderly_release_is_clean_and_loses_no_memory() {
    for keep in ["0", "2", "all"] {
        let project = CProject::new();
        project.write(&all_kinds(0));
        project.write(&leaf(0));
        let options = HostOptions::importing(["b"])
            .env("LIVESWAP_SHUTDOWN", "release")
            .env("LIVESWAP_KEEP_IMAGES", keep);
        let mut host = start(options, &project);
        live(&mut host, &project);
        clean(&host.quit());
        assert_eq!(project.private_copies().len(), 0);
    }
}

#[test]
fn a_whole_life_with_an_ordinary_end_is_clean() {
    let project = CProject::new();
    project.write(&all_kinds(0));
    project.write(&leaf(0));
    let mut host = start(HostOptions::importing(["b"]), &project);
    live(&mut host, &project);
    clean(&host.quit());
}

#[test]
fn reloads_while_other_threads_call_are_clean() {
    let project = CProject::new();
    let b = |version: i64| CModule::new("b").proc("version", &format!("return {version};"));
    project.write(&b(0));
    let options = HostOptions::importing(["b"]).env("LIVESWAP_KEEP_IMAGES", "all");
    let mut host = start(options, &project);
    host.about("callers 3 version", "b");
    for version in 1..=5 {
        project.write(&b(version));
        host.reload().quiet();
        host.command("await-calls 20");
    }
    host.command("stop-callers").quiet();
    clean(&host.quit());
}

#[test]
fn destructors_that_use_removed_globals_are_clean() {
    for keep in ["0", "3"] {
        let project = CProject::new();
        project.write(
            &CModule::new("b")
                .declare(
                    "__attribute__((destructor)) static void leave(void);\n\
                     static long *known;",
                )
                .global("long", "g", "*g = 99;")
                .init("known = g;")
                .declare("static void leave(void) { fixture_log(\"leaves with %ld\", *known); *known = 1; }"),
        );
        let options = HostOptions::importing(["b"])
            .env("LIVESWAP_SHUTDOWN", "release")
            .env("LIVESWAP_KEEP_IMAGES", keep);
        let mut host = start(options, &project);
        project.write(&CModule::new("b"));
        let mut said = host.reload().quiet().lines;
        let exit = host.quit();
        clean(&exit);
        said.extend(exit.stdout);
        said.retain(|line| line.starts_with("leaves"));
        assert_eq!(said, ["leaves with 99"]);
    }
}
