//! A reload is a transaction: whatever is wrong with a file, the old generation goes on, nothing is
//! left behind, and the next good file is loaded.

use std::fs;
use std::os::unix::fs::symlink;

use liveswap_tests::c_module::EXPORTS;
use liveswap_tests::process_info::{mapped_copies, open_files};
use liveswap_tests::{CModule, CProject, Host, HostOptions, elf_damage};

/// Module `b`, which the tests break, with handlers that tell when a reload has begun.
fn b(version: i64) -> CModule {
    CModule::new("b")
        .imports(["c"])
        .global("long", "g", "*g = 5;")
        .before("fixture_log(\"before b\");")
        .after("fixture_log(\"after b\");")
        .proc("version", &format!("return {version} + *g - 5;"))
}

/// Module `c`, which changes at the same time in a harmless way.
fn c(version: i64) -> CModule {
    CModule::new("c").proc("version", &format!("return {version};"))
}

struct Scene {
    project: CProject,
    host: Host,
}

impl Scene {
    fn new() -> Self {
        Self::with(HostOptions::importing(["b"]))
    }

    fn with(options: HostOptions) -> Self {
        let project = CProject::new();
        project.write(&b(1));
        project.write(&c(1));
        let (host, _) = options.start(&project);
        Self { project, host }
    }

    /// The bytes of a good new version of `b`.
    fn good_library(&self) -> Vec<u8> {
        fs::read(self.project.compile(&b(2))).expect("the library can be read")
    }

    /// Reloads now that the test has broken `b`; gives the refusal's text after the module.
    #[track_caller]
    fn refuses(&mut self) -> String {
        self.project.write(&c(2));
        let pid = self.host.pid();
        let before = (
            mapped_copies(pid),
            self.project.private_copies(),
            open_files(pid),
        );
        let reply = self.host.reload();
        assert_eq!(reply.lines, [""; 0], "no module code runs");
        assert_eq!(reply.number(), 0, "the generation stays");
        assert!(
            (1..=2).contains(&reply.stderr.len()),
            "one or two lines: {reply:?}"
        );
        let opening = format!(
            "liveswap: reload refused, generation 0 goes on: module {}: ",
            self.project.path("b").display()
        );
        let message = reply.stderr.join("\n");
        let cause = message
            .strip_prefix(&opening)
            .unwrap_or_else(|| panic!("expected {opening:?}, got {message:?}"))
            .to_owned();
        assert_eq!(
            (
                mapped_copies(pid),
                self.project.private_copies(),
                open_files(pid)
            ),
            before,
            "nothing is left mapped, on disk or open"
        );
        assert_eq!(self.host.call("b", "version", 0), 1);
        assert_eq!(self.host.call("c", "version", 0), 1, "all or nothing");
        assert!(self.host.reload_needed());
        assert!(self.host.has_changed("b"));
        self.host.reload().quiet();
        cause
    }

    /// Puts a good file in the place of the broken one, which is then loaded.
    #[track_caller]
    fn recovers(mut self) {
        self.project.write(&b(3));
        let reply = self.host.reload().quiet();
        assert_eq!(reply.number(), 1);
        assert_eq!(reply.lines.first().map(String::as_str), Some("before b"));
        assert_eq!(reply.lines.last().map(String::as_str), Some("after b"));
        assert_eq!(self.host.call("b", "version", 0), 3);
        assert_eq!(self.host.call("c", "version", 0), 2);
        self.host.quit();
        assert_eq!(self.project.files(), ["b.so", "c.so", "system.so"]);
    }
}

#[track_caller]
fn refuses_bytes(bytes_of: impl FnOnce(&Scene) -> Vec<u8>, step: &str) {
    let mut scene = Scene::new();
    let bytes = bytes_of(&scene);
    scene.project.install_bytes(&bytes, "b");
    let cause = scene.refuses();
    assert!(cause.starts_with(&format!("{step}: ")), "{cause}");
    scene.recovers();
}

#[test]
fn a_module_without_one_of_the_exports_is_refused_and_the_export_named() {
    for export in EXPORTS {
        let mut scene = Scene::new();
        scene.project.write(&b(2).without_export(export));
        let cause = scene.refuses();
        assert!(
            cause.starts_with("exports: ") && cause.contains(export),
            "{cause}"
        );
        scene.recovers();
    }
}

#[test]
fn an_empty_file_is_refused() {
    refuses_bytes(|_| Vec::new(), "check");
}

#[test]
fn a_text_file_is_refused() {
    refuses_bytes(|_| b"int main(void) { return 0; }\n".repeat(100), "check");
}

#[test]
fn a_file_shorter_than_an_elf_header_is_refused() {
    refuses_bytes(|scene| scene.good_library()[..40].to_vec(), "check");
}

