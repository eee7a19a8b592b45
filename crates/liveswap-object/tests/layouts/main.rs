//! Layouts from what the compiler really writes: each test compiles a source before and after an edit.

#[path = "../damaged/mod.rs"]
mod damaged;
mod environments;
mod methods;

use std::path::Path;
use std::process::Command;

use liveswap_object::layouts::{
    Change, Kind, Layouts, compare, compare_signatures, compare_statics, read, read_split,
};

const DEFAULT: &[&str] = &["-Copt-level=0"];
/// What differs in how types are written down.
const VARIANTS: &[&[&str]] = &[
    &["-Copt-level=0"],
    &["-Copt-level=3"],
    &[
        "-Copt-level=0",
        "-Cdwarf-version=5",
        "-Csymbol-mangling-version=v0",
    ],
    &["-Copt-level=3", "-Cdwarf-version=5"],
];

/// Compiles a library named `app` in this folder, which is where the output goes.
#[track_caller]
fn rustc(directory: &Path, source: &str, flags: &[&str]) {
    let input = directory.join("lib.rs");
    std::fs::write(&input, source).unwrap();
    let run = Command::new("rustc")
        .args(["--edition=2024", "--crate-name=app", "-Awarnings"])
        .args(["-Cdebuginfo=2", "-Ccodegen-units=1"])
        .args(flags)
        .arg(&input)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
}

fn compile(source: &str, flags: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let mut all = vec!["--crate-type=lib", "--emit=obj", "-Cmetadata=test"];
    all.extend(flags);
    all.extend(["-o", "app.o"]);
    rustc(directory.path(), source, &all);
    std::fs::read(directory.path().join("app.o")).unwrap()
}

fn layouts(source: &str, flags: &[&str]) -> Layouts {
    read(&compile(source, flags), &[]).unwrap()
}

/// The changes between two sources, the same with all flags.
fn changes(old: &str, new: &str) -> Vec<Change> {
    let found: Vec<_> = VARIANTS
        .iter()
        .map(|flags| compare(&layouts(old, flags), &layouts(new, flags)))
        .collect();
    for (other, flags) in found.iter().zip(VARIANTS) {
        assert_eq!(lines(&found[0]), lines(other), "with {flags:?}");
    }
    found.into_iter().next().unwrap()
}

fn lines(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}

/// A crate with some types `T`, a value of which something holds on to.
fn with(types: &str) -> String {
    format!(
        "{types}\n#[inline(never)] pub fn keep(value: &mut Option<T>, other: T) -> usize {{
            *value = Some(other); std::mem::size_of::<T>() }}\npub fn take(value: T) -> Box<T> {{ Box::new(value) }}\n"
    )
}

fn type_changes(old: &str, new: &str) -> Vec<String> {
    lines(&changes(&with(old), &with(new)))
}

#[test]
fn an_added_field() {
    let found = type_changes(
        "pub struct T { pub x: u32 }",
        "pub struct T { pub x: u32, pub y: u32 }",
    );
    assert_eq!(
        found[..2],
        [
            "`app::T` changed: field `y` is new (u32 at offset 4, size 4)",
            "`app::T` changed: its size was 4, is 8"
        ]
    );
    assert!(
        found.iter().all(|line| line.contains("app::T")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("`core::option::Option<app::T>`"))
    );
}

#[test]
fn a_removed_field_and_another_type_of_the_same_size() {
    let old = "pub struct T { pub x: u32, pub gone: u64 }";
    let found = type_changes(old, "pub struct T { pub x: f32 }");
    assert_eq!(
        found[..2],
        [
            "`app::T` changed: field `gone` is gone (it was u64 at offset 0, size 8)",
            "`app::T` changed: field `x` was u32 at offset 8, size 4; is f32 at offset 0, size 4"
        ]
    );
}

#[test]
fn reordered_fields() {
    let old = "#[repr(C)] pub struct T { pub x: u32, pub y: u32 }";
    let new = "#[repr(C)] pub struct T { pub y: u32, pub x: u32 }";
    let found = type_changes(old, new);
    assert!(
        found.contains(
            &"`app::T` changed: field `x` was u32 at offset 0, size 4; is u32 at offset 4, size 4"
                .to_owned()
        ),
        "{found:#?}"
    );
    // Rust chooses the order by size, so this is the same layout.
    let old = "pub struct T { pub x: u32, pub y: u8 }";
    let new = "pub struct T { pub y: u8, pub x: u32 }";
    assert_eq!(type_changes(old, new), [""; 0]);
}

