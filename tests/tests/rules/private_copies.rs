//! The private copies on disk, and who removes them when.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use liveswap_tests::process_info::mapped_copies;
use liveswap_tests::{CModule, CProject, Host, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

fn start(project: &CProject) -> Host {
    HostOptions::importing(["b"]).start(project).0
}

/// The copies that belong to a process, by the id in their names.
fn copies_of(project: &CProject, pid: u32) -> Vec<PathBuf> {
    let mark = format!(".liveswap-{pid}-");
    let mut copies = project.private_copies();
    copies.retain(|path| path.to_string_lossy().contains(&mark));
    copies
}

#[test]
fn a_private_copy_lies_beside_its_original_and_names_its_owner() {
    let project = CProject::new();
    project.write(&b(1));
    let host = start(&project);
    let copies = copies_of(&project, host.pid());
    assert_eq!(copies, project.private_copies());
    assert_eq!(copies.len(), 2, "{copies:?}");
    for copy in &copies {
        // STEM.liveswap-PID-STARTTIME-N.so
        let name = copy.file_name().expect("a name").to_string_lossy();
        let (stem, rest) = name.split_once(".liveswap-").expect("the mark");
        assert!(["b", "system"].contains(&stem), "{name}");
        let numbers = rest.strip_suffix(".so").expect("the extension");
        let numbers: Vec<&str> = numbers.split('-').collect();
        assert_eq!(numbers.len(), 3, "{name}");
        assert!(
            numbers.iter().all(|number| number.parse::<u64>().is_ok()),
            "{name}"
        );
        assert!(mapped_copies(host.pid()).contains(copy), "{name} is mapped");
    }
    host.quit();
}

#[test]
fn a_private_copy_has_the_bytes_of_its_original() {
    let project = CProject::new();
    project.write(&b(1));
    let host = start(&project);
    let original = fs::read(project.path("b")).expect("the original");
    let copies = copies_of(&project, host.pid());
    let copy = copies
        .iter()
        .find(|path| path.to_string_lossy().contains("/b.liveswap-"))
        .expect("the copy of b");
    assert!(fs::read(copy).expect("the copy") == original);
    host.quit();
}

#[test]
fn a_normal_exit_removes_all_private_copies() {
    let project = CProject::new();
    project.write(&b(0));
    let mut host = start(&project);
    for version in 1..=5 {
        project.write(&b(version));
        host.reload().quiet();
    }
    assert_eq!(copies_of(&project, host.pid()).len(), 5);
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn the_end_of_standard_input_is_a_normal_exit_too() {
    let project = CProject::new();
    project.write(&b(0));
    let host = start(&project);
    let exit = host.into_process().wait();
    assert_eq!(exit.code(), Some(0), "{exit:?}");
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn the_next_start_removes_what_a_killed_process_left() {
    let project = CProject::new();
    project.write(&b(0));
    let mut killed = start(&project);
    project.write(&b(1));
    killed.reload().quiet();
    let pid = killed.pid();
    let exit = killed.into_process().kill(libc::SIGKILL);
    assert_eq!(exit.signal(), Some(libc::SIGKILL));
    assert_eq!(copies_of(&project, pid).len(), 3, "nobody could clean up");
    let host = start(&project);
    assert_eq!(copies_of(&project, pid).len(), 0);
    assert_eq!(copies_of(&project, host.pid()).len(), 2);
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn the_copies_of_a_living_process_are_left_alone() {
    let project = CProject::new();
    project.write(&b(1));
    let mut first = start(&project);
    let mut second = start(&project);
    let of_first = copies_of(&project, first.pid());
    assert_eq!(of_first.len(), 2);
    assert_eq!(copies_of(&project, second.pid()).len(), 2);
    // Both see the change and reload by themselves.
    project.write(&b(2));
    first.reload().quiet();
    assert_eq!(first.call("b", "version", 0), 2);
    assert_eq!(second.call("b", "version", 0), 1);
    second.reload().quiet();
    assert_eq!(second.call("b", "version", 0), 2);
    let of_first = copies_of(&project, first.pid());
    second.quit();
    assert_eq!(copies_of(&project, first.pid()), of_first);
    assert_eq!(first.call("b", "version", 0), 2);
    first.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn copies_whose_process_id_was_given_to_another_process_are_removed() {
    let project = CProject::new();
    project.write(&b(1));
    let killed = start(&project);
    let pid = killed.pid();
    killed.into_process().kill(libc::SIGKILL);
    let left = copies_of(&project, pid);
    assert_eq!(left.len(), 2);
    // The same files as if their owner had had the id of this test, which lives, but which was
    // started at another time.
    let alive = std::process::id();
    for copy in left {
        let name = copy.to_string_lossy().into_owned();
        let renamed = name.replace(&format!("-{pid}-"), &format!("-{alive}-"));
        fs::rename(&copy, renamed).expect("renamed");
    }
    assert_eq!(copies_of(&project, alive).len(), 2);
    let host = start(&project);
    assert_eq!(copies_of(&project, alive).len(), 0);
    host.quit();
}

#[test]
fn files_that_only_look_like_private_copies_are_left_alone() {
    let project = CProject::new();
    project.write(&b(1));
    let names = [
        "b.liveswap-notes.txt",
        "b.liveswap-.so",
        "b.liveswap-1-2.so",
        "b.liveswap-x-y-z.so",
        "b.liveswap-99999999-1-1.so.bak",
        "liveswap-1-2-3.so",
    ];
    for name in names {
        fs::write(project.modules().join(name), "kept").expect("written");
    }
    start(&project).quit();
    let files = project.files();
    for name in names {
        assert!(
            files.contains(&name.to_owned()),
            "{name} is gone: {files:?}"
        );
    }
}

#[test]
fn a_fatal_signal_leaves_copies_only_until_the_next_start() {
    let project = CProject::new();
    project.write(&b(1));
    let host = start(&project);
    let exit = host.fatal_about("call 0 nobody", "b");
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    start(&project).quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn a_forked_child_that_exits_leaves_its_parents_copies_alone() {
    let project = CProject::new();
    project.write(&b(1));
    let mut host = start(&project);
    let copies = copies_of(&project, host.pid());
    assert_eq!(host.command("fork").number(), 0);
    assert_eq!(copies_of(&project, host.pid()), copies);
    project.write(&b(2));
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}

#[test]
fn a_read_only_original_is_loaded_and_its_copy_removed() {
    let project = CProject::new();
    project.write(&b(1));
    let path = project.path("b");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("permissions");
    let mut host = start(&project);
    let fresh = project.compile(&b(2));
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o400)).expect("permissions");
    project.install(&fresh, "b");
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
    assert_eq!(project.files(), ["b.so", "system.so"]);
}
