//! Globals: storage that stays, and when it starts anew.

use liveswap_tests::process_info::resident_kib;
use liveswap_tests::{CModule, CProject, Host, HostOptions};

fn counter(initial: i64) -> CModule {
    CModule::new("b")
        .global("long", "count", &format!("*count = {initial};"))
        .proc("next", "return ++*count;")
}

#[test]
fn a_global_keeps_its_value_and_its_address_over_reloads() {
    let project = CProject::new();
    project.write(&counter(7));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let address = host.about("global count", "b").address();
    assert_eq!(host.call("b", "next", 0), 8);
    for generation in 1..=5 {
        // Another initial value changes nothing: the global is initialised already.
        project.write(&counter(100 * generation));
        let reply = host.reload().quiet();
        assert!(!reply.lines.contains(&"fresh b.count".to_owned()));
        assert_eq!(host.about("global count", "b").address(), address);
        assert_eq!(host.call("b", "next", 0), 8 + generation);
    }
    host.quit();
}

#[test]
fn a_new_global_is_zeroed_and_aligned_for_any_type() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for size in [
        1, 2, 3, 8, 16, 17, 63, 64, 65, 1000, 4096, 70_000, 5_000_000,
    ] {
        let reply = host.about(&format!("register-global {size} g{size}"), "b");
        assert!(
            reply.result.starts_with("fresh zeroed aligned "),
            "{size} bytes: {reply:?}"
        );
    }
    host.quit();
}

#[test]
fn only_the_first_registration_says_that_the_global_is_new() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let first = host.about("register-global 24 g", "b").result;
    let address = first.strip_prefix("fresh zeroed aligned ").expect(&first);
    for _ in 0..3 {
        // It is filled by the first registration's command, and nobody clears it.
        let again = host.about("register-global 24 g", "b").quiet().result;
        assert_eq!(again, format!("known filled aligned {address}"));
    }
    host.quit();
}

#[test]
fn globals_of_the_same_name_in_two_modules_are_two() {
    let project = CProject::new();
    project.write(&CModule::new("b").global("long", "g", "*g = 1;"));
    project.write(&CModule::new("c").global("long", "g", "*g = 2;"));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    assert_eq!((host.get("b", "g"), host.get("c", "g")), (1, 2));
    host.quit();
}

#[test]
fn a_global_added_by_a_reload_is_initialised_then() {
    let project = CProject::new();
    project.write(&counter(7));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&counter(7).global("long", "added", "*added = 44;"));
    let reply = host.reload().quiet();
    assert!(
        reply.lines.contains(&"fresh b.added".to_owned()),
        "{reply:?}"
    );
    assert_eq!(host.get("b", "added"), 44);
    assert_eq!(host.get("b", "count"), 7);
    host.quit();
}

#[test]
fn a_global_that_was_removed_and_returns_is_initialised_anew() {
    let project = CProject::new();
    project.write(&counter(7));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    host.set("b", "count", 99);
    project.write(&CModule::new("b"));
    host.reload().quiet();
    project.write(&counter(8));
    let reply = host.reload().quiet();
    assert!(
        reply.lines.contains(&"fresh b.count".to_owned()),
        "{reply:?}"
    );
    assert_eq!(host.get("b", "count"), 8);
    host.quit();
}

#[test]
fn a_returned_global_is_zeroed_before_it_is_initialised() {
    let project = CProject::new();
    let with = CModule::new("b").global("long", "g", "*g += 5;");
    project.write(&with);
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    for _ in 0..3 {
        assert_eq!(host.get("b", "g"), 5);
        host.set("b", "g", -1);
        project.write(&CModule::new("b"));
        host.reload().quiet();
        project.write(&with);
        host.reload().quiet();
    }
    host.quit();
}

