//! The memory that slots live in.

use liveswap_tests::process_info::{mappings, resident_kib};
use liveswap_tests::{CModule, CProject, HostOptions};

/// More procs than slots fit into one megabyte, however small a slot is.
const TOO_MANY: i64 = 1_100_000;

#[test]
fn no_memory_is_ever_writable_and_executable() {
    let project = CProject::new();
    project.write(&CModule::new("b").proc("version", "return 1;"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert_no_writable_code(host.pid());
    host.about("register-procs 20000", "b");
    assert_no_writable_code(host.pid());
    project.write(&CModule::new("b").proc("version", "return 2;"));
    host.reload().quiet();
    assert_no_writable_code(host.pid());
    host.quit();
}

fn assert_no_writable_code(pid: u32) {
    let mappings = mappings(pid);
    assert!(
        mappings
            .iter()
            .any(|mapping| mapping.permissions.contains('x')),
        "no code is mapped at all: {mappings:?}"
    );
    for mapping in mappings {
        assert!(
            !(mapping.permissions.contains('w') && mapping.permissions.contains('x')),
            "{mapping:?}"
        );
    }
}

#[test]
fn a_slot_lies_in_memory_that_is_executable_and_not_writable() {
    let project = CProject::new();
    project.write(&CModule::new("b").proc("version", "return 1;"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let address = host.address("b", "version");
    let mapping = mappings(host.pid())
        .into_iter()
        .find(|mapping| mapping.start <= address && address < mapping.end)
        .expect("the slot is mapped");
    assert_eq!(mapping.permissions, "r-xp", "{mapping:?}");
    host.quit();
}

#[test]
fn every_slot_of_a_large_table_works() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let reply = host.about("register-procs 100000", "b").quiet();
    assert_eq!(
        reply.number(),
        100_000,
        "every proc has an address of its own"
    );
    for index in [0, 1, 4095, 4096, 65_535, 65_536, 99_999] {
        assert_eq!(host.call("b", &format!("proc_{index}"), index), index + 1);
    }
    host.quit();
}

#[test]
fn the_reserved_memory_is_not_committed() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    assert!(
        resident_kib(host.pid()) < 50_000,
        "{} KiB are resident",
        resident_kib(host.pid())
    );
    assert_eq!(host.generation(), 0);
    host.quit();
}

#[test]
fn a_full_slot_table_is_reported_with_the_setting_that_enlarges_it() {
    let project = CProject::new();
    project.write(&CModule::new("b").proc("version", "return 1;"));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("HOT_CODE_RELOADING_JUMP_TABLE_SIZE", "1")
        .start(&project);
    let reply = host.about(&format!("register-procs {TOO_MANY}"), "b");
    assert!(reply.number() < TOO_MANY, "not every proc can have a slot");
    let message = reply.stderr.first().expect("a message about the table");
    assert!(
        message.starts_with("liveswap: the slot table is full (") && message.contains(" in 1 MB)"),
        "{message}"
    );
    assert!(
        message.contains(&format!(
            "of module {} has no slot",
            project.path("b").display()
        )),
        "{message}"
    );
    assert!(
        message.ends_with("; raise HOT_CODE_RELOADING_JUMP_TABLE_SIZE"),
        "{message}"
    );
    // What has a slot goes on working, also over a reload.
    assert_eq!(host.call("b", "proc_0", 4), 5);
    assert_eq!(host.call("b", "version", 0), 1);
    project.write(&CModule::new("b").proc("version", "return 2;"));
    host.reload();
    assert_eq!(host.call("b", "version", 0), 2);
    // What has none aborts when it is called, and does not run somebody else's code.
    let exit = host.fatal_about(&format!("call 1 proc_{}", TOO_MANY - 1), "b");
    assert_eq!(exit.signal(), Some(libc::SIGABRT), "{exit:?}");
    let last = exit.stderr.last().expect("a message about the call");
    assert!(last.starts_with("liveswap: "), "{last}");
}

#[test]
fn the_size_of_the_slot_table_is_set_in_megabytes() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let slots_in = |megabytes: &str| {
        let (mut host, _) = HostOptions::importing(["b"])
            .env("HOT_CODE_RELOADING_JUMP_TABLE_SIZE", megabytes)
            .start(&project);
        let reply = host.about("register-procs 300000", "b");
        host.quit();
        reply.number()
    };
    let (one, two) = (slots_in("1"), slots_in("2"));
    assert!(one > 10_000, "{one} slots in one megabyte");
    assert!(
        two > one + 10_000,
        "{one} slots in one megabyte, {two} in two"
    );
}