#[test]
fn a_file_truncated_anywhere_is_refused() {
    for percent in [2, 10, 25, 50, 75, 90, 99] {
        refuses_bytes(
            |scene| elf_damage::truncated(&scene.good_library(), percent),
            "check",
        );
    }
}

#[test]
fn a_file_that_lacks_its_last_byte_is_refused() {
    refuses_bytes(
        |scene| {
            let mut bytes = scene.good_library();
            bytes.pop();
            bytes
        },
        "check",
    );
}

#[test]
fn a_library_of_another_architecture_is_refused() {
    refuses_bytes(
        |scene| elf_damage::for_another_machine(&scene.good_library()),
        "check",
    );
}

#[test]
fn a_32_bit_library_is_refused() {
    refuses_bytes(
        |scene| elf_damage::for_32_bit(&scene.good_library()),
        "check",
    );
}

#[test]
fn an_executable_in_the_place_of_a_library_is_refused() {
    let mut scene = Scene::new();
    let program =
        fs::read(std::env::current_exe().expect("the test's own path")).expect("a program");
    scene.project.install_bytes(&program, "b");
    scene.refuses();
    scene.recovers();
}

#[test]
fn a_library_that_needs_an_unknown_symbol_is_refused_in_the_loaders_words() {
    let mut scene = Scene::new();
    scene.project.write(
        &b(2)
            .declare("long function_that_nobody_has(long);")
            .proc("extra", "return function_that_nobody_has(x);"),
    );
    let cause = scene.refuses();
    assert!(cause.starts_with("load: "), "{cause}");
    assert!(
        cause.contains("undefined symbol: function_that_nobody_has"),
        "the loader's own words: {cause}"
    );
    scene.recovers();
}

#[test]
fn a_library_that_needs_a_missing_library_is_refused_in_the_loaders_words() {
    let mut scene = Scene::new();
    let missing = scene.project.scratch("libmissing.so");
    fs::copy(scene.project.compile(&CModule::new("missing")), &missing).expect("a copy");
    let path = missing.to_str().expect("a path in UTF-8").to_owned();
    scene
        .project
        .write(&b(2).flags(["-Wl,--no-as-needed", "-O1", &path]));
    fs::remove_file(&missing).expect("the library is deleted");
    let cause = scene.refuses();
    assert!(
        cause.starts_with("load: ") && cause.contains("libmissing.so"),
        "{cause}"
    );
    scene.recovers();
}

#[test]
fn a_missing_file_is_refused() {
    let mut scene = Scene::new();
    scene.project.remove("b");
    let cause = scene.refuses();
    assert!(cause.starts_with("read: "), "{cause}");
    scene.recovers();
}

#[test]
fn a_directory_in_the_place_of_a_file_is_refused() {
    let mut scene = Scene::new();
    scene.project.remove("b");
    fs::create_dir(scene.project.path("b")).expect("a directory");
    let cause = scene.refuses();
    assert!(cause.starts_with("read: "), "{cause}");
    fs::remove_dir(scene.project.path("b")).expect("the directory goes");
    scene.recovers();
}

#[test]
fn a_dangling_symbolic_link_is_refused() {
    let mut scene = Scene::new();
    scene.project.remove("b");
    symlink("/nowhere/b.so", scene.project.path("b")).expect("a link");
    let cause = scene.refuses();
    assert!(cause.starts_with("read: "), "{cause}");
    scene.recovers();
}

#[test]
fn a_symbolic_link_to_a_good_file_is_followed() {
    let mut scene = Scene::new();
    let real = scene.project.compile(&b(2));
    scene.project.remove("b");
    symlink(&real, scene.project.path("b")).expect("a link");
    scene.host.reload().quiet();
    assert_eq!(scene.host.call("b", "version", 0), 2);
    // A change behind the link is seen.
    fs::rename(scene.project.compile(&b(3)), &real).expect("a rename");
    assert!(scene.host.reload_needed());
    scene.host.reload().quiet();
    assert_eq!(scene.host.call("b", "version", 0), 3);
    scene.host.quit();
}

#[test]
fn a_fifo_in_the_place_of_a_file_is_refused_and_does_not_block() {
    let mut scene = Scene::new();
    scene.project.remove("b");
    let path = scene.project.path("b");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo starts").success());
    scene.refuses();
    scene.recovers();
}

