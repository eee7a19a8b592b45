//! Threads: what may happen at the same time as a reload.

use liveswap_tests::{CModule, CProject, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

#[test]
fn eight_threads_call_and_ask_during_200_reloads() {
    const VARIANTS: i64 = 8;
    let project = CProject::new();
    // The version comes from a global that the test raises, so that eight libraries are enough. The
    // proc asks for it itself: it may be called before Init of its new code has run.
    let module = |variant: i64| {
        CModule::new("b")
            .global("long", "version_now", "*version_now = 0;")
            .proc(
                "version",
                &format!("return *(long *)hcrGetGlobal(MODULE, \"version_now\") + 0 * {variant};"),
            )
    };
    let libraries: Vec<_> = (0..VARIANTS)
        .map(|variant| project.compile(&module(variant)))
        .collect();
    std::fs::copy(&libraries[0], project.path("b")).expect("a copy");
    let (mut host, _) = HostOptions::importing(["b"])
        // A caller may be inside of any version's code when it loses the processor.
        .env("LIVESWAP_KEEP_IMAGES", "all")
        .start(&project);
    host.about("callers 8 version", "b");
    for (reload, library) in (1..=200).zip(libraries.iter().cycle()) {
        let fresh = project.scratch("fresh.so");
        std::fs::copy(library, &fresh).expect("a copy");
        project.install(&fresh, "b");
        assert_eq!(host.reload().quiet().number(), reload);
        host.set("b", "version_now", reload);
        host.command("await-calls 8");
    }
    let calls = host.command("stop-callers").quiet().number();
    assert!(calls >= 8 * 200, "{calls} calls");
    host.quit();
}

#[test]
fn callers_see_the_new_version_at_once_and_never_an_older_one_again() {
    let project = CProject::new();
    project.write(&b(0));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "all")
        .start(&project);
    // Each caller exits with an error when a version is lower than one that it saw before.
    host.about("callers 8 version", "b");
    for version in 1..=20 {
        project.write(&b(version));
        host.reload().quiet();
        host.command("await-calls 100");
    }
    host.command("stop-callers").quiet();
    host.quit();
}

#[test]
fn of_reloads_that_start_at_the_same_moment_one_does_the_work() {
    let project = CProject::new();
    project.write(&b(0));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for generation in 1..=10 {
        project.write(&b(generation));
        let reply = host.command("reload-in-parallel 8").quiet();
        assert_eq!(reply.number(), generation);
        let inits = reply.lines.iter().filter(|line| *line == "init b").count();
        assert_eq!(inits, 1, "{reply:?}");
        assert_eq!(host.call("b", "version", 0), generation);
    }
    host.quit();
}

#[test]
fn a_second_reload_waits_until_the_first_is_over() {
    let project = CProject::new();
    let gated = |version: i64| {
        b(version)
            .before(&format!("fixture_wait_at_gate(\"before {version}\");"))
            .after(&format!("fixture_log(\"after {version}\");"))
    };
    project.write(&gated(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&gated(2));
    host.command("reload-on-thread");
    host.command("await-gate");
    // The first reload has read version 2 and is held by a handler of version 1; the second one
    // starts with version 3 on disk.
    project.write(&gated(3));
    host.command("reload-on-thread");
    assert_eq!(host.call("b", "version", 0), 1);
    assert_eq!(host.generation(), 0);
    let opened = host.command("open-gate").quiet();
    let joined = host.command("join-reloaders").quiet();
    assert_eq!(joined.number(), 2);
    assert_eq!(host.call("b", "version", 0), 3);
    assert_eq!(
        [opened.lines_without_system(), joined.lines_without_system()].concat(),
        [
            "hcr b",
            "types b",
            "dat b",
            "dat main",
            "init b",
            "after 2",
            "before 2 waits at the gate",
            "hcr b",
            "types b",
            "dat b",
            "dat main",
            "init b",
            "after 3",
        ]
    );
    host.quit();
}

#[test]
fn slots_and_queries_work_while_a_reload_is_under_way() {
    let project = CProject::new();
    let gated = |version: i64| b(version).init("fixture_wait_at_gate(\"init\");");
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&gated(2));
    host.command("reload-on-thread");
    host.command("await-gate");
    // Procs are in force since DatInit, and the generation counts as new.
    assert_eq!(host.call("b", "version", 0), 2);
    assert_eq!(host.generation(), 1);
    assert!(!host.reload_needed());
    assert!(!host.has_changed("b"));
    host.command("open-gate");
    assert_eq!(host.command("join-reloaders").quiet().number(), 1);
    host.quit();
}

#[test]
fn a_reload_on_another_thread_than_the_first_start_works() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for version in 2..5 {
        project.write(&b(version));
        host.command("reload-on-thread");
        host.command("join-reloaders").quiet();
        assert_eq!(host.call("b", "version", 0), version);
    }
    host.quit();
}
