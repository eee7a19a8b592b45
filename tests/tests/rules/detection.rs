//! How a changed file is told from an unchanged one.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use liveswap_tests::process_info::bytes_read;
use liveswap_tests::{CModule, CProject, Host, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

fn start() -> (CProject, Host) {
    let project = CProject::new();
    project.write(&b(1));
    let (host, _) = HostOptions::importing(["b"]).start(&project);
    (project, host)
}

fn set_mtime(path: &Path, time: SystemTime) {
    let file = File::options()
        .write(true)
        .open(path)
        .expect("the file opens");
    file.set_times(FileTimes::new().set_modified(time))
        .expect("the time is set");
}

fn mtime(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .expect("the file has a time")
}

#[track_caller]
fn loads_version(host: &mut Host, version: i64) {
    assert!(host.reload_needed());
    assert!(host.has_changed("b"));
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), version);
    assert!(!host.reload_needed());
}

#[test]
fn a_file_replaced_by_rename_is_loaded() {
    let (project, mut host) = start();
    project.write(&b(2));
    loads_version(&mut host, 2);
    host.quit();
}

#[test]
fn a_file_restored_from_a_backup_with_an_older_time_is_loaded() {
    let (project, mut host) = start();
    let backup = project.compile(&b(2));
    set_mtime(
        &backup,
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000),
    );
    project.install(&backup, "b");
    loads_version(&mut host, 2);
    host.quit();
}

#[test]
fn a_file_from_the_future_is_loaded_and_an_ordinary_one_after_it() {
    let (project, mut host) = start();
    let future = project.compile(&b(2));
    set_mtime(&future, SystemTime::now() + Duration::from_secs(1_000_000));
    project.install(&future, "b");
    loads_version(&mut host, 2);
    project.write(&b(3));
    loads_version(&mut host, 3);
    host.quit();
}

#[test]
fn a_file_of_the_same_size_and_time_but_another_inode_is_loaded() {
    let (project, mut host) = start();
    let path = project.path("b");
    let old = fs::metadata(&path).expect("metadata");
    let replacement = project.compile(&b(2));
    set_mtime(&replacement, mtime(&path));
    project.install(&replacement, "b");
    let new = fs::metadata(&path).expect("metadata");
    assert_eq!(
        old.size(),
        new.size(),
        "the test needs two files of one size"
    );
    assert_eq!(
        (old.mtime(), old.mtime_nsec()),
        (new.mtime(), new.mtime_nsec())
    );
    assert_ne!(old.ino(), new.ino());
    loads_version(&mut host, 2);
    host.quit();
}

#[test]
fn a_file_rewritten_in_place_within_the_same_second_is_loaded() {
    let (project, mut host) = start();
    let path = project.path("b");
    let new = fs::read(project.compile(&b(2))).expect("the library can be read");
    // The same inode, the same size, the same second: only the nanoseconds differ.
    let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    set_mtime(&path, second + Duration::from_nanos(5));
    host.reload().quiet();
    let old = fs::metadata(&path).expect("metadata");
    fs::write(&path, &new).expect("rewritten in place");
    set_mtime(&path, second + Duration::from_nanos(6));
    let rewritten = fs::metadata(&path).expect("metadata");
    assert_eq!(
        (old.ino(), old.size(), old.mtime()),
        (rewritten.ino(), rewritten.size(), rewritten.mtime())
    );
    loads_version(&mut host, 2);
    host.quit();
}

#[test]
fn a_file_that_was_only_touched_counts_as_changed() {
    let (project, mut host) = start();
    set_mtime(
        &project.path("b"),
        SystemTime::now() - Duration::from_secs(100),
    );
    loads_version(&mut host, 1);
    assert_eq!(host.generation(), 1);
    host.quit();
}

#[test]
fn reading_a_file_or_changing_its_permissions_does_not_count() {
    let (project, mut host) = start();
    let path = project.path("b");
    fs::read(&path).expect("the file can be read");
    let mut permissions = fs::metadata(&path).expect("metadata").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).expect("the permissions change");
    assert!(!host.reload_needed());
    assert_eq!(host.reload().quiet().number(), 0);
    host.quit();
}

#[test]
fn a_change_during_the_reload_is_found_by_the_next_one() {
    let (project, mut host) = start();
    // The first new version holds the reload in its initialisation until the gate opens.
    project.write(&b(2).init("fixture_wait_at_gate(\"b\");"));
    host.command("reload-on-thread");
    host.command("await-gate");
    project.write(&b(3));
    host.command("open-gate");
    host.command("join-reloaders");
    assert_eq!(host.call("b", "version", 0), 2);
    loads_version(&mut host, 3);
    host.quit();
}

#[test]
fn a_time_in_the_future_does_not_make_every_question_read_the_whole_file() {
    const QUESTIONS: u64 = 50;
    let large = |version: i64| b(version).declare("char table[300000] = {1};");
    let project = CProject::new();
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    let install = |version: i64| {
        let library = project.compile(&large(version));
        set_mtime(&library, tomorrow);
        project.install(&library, "b");
    };
    install(1);
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let size = fs::metadata(project.path("b")).expect("metadata").size();
    assert!(size > 300_000);
    let before = bytes_read(host.pid());
    for _ in 0..QUESTIONS {
        assert!(!host.reload_needed());
        assert!(!host.has_changed("b"));
        assert_eq!(host.reload().quiet().number(), 0);
    }
    let read = bytes_read(host.pid()) - before;
    // The fresh system module may be looked into once or twice.
    assert!(read < size, "{read} bytes read by {QUESTIONS} questions");
    install(2);
    loads_version(&mut host, 2);
    host.quit();
}
