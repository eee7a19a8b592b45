//! Programs that fork, and programs that start themselves anew in the same process.

use liveswap_tests::{CModule, CProject, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

#[test]
fn a_program_that_executes_itself_starts_again_and_removes_what_it_left() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for version in 2..=4 {
        project.write(&b(version));
        host.reload().quiet();
        project.write(&b(10 * version));
        let reply = host.command("exec");
        assert_eq!(reply.result, "ready");
        assert_eq!(reply.stderr, [""; 0]);
        assert_eq!(host.generation(), 0, "a new life");
        assert_eq!(host.call("b", "version", 0), 10 * version);
        assert_eq!(project.private_copies().len(), 2, "one for each module");
        project.write(&b(100 * version));
        host.reload().quiet();
        assert_eq!(host.call("b", "version", 0), 100 * version);
    }
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn a_forked_childs_orderly_release_leaves_its_parents_copies_alone() {
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_SHUTDOWN", "release")
        .start(&project);
    let copies = project.private_copies();
    assert_eq!(copies.len(), 2);
    assert_eq!(host.command("fork").quiet().number(), 0);
    assert_eq!(project.private_copies(), copies);
    project.write(&b(2));
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn a_reload_in_a_forked_child_leaves_its_parents_copies_alone() {
    for shutdown in ["", "release"] {
        let project = CProject::new();
        project.write(&b(1));
        let (mut host, _) = HostOptions::importing(["b"])
            .env("LIVESWAP_SHUTDOWN", shutdown)
            .env("LIVESWAP_KEEP_IMAGES", "0")
            .start(&project);
        let copies = project.private_copies();
        project.write(&b(2));
        let reply = host.command("fork-and-reload").quiet();
        assert_eq!(reply.number(), 0, "the child's wait status");
        let last = reply.lines.last().map(String::as_str);
        assert_eq!(last, Some("child in generation 1"), "{reply:?}");
        assert_eq!(
            project.private_copies(),
            copies,
            "the parent's are there and the child's are not"
        );
        assert_eq!(host.call("b", "version", 0), 1);
        host.reload().quiet();
        assert_eq!(host.call("b", "version", 0), 2);
        host.quit();
        assert_eq!(project.files(), ["b.so", "system.so"]);
    }
}
