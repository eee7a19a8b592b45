//! Images see their own symbols, whatever else is loaded under the same names.

use liveswap_tests::{CModule, CProject, HostOptions};

/// A module with an exported function and an exported variable, which C compilers let other
/// libraries replace.
fn with_public_symbols(name: &str, value: i64) -> CModule {
    CModule::new(name)
        .declare(&format!(
            "long public_variable = {value};\nlong public_function(void) {{ return {value}; }}"
        ))
        .proc(
            "sum",
            "return public_function() * 1000 + public_variable++;",
        )
}

#[test]
fn modules_with_functions_and_variables_of_the_same_name_do_not_disturb_each_other() {
    let project = CProject::new();
    project.write(&with_public_symbols("b", 1));
    project.write(&with_public_symbols("c", 2));
    let (mut host, _) = HostOptions::importing(["b", "c"]).start(&project);
    assert_eq!(host.call("b", "sum", 0), 1001);
    assert_eq!(host.call("c", "sum", 0), 2002);
    assert_eq!(host.call("b", "sum", 0), 1002);
    host.quit();
}

#[test]
fn new_code_uses_its_own_symbols_and_not_those_of_an_old_image_that_is_still_mapped() {
    let project = CProject::new();
    project.write(&with_public_symbols("b", 1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "all")
        .start(&project);
    for value in 2..6 {
        project.write(&with_public_symbols("b", value));
        host.reload().quiet();
        assert_eq!(host.call("b", "sum", 0), value * 1001);
    }
    host.quit();
}

#[test]
fn a_library_that_modules_share_is_loaded_once_and_keeps_its_state() {
    let project = CProject::new();
    let shared = project.scratch("libshared.so");
    let library = CModule::new("shared")
        .declare("static long count;\nlong shared_next(void) { return ++count; }");
    std::fs::copy(project.compile(&library), &shared).expect("a copy");
    let path = shared.to_str().expect("a path in UTF-8").to_owned();
    let user = |name: &str, version: i64| {
        CModule::new(name)
            .declare("long shared_next(void);")
            .proc("next", &format!("return 100 * {version} + shared_next();"))
            .flags(["-O1", "-Wl,--no-as-needed", &path])
    };
    project.write(&user("b", 1));
    project.write(&user("c", 1));
    let (mut host, _) = HostOptions::importing(["b", "c"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(host.call("b", "next", 0), 101);
    assert_eq!(host.call("c", "next", 0), 102);
    project.write(&user("b", 2));
    host.reload().quiet();
    assert_eq!(host.call("b", "next", 0), 203);
    // Its only user is replaced, and still the library never goes away in between.
    project.write(&CModule::new("c"));
    host.reload().quiet();
    project.write(&user("b", 3));
    host.reload().quiet();
    assert_eq!(host.call("b", "next", 0), 304);
    host.quit();
}

#[test]
fn thread_locals_of_a_module_work_in_every_generation() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b")
            .declare("static __thread long local = 5;")
            .proc("next", &format!("return 100 * {version} + ++local;"))
    };
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(host.call("b", "next", 0), 106);
    assert_eq!(host.call("b", "next", 0), 107);
    for version in 2..6 {
        project.write(&b(version));
        host.reload().quiet();
        assert_eq!(host.call("b", "next", 0), 100 * version + 6);
    }
    host.quit();
}

#[test]
fn constructors_and_destructors_run_once_for_each_image() {
    let project = CProject::new();
    let b = |version: i64| {
        CModule::new("b").declare(&format!(
            "__attribute__((constructor)) static void enter(void) {{ fixture_log(\"enter {version}\"); }}\n\
             __attribute__((destructor)) static void leave(void) {{ fixture_log(\"leave {version}\"); }}"
        ))
    };
    project.write(&b(1));
    let (mut host, reply) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(reply.lines.first().map(String::as_str), Some("enter 1"));
    project.write(&b(2));
    let reply = host.reload().quiet();
    assert_eq!(reply.lines.first().map(String::as_str), Some("enter 2"));
    assert_eq!(reply.lines.last().map(String::as_str), Some("leave 1"));
    assert_eq!(host.quit().stdout, ["leave 2"]);
}
