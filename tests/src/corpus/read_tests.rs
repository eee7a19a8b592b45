use super::case;
use crate::corpus::case::Label;

const CASE: &str = "\
# About it.
needs: tokio
opt: 3
part: ci
=== file src/main.rs
fn a() { 1 }
fn b() { 2 }
=== step S a body
new: ^v1 2
- 1 }
+ 3 }
- fn b() { 2 }
+
=== step U two files
anew
- fn a() { 1 }
- fn b() { 2 }
+ mod x;
+ fn a() { 4 }
=== file src/x.rs
fn x() {}
";

#[test]
fn steps_are_replacements_one_after_the_other_or_anew() {
    let case = case("kind/name", CASE).expect("a case");
    assert_eq!(
        (case.about.as_str(), &*case.levels),
        ("About it.", &[3][..])
    );
    assert!(case.in_ci);
    assert_eq!(case.needs, ["tokio"]);
    let [first, second] = &*case.steps else {
        panic!("{} steps", case.steps.len());
    };
    assert_eq!((first.label, second.label), (Label::Safe, Label::Unsafe));
    assert_eq!(first.files["src/main.rs"], "fn a() { 3 }\n\n");
    assert_eq!(second.files["src/main.rs"], "mod x;\nfn a() { 4 }\n");
    assert_eq!(second.files["src/x.rs"], "fn x() {}\n");
    assert!(!first.files.contains_key("src/x.rs"));
}

#[test]
fn a_replacement_that_fits_nowhere_or_twice_is_told() {
    for (old, times) in [("- fn", "2"), ("- nothing", "0")] {
        let text = CASE.replace("- 1 }", old);
        let error = case("kind/name", &text).expect_err("no place for it");
        assert!(error.contains(&format!("{times} times")), "{error}");
    }
}

#[test]
fn what_is_not_understood_is_told() {
    for (from, to) in [
        ("opt: 3", "opt: 2"),
        ("needs:", "wants:"),
        ("=== step S", "=== step X"),
        ("anew", "news"),
    ] {
        assert!(case("kind/name", &CASE.replace(from, to)).is_err(), "{to}");
    }
}
