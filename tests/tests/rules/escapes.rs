//! Module code that leaves a reload in the middle, as an exception does that the program catches.

use liveswap_tests::{CModule, CProject, Host, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b")
        .global("long", "g", "*g = 1;")
        .proc("version", &format!("return {version};"))
}

#[test]
fn a_before_handler_that_leaves_the_reload_leaves_the_old_code_and_the_next_reload_works() {
    let project = CProject::new();
    project.write(&b(1).before("static int leaps; if (!leaps++) fixture_leap();"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    let reply = host.command("reload-or-leap");
    assert_eq!(reply.result, "left in generation 0");
    assert_eq!(host.call("b", "version", 0), 1);
    assert!(host.reload_needed());
    assert_eq!(host.reload().number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    assert_eq!(
        project.private_copies().len(),
        3,
        "the reload that was left has no copy"
    );
    host.quit();
}

#[test]
fn an_initialisation_that_leaves_the_reload_is_made_up_for_by_the_next_one() {
    let project = CProject::new();
    project.write(&b(1));
    project.write(&CModule::new("c"));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    host.set("b", "g", 5);
    // Leaves its first initialisation before it registers its global.
    let leaping = CModule::new("b")
        .init("static int leaps; if (!leaps++) fixture_leap();")
        .global("long", "g", "*g = 1;")
        .proc("version", "return 2;");
    project.write(&leaping);
    project.write(&CModule::new("c").proc("version", "return 2;"));
    assert_eq!(
        host.command("reload-or-leap").result,
        "left in generation 1"
    );
    let reply = host.reload();
    assert!(reply.lines.contains(&"init b".to_owned()), "{reply:?}");
    assert!(reply.lines.contains(&"init c".to_owned()), "{reply:?}");
    assert_eq!(host.call("b", "version", 0), 2);
    assert_eq!(host.call("c", "version", 0), 2);
    assert_eq!(host.get("b", "g"), 5, "the global lives on");
    assert!(!host.reload_needed());
    project.write(&b(3));
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), 3);
    host.quit();
}

#[test]
fn an_after_handler_that_leaves_the_reload_leaves_it_in_force() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2).after("fixture_leap();"));
    assert_eq!(
        host.command("reload-or-leap").result,
        "left in generation 1"
    );
    assert_eq!(host.call("b", "version", 0), 2);
    assert!(!host.reload_needed());
    project.write(&b(3));
    assert_eq!(host.reload().number(), 2);
    assert_eq!(host.call("b", "version", 0), 3);
    host.quit();
    assert_eq!(project.private_copies().len(), 0);
}

/// A program whose reload was left by a handler once and whose module has changed again since.
fn left_by_a_handler(project: &CProject, command: &str, leap: &str) -> Host {
    project.write(&b(1).after("fixture_log(\"1\");"));
    let (mut host, _) = HostOptions::importing(["b"]).start(project);
    project.write(&b(2).after(leap));
    host.command(command).quiet();
    assert_eq!(host.call("b", "version", 0), 2);
    project.write(&b(3));
    host
}

#[test]
fn a_reload_from_deeper_in_the_stack_than_one_that_was_left_is_not_nested() {
    let project = CProject::new();
    let mut host = left_by_a_handler(&project, "reload-or-leap", "fixture_leap();");
    assert_eq!(host.command("deep-reload").quiet().number(), 2);
    assert_eq!(host.call("b", "version", 0), 3);
    project.write(&b(4));
    assert_eq!(host.reload().quiet().number(), 3);
    assert_eq!(host.call("b", "version", 0), 4);
    host.quit();
}

#[test]
fn a_before_handler_that_left_does_not_make_deeper_reloads_nested() {
    let project = CProject::new();
    project.write(&b(1).before("static int leaps; if (!leaps++) fixture_leap();"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    let reply = host.command("reload-or-leap").quiet();
    assert_eq!(reply.result, "left in generation 0");
    assert_eq!(host.command("deep-reload").quiet().number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}

#[test]
fn a_reload_that_was_left_by_a_thread_that_ended_does_not_keep_others_waiting() {
    let project = CProject::new();
    let leap = "fixture_leap_on_thread();";
    let mut host = left_by_a_handler(&project, "leap-on-thread", leap);
    assert_eq!(host.reload().quiet().number(), 2);
    assert_eq!(host.call("b", "version", 0), 3);
    project.write(&b(4));
    host.command("reload-on-thread");
    assert_eq!(host.command("join-reloaders").quiet().number(), 3);
    host.quit();
}

#[test]
fn a_reload_on_another_thread_goes_on_when_the_one_that_was_left_asks_again() {
    let project = CProject::new();
    let mut host = left_by_a_handler(&project, "reload-or-leap", "fixture_leap();");
    host.command("reload-on-thread");
    // What a program asks all the time.
    host.command("needed");
    assert_eq!(host.command("join-reloaders").number(), 2);
    assert_eq!(host.call("b", "version", 0), 3);
    host.quit();
}
