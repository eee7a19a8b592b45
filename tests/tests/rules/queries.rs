//! Queries: has this module changed, does anything need reloading.

use std::fs;

use liveswap_tests::c_module::sig_hash;
use liveswap_tests::{CModule, CProject, HostOptions};

fn version_of(name: &str, version: i64) -> CModule {
    CModule::new(name).proc("version", &format!("return {version};"))
}

#[test]
fn nothing_has_changed_after_the_start() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert!(!host.reload_needed());
    assert!(!host.has_changed("b"));
    assert!(!host.has_changed("system"));
    host.quit();
}

#[test]
fn a_changed_module_is_told_from_an_unchanged_one() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    project.write(&version_of("c", 1));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    project.write(&version_of("c", 2));
    assert!(!host.has_changed("b"));
    assert!(host.has_changed("c"));
    assert!(host.reload_needed());
    // To ask changes nothing.
    assert!(host.has_changed("c"));
    assert!(host.reload_needed());
    host.reload().quiet();
    assert!(!host.has_changed("c"));
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn a_module_whose_file_is_missing_has_changed() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let kept = project.scratch("kept.so");
    fs::rename(project.path("b"), &kept).expect("the file moves away");
    assert!(host.has_changed("b"));
    assert!(host.reload_needed());
    // The very same file comes back: nothing has changed after all.
    project.install(&kept, "b");
    assert!(!host.has_changed("b"));
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn a_hash_that_no_module_has_is_unchanged() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&version_of("b", 2));
    for name in ["nobody", "", "b b", "main"] {
        assert!(!host.has_changed(name), "{name:?}");
    }
    assert_eq!(
        host.command("changed ").quiet().number(),
        0,
        "an empty hash"
    );
    host.quit();
}

#[test]
fn the_hash_may_be_a_string_of_any_of_nims_memory_managers() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let by_value = |name: &str| format!("changed-by-value {}", sig_hash(name));
    assert_eq!(host.command(&by_value("b")).quiet().number(), 0);
    project.write(&version_of("b", 2));
    assert_eq!(host.command(&by_value("b")).quiet().number(), 1);
    assert_eq!(host.command(&by_value("system")).quiet().number(), 0);
    assert!(host.has_changed("b"));
    assert_eq!(host.command("changed-null").quiet().number(), 0);
    host.quit();
}

#[test]
fn a_module_that_disappeared_is_no_longer_asked() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(&CModule::new("a"));
    host.reload().quiet();
    project.write(&version_of("b", 2));
    assert!(!host.has_changed("b"));
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn a_module_may_ask_about_itself_while_it_is_initialised() {
    let project = CProject::new();
    let b = |version: i64| {
        version_of("b", version)
            .init("fixture_log(\"changed %d, needed %d\", has_changed(\"b\"), hcrReloadNeeded());")
    };
    project.write(&b(1));
    let (mut host, reply) = HostOptions::importing(["b"]).start(&project);
    assert!(
        reply.lines.contains(&"changed 0, needed 0".to_owned()),
        "{reply:?}"
    );
    project.write(&b(2));
    let reply = host.reload().quiet();
    assert!(
        reply.lines.contains(&"changed 0, needed 0".to_owned()),
        "{reply:?}"
    );
    host.quit();
}
