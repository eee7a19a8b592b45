//! Plans made of what the real compiler writes: a small crate is compiled and linked as the link stage
//! does it, edited, compiled again and compared.

mod compiler;
mod members;
mod optimised;
mod renewed;

use compiler::{Level, LiveCrate};
use liveswap_object::patch::Refusal;
use liveswap_protocol::patch::{Place, RelocationKind};

const SOURCE: &str = r#"
static COUNT: AtomicUsize = AtomicUsize::new(0);
static mut PLACES: [u8; 4] = [1, 2, 3, 4];

#[inline(never)]
fn private(n: usize) -> usize {
    COUNT.fetch_add(n, Relaxed)
}

#[unsafe(no_mangle)]
pub extern "C" fn exported(n: usize) -> usize {
    private(n) + 1
}

#[unsafe(no_mangle)]
pub extern "C" fn indexed(n: usize) -> u8 {
    [10u8, 20, 30][n]
}

#[unsafe(no_mangle)]
pub extern "C" fn pointer() -> fn(usize) -> usize {
    private
}
"#;

fn live(level: Level) -> LiveCrate {
    LiveCrate::new(SOURCE, level)
}

#[test]
fn the_same_source_is_unchanged() {
    for level in Level::ALL {
        let live = live(level);
        let planned = live.plan(SOURCE).unwrap();
        assert!(planned.is_empty(), "{level:?}: {:?}", planned.modules);
    }
}

#[test]
fn a_comment_is_unchanged_although_panics_move() {
    for level in Level::ALL {
        let live = live(level);
        let edited = format!("// one more line\n\n{SOURCE}");
        let planned = live.plan(&edited).unwrap();
        assert!(planned.is_empty(), "{level:?}: {:?}", planned.modules);
    }
}

#[test]
fn a_changed_body_is_the_only_change() {
    let live = live(Level::None);
    let planned = live
        .plan(&SOURCE.replace("private(n) + 1", "private(n) + 2"))
        .unwrap();
    assert_eq!(planned.modules[0].changed, ["exported"]);
    assert!(planned.modules[0].added.is_empty());
    assert!(planned.modules[0].removed.is_empty());
    assert_eq!(planned.patch.slots.len(), 1);
}

#[test]
fn a_private_function_is_led_to_by_its_own_slot() {
    let live = live(Level::None);
    let planned = live
        .plan(&SOURCE.replace(
            "COUNT.fetch_add(n, Relaxed)",
            "COUNT.fetch_add(n + 1, Relaxed)",
        ))
        .unwrap();
    assert_eq!(planned.modules[0].changed, ["live::private"]);
    let image = planned.patch.image.unwrap();
    assert!(image.data_len == 0, "no new slot is needed");
}

#[test]
fn a_static_is_referred_to_where_it_is() {
    let live = live(Level::None);
    let count = live.address_of("live::COUNT");
    let planned = live
        .plan(&SOURCE.replace("COUNT.fetch_add(n, Relaxed)", "COUNT.fetch_sub(n, Relaxed)"))
        .unwrap();
    let image = planned.patch.image.unwrap();
    assert!(
        image.relocations.iter().any(|relocation| {
            relocation.target == Place::Executable(count) && relocation.kind == RelocationKind::Pc32
        }),
        "{:?}",
        image.relocations
    );
}

#[test]
fn what_was_committed_is_what_the_next_edit_is_compared_with() {
    let mut live = live(Level::None);
    let edited = SOURCE.replace("private(n) + 1", "private(n) + 2");
    live.swap(&edited).unwrap();
    assert!(live.plan(&edited).unwrap().is_empty());
    let back = live.plan(SOURCE).unwrap();
    assert_eq!(back.modules[0].changed, ["exported"]);
    assert_eq!(back.patch.generation, 2);
    assert!(back.patch.image.unwrap().first_slice > 0);
}

#[test]
fn new_statics_keep_their_place_over_later_edits() {
    let mut live = live(Level::None);
    let with_static = SOURCE.replace(
        "private(n) + 1",
        "{ static FRESH: AtomicUsize = AtomicUsize::new(7); FRESH.fetch_add(1, Relaxed) }",
    );
    let first = live.swap(&with_static).unwrap();
    assert!(first.data_len > 0);
    let again = live
        .plan(&with_static.replace("FRESH.fetch_add(1, Relaxed)", "FRESH.fetch_add(2, Relaxed)"))
        .unwrap();
    let image = again.patch.image.unwrap();
    assert_eq!(image.data_len, 0, "the static exists");
    assert!(image.relocations.iter().any(|relocation| {
        matches!(relocation.target, Place::Range(at) if at < u64::from(image.first_slice) * 65536)
    }));
}

#[test]
fn new_functions_get_slots_and_removed_ones_are_counted() {
    let mut live = live(Level::None);
    let edited = SOURCE.replace("private(n) + 1", "helper(n)")
        + "\nfn helper(n: usize) -> usize { private(n) * 3 }\n";
    let first = live.swap(&edited).unwrap();
    assert!(first.data_len >= 8, "a slot's word");
    let planned = live.plan(&edited.replace("* 3", "* 4")).unwrap();
    assert_eq!(planned.modules[0].changed, ["live::helper"]);
    assert!(matches!(planned.patch.slots[0].word, Place::Range(_)));
    let gone = live.plan(SOURCE).unwrap();
    assert_eq!(gone.modules[0].removed, ["live::helper"]);
}

