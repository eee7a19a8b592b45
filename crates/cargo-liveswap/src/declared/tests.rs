use super::*;

fn unit(text: &str) -> Unit {
    Unit::read("app", &[("lib.rs".into(), Some(text.into()))], None)
}

fn difference(before: &str, after: &str) -> Difference {
    let mut live = Live::default();
    live.enter([("app".to_owned(), unit(before))]);
    live.compare(&HashMap::from([("app".to_owned(), unit(after))]))
}

#[test]
fn how_functions_are_called_is_noticed_wherever_they_stand() {
    for (before, after) in [
        (
            "fn f() {}",
            "#[inline(never)] #[track_caller] pub(crate) fn f() {}",
        ),
        ("fn f() {}", "pub unsafe extern \"C\" fn f() {}"),
        ("extern \"C\" fn f() {}", "extern \"C-unwind\" fn f() {}"),
        (
            "mod a { impl X { fn f(&self) {} } }",
            "mod a { impl X { #[cfg_attr(all(), track_caller)] fn f(&self) {} } }",
        ),
        (
            "fn main() { fn f() {} }",
            "fn main() { #[track_caller] fn f() {} }",
        ),
    ] {
        let found = difference(before, after);
        let (was, is) = found.convention("f");
        assert_ne!(was, is, "{after}");
        let (was, is) = difference(after, before).convention("f");
        assert_ne!(was, is, "{before}");
        let (was, is) = difference(after, after).convention("f");
        assert_eq!(was, is, "{after}");
    }
    let found = difference(
        "#[track_caller] fn f() {} fn g() {}",
        "#[track_caller] fn f() { 1; } fn g() {}",
    );
    assert_eq!(found.convention("g"), (0, 0));
    assert!(!found.conventions_of_any());
    let made = |attribute: &str| {
        format!("macro_rules! m {{ ($n:ident) => {{ {attribute} fn $n() {{}} }} }}")
    };
    assert!(difference(&made(""), &made("#[track_caller]")).conventions_of_any());
}

#[test]
fn representations_and_declarations_of_types() {
    let found = difference(
        "#[derive(Clone)] struct M(f64);",
        "#[derive(Clone)] #[repr(C)] struct M(f64);",
    );
    assert!(found.representations.contains("M") && found.types.contains("M"));
    let found = difference(
        "struct M(f64);",
        "struct M(f64); fn f() { #[repr(C)] struct M(u8); }",
    );
    assert!(
        found.representations.is_empty(),
        "one more type is no other one"
    );
    assert!(found.types.contains("M"));
    let found = difference(
        "/// A.\nstruct M<T> where T: Copy { a: T }",
        "#[derive(Clone)]\nstruct M<T> where T: Copy { /* b */ a: T }",
    );
    assert!(found.types.is_empty(), "{found:?}");
    let found = difference(
        "fn f() { { struct S { a: u8 } } { struct S { b: u16 } } }",
        "fn f() { { struct S { b: u16 } } { struct S { b: u16 } } }",
    );
    assert!(found.types.contains("S"));
}

#[test]
fn traits_are_what_their_tables_consist_of() {
    let with = |items: &str| format!("pub trait T: Send {{ {items} }}");
    let one = with("fn a(&self); fn b(&self) -> u8 { 1 }");
    assert!(
        difference(&one, &with("fn a(&self); fn b(&self) -> u8 { 2 }"))
            .traits
            .is_empty()
    );
    for other in [
        "fn b(&self) -> u8 { 1 } fn a(&self);",
        "fn a(&self, x: u8); fn b(&self) -> u8 { 1 }",
    ] {
        assert!(
            difference(&one, &with(other)).traits.contains("T"),
            "{other}"
        );
    }
}

#[test]
fn types_of_crates_that_share_a_name() {
    let named = |text: &str| Unit::read("dep", &[("lib.rs".into(), Some(text.into()))], None);
    let mut live = Live::default();
    live.enter([
        (
            "one".to_owned(),
            named("pub struct T(u8); pub struct U(u8);"),
        ),
        ("two".to_owned(), named("pub struct T(u16);")),
    ]);
    let now = HashMap::from([(
        "one".to_owned(),
        named("pub struct T(u16); pub struct U(u8);"),
    )]);
    let found = live.compare(&now);
    assert_eq!(
        found.in_namesakes,
        BTreeSet::from([("dep".to_owned(), "T".to_owned())])
    );
    let now = HashMap::from([(
        "one".to_owned(),
        named("pub struct T(u8); pub struct U(u16);"),
    )]);
    assert!(live.compare(&now).in_namesakes.is_empty());
}
