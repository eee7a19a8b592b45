//! Generations: what counts as a reload, and whom it touches.

use liveswap_tests::process_info::mapped_copies;
use liveswap_tests::{CModule, CProject, HostOptions};

fn version_of(name: &str, version: i64) -> CModule {
    CModule::new(name).proc("version", &format!("return {version};"))
}

#[test]
fn the_generation_is_0_at_first_and_grows_by_1_with_every_reload_that_takes_effect() {
    let project = CProject::new();
    project.write(&version_of("b", 0));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert_eq!(host.generation(), 0);
    for generation in 1..=4 {
        project.write(&version_of("b", generation));
        assert_eq!(host.generation(), generation - 1);
        host.reload().quiet();
        assert_eq!(host.generation(), generation);
    }
    host.quit();
}

#[test]
fn a_reload_without_a_change_does_nothing() {
    let project = CProject::new();
    project.write(
        &version_of("b", 0)
            .before("fixture_log(\"before\");")
            .after("fixture_log(\"after\");"),
    );
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let mapped = mapped_copies(host.pid());
    for _ in 0..3 {
        let reply = host.reload().quiet();
        assert_eq!(reply.lines, [""; 0]);
        assert_eq!(reply.number(), 0);
    }
    assert_eq!(mapped_copies(host.pid()), mapped);
    host.quit();
}

#[test]
fn unchanged_modules_keep_their_image() {
    let project = CProject::new();
    for name in ["b", "c"] {
        project.write(&version_of(name, 0));
    }
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    let before = mapped_copies(host.pid());
    project.write(&version_of("b", 1));
    host.reload().quiet();
    let added: Vec<_> = mapped_copies(host.pid())
        .difference(&before)
        .cloned()
        .collect();
    assert_eq!(added.len(), 1, "one image is new: {added:?}");
    host.quit();
}

#[test]
fn changes_of_many_modules_make_one_generation() {
    let project = CProject::new();
    let names = ["b", "c", "d", "e"];
    for name in names {
        project.write(&version_of(name, 0));
    }
    let (mut host, _) = HostOptions::importing(names).start(&project);
    for name in names {
        project.write(&version_of(name, 1));
    }
    assert_eq!(host.reload().quiet().number(), 1);
    for name in names {
        assert_eq!(host.call(name, "version", 0), 1);
    }
    assert_eq!(host.reload().quiet().number(), 1);
    host.quit();
}

#[test]
fn of_a_thousand_modules_only_the_changed_one_is_loaded_again() {
    const MODULES: usize = 1000;
    let project = CProject::new();
    // One library in a thousand places; none of them registers anything in its own name.
    let library = project.compile(&CModule::new("shared"));
    let names: Vec<String> = (0..MODULES).map(|index| format!("copy{index}")).collect();
    for name in &names {
        std::fs::copy(&library, project.path(name)).expect("a copy");
    }
    let (mut host, start) =
        HostOptions::importing(names.iter().map(String::as_str)).start(&project);
    let inits = |lines: &[String]| lines.iter().filter(|line| *line == "init shared").count();
    assert_eq!(inits(&start.lines), MODULES);
    assert_eq!(host.reload().quiet().lines, [""; 0]);
    project.install(&library, &names[500]);
    let before = mapped_copies(host.pid());
    let reply = host.reload().quiet();
    assert_eq!(inits(&reply.lines), 1);
    let added = mapped_copies(host.pid()).difference(&before).count();
    assert_eq!(added, 1);
    host.quit();
    assert_eq!(project.private_copies().len(), 0);
}

#[test]
fn the_system_module_is_reloaded_like_any_other() {
    let project = CProject::new();
    project.write(&version_of("system", 1));
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&version_of("system", 2));
    assert_eq!(host.reload().quiet().number(), 1);
    assert_eq!(host.call("system", "version", 0), 2);
    assert_eq!(host.call("b", "version", 0), 1);
    host.quit();
}

#[test]
fn a_module_sees_the_new_generation_while_it_is_initialised_by_it() {
    let project = CProject::new();
    let module = |version: i64| {
        version_of("b", version).init("fixture_log(\"generation %ld\", (long)hcrGeneration());")
    };
    project.write(&module(0));
    let (mut host, reply) = HostOptions::importing(["b"]).start(&project);
    assert!(
        reply.lines.contains(&"generation 0".to_owned()),
        "{reply:?}"
    );
    project.write(&module(1));
    let reply = host.reload().quiet();
    assert!(
        reply.lines.contains(&"generation 1".to_owned()),
        "{reply:?}"
    );
    host.quit();
}
