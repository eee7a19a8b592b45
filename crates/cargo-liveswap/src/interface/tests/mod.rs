//! The table of what is proven and what is not.

use super::{Cause, unchanged};

mod around;

fn hidden(texts: &[&str]) {
    edited(None, texts);
}

/// Each text has a `§`, which is 1 in the old text and 2 in the new one.
fn edited(expected: Option<Cause>, texts: &[&str]) {
    for text in texts {
        assert!(text.contains('§'), "{text}");
        compare(expected, &text.replace('§', "1"), &text.replace('§', "2"));
    }
}

fn pairs(expected: Option<Cause>, pairs: &[(&str, &str)]) {
    for (old, new) in pairs {
        compare(expected, old, new);
    }
}

fn compare(expected: Option<Cause>, old: &str, new: &str) {
    // What is hidden in one direction is hidden in the other.
    for (old, new) in [(old, new), (new, old)] {
        let got = unchanged(old, new, true).err().map(|why| why.cause);
        assert_eq!(got, expected, "old: {old}\nnew: {new}");
    }
}

#[test]
fn a_changed_body_that_nobody_sees_is_no_change() {
    hidden(&[
        "pub fn f() -> u8 { § }",
        "fn f<'a>(x: &'a u8) { § }",
        "fn f<'a, 'b: 'a>(x: &'a u8) { § }",
        "pub extern \"C\" fn f() { § }",
        "pub unsafe extern fn f() { § }",
        "impl A { fn f(&self) { § } }",
        "impl<'a> A<'a> { fn f(&self) { § } }",
        "impl T for Vec<u8> { fn f() { § } }",
        "mod m { pub mod n { fn f() { § } } }",
        "fn r#fn() { § }",
        "fn f() { § } fn g<T>() { 1 }",
        "fn f() { § } m! { a }",
    ]);
    pairs(
        None,
        &[
            ("pub fn f() {}", "pub fn f() { g() }"),
            (
                "impl Drop for A { fn drop(&mut self) { 1; } }",
                "impl Drop for A { fn drop(&mut self) {} }",
            ),
            ("fn f() -> ! { loop {} }", "fn f() -> ! { panic!() }"),
            (
                "fn f() -> &'static mut ! { a() }",
                "fn f() -> &'static mut ! { b() }",
            ),
            (
                "fn f() { 1 } struct S; fn g() { 1 } const C: u8 = 1;",
                "fn f() { 2 } struct S; fn g() { 2 } const C: u8 = 1;",
            ),
        ],
    );
}

#[test]
fn braces_and_angles_in_odd_places_are_told_from_bodies() {
    hidden(&[
        "fn f() -> Foo<{ 3 }> { § }",
        "fn f() -> Foo<{ 3 > 2 }> { § }",
        "fn f() -> Foo<-1> { § }",
        "fn f(a: [u8; { 1 }]) { § }",
        "fn f(a: fn() -> u8) -> fn(u8) -> u8 { § }",
        "fn f(a: &dyn Fn() -> Vec<u8>) { § }",
        "fn f() where for<'a> A: Fn(&'a u8) -> &'a u8 { § }",
        "fn f() -> Vec<Vec<Vec<u8>>> { § }",
        "fn f() -> <A as B<{ 1 }>>::C { § }",
        "impl A<{ 1 }> { fn f() { § } }",
        "struct A<const N: usize = { 3 }> { a: u8 } fn f() { § }",
        "struct A(u8) where u8: Copy; fn f() { § }",
        "fn f() { /* } /* } */ } */ § }",
        "unsafe extern \"C\" { safe fn a(); fn b(x: u8); } fn f() { § }",
        "extern { static X: u8; } fn f() { § }",
        "extern crate a as b; union U { a: u8 } fn f() { § }",
        "const A: fn() -> u8 = || { 1 }; fn f() { § }",
    ]);
    pairs(
        None,
        &[
            (
                "fn f() { \"}\" } fn g<T>() { 1 }",
                "fn f() { \"{\" } fn g<T>() { 1 }",
            ),
            ("fn f() { r#\"}\" fn g() {\"# }", "fn f() { r##\"\"#}\"## }"),
            ("fn f() { '}' }", "fn f() { '{' }"),
            ("fn f() { b'}' }", "fn f() { b'\\'' }"),
            ("fn f() { c\"}\" }", "fn f() { cr#\"}\"# }"),
            (
                "fn f<'a>() { 'a: loop { break 'a; } }",
                "fn f<'a>() { 'a: loop { 'a'; break 'a; } }",
            ),
            (
                "fn f() { 1 } // }\nfn g<T>() { 1 }",
                "fn f() { 2 } // {\nfn g<T>() { 1 }",
            ),
            (
                "fn f() { let Some(a) = b else { return }; a }",
                "fn f() { let Some(a) = b else { panic!() }; a }",
            ),
            (
                "fn f() { if !(a) { 1 } }",
                "fn f() { if !(b) { return !(c) } }",
            ),
            ("fn f() { a != (b) }", "fn f() { a != (c) }"),
        ],
    );
    edited(
        Some(Cause::Outside),
        &[
            "fn f(a: [u8; { § }]) { 1 }",
            "impl A<{ § }> { fn f() { 1 } }",
        ],
    );
    pairs(
        Some(Cause::Outside),
        &[
            ("fn f() -> Foo<{ 3 }> { 1 }", "fn f() -> Foo<{ 4 }> { 1 }"),
            ("fn f() -> m!{ u8 } { 1 }", "fn f() -> m!{ u16 } { 1 }"),
            (
                "unsafe extern \"C\" { fn a(); }",
                "unsafe extern \"C\" { fn a(x: u8); }",
            ),
        ],
    );
    edited(Some(Cause::MacroInSignature), &["fn f() -> m!{ u8 } { § }"]);
}

