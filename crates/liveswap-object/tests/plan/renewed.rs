//! Statics that hold what the source says: another initialiser makes another static, for all who use it.

use liveswap_protocol::patch::Place;

use super::compiler::{Level, LiveCrate};
use liveswap_object::patch::Planned;

const TABLES: &str = r#"
static NUMBERS: [u32; 3] = [100, 200, 300];
static TABLES: &[&[u32; 3]] = &[&NUMBERS, &NUMBERS];
static mut CHOSEN: &[u32; 3] = &NUMBERS;

#[inline(never)]
fn direct(n: usize) -> u32 { NUMBERS[n] }
#[inline(never)]
fn through(n: usize) -> u32 { TABLES[n & 1][n] }
#[inline(never)]
fn chosen(n: usize) -> u32 { unsafe { CHOSEN[n] } }
#[inline(never)]
fn unconcerned(n: usize) -> usize { n * 3 }

#[unsafe(no_mangle)]
pub extern "C" fn exported(n: usize) -> usize {
    unconcerned(direct(n) as usize + through(n) as usize) + chosen(n) as usize
}
#[unsafe(no_mangle)]
pub extern "C" fn choose() { unsafe { CHOSEN = TABLES[1]; } }
"#;

fn changed(planned: &Planned) -> Vec<&str> {
    let names = planned.modules[0].changed.iter();
    names
        .map(String::as_str)
        .filter(|name| *name != "exported")
        .collect()
}

/// Whether the image refers to something at this address of the executable.
fn refers_to(planned: &Planned, address: u64) -> bool {
    let image = planned.patch.image.as_ref().unwrap();
    let mut relocations = image.relocations.iter();
    relocations.any(|relocation| relocation.target == Place::Executable(address))
}

#[test]
fn whoever_uses_a_table_that_changed_uses_the_new_one() {
    let mut live = LiveCrate::new(TABLES, Level::None);
    let (numbers, tables) = (
        live.address_of("live::NUMBERS"),
        live.address_of("live::TABLES"),
    );
    let edited = TABLES.replace("200, 300", "201, 300");
    let planned = live.plan(&edited).unwrap();
    assert_eq!(
        changed(&planned),
        ["choose", "live::direct", "live::through"],
        "one through a table of tables"
    );
    assert!(!refers_to(&planned, numbers) && !refers_to(&planned, tables));
    // Somebody may have written to it.
    assert_eq!(planned.initialisers, ["live::CHOSEN"]);
    live.swap(&edited).unwrap();
    assert!(live.plan(&edited).unwrap().is_empty());
    let back = live.plan(TABLES).unwrap();
    assert_eq!(changed(&back), ["choose", "live::direct", "live::through"]);
}

#[test]
fn a_table_can_get_longer() {
    for level in Level::ALL {
        let live = LiveCrate::new(TABLES, level);
        let edited = TABLES
            .replace("[u32; 3]", "[u32; 4]")
            .replace("200, 300", "200, 300, 400")
            .replace(
                "static mut CHOSEN: &[u32; 4]",
                "static mut PICKED: &[u32; 4]",
            )
            .replace("CHOSEN", "PICKED");
        let planned = live.plan(&edited).unwrap();
        let changed = changed(&planned);
        assert!(changed.contains(&"live::direct"), "{level:?}: {changed:?}");
        assert!(changed.contains(&"live::through"), "{level:?}: {changed:?}");
        assert!(!changed.contains(&"live::unconcerned"), "{level:?}");
    }
}

/// What `tracing`'s macros make, with what matters of `tracing_core::Metadata`.
fn call_sites(sites: &[(&str, u32, &str)]) -> String {
    let mut source = String::from(
        "pub struct Site { state: AtomicUsize, meta: &'static Meta }
         pub struct Meta { name: &'static str, target: &'static str, level: usize, file: Option<&'static str>,
             line: Option<u32>, fields: &'static [&'static str], site: &'static Site, kind: u8 }
         #[inline(never)] fn log(site: &'static Site) -> usize {
             site.state.fetch_add(site.meta.level + site.meta.fields.len() + site.meta.name.len(), Relaxed) }
         #[unsafe(no_mangle)] pub extern \"C\" fn exported(n: usize) -> usize { let mut sum = n; ",
    );
    for (level, line, fields) in sites {
        source.push_str(&format!(
            "sum += {{ static __CALLSITE: Site = {{
                static META: Meta = Meta {{ name: \"event src/main.rs:{line}\", target: \"live\", level: {level},
                    file: Some(\"src/main.rs\"), line: Some({line}), fields: &[{fields}], site: &__CALLSITE, kind: 1 }};
                Site {{ state: AtomicUsize::new(0), meta: &META }} }}; log(&__CALLSITE) }}; "
        ));
    }
    source + "sum }"
}

#[test]
fn a_call_site_of_tracing_that_only_moved_stays() {
    for level in Level::ALL {
        let live = LiveCrate::new(&call_sites(&[("2", 9, "\"a\""), ("3", 99, "")]), level);
        let moved = call_sites(&[("2", 10, "\"a\""), ("3", 100, "")]);
        let planned = live.plan(&moved).unwrap();
        assert!(planned.is_empty(), "{level:?}: {:?}", planned.modules);
        assert!(planned.initialisers.is_empty());
    }
}

/// They are known by number: the new one had the description of the one that followed, with other fields.
#[test]
fn a_call_site_of_tracing_before_others_makes_all_of_them_new() {
    for level in Level::ALL {
        let first = [("2", 9, "\"a\""), ("3", 12, "")];
        let live = LiveCrate::new(&call_sites(&first), level);
        let planned = live
            .plan(&call_sites(&[("1", 9, "\"x\", \"y\""), first[0], first[1]]))
            .unwrap();
        let changed = &planned.modules[0].changed;
        assert_eq!(*changed, ["exported"], "{level:?}");
        assert!(planned.initialisers.is_empty(), "{level:?}");
        assert!(
            planned.renewed.len() >= 2,
            "{level:?}: {:?}",
            planned.renewed
        );
    }
}

#[test]
fn another_level_of_a_call_site_of_tracing_counts() {
    let live = LiveCrate::new(&call_sites(&[("2", 9, "\"a\"")]), Level::None);
    let planned = live.plan(&call_sites(&[("4", 9, "\"a\"")])).unwrap();
    assert_eq!(planned.modules[0].changed, ["exported"]);
    assert!(planned.initialisers.is_empty());
}