#[test]
fn an_initialiser_of_a_live_static_is_told() {
    let live = live(Level::None);
    let planned = live
        .plan(&SOURCE.replace("AtomicUsize::new(0)", "AtomicUsize::new(5)"))
        .unwrap();
    assert_eq!(planned.initialisers, ["live::COUNT"]);
    assert!(planned.is_empty());
}

#[test]
fn another_type_of_a_live_static_is_refused() {
    let live = live(Level::None);
    let edited = SOURCE
        .replace(
            "static COUNT: AtomicUsize = AtomicUsize::new(0)",
            "static COUNT: AtomicU32 = AtomicU32::new(0)",
        )
        .replace(
            "COUNT.fetch_add(n, Relaxed)",
            "COUNT.fetch_add(n as u32, Relaxed) as usize",
        );
    let refusal = live.plan(&edited).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::StaticType { name, .. } if name == "live::COUNT"),
        "{refusal}"
    );
}

#[test]
fn an_optimised_callee_is_not_changed_below_a_caller_that_changed() {
    let mut live = live(Level::Most);
    let edited = SOURCE
        .replace(
            "COUNT.fetch_add(n, Relaxed)",
            "COUNT.fetch_add(n * 5, Relaxed)",
        )
        .replace("private(n) + 1", "private(n) + 9");
    let internal = live.internal_slot("live::private");
    let planned = live.plan(&edited).unwrap();
    assert!(
        planned
            .patch
            .slots
            .iter()
            .all(|slot| Some(slot.word) != internal),
        "the caller on the stack goes on with the callee that it was compiled with"
    );
    live.swap(&edited).unwrap();
    assert!(live.plan(&edited).unwrap().is_empty());
}

#[test]
fn an_optimised_callee_is_changed_below_a_caller_that_stays() {
    let live = live(Level::Most);
    let edited = SOURCE.replace(
        "COUNT.fetch_add(n, Relaxed)",
        "COUNT.fetch_add(n * 5, Relaxed)",
    );
    let internal = live.internal_slot("live::private");
    let planned = live.plan(&edited).unwrap();
    assert!(internal.is_some());
    assert!(
        planned
            .patch
            .slots
            .iter()
            .any(|slot| Some(slot.word) == internal),
        "{:?}",
        planned.patch.slots
    );
}

#[test]
fn a_destructor_that_stands_by_another_call_is_a_change() {
    let source = r#"
struct Guard;
impl Drop for Guard {
    #[inline(never)]
    fn drop(&mut self) { unsafe { dropped() } }
}
unsafe extern "Rust" { safe fn first(); safe fn second(); fn dropped(); }
#[unsafe(no_mangle)]
pub fn exported(_: usize) -> usize { let guard = Guard; first(); second(); drop(guard); 0 }
"#;
    let live = LiveCrate::unwinding(source, Level::Most);
    assert!(live.plan(source).unwrap().is_empty());
    // The instructions are the same; only the table of exceptions says what happens if `first` panics.
    let edited = source.replace("let guard = Guard; first();", "first(); let guard = Guard;");
    let planned = live.plan(&edited).unwrap();
    assert_eq!(planned.modules[0].changed, ["exported"]);
}

#[test]
fn data_that_looks_like_a_source_position_is_compared() {
    let source = r#"
struct Place(&'static str, u32, u32);
#[unsafe(no_mangle)]
pub extern "C" fn exported(_: usize) -> *const u8 { core::ptr::from_ref(&Place("live.rs", 1, 2)).cast() }
"#;
    let live = LiveCrate::new(source, Level::None);
    let planned = live.plan(&source.replace("1, 2", "1, 3")).unwrap();
    assert_eq!(planned.modules[0].changed, ["exported"]);
}

#[test]
fn a_function_that_comes_back_seen_by_others_has_its_slot_back() {
    for level in Level::ALL {
        let mut live = live(level);
        let taken = "fn(usize) -> usize {\n    private";
        let slot = live.slots("live::private");
        let without = SOURCE
            .replace(
                "#[inline(never)]\nfn private(n: usize) -> usize {\n    COUNT.fetch_add(n, Relaxed)\n}",
                "",
            )
            .replace(taken, "fn(usize) -> usize {\n    |n| n")
            .replace("private(n) + 1", "COUNT.fetch_add(n, Relaxed)");
        live.swap(&without).unwrap();
        let planned = live
            .plan(
                &SOURCE
                    .replace("fn private", "pub fn private")
                    .replace("(n, Relaxed)", "(n + 1, Relaxed)"),
            )
            .unwrap();
        assert!(
            planned
                .patch
                .slots
                .iter()
                .any(|write| slot.contains(&write.word)),
            "{level:?}: who holds its address calls the new one"
        );
    }
}

#[test]
fn the_place_of_a_refused_image_was_given_again() {
    for level in Level::ALL {
        let mut live = live(level);
        let edited = SOURCE.replace("private(n) + 1", "private(n) + 2");
        let first = live.refused(&edited);
        // Its initialisers may have run.
        let again = live.swap(&edited).unwrap();
        assert_eq!((first.first_slice, again.first_slice), (0, 1), "{level:?}");
    }
}
