//! A module's file that is not there.

use liveswap_tests::{CModule, CProject, HostOptions};

fn b(version: i64) -> CModule {
    CModule::new("b").proc("version", &format!("return {version};"))
}

#[test]
fn a_file_that_stays_missing_is_waited_for_only_once() {
    // Ten waits are longer than the deadline for them all.
    const SETTLE_MS: u32 = 7_000;
    const RELOADS: usize = 10;
    let project = CProject::new();
    project.write(&b(1));
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_SETTLE_MS", &SETTLE_MS.to_string())
        .start(&project);
    project.remove("b");
    let reply = host.reload();
    assert_eq!(reply.stderr.len(), 1, "{reply:?}");
    for _ in 0..RELOADS {
        host.send("reload");
    }
    let mut left = RELOADS;
    host.lines_until(|line| {
        left -= usize::from(line == "= 0");
        left == 0
    });
    let mut left = RELOADS;
    let said = host.stderr_until(|line| {
        left -= usize::from(line == "=");
        left == 0
    });
    assert_eq!(said, ["="; RELOADS], "the same refusal is not repeated");
    project.write(&b(2));
    assert_eq!(host.reload().quiet().number(), 1);
    assert_eq!(host.call("b", "version", 0), 2);
    host.quit();
}