#[test]
fn tuples_unions_and_alignment() {
    let found = type_changes(
        "pub struct T(pub u8, pub u16);",
        "pub struct T(pub u8, pub i16);",
    );
    assert_eq!(
        found[0],
        "`app::T` changed: field `1` was u16 at offset 0, size 2; is i16 at offset 0, size 2"
    );
    let old = "#[derive(Clone, Copy)] pub union T { pub a: u32, pub b: f32 }";
    let found = type_changes(
        old,
        "#[derive(Clone, Copy)] pub union T { pub a: u32, pub b: u64 }",
    );
    assert_eq!(
        found[0],
        "`app::T` changed: field `b` was f32 at offset 0, size 4; is u64 at offset 0, size 8"
    );
    let found = type_changes(
        "#[repr(align(4))] pub struct T(u32);",
        "#[repr(align(8))] pub struct T(u32);",
    );
    assert_eq!(
        found[..2],
        [
            "`app::T` changed: its size was 4, is 8",
            "`app::T` changed: its alignment was 4, is 8"
        ]
    );
}

#[test]
fn variants_of_enums() {
    let found = type_changes(
        "pub enum T { A = 1, B = 2 }",
        "pub enum T { A = 1, B = 2, C = 3 }",
    );
    assert_eq!(found[0], "`app::T` changed: variant `C` is new");
    let found = type_changes("pub enum T { A = 1, B = 2 }", "pub enum T { A = 1, B = 3 }");
    assert_eq!(
        found[0],
        "`app::T` changed: the discriminant of `B` was 2, is 3"
    );
    let found = type_changes(
        "#[repr(i8)] pub enum T { A = -1, B = 2 }",
        "#[repr(i8)] pub enum T { A = -2, B = 2 }",
    );
    assert_eq!(
        found[0],
        "`app::T` changed: the discriminant of `A` was -1, is -2"
    );
    let old = "pub enum T { A(u32), B { name: String } }";
    let found = type_changes(
        old,
        "pub enum T { A(u32), B { name: String, more: u8 }, C }",
    );
    assert_eq!(found[0], "`app::T` changed: variant `C` is new");
    assert!(
        found[1].starts_with("`app::T` changed: field `B.more` is new (u8"),
        "{found:#?}"
    );
    let found = type_changes(old, "pub enum T { A(u32) }");
    assert!(
        found.contains(&"`app::T` changed: variant `B` is gone".to_owned()),
        "{found:#?}"
    );
    let found = type_changes("pub struct T(pub u8);", "pub enum T { A = 1, B = 2 }");
    assert_eq!(found[0], "`app::T` changed: it was a struct, is an enum");
}

#[test]
fn generic_types_and_what_contains_them() {
    let source = |field: &str| {
        with(&format!(
            "pub mod model {{ pub struct Inner<X> {{ pub x: X, pub y: {field} }} }}
             pub struct Outer {{ pub inner: [model::Inner<u16>; 2], pub rest: u8 }}
             pub struct T {{ pub outer: Outer, pub many: Vec<Outer> }}"
        ))
    };
    let found = changes(&source("u8"), &source("u32"));
    let causes: Vec<_> = found.iter().filter(|change| change.cause).collect();
    assert!(
        causes
            .iter()
            .all(|change| change.type_name == "app::model::Inner<u16>"),
        "{causes:#?}"
    );
    assert!(
        causes
            .iter()
            .any(|change| change.member.as_deref() == Some("y"))
    );
    let names: Vec<_> = found.iter().map(|change| &*change.type_name).collect();
    let place = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert_eq!(place("app::model::Inner<u16>"), 0);
    assert!(place("app::Outer") < place("core::option::Option<app::T>"));
    assert!(place("app::T") < place("core::option::Option<app::T>"));
    // It is behind a pointer, so its own layout is the same.
    assert!(
        !names
            .iter()
            .any(|name| name.starts_with("alloc::vec::Vec<")),
        "{names:#?}"
    );
}

