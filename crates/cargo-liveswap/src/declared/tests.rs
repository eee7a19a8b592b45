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

/// Whether functions called `f` count as called in another way.
fn changes(before: &str, after: &str) -> bool {
    let (was, is) = difference(before, after).convention("f");
    was != is
}

#[test]
fn attribute_moved_to_a_namesake() {
    for (before, after) in [
        (
            "mod a { #[track_caller] fn f() {} } mod b { fn f() {} }",
            "mod a { fn f() {} } mod b { #[track_caller] fn f() {} }",
        ),
        (
            "impl X { #[track_caller] fn f() {} } impl<T> Y<T> { fn f() {} }",
            "impl X { fn f() {} } impl<T> Y<T> { #[track_caller] fn f() {} }",
        ),
        (
            "trait T { extern \"C\" fn f() {} } fn g() -> impl T { fn f() {} }",
            "trait T { fn f() {} } fn g() -> impl T { extern \"C\" fn f() {} }",
        ),
        // Spelled otherwise, it may be the same.
        (
            "impl X { #[track_caller] fn f() {} }",
            "impl crate::X { fn f() {} }",
        ),
    ] {
        assert!(changes(before, after), "{after}");
        assert!(changes(after, before), "{before}");
        let above = format!("mod m {{ fn g() {{}} impl X {{}} }} {before}");
        assert!(!changes(before, &above), "{before}");
    }
    let found = difference(
        "mod a { #[repr(C)] struct M(u8); } mod b { struct M(u8); }",
        "mod a { struct M(u8); } mod b { #[repr(C)] struct M(u8); }",
    );
    assert!(found.representations.contains("M"));
}

#[test]
fn namesakes_that_come_or_go_change_no_others() {
    let one = "mod a { #[track_caller] fn f() {} } mod b { fn f() {} }";
    for other in ["mod b { fn f() {} }", "mod a { #[track_caller] fn f() {} }"] {
        assert!(!changes(one, other), "{other}");
        assert!(!changes(other, one), "{other}");
    }
    // What a macro makes now may be what was declared.
    let made = "macro_rules! m { ($n:ident) => { fn $n() {} } } m!(f);";
    assert!(changes("#[track_caller] fn f() {}", made));
    assert!(changes(made, "#[track_caller] fn f() {}"));
}

#[test]
fn edits_that_are_taken_back_are_recognised() {
    let with = "mod a { #[track_caller] fn f() {} } mod b { fn f() {} }";
    let without = "mod a { fn f() {} } mod b { fn f() {} }";
    let more = "mod a { fn f() {} } mod b { fn f() {} } mod c { fn f() {} }";
    let gone = "mod b { fn f() {} }";
    let mut live = Live::default();
    let mut go = |text: &str| {
        let now = HashMap::from([("app".to_owned(), unit(text))]);
        let found = live.compare(&now).convention("f");
        live.enter(now);
        found
    };
    go(with);
    let (before, after) = go(without);
    assert_ne!(before, after);
    go(more);
    assert_eq!(go(with).1, before);
    let (was, is) = go(gone);
    assert_eq!(was, is);
    let (was, is) = go(without);
    assert_ne!(was, is, "it came back as another one");
    go(gone);
    let (was, is) = go(with);
    assert_ne!(was, is, "it came back with an attribute");
}

#[test]
fn attributes_got_lost_at_parameters_of_macros() {
    for rest in [
        "$vis fn f() {}",
        "$vis:vis fn f() {}",
        "$(pub)? fn f() {}",
        "$(#[$m])* $($x),* unsafe fn f() {}",
    ] {
        let made = |attribute: &str| format!("macro_rules! m {{ () => {{ {attribute} {rest} }} }}");
        assert!(changes(&made(""), &made("#[track_caller]")), "{rest}");
        let again = made("#[track_caller]");
        assert!(!changes(&again, &again));
    }
    let made = |attribute: &str| format!("macro_rules! m {{ ($i:item) => {{ {attribute} $i }} }}");
    assert!(difference(&made(""), &made("#[inline]")).convention(ANY) == (0, 0));
}

