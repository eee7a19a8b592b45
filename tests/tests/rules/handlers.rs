//! Handlers: what runs before and after a reload, in which order and in which code.

use liveswap_tests::{CModule, CProject, HostOptions, Reply};

/// A module with one handler before and one after, which log their module and version.
fn module(name: &str, imports: &[&str], version: i64) -> CModule {
    CModule::new(name)
        .imports(imports.iter().copied())
        .before(&format!("fixture_log(\"before {name} {version}\");"))
        .after(&format!("fixture_log(\"after {name} {version}\");"))
}

/// The lines that handlers logged, and the one that separates before from after.
fn handler_lines(reply: &Reply) -> Vec<&str> {
    let wanted = ["before ", "after ", "dat main"];
    reply
        .lines
        .iter()
        .map(String::as_str)
        .filter(|line| wanted.iter().any(|start| line.starts_with(start)))
        .collect()
}

#[test]
fn before_handlers_run_in_the_old_code_and_after_handlers_in_the_new() {
    let project = CProject::new();
    project.write(&module("b", &[], 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for version in 2..5 {
        project.write(&module("b", &[], version));
        let reply = host.reload().quiet();
        assert_eq!(
            handler_lines(&reply),
            [
                &format!("before b {}", version - 1),
                "dat main",
                &format!("after b {version}")
            ]
        );
        // The whole reload lies between them.
        assert_eq!(
            reply.lines.first(),
            Some(&format!("before b {}", version - 1))
        );
        assert_eq!(reply.lines.last(), Some(&format!("after b {version}")));
    }
    host.quit();
}

#[test]
fn handlers_run_from_the_leaves_of_the_import_tree_to_the_root() {
    let project = CProject::new();
    project.write(&module("a", &["b", "c"], 1));
    project.write(&module("b", &["d"], 1));
    project.write(&module("c", &["d"], 1));
    project.write(&module("d", &[], 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    host.command("handler before before root");
    host.command("handler after after root");
    project.write(&module("c", &["d"], 2));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before d 1",
            "before b 1",
            "before c 1",
            "before a 1",
            "before root",
            "dat main",
            "after d 1",
            "after b 1",
            "after c 2",
            "after a 1",
            "after root",
        ]
    );
    host.quit();
}

#[test]
fn handlers_of_a_module_run_from_top_to_bottom() {
    let project = CProject::new();
    let many = |version: i64| {
        (0..4).fold(CModule::new("b"), |module, index| {
            module
                .before(&format!("fixture_log(\"before {index} {version}\");"))
                .after(&format!("fixture_log(\"after {index} {version}\");"))
        })
    };
    project.write(&many(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&many(2));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before 0 1",
            "before 1 1",
            "before 2 1",
            "before 3 1",
            "dat main",
            "after 0 2",
            "after 1 2",
            "after 2 2",
            "after 3 2",
        ]
    );
    host.quit();
}

#[test]
fn handlers_of_a_cycle_run_once_each() {
    let project = CProject::new();
    project.write(&module("a", &["b"], 1));
    project.write(&module("b", &["a"], 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&module("b", &["a"], 2));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before b 1",
            "before a 1",
            "dat main",
            "after b 2",
            "after a 1"
        ]
    );
    host.quit();
}

#[test]
fn a_reloaded_modules_handlers_are_replaced_by_those_of_its_new_code() {
    let project = CProject::new();
    project.write(&module("b", &[], 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    // Only an after-handler, then none at all, then only a before-handler.
    project.write(&CModule::new("b").after("fixture_log(\"after b 2\");"));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        ["before b 1", "dat main", "after b 2"]
    );
    project.write(&CModule::new("b"));
    assert_eq!(handler_lines(&host.reload().quiet()), ["dat main"]);
    project.write(&CModule::new("b").before("fixture_log(\"before b 4\");"));
    assert_eq!(handler_lines(&host.reload().quiet()), ["dat main"]);
    project.write(&CModule::new("b"));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        ["before b 4", "dat main"]
    );
    host.quit();
}

#[test]
fn an_unchanged_modules_handlers_stay_and_do_not_multiply() {
    let project = CProject::new();
    project.write(&module("b", &[], 1));
    project.write(&CModule::new("c"));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    for version in 0..3 {
        project.write(&CModule::new("c").proc("version", &format!("return {version};")));
        assert_eq!(
            handler_lines(&host.reload().quiet()),
            ["before b 1", "dat main", "after b 1"]
        );
    }
    host.quit();
}

#[test]
fn the_system_modules_handlers_do_not_multiply_though_it_is_initialised_at_every_reload() {
    let project = CProject::new();
    project.write(&module("system", &[], 1));
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for version in 0..3 {
        project.write(&CModule::new("b").proc("version", &format!("return {version};")));
        assert_eq!(
            handler_lines(&host.reload().quiet()),
            ["before system 1", "dat main", "after system 1"]
        );
    }
    host.quit();
}

#[test]
fn a_module_that_appears_runs_its_after_handlers_only() {
    let project = CProject::new();
    project.write(&CModule::new("a"));
    project.write(&module("b", &[], 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&CModule::new("a").imports(["b"]));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        ["dat main", "after b 1"]
    );
    host.quit();
}

