//! How the command behaves towards the system, other users, other sessions, and at the end.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use liveswap_tests::process_info::mappings;
use liveswap_tests::{LiveProject, LiveRun};

use crate::tools::start_environment;

const MAIN: &str = "src/main.rs";

const PROGRAM: &str = r#"
fn main() {
    println!("ready");
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "quit" => return,
            _ => println!("{}", number()),
        }
    }
}

#[inline(never)]
fn number() -> u64 {
    1
}
"#;

/// The program, after one swap.
fn swapped_once() -> (LiveProject, LiveRun) {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    project.edit(MAIN, "    1\n", "    2\n");
    live.swapped();
    assert_eq!(live.ask("number"), "2");
    (project, live)
}

fn run_folder(live: &LiveRun) -> PathBuf {
    let socket = PathBuf::from(start_environment(live, "LIVESWAP_SOCKET"));
    socket.parent().expect("it lies in a folder").to_path_buf()
}

#[test]
fn sockets_lie_in_a_folder_for_this_user_only_and_go_with_the_session() {
    let (_project, live) = swapped_once();
    let folder = run_folder(&live);
    let meta = fs::metadata(&folder).expect("the folder is there");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o700, "{folder:?}");
    let own = fs::metadata("/proc/self").expect("we run").uid();
    assert_eq!(meta.uid(), own);
    for socket in ["agent.sock", "control.sock"] {
        let meta = fs::metadata(folder.join(socket)).expect("a socket");
        assert!(meta.file_type().is_socket());
    }
    live.quit();
    assert!(!folder.exists(), "{folder:?} is left over");
}

#[test]
fn no_memory_is_writable_and_executable() {
    let (_project, live) = swapped_once();
    for mapping in mappings(live.pid()) {
        let both = mapping.permissions.contains('w') && mapping.permissions.contains('x');
        assert!(!both, "{mapping:?}");
    }
    live.quit();
}

#[test]
fn a_killed_command_leaves_the_program_running() {
    let (_project, mut live) = swapped_once();
    live.signal(live.command_pid(), libc::SIGKILL);
    live.command_ended();
    for _ in 0..10 {
        assert_eq!(live.ask("number"), "2");
    }
    // It ends by itself, with both of its streams.
    live.send("quit");
    let exit = live.wait();
    assert_eq!(exit.signal(), Some(libc::SIGKILL), "the command's end");
}

#[test]
fn a_killed_program_ends_the_command_with_its_status() {
    let (_project, mut live) = swapped_once();
    let folder = run_folder(&live);
    live.signal(live.pid(), libc::SIGKILL);
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("signal"), i64::from(libc::SIGKILL));
    let exit = live.wait();
    assert_eq!(exit.code(), Some(128 + libc::SIGKILL));
    assert!(!folder.exists(), "{folder:?} is left over");
}

#[test]
fn ctrl_c_ends_program_and_command() {
    let (_project, mut live) = swapped_once();
    live.signal_all(libc::SIGINT);
    let exited = live.event_named("exited");
    assert_eq!(exited.number("code"), i64::from(128 + libc::SIGINT));
    let exit = live.wait();
    assert_eq!(exit.code(), Some(128 + libc::SIGINT), "{exit:?}");
}

#[test]
fn a_terminated_command_ends_the_program() {
    let (_project, mut live) = swapped_once();
    let program = live.pid();
    live.signal(live.command_pid(), libc::SIGTERM);
    // Not before: the end of its input would end the program as well.
    let exited = live.event_named("exited");
    assert_eq!(exited.number("code"), i64::from(128 + libc::SIGTERM));
    let exit = live.wait();
    assert_eq!(exit.code(), Some(128 + libc::SIGTERM), "{exit:?}");
    assert!(!Path::new(&format!("/proc/{program}")).exists());
}