#[test]
fn a_global_of_another_size_starts_anew_and_the_change_is_said() {
    let project = CProject::new();
    let of_length = |length: usize, value: i64| {
        CModule::new("b").global(
            &format!("long[{length}]"),
            "g",
            &format!("for (int i = 0; i < {length}; i++) (*g)[i] += {value};"),
        )
    };
    project.write(&of_length(2, 7));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    host.set("b", "g", 99);
    project.write(&of_length(5000, 8));
    let reply = host.reload();
    assert_eq!(
        reply.stderr,
        [format!(
            "liveswap: global g of module {} changed its size from 16 to 40000 bytes: it starts anew",
            project.path("b").display()
        )]
    );
    assert!(reply.lines.contains(&"fresh b.g".to_owned()), "{reply:?}");
    assert_eq!(host.get("b", "g"), 8);
    // It shrinks as well, and after that it is an ordinary global.
    project.write(&of_length(1, 9));
    let reply = host.reload();
    assert_eq!(reply.stderr.len(), 1, "{reply:?}");
    assert!(
        reply.stderr[0].contains("from 40000 to 8 bytes"),
        "{reply:?}"
    );
    host.set("b", "g", 10);
    project.write(&of_length(1, 11));
    host.reload().quiet();
    assert_eq!(host.get("b", "g"), 10);
    host.quit();
}

