//! Attributes, macros, lines and broken text.

use super::super::{Cause, may_include, unchanged};
use super::{edited, hidden, pairs};

#[test]
fn private_functions_come_and_go() {
    pairs(
        None,
        &[
            ("fn f() {}", "fn f() {} fn g() {}"),
            (
                "fn f() {}",
                "fn f() {} #[cfg(unix)] #[inline] fn g<T>() { f() }",
            ),
            ("fn a() {} fn f() {}", "fn f() {} const fn b() {}"),
            ("fn f() {}\nm!{}", "fn f() { 1 }\nm!{}"),
            (
                "pub mod m { pub fn f() {} }",
                "pub mod m { fn g() {} pub fn f() { g() } }",
            ),
            (
                "use a::{b, c}; fn f() {}",
                "use a::{b, c}; fn f() {} fn g() { vec![1]; }",
            ),
            (
                "fn f() {}",
                "fn f() {} fn g() {} #[cfg(test)] mod t { use super::*; }",
            ),
            (
                "#[derive(A)] #[a(b)] struct S;",
                "#[derive(A)] #[a(b)] struct S; fn g() {}",
            ),
        ],
    );
    pairs(
        Some(Cause::Outside),
        &[
            ("use a::*; fn f() {}", "use a::*; fn f() {} fn g() {}"),
            (
                "use a::{b, c::*}; fn f() {}",
                "use a::{b, c::*}; fn f() {} fn g() {}",
            ),
            ("mod m; fn f() {}", "mod m; fn f() {} fn g() {}"),
            ("mod m {} fn f() {}", "mod m {} fn f() {} fn g() {}"),
            ("m!{} fn f() {}", "m!{} fn f() {} fn g() {}"),
            ("#[a] struct S;", "#[a] struct S; fn g() {}"),
            (
                "#[a] #[derive(B)] struct S;",
                "#[a] #[derive(B)] struct S; fn g() {}",
            ),
            (
                "fn f<T>() { use a::*; }",
                "fn f<T>() { use a::*; } fn g() {}",
            ),
            ("fn f() {}", "fn f() {} fn drop() {}"),
            ("fn f() {}", "fn f() {} fn g() { impl A for B {} }"),
            ("fn f() {}", "fn f() {} fn g() { m!() }"),
            ("fn f() {}", "fn f() {} #[a] fn g() {}"),
            ("fn f() {}", "fn f() {} #[unsafe(no_mangle)] fn g() {}"),
            ("impl A { fn f() {} }", "impl A { fn f() {} fn g() {} }"),
            ("trait A { fn f() {} }", "trait A { fn f() {} fn g() {} }"),
        ],
    );
}

#[test]
fn attributes_that_may_be_macros_are_no_proof() {
    edited(
        Some(Cause::UnknownAttribute),
        &[
            "#[tokio::main] fn f() { § }",
            "#[instrument] fn f() { § }",
            "#[async_trait] impl A for B { fn f() { § } }",
            "#[a] mod m { fn f() { § } }",
            "mod m { #![a] fn f() { § } }",
            "#[cfg_attr(x, tokio::main)] fn f() { § }",
            "fn f() { #[a] let x = §; }",
            "fn f() { #[derive(serde::Serialize)] struct S; § }",
            "use x::Debug; fn f() { #[derive(Debug)] struct S; § }",
            "use t::test; #[test] fn f() { § }",
        ],
    );
    hidden(&[
        "#[doc = \"a\"] #[must_use] #[cold] #[track_caller] fn f() { § }",
        "#[unsafe(no_mangle)] pub extern \"C\" fn f() { § }",
        "#[inline(never)] fn f() { § }",
        "#[cfg_attr(x, allow(y), must_use)] fn f() { § }",
        "#[clippy::a] #[rustfmt::skip] fn f() { § }",
        "#![no_std] #![feature(a)] fn f() { § }",
        "#[a] struct S; fn f() { § }",
        "fn f() { #[allow(a)] let x = §; }",
    ]);
    pairs(
        None,
        &[(
            "fn f() { #[derive(Debug, Clone)] struct S; 1 }",
            "fn f() { #[derive(Debug)] struct S; 2 }",
        )],
    );
}

