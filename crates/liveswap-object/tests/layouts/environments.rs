//! Functions that work on environments of closures, futures and generators.

use liveswap_object::layouts::{Layouts, changed_contracts};

use super::layouts;

/// Names that do not tell types, so that a function keeps its symbol whatever happens to its environment.
const V0: &[&[&str]] = &[
    &["-Copt-level=0", "-Csymbol-mangling-version=v0"],
    &[
        "-Copt-level=0",
        "-Csymbol-mangling-version=v0",
        "-Cdwarf-version=5",
    ],
    &["-Copt-level=3", "-Csymbol-mangling-version=v0"],
    &[
        "-Copt-level=3",
        "-Csymbol-mangling-version=v0",
        "-Cdwarf-version=5",
    ],
];

fn readable(old: &Layouts, new: &Layouts) -> Vec<String> {
    let found = changed_contracts(old, new);
    let found = found
        .iter()
        .map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)));
    let mut found: Vec<_> = found.collect();
    found.sort();
    found
}

fn changed(old: &str, new: &str, flags: &[&str]) -> Vec<String> {
    assert_ne!(old, new);
    let (old, new) = (layouts(old, flags), layouts(new, flags));
    let back = readable(&new, &old);
    let found = readable(&old, &new);
    assert_eq!(found, back, "it matters which of them is newer: {flags:?}");
    found
}

#[track_caller]
fn nothing_changed(old: &str, new: &str) {
    for flags in V0.iter().chain(super::VARIANTS) {
        assert_eq!(changed(old, new, flags), [""; 0], "{flags:?}");
    }
}

/// Each of the functions is found with each of the flags.
#[track_caller]
fn changed_are(old: &str, new: &str, functions: &[&str]) {
    for flags in V0 {
        let found = changed(old, new, flags);
        for function in functions {
            let is_there = found.iter().any(|name| name == function);
            assert!(is_there, "no {function} in {found:#?} with {flags:?}");
        }
    }
}

/// What every boxed closure of `make` has in its table, drop glue aside.
const CALLS: &[&str] = &[
    "app::make::{closure#0}",
    "<app::make::{closure#0} as core::ops::function::FnOnce<(u32,)>>::call_once::{shim:vtable#0}",
];
const GLUE: &str = "core::ptr::drop_in_place::<app::make::{closure#0}>";

fn boxed(captured: &str, body: &str) -> String {
    format!(
        "pub fn make({captured}) -> Box<dyn Fn(u32) -> usize> {{ Box::new(move |x| {{ {body} }}) }}
         pub fn other(k: u8) -> Box<dyn Fn(u32) -> usize> {{ Box::new(move |x| x as usize * k as usize) }}"
    )
}

#[test]
fn captures_added_removed_and_of_another_type() {
    let one = boxed("k: u32", "x as usize + k as usize");
    let two = boxed("k: u32, l: u32", "x as usize + k as usize * l as usize");
    let wide = boxed("k: u64", "x as usize + k as usize");
    let signed = boxed("k: i32", "x as usize + k as usize");
    for other in [&two, &wide, &signed] {
        changed_are(&one, other, CALLS);
        for flags in V0 {
            let found = changed(&one, other, flags);
            let others = found.iter().any(|name| name.contains("app::other"));
            assert!(!others, "{found:#?} with {flags:?}");
        }
    }
    let none = boxed("", "x as usize + 3");
    changed_are(&one, &none, CALLS);
}

#[test]
fn drop_glue_of_boxed_closures() {
    let glue = &[CALLS[0], CALLS[1], GLUE];
    let one = boxed("s: String", "x as usize + s.len()");
    let two = boxed(
        "s: String, t: String",
        "x as usize + s.len() + t.len() + t.capacity()",
    );
    changed_are(&one, &two, glue);
}

/// With both kinds of names: types of captures are in the hash of the older ones, their order is not.
#[test]
fn captures_that_change_places() {
    let source = |first: &str, second: &str| {
        boxed(
            "a: u32, b: u32",
            &format!("x as usize * 7 + {first} as usize * 3 + {second} as usize"),
        )
    };
    let (old, new) = (source("a", "b"), source("b", "a"));
    changed_are(&old, &new, CALLS);
    let found = changed(&old, &new, super::DEFAULT);
    assert!(
        found.contains(&"app::make::{{closure}}".to_owned()),
        "{found:#?}"
    );
}

