//! What an optimiser knows of callees, and does to statics.

use liveswap_object::patch::Refusal;

use crate::compiler::{Level, LiveCrate};

#[test]
fn an_optimised_callee_is_not_changed_below_a_caller_that_passes_its_arguments_on() {
    let source = r#"
static COUNT: AtomicUsize = AtomicUsize::new(0);
#[inline(never)]
fn last(x: usize, y: usize) -> usize { COUNT.fetch_add(x, Relaxed) }
#[inline(never)]
fn middle(x: usize, y: usize) -> usize { last(x, y) }
#[unsafe(no_mangle)]
pub extern "C" fn exported(x: usize) -> usize { middle(x, x * 3) + 1 }
"#;
    let mut live = LiveCrate::new(source, Level::Most);
    let last = live.internal_slot("live::last");
    let middle = live.internal_slot("live::middle");
    assert!(last.is_some() && middle.is_some());
    let edited = source.replace(
        "COUNT.fetch_add(x, Relaxed)",
        "COUNT.fetch_add(x + y, Relaxed)",
    );
    let planned = live.plan(&edited).unwrap();
    // What makes this dangerous: the one between looks the same, although the first now gives it one
    // argument more to pass on.
    assert_eq!(planned.modules[0].changed, ["exported", "live::last"]);
    let words: Vec<_> = planned
        .patch
        .slots
        .iter()
        .map(|slot| Some(slot.word))
        .collect();
    assert!(!words.contains(&last), "an old `exported` gives it no `y`");
    assert!(
        !words.contains(&middle),
        "an old `exported` would get to the new `last`"
    );
    live.swap(&edited).unwrap();
    assert!(live.plan(&edited).unwrap().is_empty());
    // The new ones call each other by new slots.
    let again = live.plan(&edited.replace("x + y", "x - y")).unwrap();
    assert_eq!(again.modules[0].changed, ["live::last"]);
    let internal = live.internal_slot("live::last");
    assert_ne!(internal, last);
    assert_eq!(again.patch.slots.len(), 1);
    assert_eq!(Some(again.patch.slots[0].word), internal);
}

#[test]
fn a_call_through_the_table_of_addresses_goes_by_the_internal_slot() {
    let source = r#"
#[inline(never)]
pub fn callee(x: usize, y: usize) -> usize { x + 7 }
#[unsafe(no_mangle)]
pub extern "C" fn exported(x: usize) -> usize { callee(x, x * 3) + 1 }
"#;
    let live = LiveCrate::new(source, Level::Most);
    let internal = live.internal_slot("live::callee");
    assert!(internal.is_some(), "the caller gives it no `y`");
    let planned = live.plan(&source.replace("x + 7", "x + y")).unwrap();
    assert!(
        planned
            .patch
            .slots
            .iter()
            .all(|slot| Some(slot.word) != internal)
    );
}

#[test]
fn a_static_that_the_optimiser_split_otherwise_is_refused() {
    let source = r#"
static mut PAIR: (u64, u64) = (0, 0);
#[unsafe(no_mangle)]
pub extern "C" fn exported(n: u64) -> u64 {
    unsafe { PAIR.0 += n; PAIR.1 += 2 * n; PAIR.0 + PAIR.1 }
}
"#;
    let live = LiveCrate::new(source, Level::Most);
    let whole = source.replace("PAIR.0 + PAIR.1", "*core::hint::black_box(&raw mut PAIR.1)");
    for edited in [
        whole.clone(),
        source.replace(
            "u64 {\n",
            "u64 {\n unsafe { core::hint::black_box(&raw mut PAIR); }\n",
        ),
    ] {
        let refusal = live.plan(&edited).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::StaticType { name, .. } if name == "live::PAIR"),
            "{refusal}"
        );
    }
    let live = LiveCrate::new(&whole, Level::Most);
    assert!(live.plan(source).is_err());
}

#[test]
fn all_callers_between_two_edits_are_copied_whatever_their_order() {
    const LENGTH: usize = 40;
    let function = |n: usize| {
        let callee = match n {
            0 => "COUNT.fetch_add(x, Relaxed)".to_owned(),
            n => format!("link_{}(x, y + {n}) * 3", n - 1),
        };
        format!("#[inline(never)] fn link_{n}(x: usize, y: usize) -> usize {{ {callee} }}\n")
    };
    let chain = |numbers: &mut dyn Iterator<Item = usize>| {
        let links: String = numbers.map(function).collect();
        format!(
            "static COUNT: AtomicUsize = AtomicUsize::new(0);\n{links}
            #[unsafe(no_mangle)]
            pub extern \"C\" fn exported(x: usize) -> usize {{ link_{}(x, x * 3) + 1 }}",
            LENGTH - 1
        )
    };
    for source in [chain(&mut (0..LENGTH)), chain(&mut (0..LENGTH).rev())] {
        let mut live = LiveCrate::new(&source, Level::Most);
        let edited = source
            .replace("fetch_add(x, Relaxed)", "fetch_add(x + 2, Relaxed)")
            .replace("x * 3) + 1", "x * 3) + 2");
        let planned = live.plan(&edited).unwrap();
        let module = &planned.modules[0];
        assert_eq!(module.changed, ["exported", "live::link_0"]);
        let mut copied = module.copied.clone();
        copied.sort();
        let mut expected: Vec<_> = (1..LENGTH).map(|n| format!("live::link_{n}")).collect();
        expected.sort();
        assert_eq!(copied, expected);
        live.swap(&edited).unwrap();
        assert!(live.plan(&edited).unwrap().is_empty());
    }
}