#[test]
fn what_reaches_out_of_a_body_is_a_change() {
    edited(Some(Cause::NestedImpl), &["fn f() { impl A for B {} § }"]);
    pairs(
        Some(Cause::NestedImpl),
        &[
            ("fn f() {}", "fn f() { impl A for B {} }"),
            (
                "fn f() { g(|| { struct S; impl A for S {} }) }",
                "fn f() { g(|| { struct S; }) }",
            ),
            (
                "fn f() {}",
                "fn f() { println!(\"{}\", { impl A for B {} 1 }) }",
            ),
        ],
    );
    pairs(
        Some(Cause::NestedMacro),
        &[
            ("fn f() {}", "fn f() { macro_rules! m { () => {} } }"),
            ("fn f() {}", "fn f() { macro m() {} }"),
        ],
    );
    pairs(
        Some(Cause::NotUnderstood),
        &[("fn f() {}", "fn f() { extern crate a; }")],
    );
    edited(
        Some(Cause::UnknownMacro),
        &[
            "fn f() { m!(§) }",
            "fn f() { println!(\"{}\", m!(§)) }",
            "fn f() { const N: u8 = §; m!(N); }",
            "macro_rules! println { () => {} } fn f() { println!(§) }",
            "use a::{b, vec}; fn f() { vec![§] }",
            "use a::x as vec; fn f() { vec![§] }",
            "use evil as std; fn f() { std::vec![§] }",
            "fn f() { info!(§) }",
        ],
    );
    pairs(
        Some(Cause::UnknownMacro),
        &[
            ("fn f() { a::b::m!{1} }", "fn f() { a::c::m!{1} }"),
            ("fn f() { ::a::m!(1) }", "fn f() { a::m!(1) }"),
            ("fn f() { m!(a+b) }", "fn f() { m!(a + b) }"),
            ("fn f() { m!(1) }", "fn f() { }"),
            (
                "fn f() { use a::m; m!(1); 1 }",
                "fn f() { use b::m; m!(1); 1 }",
            ),
        ],
    );
    hidden(&[
        "fn f() { m!(1); § }",
        "fn f() { use a::m; m!(1); § }",
        "fn f() { let a = b as *const u8; m!(N); § }",
        "use std::{vec, fmt}; fn f() { vec![§] }",
        "fn f() { thread_local! { static A: u8 = §; } }",
        "fn f() { let r#impl = §; }",
    ]);
    pairs(
        None,
        &[
            (
                "fn f() { println!(\"1\") }",
                "fn f() { std::println!(\"2\"); assert!(a) }",
            ),
            ("fn f() { vec![1] }", "fn f() { vec![2, 3] }"),
            (
                "use tracing::{info, Level}; fn f() { info!(1) }",
                "use tracing::{info, Level}; fn f() { info!(2); log::warn!(1) }",
            ),
            (
                "fn f() { fn g<T>() { 1 } g::<u8>() }",
                "fn f() { const fn g<T>() { 2 } g::<u16>() }",
            ),
            (
                "fn f() { async { 1 }; let c = async move || 1; }",
                "fn f() { async { 2 }; let c = async move || 2; }",
            ),
            (
                "fn f() { const { 1 }; static A: u8 = 1; }",
                "fn f() { const { 2 }; static A: u8 = 2; }",
            ),
        ],
    );
}

#[test]
fn a_name_that_a_module_has_is_not_a_crate() {
    hidden(&[
        "fn f() { log::info!(§) }",
        "use log::info; fn f() { info!(§) }",
    ]);
    edited(
        Some(Cause::UnknownMacro),
        &[
            "mod log; fn f() { log::info!(§) }",
            "use crate::log; fn f() { log::info!(§) }",
            "extern crate a as log; fn f() { log::info!(§) }",
            "#[macro_use] extern crate log; fn f() { info!(§) }",
        ],
    );
    let text = "macro_rules! m { () => { a && b } }";
    assert!(unchanged(text, &text.replace("&&", "& &"), true).is_err());
    assert!(unchanged(text, &text.replace("a &", "/// c\n a &"), true).is_err());
}