#[test]
fn a_global_of_100_megabytes_takes_memory_only_where_it_is_used() {
    let project = CProject::new();
    let module = |version: i64| {
        CModule::new("b")
            .global("char[100000000]", "big", "(*big)[99999999] = 5;")
            .proc("version", &format!("return {version};"))
            .proc("last", "return (*big)[99999999];")
    };
    project.write(&module(1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    project.write(&module(2));
    let reply = host.reload().quiet();
    assert!(
        !reply.lines.contains(&"fresh b.big".to_owned()),
        "{reply:?}"
    );
    assert_eq!(host.call("b", "last", 0), 5);
    assert!(
        resident_kib(host.pid()) < 50_000,
        "untouched zeros cost nothing"
    );
    // Removed and returned many times, it must not pile up either.
    for _ in 0..4 {
        project.write(&CModule::new("b"));
        host.reload().quiet();
        project.write(&module(3));
        host.reload().quiet();
        assert_eq!(host.call("b", "last", 0), 5);
    }
    host.quit();
}

fn registrar_of_a_foreign_global(version: i64) -> CModule {
    CModule::new("registrar")
        .imports(["owner"])
        .proc("version", &format!("return {version};"))
        .declare("static long *foreign;")
        .init(
            "if (hcrRegisterGlobal(@{owner}, \"foreign\", sizeof *foreign, 0, (void **)&foreign)) \
             { fixture_log(\"fresh foreign\"); *foreign = 3; }",
        )
        .proc("foreign_value", "return *foreign;")
}

#[test]
fn a_global_registered_by_a_module_that_was_not_reinitialised_survives_its_owners_reload() {
    let project = CProject::new();
    project.write(&CModule::new("owner"));
    project.write(&registrar_of_a_foreign_global(1));
    let (mut host, _) = HostOptions::importing(["registrar"]).start(&project);
    host.set("owner", "foreign", 55);
    for version in 0..3 {
        project.write(&CModule::new("owner").proc("version", &format!("return {version};")));
        host.reload().quiet();
        assert_eq!(host.get("owner", "foreign"), 55);
        assert_eq!(host.call("registrar", "foreign_value", 0), 55);
    }
    host.quit();
}

#[test]
fn a_global_registered_on_behalf_of_another_module_survives_its_registrars_reload() {
    let project = CProject::new();
    project.write(&CModule::new("owner"));
    project.write(&registrar_of_a_foreign_global(1));
    let (mut host, _) = HostOptions::importing(["registrar"]).start(&project);
    host.set("owner", "foreign", 55);
    project.write(&registrar_of_a_foreign_global(2));
    let reply = host.reload().quiet();
    assert!(
        !reply.lines.contains(&"fresh foreign".to_owned()),
        "{reply:?}"
    );
    assert_eq!(host.call("registrar", "foreign_value", 0), 55);
    host.quit();
}

#[test]
fn globals_of_the_program_survive_reloads_of_the_system_module() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    // The program registered cmdCount in the name of the system module before that was loaded.
    let count = host.get("system", "cmdCount");
    assert!(count > 0);
    for version in 0..3 {
        project.write(&CModule::new("system").proc("version", &format!("return {version};")));
        host.reload().quiet();
        assert_eq!(host.get("system", "cmdCount"), count);
        assert_eq!(host.call("main", "root_proc", 0), 1000);
    }
    host.quit();
}

#[test]
fn a_global_asked_for_ahead_of_its_registration_has_the_address_that_was_handed_out() {
    let project = CProject::new();
    project.write(&CModule::new("a"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    let address = host.about("global g", "b").quiet().address();
    assert_eq!(host.get("b", "g"), 0);
    project.write(&CModule::new("b").global("long", "g", "*g += 6;"));
    project.write(&CModule::new("a").imports(["b"]));
    let reply = host.reload().quiet();
    assert!(reply.lines.contains(&"fresh b.g".to_owned()), "{reply:?}");
    assert_eq!(host.about("global g", "b").address(), address);
    assert_eq!(host.get("b", "g"), 6);
    host.quit();
}

#[test]
fn modules_of_a_cycle_find_each_others_globals() {
    let project = CProject::new();
    // `early` is initialised first and asks for a global that `late` registers afterwards.
    project.write(
        &CModule::new("early")
            .imports(["late"])
            .uses_global("long", "late", "g")
            .proc("of_late", "return *late_g;"),
    );
    project.write(
        &CModule::new("late")
            .imports(["early"])
            .global("long", "g", "*g = 12;"),
    );
    let (mut host, _) = HostOptions::importing(["late"]).start(&project);
    assert_eq!(host.call("early", "of_late", 0), 12);
    host.quit();
}

#[test]
fn a_large_global_asked_for_ahead_keeps_what_was_written_there() {
    for size in [16_000, 3_000_000] {
        let project = CProject::new();
        let c_type = format!("char[{size}]");
        // `early` is initialised first: it fills a global that nobody has registered yet.
        project.write(
            &CModule::new("early")
                .imports(["late"])
                .uses_global(&c_type, "late", "g")
                .top_level(&format!(
                    "for (long i = 0; i < {size}; i++) (*late_g)[i] = 7;"
                ))
                .proc("place", "return (long)late_g;"),
        );
        project.write(
            &CModule::new("late")
                .imports(["early"])
                .global(&c_type, "g", "")
                .proc("place", "return (long)g;")
                .proc(
                    "sevens",
                    &format!("for (long i = 0; i < {size}; i++) x += (*g)[i] == 7; return x;"),
                ),
        );
        let (mut host, reply) = HostOptions::importing(["late"]).start(&project);
        assert_eq!(reply.stderr, [""; 0]);
        assert!(
            reply.lines.contains(&"fresh late.g".to_owned()),
            "{reply:?}"
        );
        let place = host.call("early", "place", 0);
        assert_eq!(host.call("late", "place", 0), place);
        assert_eq!(host.call("late", "sevens", 0), size);
        host.quit();
    }
}

#[test]
fn marking_calls_the_marker_of_every_living_global_in_its_newest_code() {
    let project = CProject::new();
    let with_marker = |name: &str, version: i64| {
        CModule::new(name)
            .declare(&format!(
                "static long *g;\nstatic void marker(void) {{ fixture_log(\"%s marks in version {version}\", NAME); }}"
            ))
            .init("hcrRegisterGlobal(MODULE, \"g\", sizeof *g, marker, (void **)&g);")
    };
    project.write(&with_marker("b", 1));
    project.write(&with_marker("c", 1));
    let (mut host, _) = HostOptions::importing(["b", "c"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(
        sorted_marks(&mut host),
        ["b marks in version 1", "c marks in version 1"]
    );
    project.write(&with_marker("b", 2));
    host.reload().quiet();
    assert_eq!(
        sorted_marks(&mut host),
        ["b marks in version 2", "c marks in version 1"]
    );
    project.write(&CModule::new("c"));
    host.reload().quiet();
    assert_eq!(host.command("mark").quiet().lines, ["b marks in version 2"]);
    host.quit();
}

fn sorted_marks(host: &mut Host) -> Vec<String> {
    let mut lines = host.command("mark").quiet().lines;
    lines.sort();
    lines
}
