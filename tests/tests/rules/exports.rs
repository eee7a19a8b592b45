//! The library's own face.

use std::collections::BTreeSet;
use std::process::Command;

use liveswap_tests::nimhcr_library;

#[test]
fn the_library_exports_exactly_the_names_of_the_protocol() {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--format=posix"])
        .arg(nimhcr_library())
        .output()
        .expect("nm comes with the C compiler");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("names in ASCII");
    let exported: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    let expected = BTreeSet::from([
        "hcrAddEventHandler",
        "hcrAddModule",
        "hcrGeneration",
        "hcrGetGlobal",
        "hcrGetProc",
        "hcrHasModuleChanged",
        "hcrInit",
        "hcrMarkGlobals",
        "hcrPerformCodeReload",
        "hcrRegisterGlobal",
        "hcrRegisterProc",
        "hcrReloadNeeded",
    ]);
    assert_eq!(exported, expected);
}
