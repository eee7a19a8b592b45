//! Traits, functions and statics.

use liveswap_object::layouts::{
    Change, ChangeKind, changed_drops, compare_signatures, compare_statics,
};

use super::{changes, layouts, lines};

fn without_symbols(changes: Vec<(String, Change)>) -> Vec<Change> {
    changes.into_iter().map(|(_, change)| change).collect()
}

fn trait_source(methods: &str) -> String {
    let signatures = methods
        .replace("=> 1", ";")
        .replace("=> 2", ";")
        .replace("=> 3", ";");
    let bodies = methods
        .replace("=> 1", "{ self.0 + 11 }")
        .replace("=> 2", "{ self.0 * 22 }")
        .replace("=> 3", "{ self.0 ^ 33 }");
    format!(
        "pub struct T(u32); pub trait Tr {{ {signatures} }} impl Tr for T {{ {bodies} }}
         pub fn make() -> Box<dyn Tr> {{ Box::new(T(1)) }}"
    )
}

#[test]
fn methods_of_traits() {
    let (one, two, three) = (
        "fn one(&self) -> u32 => 1",
        "fn two(&self) -> u32 => 2",
        "fn three(&self) -> u32 => 3",
    );
    let join = |parts: &[&str]| trait_source(&parts.join(" "));
    let old = join(&[one, two]);
    let found = changes(&old, &join(&[one, two, three]));
    assert_eq!(
        lines(&found),
        ["`<app::T as app::Tr>` changed: the trait had 2 methods, has 3"]
    );
    assert_eq!(found[0].kind, ChangeKind::Trait);
    let found = changes(&old, &join(&[one]));
    assert_eq!(
        lines(&found),
        ["`<app::T as app::Tr>` changed: the trait had 2 methods, has 1"]
    );
    let found = changes(&old, &join(&[two, one]));
    assert_eq!(
        lines(&found),
        ["`<app::T as app::Tr>` changed: method 0 of the trait was `one`, is `two`"]
    );
    let found = changes(&old, &join(&[one, three]));
    assert_eq!(
        lines(&found),
        ["`<app::T as app::Tr>` changed: method 1 of the trait was `two`, is `three`"]
    );
    assert_eq!(changes(&old, &old.replace("22", "23")), []);
    // Without an implementation at hand, pointers to objects of the trait tell.
    let user = |methods: &str| {
        let source = trait_source(methods);
        let traits = source.split("impl Tr").next().unwrap().to_owned();
        traits + "#[inline(never)] pub fn take(x: &dyn Tr) -> u32 { x.one() }"
    };
    let found = changes(&user(one), &user(&format!("{one} {two}")));
    assert_eq!(
        lines(&found),
        ["`dyn app::Tr` changed: the trait had 1 methods, has 2"]
    );
}

/// New code would have called the old method as if it were the new one, through trait objects from before.
#[test]
fn a_method_that_is_called_otherwise_is_noticed_under_both_kinds_of_names() {
    let source = |parameter: &str| {
        format!(
            "pub struct T(u64); pub trait Tr {{ fn first(&self) -> u64; fn one(&self, n: {parameter}) -> u64; }}
             impl Tr for T {{ fn first(&self) -> u64 {{ self.0 }} fn one(&self, n: {parameter}) -> u64 {{ self.0 + n.to_string().len() as u64 }} }}
             pub fn make() -> Box<dyn Tr> {{ Box::new(T(1)) }}"
        )
    };
    let found = changes(&source("u32"), &source("&str"));
    assert_eq!(
        lines(&found),
        [
            "`<app::T as app::Tr>` changed: method one of the trait was `fn(&app::T, u32) -> u64`, is `fn(&app::T, &str) -> u64`"
        ]
    );
    assert_eq!(found[0].kind, ChangeKind::Trait);
}

#[test]
fn a_drop_that_comes_or_goes_is_noticed() {
    let source = |more: &str| {
        format!(
            "pub struct T(u64); pub trait Tr {{ fn one(&self) -> u64; }} impl Tr for T {{ fn one(&self) -> u64 {{ self.0 }} }}
             pub fn make() -> Box<dyn Tr> {{ Box::new(T(1)) }} {more}"
        )
    };
    for flags in super::VARIANTS {
        let plain = layouts(&source(""), flags);
        let drops = layouts(
            &source("impl Drop for T { fn drop(&mut self) { println!(\"{}\", self.0); } }"),
            flags,
        );
        assert_eq!(changed_drops(&plain, &drops), ["<app::T as app::Tr>"]);
        assert_eq!(changed_drops(&drops, &plain), ["<app::T as app::Tr>"]);
        assert_eq!(changed_drops(&drops, &drops), [""; 0]);
    }
}

#[test]
fn methods_that_become_equal_and_share_their_code_are_no_change() {
    let source = |last: &str| {
        format!(
            "pub struct T(u32); pub struct U(u32); pub trait Tr {{ fn one(&self) -> u32; fn two(&self) -> u32; fn three(&self) -> u32; }}
             impl Tr for T {{ fn one(&self) -> u32 {{ self.0 * 77 }} fn two(&self) -> u32 {{ self.0 * {last} }} fn three(&self) -> u32 {{ self.0 }} }}
             impl Tr for U {{ fn one(&self) -> u32 {{ self.0 * 99 }} fn two(&self) -> u32 {{ self.0 * 98 }} fn three(&self) -> u32 {{ self.0 * {last} }} }}
             pub fn make() -> Box<dyn Tr> {{ Box::new(T(1)) }}  pub fn make_u() -> Box<dyn Tr> {{ Box::new(U(1)) }}"
        )
    };
    assert_eq!(changes(&source("78"), &source("77")), []);
    assert_eq!(changes(&source("77"), &source("78")), []);
}

#[test]
fn signatures_and_statics() {
    let flags = &["-Copt-level=3", "-Csymbol-mangling-version=v0"];
    let source = |parameter: &str| {
        format!(
            "pub static VALUE: {parameter} = 1;
             pub struct T(pub {parameter});
             impl T {{ #[inline(never)] pub fn method(&self, x: {parameter}) -> u8 {{ (x + self.0) as u8 }} }}
             #[inline(never)] pub fn free(x: {parameter}, y: &str) -> {parameter} {{ x + y.len() as {parameter} + VALUE }}"
        )
    };
    let (old, new) = (
        layouts(&source("u32"), flags),
        layouts(&source("i32"), flags),
    );
    let found = lines(&without_symbols(compare_signatures(&old, &new)));
    assert_eq!(
        found,
        [
            "`<app::T>::method` changed: it was `fn(&app::T, u32) -> u8`, is `fn(&app::T, i32) -> u8`",
            "`app::free` changed: it was `fn(u32, &str) -> u32`, is `fn(i32, &str) -> i32`"
        ]
    );
    let found = lines(&without_symbols(compare_statics(&old, &new)));
    assert_eq!(found, ["`app::VALUE` changed: it was `u32`, is `i32`"]);
}