#[test]
fn another_body_over_the_same_captures_is_no_change() {
    let source = |body: &str| {
        format!(
            "pub fn make(k: u32, s: String) -> Box<dyn Fn(u32) -> usize> {{ Box::new(move |x| {{ {body} }}) }}
             pub async fn wait(k: u32, s: String) -> usize {{ std::future::ready(()).await; {{ let x = 1_u32; {body} }} }}
             pub fn boxed() -> std::pin::Pin<Box<dyn Future<Output = usize>>> {{ Box::pin(wait(1, String::new())) }}
             pub fn each(v: &[u32], k: u32, s: &str) -> Vec<usize> {{ v.iter().map(|&x| {{ {body} }}).collect() }}"
        )
    };
    let old = source("x as usize + k as usize + s.len()");
    let new = source(
        "\n\n let y = x as usize * 3; if y > 7 { println!(\"{y}\"); } y * k as usize + s.len()",
    );
    nothing_changed(&old, &new);
}

/// Its number is now another closure's.
#[test]
fn a_closure_inserted_before_another_one() {
    let second = "Box::new(move |x| x as usize + s.len())";
    let make = |first: &str| {
        format!(
            "pub fn make(k: u64, s: String) -> Box<dyn Fn(u32) -> usize> {{ {first} {second} }}
             #[inline(never)] pub fn run(f: Box<dyn Fn(u32) -> usize>) -> usize {{ f(1) }}"
        )
    };
    let new =
        make("let first = run(Box::new(move |x| x as usize * k as usize)); println!(\"{first}\");");
    changed_are(&make(""), &new, CALLS);
}

/// What it captures is the same, but what it gives back is not.
#[test]
fn a_closure_that_is_called_otherwise() {
    let source = |result: &str| {
        format!(
            "pub fn make(k: u32) -> Box<dyn Fn(u32) -> {result}> {{ Box::new(move |x| (x / k) as {result}) }}"
        )
    };
    changed_are(&source("u8"), &source("u64"), &CALLS[..1]);
}

/// A new `impl` renumbers the scopes of the others.
#[test]
fn closures_in_another_impl_are_not_confused() {
    let source = |more: &str| {
        format!(
            "pub struct A(u32); pub struct B(String); pub trait Go {{ fn go(self) -> Box<dyn Fn() -> usize>; }}
             {more}
             impl Go for A {{ fn go(self) -> Box<dyn Fn() -> usize> {{ Box::new(move || self.0 as usize) }} }}
             impl Go for B {{ fn go(self) -> Box<dyn Fn() -> usize> {{ Box::new(move || self.0.len()) }} }}"
        )
    };
    nothing_changed(
        &source(""),
        &source("impl Clone for A { fn clone(&self) -> A { A(self.0) } }"),
    );
}

const FUTURES: &str = "
    use std::pin::Pin;
    pub fn boxed() -> Pin<Box<dyn Future<Output = usize>>> { Box::pin(outer(1)) }
    pub async fn outer(x: u32) -> usize { let s = vec![x; 3]; middle(x).await + s.len() }
    pub async fn middle(x: u32) -> usize { let y = async move { inner(x).await + 1 }; y.await }
    pub async fn inner(x: u32) -> usize { /*1*/ std::future::ready(()).await; /*2*/ x as usize }
    pub async fn apart(x: u32) -> usize { std::future::ready(()).await; x as usize }
    pub fn also() -> Pin<Box<dyn Future<Output = usize>>> { Box::pin(apart(1)) }
";

/// A local that lives across an `await`, in a future inside of futures.
#[test]
fn futures_change_with_the_futures_in_them() {
    let new = FUTURES
        .replace("/*1*/", "let more = String::from(\"x\");")
        .replace("/*2*/", "println!(\"{more}\");");
    for flags in V0.iter().chain(super::VARIANTS) {
        let found = changed(FUTURES, &new, flags);
        let has = |part: &str| {
            let v0 = format!("app::{part}::{{closure#0}}");
            let legacy = format!("app::{part}::{{{{closure}}}}");
            found.iter().any(|name| *name == v0 || *name == legacy)
        };
        // Optimised, the inner ones are part of the outer one.
        assert!(has("outer"), "{found:#?} with {flags:?}");
        if flags.contains(&"-Copt-level=0") {
            assert!(has("inner") && has("middle"), "{found:#?} with {flags:?}");
        }
        let glue =
            |name: &&String| name.contains("drop_in_place<") || name.contains("drop_in_place::<");
        let glue = found
            .iter()
            .filter(glue)
            .any(|name| name.contains("app::outer"));
        assert!(glue, "{found:#?} with {flags:?}");
        let others = found.iter().any(|name| name.contains("apart"));
        assert!(!others, "{found:#?} with {flags:?}");
    }
    // One that is never alive while something is waited for is not in the future.
    let new = FUTURES.replace("/*2*/", "let more = x.to_string(); println!(\"{more}\");");
    nothing_changed(FUTURES, &new);
}