#[test]
fn a_full_disk_is_refused() {
    let mut scene = Scene::new();
    scene.project.write(&b(2));
    scene.host.command("limit-files 4096");
    let cause = scene.refuses();
    assert!(cause.starts_with("copy: "), "{cause}");
    // The file is good, only the disk was full: the same file is loaded when there is room.
    scene.host.command("unlimit-files");
    assert_eq!(scene.host.reload().quiet().number(), 1);
    assert_eq!(scene.host.call("b", "version", 0), 2);
    scene.host.quit();
    assert_eq!(scene.project.private_copies().len(), 0);
}

#[test]
fn a_full_slot_table_refuses_no_program_that_was_running() {
    let project = CProject::new();
    project.write(&b(1));
    project.write(&c(1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("HOT_CODE_RELOADING_JUMP_TABLE_SIZE", "1")
        .start(&project);
    host.about("register-procs 1100000", "c");
    // The procs of the new version have their slots already.
    project.write(&b(2));
    host.reload();
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}

#[test]
fn a_broken_module_deep_in_the_graph_is_the_one_that_is_named() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&CModule::new("b").imports(["c"]));
    project.write(&c(1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(
        &CModule::new("a")
            .imports(["b"])
            .proc("version", "return 2;"),
    );
    project.install_bytes(b"rubbish", "c");
    let reply = host.reload();
    assert!(
        reply.stderr[0].contains(&format!("module {}: check: ", project.path("c").display())),
        "{reply:?}"
    );
    assert_eq!(
        project.private_copies().len(),
        4,
        "{:?}",
        project.private_copies()
    );
    host.quit();
}

#[test]
fn a_new_import_that_does_not_exist_is_refused() {
    let project = CProject::new();
    project.write(&CModule::new("a").proc("version", "return 1;"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.write(
        &CModule::new("a")
            .imports(["ghost"])
            .proc("version", "return 2;"),
    );
    let reply = host.reload();
    assert!(
        reply.stderr[0].contains(&format!(
            "module {}: read: ",
            project.path("ghost").display()
        )),
        "{reply:?}"
    );
    assert_eq!(reply.number(), 0);
    assert_eq!(host.call("a", "version", 0), 1);
    // The missing module appears; the importer's file is still the same.
    project.write(&CModule::new("ghost").proc("version", "return 7;"));
    assert_eq!(host.reload().quiet().number(), 1);
    assert_eq!(host.call("a", "version", 0), 2);
    assert_eq!(host.call("ghost", "version", 0), 7);
    host.quit();
}

#[test]
fn a_broken_module_that_nobody_imports_any_more_is_no_obstacle() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&b(1));
    project.write(&c(1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    project.install_bytes(b"rubbish", "b");
    project.write(&CModule::new("a"));
    assert_eq!(host.reload().quiet().number(), 1);
    assert!(!host.reload_needed());
    host.quit();
}

#[test]
fn the_same_refusal_is_said_once_and_another_one_again() {
    let mut scene = Scene::new();
    scene.project.install_bytes(b"rubbish", "b");
    assert!(!scene.host.reload().stderr.is_empty());
    for _ in 0..3 {
        scene.host.reload().quiet();
    }
    scene.project.install_bytes(b"other rubbish", "b");
    assert!(!scene.host.reload().stderr.is_empty());
    scene.host.reload().quiet();
    scene.host.quit();
}

#[test]
fn a_refusal_after_reloads_names_the_generation_that_goes_on() {
    let mut scene = Scene::new();
    for version in 2..5 {
        scene.project.write(&b(version));
        scene.host.reload().quiet();
    }
    scene.project.install_bytes(b"rubbish", "b");
    let reply = scene.host.reload();
    assert!(
        reply.stderr[0].starts_with("liveswap: reload refused, generation 3 goes on: "),
        "{reply:?}"
    );
    assert_eq!(scene.host.call("b", "version", 0), 4);
    scene.host.quit();
}

#[test]
fn a_program_whose_module_cannot_be_loaded_does_not_start_and_says_why() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    let options = HostOptions::importing(["a"]);
    let path = project.path("b");
    let expect = |step: &str| {
        let exit = options.start_in_vain(&project);
        assert_eq!(exit.code(), Some(1), "{exit:?}");
        assert_eq!(exit.stdout, [""; 0]);
        assert!((1..=2).contains(&exit.stderr.len()), "{exit:?}");
        assert!(
            exit.stderr[0].starts_with(&format!(
                "liveswap: cannot start: module {}: {step}: ",
                path.display()
            )),
            "{exit:?}"
        );
        assert_eq!(project.private_copies().len(), 0, "nothing is left");
    };
    expect("read");
    project.install_bytes(b"rubbish", "b");
    expect("check");
    project.write(&CModule::new("b").without_export("DatInit000"));
    expect("exports");
    project.write(
        &CModule::new("b")
            .declare("void nobody_has_this(void);")
            .init("nobody_has_this();"),
    );
    expect("load");
}
