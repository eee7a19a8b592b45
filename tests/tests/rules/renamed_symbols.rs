//! Names as Nim makes them, `IDENT__MODULE_ITEM___HASH`, whose ITEM shifts with every edit above.

use std::fs;

use liveswap_tests::process_info::resident_kib;
use liveswap_tests::{CModule, CProject, HostOptions};

const PROCS: usize = 600;
const RELOADS: usize = 120;
/// From here on everything that is needed once is there.
const WARM: usize = 20;
/// How far one edit moves all the items.
const SHIFT: usize = 7;
/// All items have six digits, so that one library can be made of another.
const FIRST_ITEM: usize = 100_000;

fn name(index: usize, reloads: usize) -> String {
    format!(
        "p{index}__bb_{}___HASH",
        FIRST_ITEM + index + reloads * SHIFT
    )
}

/// The library with every item moved on.
fn shifted(library: &[u8], reloads: usize) -> Vec<u8> {
    const BEFORE: &[u8] = b"__bb_";
    let mut moved = library.to_vec();
    let mut at = 0;
    while let Some(found) = library[at..].windows(5).position(|window| window == BEFORE) {
        at += found + BEFORE.len();
        let item = &mut moved[at..at + 6];
        let number: usize = std::str::from_utf8(item)
            .ok()
            .and_then(|digits| digits.parse().ok())
            .expect("an item of six digits");
        item.copy_from_slice((number + reloads * SHIFT).to_string().as_bytes());
    }
    moved
}

#[test]
fn names_that_shift_at_every_reload_do_not_pile_up() {
    let project = CProject::new();
    let module = (0..PROCS).fold(CModule::new("b"), |module, index| {
        module.proc(&name(index, 0), &format!("return x + {index};"))
    });
    let first = fs::read(project.compile(&module)).expect("the library can be read");
    project.install_bytes(&first, "b");
    let (mut host, _) = HostOptions::importing(["b"])
        .env("LIVESWAP_KEEP_IMAGES", "0")
        .start(&project);
    let address = host.address("b", &name(5, 0));
    let mut warm = 0;
    for reload in 1..=RELOADS {
        project.install_bytes(&shifted(&first, reload), "b");
        host.reload().quiet();
        if reload == WARM {
            warm = resident_kib(host.pid());
        }
    }
    let growth = resident_kib(host.pid()).saturating_sub(warm);
    assert_eq!(
        host.address("b", &name(5, 0)),
        address,
        "the main program goes on asking by the first name"
    );
    assert_eq!(host.call("b", &name(PROCS - 1, 0), 1), 600);
    // A note for each of the 60,000 names would be several times that.
    assert!(growth <= 1024, "resident memory grew by {growth} KiB");
    host.quit();
}

#[test]
fn a_module_that_returns_with_shifted_names_has_the_slots_it_had() {
    for away in [1, 5] {
        let project = CProject::new();
        let importer =
            |version: usize| CModule::new("a").proc("version", &format!("return {version};"));
        let b = |item: usize, version: i64| {
            CModule::new("b")
                .proc(&format!("above__bb_{item}___HASH"), "return 7;")
                .proc(
                    &format!("version__bb_{}___OTHERHASH", item + 1),
                    &format!("return {version};"),
                )
        };
        project.write(&importer(0).imports(["b"]));
        project.write(&b(10, 1));
        let (mut host, _) = HostOptions::importing(["a"])
            .env("LIVESWAP_KEEP_IMAGES", "0")
            .start(&project);
        host.about("hold version__bb_11___OTHERHASH", "b");
        host.about("hold above__bb_10___HASH", "b");
        assert_eq!(host.command("call-held 0 0").number(), 1);
        for version in 1..=away {
            project.write(&importer(version));
            host.reload().quiet();
        }
        // The name that `above` has now is the one that `version` had.
        project.write(&b(11, 2));
        project.write(&importer(away + 1).imports(["b"]));
        host.reload().quiet();
        assert_eq!(host.command("call-held 0 0").quiet().number(), 2);
        assert_eq!(host.command("call-held 1 0").quiet().number(), 7);
        host.quit();
    }
}
