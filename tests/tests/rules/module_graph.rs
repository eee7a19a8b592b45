//! The import graph: cycles, diamonds, modules that come, go and change places.

use liveswap_tests::process_info::mapped_copies_of;
use liveswap_tests::{CModule, CProject, HostOptions, Reply};

fn module(name: &str, imports: &[&str]) -> CModule {
    CModule::new(name).imports(imports.iter().copied())
}

/// The modules of which the log has a line of this pass, in order.
fn pass<'a>(reply: &'a Reply, pass: &str) -> Vec<&'a str> {
    let prefix = format!("{pass} ");
    reply
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix(&prefix))
        .filter(|name| !["system", "main"].contains(name))
        .collect()
}

#[test]
fn modules_are_discovered_depth_first() {
    let project = CProject::new();
    project.write(&module("a", &["b", "c"]));
    project.write(&module("b", &["d"]));
    project.write(&module("c", &["e", "d"]));
    project.write(&module("d", &[]));
    project.write(&module("e", &[]));
    let (host, reply) = HostOptions::importing(["a", "e"]).start(&project);
    assert_eq!(pass(&reply, "init"), ["d", "b", "e", "c", "a"]);
    host.quit();
}

#[test]
fn the_lower_corner_of_a_diamond_is_loaded_and_initialised_once() {
    let project = CProject::new();
    project.write(&module("top", &["left", "right"]));
    project.write(&module("left", &["leaf"]));
    project.write(&module("right", &["leaf"]));
    project.write(&module("leaf", &[]));
    let (host, reply) = HostOptions::importing(["top"]).start(&project);
    assert_eq!(pass(&reply, "init"), ["leaf", "left", "right", "top"]);
    assert_eq!(pass(&reply, "dat"), ["leaf", "left", "right", "top"]);
    assert_eq!(mapped_copies_of(host.pid(), "leaf"), 1);
    host.quit();
}

#[test]
fn cycles_are_loaded_once_and_reloaded() {
    let project = CProject::new();
    let even = |version: i64| {
        module("even", &["odd"]).uses_proc("odd", "is_odd").proc(
            "is_even",
            &format!("return x == 0 ? {version} : odd_is_odd(x - 1);"),
        )
    };
    let odd = |version: i64| {
        module("odd", &["even"]).uses_proc("even", "is_even").proc(
            "is_odd",
            &format!("return x == 0 ? -{version} : even_is_even(x - 1);"),
        )
    };
    project.write(&even(1));
    project.write(&odd(1));
    let (mut host, reply) = HostOptions::importing(["even"]).start(&project);
    assert_eq!(pass(&reply, "init"), ["odd", "even"]);
    assert_eq!(host.call("even", "is_even", 10), 1);
    assert_eq!(host.call("even", "is_even", 11), -1);
    project.write(&odd(2));
    assert_eq!(pass(&host.reload().quiet(), "init"), ["odd"]);
    project.write(&even(3));
    assert_eq!(pass(&host.reload().quiet(), "init"), ["even"]);
    assert_eq!(host.call("even", "is_even", 10), 3);
    assert_eq!(host.call("even", "is_even", 11), -2);
    host.quit();
}

#[test]
fn a_module_may_import_itself() {
    let project = CProject::new();
    project.write(&module("a", &["a"]));
    let (mut host, reply) = HostOptions::importing(["a"]).start(&project);
    assert_eq!(pass(&reply, "init"), ["a"]);
    project.write(&module("a", &["a", "a"]).proc("version", "return 2;"));
    assert_eq!(pass(&host.reload().quiet(), "init"), ["a"]);
    host.quit();
}

#[test]
fn a_module_that_appears_is_loaded_by_the_reload() {
    let project = CProject::new();
    project.write(&module("a", &[]));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&module("deep", &[]).proc("version", "return 5;"));
    project.write(&module("fresh", &["deep"]).top_level("fixture_log(\"top fresh\");"));
    project.write(&module("a", &["fresh"]));
    let reply = host.reload().quiet();
    assert_eq!(pass(&reply, "hcr"), ["deep", "fresh", "a"]);
    assert_eq!(pass(&reply, "init"), ["deep", "fresh", "a"]);
    assert_eq!(pass(&reply, "top"), ["fresh"]);
    assert_eq!(host.call("deep", "version", 0), 5);
    assert!(!host.has_changed("deep"), "a module that appeared is known");
    host.quit();
}