#[test]
fn what_another_crate_may_compile_is_a_change() {
    edited(
        Some(Cause::Generic),
        &[
            "fn f<T>(x: T) { § }",
            "fn f<'a, T>(x: &'a T) { § }",
            "fn f<const N: usize>() { § }",
            "fn f<F: Fn() -> u8>(g: F) { § }",
            "impl<T> A<T> { fn f(&self) { § } }",
            "impl<'a, T: Fn() -> u8> A<'a, T> { fn f() { § } }",
            "impl<const N: usize> A<N> { fn f() { § } }",
        ],
    );
    edited(
        Some(Cause::OpaqueType),
        &[
            "fn f(x: impl Copy) { § }",
            "fn f() -> impl Fn() { || § }",
            "fn f() -> Box<impl Copy> { § }",
            "impl T for A { type X = impl Copy; fn f() -> Self::X { § } }",
        ],
    );
    edited(
        Some(Cause::Async),
        &["async fn f() { § }", "pub gen fn f() { § }"],
    );
    edited(
        Some(Cause::Const),
        &[
            "const fn f() { § }",
            "pub(crate) const unsafe extern \"C\" fn f() { § }",
            "impl const T for A { fn f() { § } }",
            "const impl T for A { fn f() { § } }",
        ],
    );
    edited(
        Some(Cause::Inline),
        &[
            "#[inline] fn f() { § }",
            "#[inline(always)] fn f() { § }",
            "#[cfg_attr(a, allow(b), inline)] fn f() { § }",
            "#[cfg_attr(a, cfg_attr(b, inline))] fn f() { § }",
            "fn f(x: f16) { § }",
        ],
    );
    edited(
        Some(Cause::UnknownAttribute),
        &[
            "fn f() { #![inline] § }",
            "#[define_opaque(X)] fn f() { § }",
        ],
    );
    edited(Some(Cause::DefaultMethod), &["trait A { fn f() { § } }"]);
    edited(
        Some(Cause::MacroInSignature),
        &["impl m!{} { fn f() { § } }"],
    );
}

#[test]
fn what_is_outside_of_bodies_is_a_change() {
    edited(
        Some(Cause::Outside),
        &[
            "const A: u8 = §;",
            "const A: u8 = { fn f() -> u8 { § } f() };",
            "static A: L = L::new(|| { § });",
            "struct A([u8; { fn f() { § } 1 }]);",
            "enum A { B = { § } }",
            "macro_rules! m { () => { fn f() { § } } }",
            "pub macro m() { fn f() { § } }",
            "pub macro m { () => { § } }",
            "m! { fn f() { § } }",
            "a::m! { fn f() { § } }",
            "m!(fn f() { § });",
            "impl A { const X: u8 = { § }; }",
        ],
    );
    pairs(
        Some(Cause::Outside),
        &[
            ("fn f() {}", "fn f(x: u8) {}"),
            ("fn f() {}", "pub fn f() {}"),
            ("fn f() {}", "#[inline] fn f() {}"),
            ("fn f() {}", "fn f() {} pub fn g() {}"),
            ("fn f() {}", "fn f() {} pub(crate) fn g() {}"),
            ("fn f() {}", "fn f() {} #[cfg(unix)] fn f() {}"),
            ("struct A { a: u8 }", "struct A { a: u16 }"),
            ("use a::b;", "use a::c;"),
            ("#![feature(a)] fn f() {}", "#![feature(b)] fn f() {}"),
            ("trait A { fn f(); }", "trait A { fn g(); }"),
            ("mod a; fn f() { 1 }", "mod b; fn f() { 1 }"),
            ("type A = u8;", "type A = u16;"),
            ("fn f() {} struct S;", "struct S; fn f() {}"),
        ],
    );
}
