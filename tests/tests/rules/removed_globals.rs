//! What is left of a global that no module registers any more: whoever knows its address may go on
//! using it, and the collector goes on looking at it.

use liveswap_tests::{CModule, CProject, Host, HostOptions};

/// A module whose destructor reads and writes the last element of its global of `size` longs.
fn with_destructor(size: usize) -> CModule {
    CModule::new("b")
        .declare(
            "__attribute__((destructor)) static void leave(void);\n\
             static long *last;",
        )
        .global(
            &format!("long[{size}]"),
            "g",
            &format!("(*g)[{size} - 1] = 99;"),
        )
        .init(&format!("last = &(*g)[{size} - 1];"))
        .declare("static void leave(void) { fixture_log(\"leaves with %ld\", *last); *last = 1; }")
}

/// From small to what comes as pages of its own: touching those after they were given back is fatal.
const SIZES: [usize; 3] = [1, 600, 300_000];

#[test]
fn a_destructor_of_an_image_closed_by_a_reload_finds_its_removed_globals() {
    for size in SIZES {
        let project = CProject::new();
        project.write(&with_destructor(size));
        let (mut host, _) = HostOptions::importing(["b"])
            .env("LIVESWAP_KEEP_IMAGES", "0")
            .start(&project);
        project.write(&CModule::new("b"));
        let reply = host.reload().quiet();
        assert!(
            reply.lines.contains(&"leaves with 99".to_owned()),
            "{size} longs: {reply:?}"
        );
        host.quit();
    }
}

#[test]
fn a_destructor_that_an_orderly_release_runs_finds_its_removed_and_living_globals() {
    for size in SIZES {
        for removed in [false, true] {
            let project = CProject::new();
            project.write(&with_destructor(size));
            let (mut host, _) = HostOptions::importing(["b"])
                .env("LIVESWAP_SHUTDOWN", "release")
                .start(&project);
            if removed {
                project.write(&CModule::new("b"));
                host.reload().quiet();
            }
            let exit = host.quit();
            assert_eq!(exit.stdout, ["leaves with 99"], "{size} longs: {exit:?}");
            assert_eq!(exit.stderr, [""; 0]);
        }
    }
}

#[test]
fn a_global_that_returns_is_where_the_main_program_still_looks_for_it() {
    for keep in ["0", "3"] {
        let project = CProject::new();
        let with = |version: i64| {
            CModule::new("b")
                .global("long[3]", "g", "(*g)[0] += 5;")
                .proc("place", "return (long)g;")
                .proc("last", "return (*g)[2];")
                .proc("version", &format!("return {version};"))
        };
        project.write(&with(1));
        let (mut host, _) = HostOptions::importing(["b"])
            .env("LIVESWAP_KEEP_IMAGES", keep)
            .start(&project);
        // From here on the main program knows the address; it asks only once in its life.
        let held = i64::try_from(host.about("global g", "b").address()).expect("a user's address");
        let mut version = 1;
        for without in [1, 2, 4] {
            host.set("b", "g", -1);
            for _ in 0..without {
                version += 1;
                project.write(&CModule::new("b").proc("version", &format!("return {version};")));
                host.reload().quiet();
            }
            version += 1;
            project.write(&with(version));
            let reply = host.reload().quiet();
            assert!(reply.lines.contains(&"fresh b.g".to_owned()), "{reply:?}");
            assert_eq!(host.call("b", "place", 0), held, "one place for everybody");
            assert_eq!(host.get("b", "g"), 5, "zeroed, then initialised");
            assert_eq!(host.call("b", "last", 0), 0, "zeroed to the end");
        }
        host.quit();
    }
}

/// A global of `size` longs with a marker that tells its version.
fn marked(version: i64, size: usize) -> CModule {
    CModule::new("b")
        .declare(&format!(
            "static long (*g)[{size}];\n\
             static void marker(void) {{ fixture_log(\"version {version} marks %ld\", (*g)[0]); }}"
        ))
        .init(&format!(
            "if (hcrRegisterGlobal(MODULE, \"g\", sizeof *g, marker, (void **)&g)) (*g)[0] = 10 * {version};"
        ))
}

#[track_caller]
fn marks(host: &mut Host) -> Vec<String> {
    let mut lines = host.command("mark").quiet().lines;
    lines.sort();
    lines
}

#[test]
fn a_removed_global_is_marked_as_long_as_the_image_of_its_marker_is_mapped() {
    let project = CProject::new();
    project.write(&marked(1, 1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "1")
        .start(&project);
    assert_eq!(marks(&mut host), ["version 1 marks 10"]);
    project.write(&CModule::new("b"));
    host.reload().quiet();
    assert_eq!(
        marks(&mut host),
        ["version 1 marks 10"],
        "old code may still put things there"
    );
    // The second reload closes the image with the marker.
    project.write(&CModule::new("b").proc("version", "return 3;"));
    host.reload().quiet();
    assert_eq!(marks(&mut host), [""; 0]);
    host.quit();
}

#[test]
fn a_removed_global_is_not_marked_by_an_image_that_is_closed_at_once() {
    let project = CProject::new();
    project.write(&marked(1, 1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    // Also when the main program still knows the address, so that the memory stays.
    host.about("global g", "b");
    project.write(&CModule::new("b"));
    host.reload().quiet();
    assert_eq!(marks(&mut host), [""; 0]);
    host.quit();
}

#[test]
fn the_old_memory_of_a_global_that_changed_its_size_is_marked_too() {
    let project = CProject::new();
    project.write(&marked(1, 1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "1")
        .start(&project);
    project.write(&marked(2, 700));
    let reply = host.reload();
    assert_eq!(reply.stderr.len(), 1, "{reply:?}");
    assert!(
        reply.stderr[0].contains("changed its size from 8 to 5600 bytes"),
        "{reply:?}"
    );
    assert_eq!(
        marks(&mut host),
        ["version 1 marks 10", "version 2 marks 20"],
        "what the old code holds is still in use"
    );
    project.write(&marked(3, 700));
    host.reload().quiet();
    assert_eq!(
        marks(&mut host),
        ["version 3 marks 20"],
        "the first image is closed"
    );
    host.quit();
}
