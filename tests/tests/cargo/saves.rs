//! The ways in which editors and tools write files.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use liveswap_tests::{LiveProject, LiveRun};

const FILES: usize = 30;

/// A program with 30 modules that each say a number; it prints all of them.
fn project() -> LiveProject {
    let modules: String = (0..FILES)
        .map(|n| format!("#[path = \"parts/m{n}.rs\"]\nmod m{n};\n"))
        .collect();
    let calls: Vec<String> = (0..FILES).map(|n| format!("m{n}::number()")).collect();
    let project = LiveProject::with_main(&format!(
        "{modules}
        fn main() {{
            println!(\"ready\");
            for line in std::io::stdin().lines() {{
                if line.unwrap() == \"quit\" {{ return; }}
                println!(\"{{}}\", show());
            }}
        }}

        #[inline(never)]
        fn show() -> String {{
            format!(\"{{:?}}\", [{}])
        }}
        ",
        calls.join(", ")
    ));
    for n in 0..FILES {
        project.write(&file(n), &text(0));
    }
    project
}

fn file(n: usize) -> String {
    format!("src/parts/m{n}.rs")
}

fn text(number: u64) -> String {
    format!("pub fn number() -> u64 {{\n    {number}\n}}\n")
}

fn shown(numbers: &[u64]) -> String {
    format!("{numbers:?}")
}

#[test]
fn every_way_of_saving_is_one_swap() {
    let project = project();
    // Backups and swap files of editors lie around, and are no sources.
    project.write("src/parts/m0.rs~", "old");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let mut numbers = [0; FILES];
    assert_eq!(live.ask("show"), shown(&numbers));

    // As VS Code and others: a fresh file renamed into place.
    project.save(&file(0), &text(1));
    live.swapped();
    numbers[0] = 1;
    assert_eq!(live.ask("show"), shown(&numbers));

    // Truncated and written.
    project.save_in_place(&file(1), &text(2));
    live.swapped();
    numbers[1] = 2;
    assert_eq!(live.ask("show"), shown(&numbers));

    // As vim: the old file becomes the backup, a new one is written, the backup goes.
    let path = project.path(&file(2));
    let backup = project.path("src/parts/m2.rs~");
    fs::rename(&path, &backup).expect("a rename");
    fs::write(&path, text(3)).expect("a new file");
    fs::remove_file(&backup).expect("the backup goes");
    live.swapped();
    numbers[2] = 3;
    assert_eq!(live.ask("show"), shown(&numbers));

    // Written in pieces, the file being open all the while.
    let mut open = File::create(project.path(&file(3))).expect("a file");
    for piece in text(4).as_bytes().chunks(5) {
        open.write_all(piece).expect("it is written");
    }
    open.sync_all().expect("it is written");
    drop(open);
    live.swapped();
    numbers[3] = 4;
    assert_eq!(live.ask("show"), shown(&numbers));

    // Several files at once.
    for n in [4, 5, 6, 7] {
        project.save(&file(n), &text(5));
        numbers[n] = 5;
    }
    live.swapped();
    assert_eq!(live.ask("show"), shown(&numbers));

    // A file that is touched only.
    let now = SystemTime::now();
    File::options()
        .append(true)
        .open(project.path(&file(8)))
        .and_then(|file| file.set_modified(now))
        .expect("a file can be touched");
    live.unchanged();
    // Saved without a change.
    project.save(&file(9), &text(0));
    live.unchanged();
    assert_eq!(live.ask("show"), shown(&numbers));

    // An older file comes back, with its older time.
    let old = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let restored = project.path("restored.rs");
    fs::write(&restored, text(6)).expect("a file");
    File::options()
        .append(true)
        .open(&restored)
        .and_then(|file| file.set_modified(old))
        .expect("a time can be set");
    fs::rename(&restored, project.path(&file(10))).expect("a rename");
    live.swapped();
    numbers[10] = 6;
    assert_eq!(live.ask("show"), shown(&numbers));
    assert_eq!(live.generation(), 6);
    live.quit();
}

/// Waits until the program shows this; every outcome on the way is a swap.
#[track_caller]
fn comes_to(live: &mut LiveRun, numbers: &[u64]) -> u64 {
    let mut swaps = 0;
    while live.ask("show") != shown(numbers) {
        live.swapped();
        swaps += 1;
    }
    swaps
}

#[test]
fn git_checkout_of_30_files_is_one_swap() {
    let project = project();
    project.write(".gitignore", "target\n");
    let git = |arguments: &[&str]| {
        let mut all = vec!["-c", "user.name=Test", "-c", "user.email=test@example.org"];
        all.extend(arguments);
        project.tool("git", &all)
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "zero"]);
    git(&["checkout", "-q", "-b", "other"]);
    for n in 0..FILES {
        project.write(&file(n), &text(9));
    }
    git(&["commit", "-q", "-a", "-m", "nine"]);
    git(&["checkout", "-q", "main"]);

    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    git(&["checkout", "-q", "other"]);
    live.swapped();
    let more = comes_to(&mut live, &[9; FILES]);
    // git needs some milliseconds for it: a busy machine may show it in two parts.
    assert!(more <= 1, "{more} more swaps");
    git(&["checkout", "-q", "main"]);
    live.swapped();
    comes_to(&mut live, &[0; FILES]);
    git(&["checkout", "-q", "other", "--", &file(7)]);
    live.swapped();
    let mut numbers = [0; FILES];
    numbers[7] = 9;
    assert_eq!(live.ask("show"), shown(&numbers));
    live.quit();
}

#[test]
fn saves_during_a_compilation_are_not_lost_and_the_last_wins() {
    let project = project();
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let mut numbers = [0; FILES];
    for round in 1..=8 {
        // The first is noticed, its compilation begins, and two more saves come in between.
        project.save(&file(0), &text(round));
        live.event_named("change");
        project.save(&file(0), &text(round * 100));
        project.save_in_place(&file(1), &text(round));
        numbers[0] = round * 100;
        numbers[1] = round;
        comes_to(&mut live, &numbers);
    }
    // A mistake that is mended before anybody looked at it.
    project.save(&file(2), "pub fn number() -> u64 { \"no\" }");
    live.event_named("change");
    project.save(&file(2), &text(77));
    numbers[2] = 77;
    while live.ask("show") != shown(&numbers) {
        let event = live.outcome();
        assert!(
            matches!(event.name(), "swapped" | "build_failed"),
            "{event}"
        );
    }
    live.quit();
}

#[test]
fn a_save_while_the_session_begins_is_not_lost() {
    let project = project();
    let path = project.path(&file(0));
    let save = format!("std::fs::write({path:?}, {:?}).unwrap();", text(1));
    // The program itself does it: nobody is earlier, and nothing is watched yet.
    project.edit(
        "src/main.rs",
        "println!(\"ready\");",
        &format!("{save} println!(\"ready\");"),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    live.swapped();
    let mut numbers = [0; FILES];
    numbers[0] = 1;
    assert_eq!(live.ask("show"), shown(&numbers));
    live.quit();
}

/// Makes a link, or turns the one that is there, as tools do that never leave a moment without one.
fn turn(project: &LiveProject, link: &str, to: &str) {
    let fresh = project.path(".link");
    symlink(to, &fresh).expect("a link");
    fs::rename(fresh, project.path(link)).expect("it takes the place of the old one");
}

#[test]
fn a_link_that_is_turned_brings_the_sources_behind_it() {
    let project = project();
    for (folder, number) in [("one", 1), ("two", 2), ("three", 2)] {
        project.write(&format!("{folder}/m0.rs"), &text(number));
    }
    project.write("file4.rs", &text(4));
    turn(&project, "linked", "one");
    let main = project.read("src/main.rs");
    project.write(
        "src/main.rs",
        &main.replace("parts/m0.rs", "../linked/m0.rs"),
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let mut numbers = [0; FILES];
    numbers[0] = 1;
    assert_eq!(live.ask("show"), shown(&numbers));

    turn(&project, "linked", "two");
    live.swapped();
    numbers[0] = 2;
    assert_eq!(live.ask("show"), shown(&numbers));
    project.save("two/m0.rs", &text(3));
    live.swapped();
    numbers[0] = 3;
    assert_eq!(live.ask("show"), shown(&numbers));
    project.save("two/m0.rs", &text(2));
    live.swapped();
    // With the same contents: but the other file is the source from now on.
    turn(&project, "linked", "three");
    live.unchanged();
    project.save("three/m0.rs", &text(5));
    live.swapped();
    numbers[0] = 5;
    assert_eq!(live.ask("show"), shown(&numbers));

    // A file becomes a link.
    turn(&project, &file(1), "../../file4.rs");
    live.swapped();
    numbers[1] = 4;
    assert_eq!(live.ask("show"), shown(&numbers));
    project.save("file4.rs", &text(6));
    live.swapped();
    numbers[1] = 6;
    assert_eq!(live.ask("show"), shown(&numbers));
    // And another one.
    project.write("file7.rs", &text(7));
    turn(&project, &file(1), "../../file7.rs");
    assert_eq!(live.at_last_swapped().name(), "swapped");
    numbers[1] = 7;
    assert_eq!(live.ask("show"), shown(&numbers));
    live.quit();
}

#[test]
fn sources_behind_symlinks_go_live() {
    let project = project();
    project.write("elsewhere/real.rs", &text(1));
    project.write("elsewhere/folder/m1.rs", &text(1));
    fs::remove_file(project.path(&file(0))).expect("it was there");
    symlink("../../elsewhere/real.rs", project.path(&file(0))).expect("a link");
    let main = project.read("src/main.rs");
    project.write("src/main.rs", &main.replace("parts/m1.rs", "linked/m1.rs"));
    symlink("../elsewhere/folder", project.path("src/linked")).expect("a link");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let mut numbers = [0; FILES];
    (numbers[0], numbers[1]) = (1, 1);
    assert_eq!(live.ask("show"), shown(&numbers));
    for round in 2..4 {
        project.save("elsewhere/real.rs", &text(round));
        live.swapped();
        numbers[0] = round;
        assert_eq!(live.ask("show"), shown(&numbers));
        project.save_in_place("elsewhere/folder/m1.rs", &text(round));
        live.swapped();
        numbers[1] = round;
        assert_eq!(live.ask("show"), shown(&numbers));
    }
    live.quit();
}