#[test]
fn a_module_that_disappears_runs_its_before_handlers_only() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&module("b", &[], 1));
    let (mut host, _) = HostOptions::importing(["a"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    project.write(&CModule::new("a"));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        ["before b 1", "dat main"]
    );
    project.write(&CModule::new("a").proc("version", "return 1;"));
    assert_eq!(handler_lines(&host.reload().quiet()), ["dat main"]);
    host.quit();
}

#[test]
fn reordered_imports_reorder_the_after_handlers_first_and_then_the_before_handlers() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b", "c"]));
    project.write(&module("b", &[], 1));
    project.write(&module("c", &[], 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&CModule::new("a").imports(["c", "b"]));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before b 1",
            "before c 1",
            "dat main",
            "after c 1",
            "after b 1"
        ]
    );
    project.write(&CModule::new("a").imports(["c", "b"]));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before c 1",
            "before b 1",
            "dat main",
            "after c 1",
            "after b 1"
        ]
    );
    host.quit();
}

#[test]
fn handlers_may_use_procs_globals_and_queries() {
    let project = CProject::new();
    let with_handlers = |version: i64| {
        CModule::new("b")
            .global("long", "count", "*count = 0;")
            .proc("next", &format!("return ++*count * {version};"))
            .before(
                "fixture_log(\"before %ld: generation %ld, needed %d, b %d, c %d\", next(0), \
                 (long)hcrGeneration(), hcrReloadNeeded(), has_changed(\"b\"), has_changed(\"c\"));",
            )
            .after(
                "fixture_log(\"after %ld: generation %ld, needed %d, b %d, c %d\", next(0), \
                 (long)hcrGeneration(), hcrReloadNeeded(), has_changed(\"b\"), has_changed(\"c\"));",
            )
    };
    project.write(&with_handlers(1));
    project.write(&CModule::new("c"));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    project.write(&with_handlers(10));
    assert_eq!(
        handler_lines(&host.reload().quiet()),
        [
            "before 1: generation 0, needed 1, b 1, c 0",
            "dat main",
            "after 20: generation 1, needed 0, b 0, c 0",
        ]
    );
    host.quit();
}

#[test]
fn a_handler_may_register_procs_and_globals() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .proc("version", &format!("return {version};"))
            .declare(
                "static long late_actual(long x) { return x + 70; }\nstatic long *late_global;",
            )
            .after(
                "hcrRegisterProc(MODULE, \"late\", (void *)late_actual); \
                 hcrRegisterGlobal(MODULE, \"late_global\", 8, 0, (void **)&late_global); \
                 *late_global += 1;",
            )
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    host.reload().quiet();
    assert_eq!(host.call("b", "late", 1), 71);
    assert_eq!(host.get("b", "late_global"), 1);
    host.quit();
}

#[test]
fn a_handler_may_wait_for_another_thread_that_asks_the_run_time() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .proc("version", &format!("return {version};"))
            .before("fixture_ask_from_another_thread();")
            .after("fixture_ask_from_another_thread();")
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    let reply = host.reload().quiet();
    let answers = reply
        .lines
        .iter()
        .filter(|line| *line == "another thread has its answers");
    assert_eq!(answers.count(), 2, "{reply:?}");
    host.quit();
}

const REFUSED: &str =
    "a reload cannot be started from a handler or from a module's own initialisation";

#[test]
fn a_reload_from_a_handler_is_refused_and_the_outer_one_takes_effect() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .proc("version", &format!("return {version};"))
            .before(
                "hcrPerformCodeReload(); fixture_log(\"before at %ld\", (long)hcrGeneration());",
            )
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    let reply = host.reload();
    assert_eq!(
        reply.stderr,
        [format!(
            "liveswap: reload refused, generation 0 goes on: {REFUSED}"
        )]
    );
    assert_eq!(handler_lines(&reply), ["before at 0", "dat main"]);
    assert_eq!(reply.number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}

#[test]
fn a_reload_from_a_handler_after_the_reload_is_refused() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .proc("version", &format!("return {version};"))
            .after("hcrPerformCodeReload(); fixture_log(\"after at %ld\", (long)hcrGeneration());")
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&b(2));
    let reply = host.reload();
    assert_eq!(
        reply.stderr,
        [format!(
            "liveswap: reload refused, generation 1 goes on: {REFUSED}"
        )]
    );
    assert_eq!(handler_lines(&reply), ["dat main", "after at 1"]);
    assert_eq!(host.generation(), 1);
    host.quit();
}

#[test]
fn a_reload_from_a_modules_own_initialisation_is_refused() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .proc("version", &format!("return {version};"))
            .init("hcrPerformCodeReload();")
    };
    project.write(&b(1));
    let (mut host, reply) = HostOptions::importing(["b"]).start(&project);
    let refusal = |generation: i64| {
        format!("liveswap: reload refused, generation {generation} goes on: {REFUSED}")
    };
    assert_eq!(reply.stderr, [refusal(0)]);
    project.write(&b(2));
    let reply = host.reload();
    assert_eq!(reply.stderr, [refusal(1)]);
    assert_eq!(reply.number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}