#[test]
fn an_await_that_is_new() {
    let new = FUTURES.replace("/*2*/", "std::future::ready(()).await;");
    changed_are(FUTURES, &new, &["app::outer::{closure#0}"]);
}

#[test]
fn closures_of_generic_functions() {
    let source = |captured: &str| {
        format!(
            "#[inline(never)] pub fn make<X: Clone + 'static>(x: X) -> Box<dyn Fn() -> (X, usize)> {{
                let k: {captured} = 7; let k = std::hint::black_box(k);
                Box::new(move || (x.clone(), k as usize)) }}
             pub fn user() -> usize {{ make(7_u64)().1 + make(String::new())().1 }}"
        )
    };
    changed_are(
        &source("u8"),
        &source("u64"),
        &[
            "app::make::<u64>::{closure#0}",
            "app::make::<alloc::string::String>::{closure#0}",
            "core::ptr::drop_in_place::<app::make<alloc::string::String>::{closure#0}>",
        ],
    );
}

#[test]
fn adaptors_over_closures() {
    let source = |captured: &str| {
        format!(
            "pub fn make(k: {captured}) -> Box<dyn Iterator<Item = u64>> {{
                Box::new((0..k as u64).map(move |x| x + k as u64).filter(|x| *x % 3 == 1)) }}"
        )
    };
    let filter = "core::iter::adapters::filter::Filter<core::iter::adapters::map::Map<core::ops::range::Range<u64>, app::make::{closure#0}>, app::make::{closure#1}>";
    changed_are(
        &source("u8"),
        &source("u32"),
        &[&format!(
            "<{filter} as core::iter::traits::iterator::Iterator>::next"
        )],
    );
}

/// What the closure gives back is kept next to it, and its own layout is the same.
#[test]
fn adaptors_that_keep_what_a_closure_gave() {
    let source = |result: &str| {
        format!(
            "pub fn make(k: u8) -> Box<dyn Iterator<Item = u64>> {{
                let mut all = (0..9_u64).map(move |x| (x + k as u64) as {result}).peekable();
                Box::new(std::iter::from_fn(move || {{ all.peek()?; all.next().map(|x| x as u64) }})) }}"
        )
    };
    changed_are(
        &source("u8"),
        &source("u32"),
        &[
            "<core::iter::sources::from_fn::FromFn<app::make::{closure#1}> as core::iter::traits::iterator::Iterator>::next",
        ],
    );
}

/// A function that gives back a closure keeps its symbol too.
#[test]
fn functions_that_give_back_closures() {
    let source = |captured: &str| {
        format!(
            "#[inline(never)] pub fn make(k: {captured}) -> impl Fn(u32) -> u32 {{ move |x| x + k as u32 }}
             pub fn user() -> u32 {{ make(1)(2) }}"
        )
    };
    changed_are(&source("u8"), &source("u16"), &["app::make"]);
}

/// Lists of closures lead back to themselves.
#[test]
fn types_that_contain_themselves() {
    let source = |captured: &str, body: &str| {
        format!(
            "pub struct Node<F> {{ pub f: F, pub next: Option<Box<Node<F>>>, pub name: String }}
             #[inline(never)] pub fn walk<F: Fn() -> u32>(node: &Node<F>) -> u32 {{
                (node.f)() + node.next.as_ref().map_or(0, |next| walk(next)) }}
             pub fn user(k: {captured}) -> u32 {{
                let make = |n: u32| move || {{ {body} }};
                let last = Node {{ f: make(1), next: None, name: String::new() }};
                walk(&Node {{ f: make(2), next: Some(Box::new(last)), name: String::new() }}) }}"
        )
    };
    let old = source("u8", "n + k as u32");
    nothing_changed(&old, &source("u8", "n * k as u32"));
    let walk = "app::walk::<app::user::{closure#0}::{closure#0}>";
    changed_are(&old, &source("u64", "n + k as u32"), &[walk]);
}

#[test]
fn the_newest_object_counts() {
    let flags = V0[0];
    let one = layouts(&boxed("k: u32", "x as usize + k as usize"), flags);
    let two = layouts(&boxed("k: u64", "x as usize + k as usize"), flags);
    let mut program = Layouts::default();
    program.merge(&one);
    assert_eq!(readable(&program, &one), [""; 0]);
    assert!(!readable(&program, &two).is_empty());
    program.merge(&two);
    assert_eq!(readable(&program, &two), [""; 0]);
    assert!(!readable(&program, &one).is_empty());
}