#[test]
fn a_module_that_disappears_is_cleaned_up_with_all_that_it_owned() {
    let project = CProject::new();
    project.write(&module("a", &["b"]));
    project.write(&module("b", &["c"]).global("long", "g", "*g = 1;"));
    project.write(&module("c", &[]));
    let (mut host, _) = HostOptions::importing(["a"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    project.write(&module("a", &[]));
    let reply = host.reload().quiet();
    assert_eq!(pass(&reply, "dat"), ["a"]);
    for gone in ["b", "c"] {
        assert_eq!(mapped_copies_of(host.pid(), gone), 0);
    }
    assert_eq!(host.get("b", "g"), 0, "the old storage is no longer found");
    // Its file is no longer watched.
    project.write(&module("b", &["c"]));
    assert!(!host.reload_needed());
    project.remove("c");
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn a_module_that_returns_starts_a_new_life() {
    let project = CProject::new();
    let b = module("b", &[]).global("long", "g", "*g = 1;");
    project.write(&module("a", &["b"]));
    project.write(&b);
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    for _ in 0..3 {
        assert_eq!(host.get("b", "g"), 1);
        host.set("b", "g", 50);
        project.write(&module("a", &[]));
        host.reload().quiet();
        project.write(&module("a", &["b"]));
        let reply = host.reload().quiet();
        assert_eq!(pass(&reply, "init"), ["b", "a"]);
        assert_eq!(pass(&reply, "fresh"), ["b.g"]);
    }
    host.quit();
}

#[test]
fn a_module_that_only_one_of_two_importers_drops_lives_on() {
    let project = CProject::new();
    project.write(&module("a", &["shared"]));
    project.write(&module("b", &["shared"]));
    project.write(&module("shared", &[]).global("long", "g", "*g = 1;"));
    let (mut host, _) = HostOptions::importing(["a", "b"]).start(&project);
    host.set("shared", "g", 9);
    project.write(&module("a", &[]));
    let reply = host.reload().quiet();
    assert_eq!(pass(&reply, "init"), ["a"]);
    assert_eq!(pass(&reply, "dat"), ["a", "shared", "b"]);
    assert_eq!(host.get("shared", "g"), 9);
    host.quit();
}

#[test]
fn a_cycle_that_nobody_imports_any_more_disappears() {
    let project = CProject::new();
    project.write(&module("a", &["b"]));
    project.write(&module("b", &["c"]).global("long", "g", "*g = 1;"));
    project.write(&module("c", &["b"]));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&module("a", &[]));
    host.reload().quiet();
    assert_eq!(host.get("b", "g"), 0, "the old storage is no longer found");
    project.write(&module("c", &[]));
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn reordered_imports_reorder_the_passes() {
    let project = CProject::new();
    let b = |version: i64| module("b", &[]).proc("version", &format!("return {version};"));
    let c = |version: i64| module("c", &[]).proc("version", &format!("return {version};"));
    project.write(&module("a", &["b", "c"]));
    project.write(&b(1));
    project.write(&c(1));
    let (mut host, reply) = HostOptions::importing(["a"]).start(&project);
    assert_eq!(pass(&reply, "init"), ["b", "c", "a"]);
    project.write(&module("a", &["c", "b"]));
    assert_eq!(pass(&host.reload().quiet(), "dat"), ["c", "b", "a"]);
    project.write(&b(2));
    project.write(&c(2));
    assert_eq!(pass(&host.reload().quiet(), "init"), ["c", "b"]);
    host.quit();
}

#[test]
fn a_module_that_moves_deeper_into_the_graph_is_not_initialised_again() {
    let project = CProject::new();
    project.write(&module("a", &["b", "c"]));
    project.write(&module("b", &[]));
    project.write(&module("c", &[]).global("long", "g", "*g = 1;"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    host.set("c", "g", 4);
    project.write(&module("a", &["b"]));
    project.write(&module("b", &["c"]));
    let reply = host.reload().quiet();
    assert_eq!(pass(&reply, "init"), ["b", "a"]);
    assert_eq!(pass(&reply, "dat"), ["c", "b", "a"]);
    assert_eq!(host.get("c", "g"), 4);
    host.quit();
}

#[test]
fn a_long_chain_of_imports_is_no_problem() {
    const LENGTH: usize = 150;
    let project = CProject::new();
    let name = |index: usize| format!("link{index}");
    for index in 0..LENGTH {
        let next = name(index + 1);
        let imports = if index + 1 < LENGTH {
            vec![next.as_str()]
        } else {
            vec![]
        };
        project.write(&module(&name(index), &imports).flags(["-O0"]));
    }
    let (mut host, reply) = HostOptions::importing([name(0).as_str()]).start(&project);
    let expected: Vec<String> = (0..LENGTH).rev().map(name).collect();
    assert_eq!(pass(&reply, "init"), expected);
    project.write(&module(&name(LENGTH - 1), &[]).proc("version", "return 1;"));
    assert_eq!(pass(&host.reload().quiet(), "init"), [name(LENGTH - 1)]);
    host.quit();
}