#[test]
fn white_space_and_comments_do_not_count_where_nobody_sees_them() {
    hidden(&["#!/bin/x\nfn f() { § }", "---\na = 1\n---\nfn f() { § }"]);
    pairs(
        None,
        &[
            ("fn f<T>() { 1 }", "fn  f<T>()\n{ /* a */ 1 } // b"),
            ("/// a\nfn f<T>() { 1 }", "/// b\nfn f<T>() { 1 }"),
            ("//! a\nstruct S;", "//! b\n//! c\nstruct S;"),
            (
                "#[derive(Debug)] struct S {\n/// a\na: u8 }",
                "#[derive(Debug)] struct S {\n/// b\na: u8 }",
            ),
            ("const A: u8 = a+b;", "const A: u8 = a + b;"),
        ],
    );
    edited(Some(Cause::Outside), &["---\na = §\n---\nfn f() { 1 }"]);
    pairs(
        Some(Cause::Outside),
        &[
            (
                "#[derive(clap::Parser)] struct S {\n/// a\na: u8 }",
                "#[derive(clap::Parser)] struct S {\n/// b\na: u8 }",
            ),
            ("/// a\n#[a] fn f() {}", "/// b\n#[a] fn f() {}"),
            ("m! {\n/// a\nA }", "m! {\n/// b\nA }"),
            ("const A: S = m!(a+b);", "const A: S = m!(a + b);"),
            ("const A: bool = a && b;", "const A: bool = a & & b;"),
        ],
    );
    pairs(
        Some(Cause::Generic),
        &[("fn f<T>() { assert!(a+b) }", "fn f<T>() { assert!(a + b) }")],
    );
}

#[test]
fn tests_are_in_no_program() {
    pairs(
        None,
        &[
            (
                "fn f() {} #[cfg(test)] mod tests { fn a() {} }",
                "fn f() {} #[cfg(test)] mod tests { fn b<T>() {} }",
            ),
            ("fn f() {}", "fn f() {} #[cfg(test)] mod tests;"),
            (
                "#[cfg(test)] #[macro_use] mod a; fn f() { 1 }",
                "fn f() { 1 }",
            ),
        ],
    );
    edited(Some(Cause::Generic), &["#[cfg(not(test))] fn f<T>() { § }"]);
}

#[test]
fn a_line_number_that_counts_is_a_change_when_it_moves() {
    pairs(
        Some(Cause::Moved),
        &[
            (
                "fn f() { 1 }\nconst A: u32 = line!();",
                "fn f() { \n1 }\nconst A: u32 = line!();",
            ),
            (
                "fn f() { 1 } const A: u32 = column!();",
                "fn f() { 11 } const A: u32 = column!();",
            ),
            (
                "fn f() { 1 }\nfn g<T>() { line!() }",
                "fn f() { \n1 }\nfn g<T>() { line!() }",
            ),
            (
                "fn f() { 1 }\nconst fn g() { m!() }",
                "fn f() { \n1 }\nconst fn g() { m!() }",
            ),
            (
                "impl<T> A<T> { fn f() {}\nconst fn g() { m!() } }",
                "impl<T> A<T> { fn f() {}\n\nconst fn g() { m!() } }",
            ),
            (
                "fn f() { 1 }\nconst A: u8 = m!();",
                "fn f() { \n1 }\nconst A: u8 = m!();",
            ),
            (
                "fn f() { 1 }\nconst A: L = Location::caller();",
                "fn f() { \n1 }\nconst A: L = Location::caller();",
            ),
            (
                "fn f() {}\nfn g() -> [u8; line!() as usize] { 1 }",
                "fn f() {\n}\nfn g() -> [u8; line!() as usize] { 1 }",
            ),
        ],
    );
    hidden(&["fn f() { § }\nconst A: u32 = line!();"]);
    pairs(
        None,
        &[
            (
                "const A: u32 = line!();\nfn f() { 1 }",
                "const A: u32 = line!();\nfn f() { \n1 }",
            ),
            (
                "fn f() { 1 }\nfn g() { line!() }",
                "fn f() { \n1 }\nfn g() { line!() }",
            ),
            (
                "fn f() { 1 }\nfn g<T>() { m!() }",
                "fn f() { \n1 }\nfn g<T>() { m!() }",
            ),
            (
                "fn f() { 1 }\nconst A: () = assert!(a);",
                "fn f() { \n1 }\nconst A: () = assert!(a);",
            ),
            (
                "fn f() { 1 }\nthread_local! { static A: u8 = 1; }",
                "fn f() { \n1 }\nthread_local! { static A: u8 = 1; }",
            ),
            (
                "fn f() { 1 }\nmacro_rules! m { () => { line!() } }",
                "fn f() { \n1 }\nmacro_rules! m { () => { line!() } }",
            ),
            (
                "fn f() { 1 }\n#[derive(serde::Serialize)] struct S;",
                "fn f() { \n1 }\n#[derive(serde::Serialize)] struct S;",
            ),
        ],
    );
}

