//! Paths that break programs which are careless with names.

use liveswap_tests::{CModule, CProject, HostOptions};

/// Loads, calls and reloads two modules whose paths contain the name.
#[track_caller]
fn works_with(directory: &str, name: &str) {
    let project = CProject::in_directory_named(directory);
    let module = |version: i64| {
        CModule::new(name)
            .imports(["leaf"])
            .uses_proc("leaf", "base")
            .global("long", "g", "*g = 30;")
            .proc("sum", &format!("return {version} + *g + leaf_base(x);"))
    };
    project.write(&CModule::new("leaf").proc("base", "return 200;"));
    project.write(&module(1));
    let (mut host, _) = HostOptions::importing([name]).start(&project);
    assert_eq!(host.call(name, "sum", 0), 231);
    assert!(!host.has_changed(name));
    project.write(&module(2));
    assert!(host.has_changed(name));
    assert_eq!(host.reload().quiet().number(), 1);
    assert_eq!(host.call(name, "sum", 0), 232);
    let copies = project.private_copies();
    assert_eq!(copies.len(), 4, "old and new, leaf and system: {copies:?}");
    host.quit();
    assert_eq!(project.private_copies().len(), 0);
}

#[test]
fn names_with_spaces_work() {
    works_with("a directory with spaces", " a module with spaces ");
}

#[test]
fn names_with_percent_signs_work() {
    works_with("100%s %n %d", "50%x%n%s");
}

#[test]
fn names_in_utf_8_work() {
    works_with("größe", "модуль_模块_🦀");
}

#[test]
fn names_with_quotes_backslashes_and_dollars_work() {
    works_with("it's \"quoted\" \\ $HOME", "$x `x` *?[a]{b}~#;&|<>()!");
}

#[test]
fn names_with_words_that_the_loader_replaces_work() {
    // dlopen() takes $ORIGIN, $LIB and $PLATFORM in a path for variables.
    works_with("$ORIGIN ${LIB}", "$PLATFORM $ORIGIN");
}

#[test]
fn names_like_those_of_nim_modules_work() {
    works_with("nimcache", "lib@m..@s..@susr@slib@snim@slib@ssystem.nim.c");
}

#[test]
fn names_with_dots_and_dashes_work() {
    works_with(".hidden", "-o.so.1.copy.so");
}

#[test]
fn paths_of_200_characters_work() {
    works_with(&"directory/".repeat(16), &"m".repeat(100));
}

#[test]
fn a_file_name_of_the_greatest_length_works() {
    // 255 bytes with the extension: the private copy's name must be cut.
    works_with("modules", &"n".repeat(252));
}

#[test]
fn a_long_name_is_never_cut_inside_a_character() {
    works_with("modules", &"é".repeat(126));
}

#[test]
fn two_modules_whose_long_names_differ_only_at_the_end_are_kept_apart() {
    let project = CProject::new();
    let names = ["x", "y"].map(|end| "n".repeat(251) + end);
    for (version, name) in (1..).zip(&names) {
        project.write(&CModule::new(name).proc("version", &format!("return {version};")));
    }
    let imports = names.each_ref().map(String::as_str);
    let (mut host, _) = HostOptions::importing(imports).start(&project);
    assert_eq!(host.call(&names[0], "version", 0), 1);
    assert_eq!(host.call(&names[1], "version", 0), 2);
    host.quit();
}

#[test]
fn two_modules_of_the_same_file_name_in_two_directories_are_two() {
    let project = CProject::new();
    for (version, directory) in (1..).zip(["one", "two"]) {
        std::fs::create_dir(project.modules().join(directory)).expect("a directory");
        let name = format!("{directory}/same");
        project.write(&CModule::new(&name).proc("version", &format!("return {version};")));
    }
    let (mut host, _) = HostOptions::importing(["one/same", "two/same"]).start(&project);
    assert_eq!(host.call("one/same", "version", 0), 1);
    assert_eq!(host.call("two/same", "version", 0), 2);
    host.quit();
}

#[test]
fn the_programs_working_directory_does_not_matter() {
    let project = CProject::new();
    project.write(&CModule::new("b").proc("version", "return 1;"));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    host.command("directory /");
    project.write(&CModule::new("b").proc("version", "return 2;"));
    host.reload().quiet();
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
    assert_eq!(project.private_copies().len(), 0);
}