#[test]
fn two_sessions_of_one_project_do_not_disturb_each_other() {
    let project = LiveProject::with_main(PROGRAM);
    let mut first = project.run();
    let mut second = project.run();
    assert_eq!(first.line(), "ready");
    assert_eq!(second.line(), "ready");
    project.edit(MAIN, "    1\n", "    2\n");
    first.swapped();
    second.swapped();
    assert_eq!(first.ask("number"), "2");
    assert_eq!(second.ask("number"), "2");
    first.quit();
    project.edit(MAIN, "    2\n", "    3\n");
    second.swapped();
    assert_eq!(second.ask("number"), "3");
    // A third takes the place of the first.
    let mut third = project.run();
    assert_eq!(third.line(), "ready");
    assert_eq!(third.ask("number"), "3");
    project.edit(MAIN, "    3\n", "    4\n");
    second.swapped();
    third.swapped();
    assert_eq!(second.ask("number"), "4");
    assert_eq!(third.ask("number"), "4");
    third.quit();
    second.quit();
}

#[test]
fn build_scripts_proc_macros_and_shared_libraries_are_linked_as_always() {
    let project = LiveProject::new("mixed");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let deps = project.path("target/liveswap/debug");
    let exe = project.tool("readelf", &["-d", &deps.join("app").display().to_string()]);
    assert!(exe.contains("libliveswap_agent.so"), "{exe}");
    let mut others = Vec::new();
    let mut folders = vec![deps.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .expect("a folder")
            .map(|e| e.expect("an entry"))
        {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != ".fingerprint" {
                    folders.push(path);
                }
            } else if name.starts_with("build-script-build")
                || (name.starts_with("lib") && name.ends_with(".so"))
            {
                others.push(path);
            }
        }
    }
    for kind in ["build-script-build", "libderive", "liblogic"] {
        assert!(
            others
                .iter()
                .any(|path| path.display().to_string().contains(kind)),
            "no {kind} among {others:?}"
        );
    }
    for path in others {
        let needed = project.tool("readelf", &["-d", &path.display().to_string()]);
        assert!(!needed.contains("liveswap"), "{}: {needed}", path.display());
    }
    assert_eq!(
        live.ask("all"),
        "derived 1 of Thing, 42 from C, logic 1, made 1"
    );
    project.edit("logic/src/lib.rs", "/*logic*/ 1", "/*logic*/ 2");
    live.swapped();
    assert_eq!(
        live.ask("all"),
        "derived 1 of Thing, 42 from C, logic 2, made 1"
    );
    // A changed macro changes what was derived with it.
    project.edit("derive/src/lib.rs", "/*derived*/ 1", "/*derived*/ 2");
    live.swapped_or_held_back();
    if live.ask("all") != "derived 2 of Thing, 42 from C, logic 2, made 1" {
        live.reason_naming("derive");
    }
    project.edit("derive/src/lib.rs", "/*derived*/ 2", "/*derived*/ 1");
    live.outcome();
    // C code is the linker's business: it is said that it waits.
    project.edit("native.c", "42", "43");
    live.held_back("native");
    assert_eq!(
        live.ask("all"),
        "derived 1 of Thing, 42 from C, logic 2, made 1"
    );
    project.edit("native.c", "43", "42");
    live.outcome();
    project.edit("src/main.rs", "{}, {} from C", "{}: {} from C");
    live.at_last_swapped();
    assert_eq!(
        live.ask("all"),
        "derived 1 of Thing: 42 from C, logic 2, made 1"
    );
    live.quit();
}

/// The run-time connected beside `main`, for some time under the lowest free number: daemons close all
/// numbers first, and closed its or had theirs closed.
#[test]
fn the_numbers_of_files_are_the_programs_from_the_first_one_on() {
    let project = LiveProject::with_main(
        r#"
use std::fs::File;
use std::os::fd::AsRawFd;

unsafe extern "C" {
    fn close(number: i32) -> i32;
}

fn main() {
    let first = File::open("/dev/null").unwrap();
    let number = first.as_raw_fd();
    std::mem::forget(first);
    for number in 3..256 {
        unsafe { close(number) };
    }
    let files: Vec<File> = (0..100).map(|_| File::open("/dev/null").unwrap()).collect();
    let numbers: Vec<i32> = files.iter().map(|file| file.as_raw_fd()).collect();
    drop(files);
    println!("{number} {} {}", numbers[0], numbers[99]);
}
"#,
    );
    for _ in 0..12 {
        let mut live = project.run();
        assert_eq!(live.line(), "3 3 102");
        assert_eq!(live.wait().code(), Some(0));
    }
}