const BODIES: &str = "
    use std::collections::HashMap;
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    pub struct T { pub x: u32, pub names: Vec<String>, pub map: HashMap<String, Kind> }
    #[derive(Clone, Debug)] pub enum Kind { A, B(u64), C { x: Option<Box<Kind>> } }
    pub trait Draw { fn draw(&self) -> usize; fn name(&self) -> String; fn both(&self) -> usize { self.draw() + 1 } }
    impl Draw for T { fn draw(&self) -> usize { self.x as usize /*1*/ } fn name(&self) -> String { self.names[0].clone() } }
    impl Draw for Kind { fn draw(&self) -> usize { 1 } fn name(&self) -> String { String::new() } }
    pub fn add(closure: usize) -> Box<dyn Fn(usize) -> usize> { Box::new(move |x| x + closure /*2*/) }
    pub fn objects() -> Vec<Box<dyn Draw>> { vec![Box::new(Kind::A), Box::new(T { x: 1, names: vec![], map: HashMap::new() })] }
    pub async fn future(x: u32) -> u32 { let y = async { x }; y.await /*3*/ }
    pub fn poll() -> bool { use std::future::Future;
        let mut f = Box::pin(future(1));
        f.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready() }
    pub fn sort(list: &mut Vec<T>) -> Option<(u8, Kind)> { COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        list.sort_by_key(|t| t.x /*4*/); list.iter().map(|t| (1, t.map[\"x\"].clone())).next() }
    pub fn nothing() { /*5*/ }
";

#[test]
fn edits_of_bodies_change_nothing() {
    let new = BODIES
        .replace("/*1*/", "\n\n + 7 + self.names.len()")
        .replace("/*2*/", "+ 5")
        .replace(
            "/*3*/",
            "+ { let z = async { let big = [x; 8]; big[3] }; z.await }",
        )
        .replace("/*4*/", "+ t.names.len() as u32")
        .replace(
            "/*5*/",
            "let more = vec![1_u8]; let f = || more.len(); println!(\"{}\", f());",
        );
    assert_ne!(new, BODIES);
    for flags in VARIANTS {
        let (old, new) = (layouts(BODIES, flags), layouts(&new, flags));
        assert!(old.type_count() > 3, "{flags:?}");
        assert_eq!(compare(&old, &new), [], "{flags:?}");
        assert_eq!(compare(&new, &old), [], "{flags:?}");
        assert_eq!(compare_signatures(&old, &new), [], "{flags:?}");
        assert_eq!(compare_statics(&old, &new), [], "{flags:?}");
    }
}

#[test]
fn what_is_read() {
    for flags in VARIANTS {
        let layouts = layouts(BODIES, flags);
        let [kind] = layouts.layouts("app::Kind") else {
            panic!("{flags:?}");
        };
        assert_eq!(kind.kind, Kind::Enum);
        let names: Vec<_> = kind.variants.iter().map(|v| &*v.name).collect();
        assert_eq!(names.len(), 3);
        let b = kind.variants.iter().find(|v| &*v.name == "B").unwrap();
        assert_eq!(&*b.members[0].type_name, "u64");
        let [t] = layouts.layouts("app::T") else {
            panic!("{flags:?}");
        };
        let vec = t
            .members
            .iter()
            .find(|member| &*member.name == "names")
            .unwrap();
        assert_eq!(
            &*vec.type_name,
            "alloc::vec::Vec<alloc::string::String, alloc::alloc::Global>"
        );
        let environment = layouts.types().find(|(name, _)| name.contains("_env#"));
        assert!(environment.is_none(), "{environment:?}");
        let std = layouts
            .types()
            .find(|(name, _)| &***name == "alloc::string::String");
        assert!(std.is_none());
        let table = &layouts.vtables["<app::T as app::Draw>"];
        assert_eq!(table.methods.len(), 3, "{flags:?}");
        assert!(table.methods[0].contains("draw"), "{table:?} {flags:?}");
        assert!(table.methods[2].contains("both"), "{table:?} {flags:?}");
        let sort = layouts
            .contracts
            .iter()
            .filter(|(name, _)| name.contains("3app4sort"));
        let sort = sort.min_by_key(|(name, _)| name.len());
        assert_eq!(
            sort.map(|(_, contract)| contract.to_string()).as_deref(),
            Some(
                "fn(&mut alloc::vec::Vec<app::T, alloc::alloc::Global>) -> core::option::Option<(u8, app::Kind)>"
            ),
            "{flags:?}"
        );
        let count = layouts
            .statics
            .iter()
            .find(|(name, _)| name.contains("COUNT"));
        let count = count.unwrap().1;
        assert!(count.starts_with("core::sync::atomic::Atomic"), "{count}");
    }
}

#[test]
fn several_types_of_one_name() {
    let source = |first: &str, second: &str| {
        format!(
            "{first} {second} pub trait Go {{ fn go(self) -> usize; }}
             pub struct A(pub u8); pub struct B(pub u8);
             impl Go for A {{ fn go(self) -> usize {{ struct Local(u8); let l = Local(self.0); std::hint::black_box(&l).0 as usize }} }}
             impl Go for B {{ fn go(self) -> usize {{ struct Local(u64); let l = Local(9); std::hint::black_box(&l).0 as usize }} }}"
        )
    };
    // A new `impl` in front renumbers the others.
    let old = source("", "");
    let new = source("impl Clone for A { fn clone(&self) -> A { A(1) } }", "");
    assert_eq!(changes(&old, &new), []);
    // Two objects of a program that know a type otherwise: either layout is fine.
    let mut program = layouts(&with("pub struct T(u8);"), DEFAULT);
    let other = layouts(&with("pub struct T(u16);"), DEFAULT);
    program.merge(&other);
    assert_eq!(program.layouts("app::T").len(), 2);
    assert_eq!(compare(&program, &other), []);
    program.merge(&other);
    assert_eq!(program.layouts("app::T").len(), 2);
    let third = layouts(&with("pub struct T(u32);"), DEFAULT);
    assert!(!compare(&program, &third).is_empty());
}

#[test]
fn split_debug_information() {
    for version in ["4", "5"] {
        let directory = tempfile::tempdir().unwrap();
        rustc(
            directory.path(),
            BODIES,
            &[
                "--crate-type=rlib",
                "-Csave-temps",
                "-Csplit-debuginfo=unpacked",
                &format!("-Cdwarf-version={version}"),
            ],
        );
        let files = std::fs::read_dir(directory.path()).unwrap();
        let paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let file = |end: &str| {
            let mut names = paths.iter().map(|path| path.to_str().unwrap());
            let name = names.find(|name| name.ends_with(end) && !name.contains("allocator"));
            std::fs::read(name.unwrap()).unwrap()
        };
        let (object, split) = (file("cgu.0.rcgu.o"), file(".dwo"));
        assert!(read(&object, &[]).is_err());
        let found = read_split(&object, &split).unwrap();
        assert_eq!(found.layouts("app::T").len(), 1);
        let table = &found.vtables["<app::T as app::Draw>"];
        assert!(table.methods[0].contains("draw"), "{table:?}");
        assert!(!found.contracts.is_empty());
    }
}

/// Nothing to compare is not the same as no difference.
#[test]
fn without_debug_information_types_are_not_taken_for_unchanged() {
    let object = compile("pub fn f() {}", &["-Cdebuginfo=0"]);
    assert!(read(&object, &[]).is_err());
    let object = compile("pub struct T(u8);", &["-Cdebuginfo=0"]);
    assert_eq!(read(&object, &[]).unwrap().type_count(), 0);
}

/// A crate of one's own may be called `core`.
#[test]
fn types_of_a_crate_with_a_name_of_the_standard_library() {
    let source = "pub struct T(pub u8); pub fn f(t: &T) -> u8 { t.0 }";
    let object = compile(source, &["-Copt-level=0"]);
    assert_eq!(read(&object, &[]).unwrap().layouts("app::T").len(), 1);
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("lib.rs");
    std::fs::write(&input, source).unwrap();
    let run = Command::new("rustc")
        .args(["--edition=2024", "--crate-name=core", "--crate-type=lib"])
        .args(["--emit=obj", "-Cdebuginfo=2", "-o", "core.o"])
        .arg(&input)
        .current_dir(directory.path())
        .status();
    assert!(run.unwrap().success());
    let object = std::fs::read(directory.path().join("core.o")).unwrap();
    assert!(read(&object, &[]).unwrap().layouts("core::T").is_empty());
    let own = ["core".to_owned()];
    assert_eq!(read(&object, &own).unwrap().layouts("core::T").len(), 1);
}

#[test]
fn damaged_objects_are_errors_not_panics() {
    let object = compile(BODIES, DEFAULT);
    for length in (0..object.len()).step_by(997) {
        let _ = read(&object[..length], &[]);
    }
    for damaged in damaged::with_flipped_bits(&object, 400) {
        let _ = read(&damaged, &[]);
    }
}
