//! The passes of initialisation, at the start and at reloads: each line of the log is one call into
//! a module.

use liveswap_tests::{CModule, CProject, HostOptions};

#[test]
fn the_passes_of_the_first_start_come_in_their_order() {
    let project = CProject::new();
    project.write(
        &CModule::new("a")
            .imports(["b", "c"])
            .top_level("fixture_log(\"top a\");"),
    );
    project.write(
        &CModule::new("b")
            .imports(["c"])
            .top_level("fixture_log(\"top b\");"),
    );
    project.write(&CModule::new("c").global("long", "g", "*g = 1;"));
    let (host, reply) = HostOptions::importing(["a"]).start(&project);
    assert_eq!(
        reply.quiet().lines,
        [
            "hcr system",
            "types system",
            "hcr c",
            "types c",
            "hcr b",
            "types b",
            "hcr a",
            "types a",
            "dat system",
            "init system",
            "dat c",
            "dat b",
            "dat a",
            "dat main",
            "init c",
            "fresh c.g",
            "init b",
            "top b",
            "init a",
            "top a",
            "top main",
        ]
    );
    host.quit();
}

#[test]
fn the_system_module_is_initialised_first_wherever_it_is_imported() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b", "system"]));
    project.write(&CModule::new("b"));
    let (host, reply) = HostOptions::importing_exactly(["a"]).start(&project);
    assert_eq!(
        reply.quiet().lines,
        [
            "hcr b",
            "types b",
            "hcr system",
            "types system",
            "hcr a",
            "types a",
            "dat system",
            "init system",
            "dat b",
            "dat a",
            "dat main",
            "init b",
            "init a",
            "top main",
        ]
    );
    host.quit();
}

#[test]
fn a_reload_runs_dat_init_of_all_modules_but_init_of_the_changed_only() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b", "c"]));
    project.write(&CModule::new("b").imports(["c"]));
    project.write(&CModule::new("c"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&CModule::new("b").imports(["c"]).proc("added", "return 0;"));
    assert_eq!(
        host.reload().quiet().lines,
        [
            "hcr b",
            "types b",
            "dat system",
            "init system",
            "dat c",
            "dat b",
            "dat a",
            "dat main",
            "init b",
        ]
    );
    host.quit();
}

#[test]
fn a_changed_system_module_is_initialised_once_and_first() {
    let project = CProject::new();
    project.write(&CModule::new("a"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&CModule::new("system").proc("added", "return 0;"));
    project.write(&CModule::new("a").proc("added", "return 0;"));
    assert_eq!(
        host.reload().quiet().lines,
        [
            "hcr system",
            "types system",
            "hcr a",
            "types a",
            "dat system",
            "init system",
            "dat a",
            "dat main",
            "init a",
        ]
    );
    host.quit();
}

#[test]
fn several_changed_modules_are_initialised_in_the_order_of_the_graph() {
    let project = CProject::new();
    let module = |name: &str, imports: &[&str], version: i64| {
        CModule::new(name)
            .imports(imports.iter().copied())
            .proc("version", &format!("return {version};"))
    };
    let write = |version: i64| {
        project.write(&module("top", &["left", "right"], version));
        project.write(&module("left", &["leaf"], version));
        project.write(&module("right", &["leaf"], version));
        project.write(&module("leaf", &[], version));
    };
    write(1);
    let (mut host, _) = HostOptions::importing(["top"]).start(&project);
    write(2);
    assert_eq!(
        host.reload().quiet().lines,
        [
            "hcr leaf",
            "types leaf",
            "hcr left",
            "types left",
            "hcr right",
            "types right",
            "hcr top",
            "types top",
            "dat system",
            "init system",
            "dat leaf",
            "dat left",
            "dat right",
            "dat top",
            "dat main",
            "init leaf",
            "init left",
            "init right",
            "init top",
        ]
    );
    host.quit();
}

#[test]
fn top_level_code_runs_once_in_the_life_of_a_module() {
    let project = CProject::new();
    let module =
        |text: &str| CModule::new("b").top_level(&format!("fixture_log(\"top b: {text}\");"));
    let top_of = |lines: &[String]| {
        let tops = lines.iter().filter(|line| line.starts_with("top b"));
        tops.cloned().collect::<Vec<_>>()
    };
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&module("first"));
    let (mut host, reply) = HostOptions::importing(["a"]).start(&project);
    assert_eq!(top_of(&reply.lines), ["top b: first"]);
    project.write(&module("second"));
    assert_eq!(top_of(&host.reload().quiet().lines), [""; 0]);
    // A module that disappears ends its life; when it returns, a new one begins.
    project.write(&CModule::new("a"));
    assert_eq!(top_of(&host.reload().quiet().lines), [""; 0]);
    project.write(&CModule::new("a").imports(["b"]));
    assert_eq!(top_of(&host.reload().quiet().lines), ["top b: second"]);
    host.quit();
}

#[test]
fn statements_outside_of_top_level_code_run_at_every_initialisation() {
    let project = CProject::new();
    let module = |text: &str| CModule::new("b").init(&format!("fixture_log(\"{text}\");"));
    project.write(&module("one"));
    let (mut host, reply) = HostOptions::importing(["b"]).start(&project);
    assert!(reply.lines.contains(&"one".to_owned()), "{reply:?}");
    project.write(&module("two"));
    let reply = host.reload().quiet();
    assert!(reply.lines.contains(&"two".to_owned()), "{reply:?}");
    host.quit();
}

#[test]
fn init_finds_procs_and_globals_of_the_modules_that_are_imported() {
    let project = CProject::new();
    project.write(
        &CModule::new("leaf")
            .global("long", "g", "*g = 20;")
            .proc("twice", "return 2 * x;"),
    );
    project.write(
        &CModule::new("a")
            .imports(["leaf"])
            .uses_proc("leaf", "twice")
            .uses_global("long", "leaf", "g")
            .top_level("fixture_log(\"sum %ld\", leaf_twice(1) + *leaf_g);"),
    );
    let (host, reply) = HostOptions::importing(["a"]).start(&project);
    assert!(reply.lines.contains(&"sum 22".to_owned()), "{reply:?}");
    host.quit();
}

#[test]
fn type_infos_may_register_globals_before_any_dat_init() {
    let project = CProject::new();
    project.write(
        &CModule::new("b")
            .declare("static long *info;")
            .type_infos("hcrRegisterGlobal(MODULE, \"info\", sizeof *info, 0, (void **)&info);")
            .dat("*(long *)hcrGetGlobal(MODULE, \"info\") += 1;"),
    );
    project.write(&CModule::new("c"));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    assert_eq!(host.get("b", "info"), 1);
    project.write(&CModule::new("c").proc("added", "return 0;"));
    host.reload().quiet();
    assert_eq!(
        host.get("b", "info"),
        2,
        "b's DatInit ran at the reload of c"
    );
    host.quit();
}
