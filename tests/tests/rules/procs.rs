//! Procs: permanent addresses, and what answers when a proc is gone.

use liveswap_tests::{CModule, CProject, HostOptions};

fn version_of(module: &str, version: i64) -> CModule {
    CModule::new(module).proc("version", &format!("return {version};"))
}

#[test]
fn a_proc_keeps_its_address_over_many_reloads_and_always_runs_the_newest_code() {
    let project = CProject::new();
    project.write(&version_of("b", 0));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let address = host.address("b", "version");
    host.about("hold version", "b");
    for version in 1..=30 {
        project.write(&version_of("b", version));
        assert_eq!(host.reload().quiet().number(), version);
        assert_eq!(host.address("b", "version"), address);
        assert_eq!(host.command("call-held 0 0").number(), version);
    }
    host.quit();
}

#[test]
fn a_caller_in_an_unchanged_module_reaches_the_new_code_through_its_own_pointer() {
    let project = CProject::new();
    project.write(&version_of("leaf", 1));
    project.write(
        &CModule::new("caller")
            .imports(["leaf"])
            .uses_proc("leaf", "version")
            .proc("ask", "return leaf_version(x);"),
    );
    let (mut host, _) = HostOptions::importing(["caller"]).start(&project);
    assert_eq!(host.call("caller", "ask", 0), 1);
    project.write(&version_of("leaf", 2));
    host.reload().quiet();
    assert_eq!(host.call("caller", "ask", 0), 2);
    host.quit();
}

#[test]
fn a_proc_that_was_removed_and_returns_has_the_address_it_had() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let address = host.address("b", "version");
    host.about("hold version", "b");
    project.write(&CModule::new("b"));
    host.reload().quiet();
    // Another proc that appears meanwhile must not get the slot: somebody may hold the address.
    project.write(&CModule::new("b").proc("other", "return 7;"));
    host.reload().quiet();
    assert_ne!(host.address("b", "other"), address);
    project.write(&version_of("b", 4));
    host.reload().quiet();
    assert_eq!(host.address("b", "version"), address);
    assert_eq!(host.command("call-held 0 0").number(), 4);
    host.quit();
}

#[test]
fn a_proc_of_a_module_that_disappeared_and_returned_has_the_address_it_had() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    let address = host.address("b", "version");
    host.about("hold version", "b");
    project.write(&CModule::new("a"));
    host.reload().quiet();
    project.write(&CModule::new("a").imports(["b"]));
    host.reload().quiet();
    assert_eq!(host.address("b", "version"), address);
    assert_eq!(host.command("call-held 0 0").number(), 1);
    host.quit();
}

#[test]
fn a_proc_asked_for_ahead_of_its_registration_has_the_address_that_was_handed_out() {
    let project = CProject::new();
    // The importer's DatInit runs first here, because the cycle is entered through `late`.
    project.write(
        &CModule::new("early")
            .imports(["late"])
            .uses_proc("late", "version")
            .proc("ask", "return late_version(x);"),
    );
    project.write(&version_of("late", 5).imports(["early"]));
    let (mut host, _) = HostOptions::importing(["late"]).start(&project);
    assert_eq!(host.call("early", "ask", 0), 5);
    assert_eq!(host.call("late", "version", 0), 5);
    host.quit();
}

#[test]
fn a_proc_can_be_asked_for_before_its_module_exists() {
    let project = CProject::new();
    project.write(&CModule::new("a"));
    let (mut host, _) = HostOptions::importing(["a"]).start(&project);
    let address = host.address("b", "version");
    project.write(&version_of("b", 9));
    project.write(&CModule::new("a").imports(["b"]));
    host.reload().quiet();
    assert_eq!(host.address("b", "version"), address);
    assert_eq!(host.call("b", "version", 0), 9);
    host.quit();
}