#[test]
fn attributes_were_passed_to_macros() {
    let attribute = "macro_rules! m { ($a:meta) => { #[$a] fn f() {} } }";
    let list = "macro_rules! m { ($(#[$a:meta])*) => { $(#[$a])* pub fn f() {} } }";
    let abi = "macro_rules! m { ($a:literal) => { extern $a fn f() {} } }";
    let outer = "macro_rules! m { ($a:meta) => { #[$a] fn f() {} } } macro_rules! o { ($a:meta) => { m! { $a } } }";
    for (made, before, after) in [
        (attribute, "m!(inline);", "m!(track_caller);"),
        (attribute, "m!{inline}", "self::m![track_caller];"),
        (list, "m!();", "m!(#[track_caller]);"),
        (abi, "m!(\"C\");", "m!(\"C-unwind\");"),
        (outer, "o!(inline);", "o!(track_caller);"),
    ] {
        let with = |call: &str| format!("{made} fn g() {{}} {call}");
        assert!(changes(&with(before), &with(after)), "{after}");
        assert!(changes(&with(after), &with(before)), "{before}");
        let other = with(after).replace("fn g() {}", "fn g() { other!(1); }");
        assert!(!changes(&with(after), &other), "{after}");
        let any = |call: &str| with(call).replace("fn f", "fn $n");
        assert!(difference(&any(before), &any(after)).conventions_of_any());
    }
}

#[test]
fn exported_names_were_not_found() {
    for name in [
        "unsafe(export_name = \"f\")",
        "export_name = r#\"f\"#",
        "link_name = \"f\"",
    ] {
        let with = |attribute: &str| format!("#[{name}] {attribute} fn g() {{}}");
        assert!(changes(&with(""), &with("#[track_caller]")), "{name}");
    }
    let block = |abi: &str| format!("extern \"{abi}\" {{ #[link_name = \"f\"] fn g(); }}");
    assert!(changes(&block("C"), &block("C-unwind")));
}

#[test]
fn initialisers_that_run_once_are_compared_by_what_they_belong_to() {
    let names = |before: &str, after: &str| -> Vec<String> {
        let found = difference(before, after);
        found.once.into_iter().collect()
    };
    for (before, after, owner) in [
        (
            "fn f() { ONCE.call_once(|| g(1)); }",
            "fn f() { ONCE.call_once(|| g(2)); }",
            "f",
        ),
        (
            "mod m { impl X { fn f(&self) -> u8 { *self.0.get_or_init(|| 1) } } }",
            "mod m { impl X { fn f(&self) -> u8 { *self.0.get_or_init(|| 2) } } }",
            "f",
        ),
        (
            "thread_local! { static A: u8 = 1; pub static B: RefCell<u8> = RefCell::new(f(1)); }",
            "thread_local! { static A: u8 = 1; pub static B: RefCell<u8> = RefCell::new(f(2)); }",
            "B",
        ),
        (
            "lazy_static! { static ref A: Vec<u8> = vec![1]; }",
            "lazy_static! { static ref A: Vec<u8> = vec![1, 2]; }",
            "A",
        ),
        (
            "fn f() { static A: LazyLock<u8> = LazyLock::new(|| 1); }",
            "fn f() { static A: LazyLock<u8> = LazyLock::new(|| 2); }",
            "f",
        ),
    ] {
        assert_eq!(names(before, after), [owner], "{after}");
        assert!(names(before, before).is_empty(), "{before}");
        let with_more = format!("{before} fn more() {{}}");
        assert!(names(before, &with_more).is_empty(), "{before}");
    }
    let new = names("fn f() {}", "fn f() { ONCE.call_once(|| g(1)); }");
    assert!(new.is_empty(), "nothing ran before");
    let constant = names(
        "thread_local! { static A: u8 = const { 1 }; }",
        "thread_local! { static A: u8 = const { 2 }; }",
    );
    assert!(constant.is_empty(), "the compiler computes it");
}