#[test]
fn broken_text_is_no_proof() {
    let good = "fn f() { 1 }";
    for bad in [
        "fn f() { 2 ",
        "fn f() { 2 } }",
        "fn f() { ( } )",
        "fn f() { \"2 }",
        "fn f() { r#\"2\" }",
        "fn f() { /* }",
        "fn f() { '2 }",
        "fn { 2 }",
        "fn f { 2 }",
        "fn f<'a() { 2 }",
        "fn f() -> A> { 2 }",
        "what is this?",
        "pub",
        "#",
        "#[a",
        "const A: u8 = 1",
        "fn f() { #\"2\"# }",
        "impl",
        "mod",
        "!{}",
    ] {
        assert!(unchanged(good, bad, true).is_err(), "{bad}");
        assert!(unchanged(bad, good, true).is_err(), "{bad}");
    }
}

#[test]
fn every_cut_and_every_lost_byte_ends_well() {
    let text = include_str!("../items.rs");
    for at in (0..text.len())
        .filter(|&at| text.is_char_boundary(at))
        .step_by(41)
    {
        let _ = unchanged(text, &text[..at], true);
        let without = format!("{}{}", &text[..at], &text[at + 1..]);
        let _ = unchanged(text, &without, true);
    }
}

#[test]
fn optimisation_of_whole_crates_leaves_only_comments() {
    let result = unchanged("fn f() { 1 }", "fn f() {\n 2 }", false);
    let why = result.expect_err("the body may be inlined");
    assert_eq!(why.to_string(), "line 2: changed in an optimised crate");
    assert_eq!(
        unchanged("fn f() { a.b() }", "fn f() { a.b() } // c", false),
        Ok(())
    );
}

#[test]
fn the_reason_names_the_line_of_the_new_text() {
    let old = "fn a() {\n    1\n}\n\nfn b<T>() {\n    1\n}\n";
    let new = "fn a() {\n    1;\n    2\n}\n\nfn b<T>() {\n    2\n}\n";
    let why = unchanged(old, new, true).expect_err("generic");
    assert_eq!(why.to_string(), "line 7: changed in a generic function");
}

#[test]
fn included_files_are_no_modules() {
    assert!(may_include("fn f() { include!(\"a/b.rs\") }", "b.rs"));
    assert!(may_include(
        "const A: &str = include_str!(r\"b.rs\");",
        "b.rs"
    ));
    assert!(may_include(
        "include!(concat!(env!(\"X\"), \"/b.rs\"));",
        "b.rs"
    ));
    assert!(may_include(
        "include!(concat!(\"/\", stringify!(b), \".rs\"));",
        "b.rs"
    ));
    assert!(!may_include(
        "include!(concat!(env!(\"X\"), \"/c.rs\"));",
        "b.rs"
    ));
    assert!(may_include("include!($file);", "b.rs"));
    assert!(may_include("include!(\"x", "b.rs"));
    assert!(!may_include("include_bytes!(\"c.png\",);", "b.rs"));
    assert!(!may_include(
        "// include!(\"b.rs\")\nfn include() {}",
        "b.rs"
    ));
}