#[test]
fn a_call_of_a_gone_proc_names_module_proc_and_generation_and_aborts() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    host.about("hold version", "b");
    project.write(&CModule::new("b").proc("kept", "return 1;"));
    host.reload().quiet();
    project.write(&CModule::new("b").proc("kept", "return 2;"));
    host.reload().quiet();
    assert_eq!(host.call("b", "kept", 0), 2);
    let exit = host.fatal_command("call-held 0 0");
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    let path = project.path("b");
    assert_eq!(
        exit.stderr,
        [format!(
            "liveswap: call of proc version of module {}, which is gone since generation 1",
            path.display()
        )]
    );
}

#[test]
fn a_call_of_a_proc_of_a_disappeared_module_names_it_and_aborts() {
    let project = CProject::new();
    project.write(&CModule::new("a").imports(["b"]));
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["a"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    host.about("hold version", "b");
    project.write(&CModule::new("a"));
    host.reload().quiet();
    let exit = host.fatal_command("call-held 0 0");
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    assert_eq!(
        exit.stderr,
        [format!(
            "liveswap: call of proc version of module {}, which is gone since generation 1",
            project.path("b").display()
        )]
    );
}

#[test]
fn a_call_of_a_proc_that_was_never_registered_says_so_and_aborts() {
    let project = CProject::new();
    project.write(&CModule::new("b"));
    let (host, _) = HostOptions::importing(["b"]).start(&project);
    let exit = host.fatal_about("call 0 nobody", "b");
    assert_eq!(exit.signal(), Some(libc::SIGABRT));
    assert_eq!(
        exit.stderr,
        [format!(
            "liveswap: call of proc nobody of module {}, which was never registered",
            project.path("b").display()
        )]
    );
}

/// Nim puts an inline proc or an instance of a generic into the module that uses it, under the name
/// of the module that defines it.
fn registrar_of_a_foreign_proc() -> CModule {
    CModule::new("registrar")
        .imports(["owner"])
        .declare("static long foreign_actual(long x) { return x + 1; }")
        .dat("hcrRegisterProc(@{owner}, \"foreign\", (void *)foreign_actual);")
}

#[test]
fn a_proc_registered_on_behalf_of_an_unchanged_module_is_gone_when_the_registrar_drops_it() {
    let project = CProject::new();
    project.write(&CModule::new("owner"));
    project.write(&registrar_of_a_foreign_proc());
    // With no old image kept, a slot that still led to the old code would lead to nowhere.
    let (mut host, _) = HostOptions::importing(["registrar"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    assert_eq!(host.call("owner", "foreign", 1), 2);
    project.write(&CModule::new("registrar").imports(["owner"]));
    host.reload().quiet();
    let exit = host.fatal_about("call 1 foreign", "owner");
    assert_eq!(exit.signal(), Some(libc::SIGABRT), "{exit:?}");
    assert!(
        exit.stderr[0].contains("call of proc foreign of module"),
        "{exit:?}"
    );
}

#[test]
fn a_proc_registered_on_behalf_of_a_changed_module_lives_on_with_its_registrar() {
    let project = CProject::new();
    project.write(&CModule::new("owner"));
    project.write(&registrar_of_a_foreign_proc());
    let (mut host, _) = HostOptions::importing(["registrar"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    for generation in 1..4 {
        project.write(&version_of("owner", generation));
        host.reload().quiet();
        assert_eq!(host.call("owner", "foreign", 1), 2);
    }
    host.quit();
}

#[test]
fn a_proc_of_the_program_itself_survives_every_reload() {
    let project = CProject::new();
    project.write(&version_of("b", 1));
    let (mut host, _) = HostOptions::importing(["b"]).start(&project);
    let address = host.address("main", "root_proc");
    project.write(&version_of("b", 2));
    let reply = host.reload().quiet();
    assert!(reply.lines.contains(&"dat main".to_owned()), "{reply:?}");
    assert_eq!(host.address("main", "root_proc"), address);
    assert_eq!(host.call("main", "root_proc", 1), 1001);
    host.quit();
}
