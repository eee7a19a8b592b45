//! The test of the proof: where it says that nothing changed for others, the compiler must agree. A library is
//! compiled before and after an edit, and a crate that uses everything of it against both; its object code must be
//! the same.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::unchanged;

const LIBRARY: &str = include_str!("library.rs.txt");
const DEPENDENT: &str = include_str!("dependent.rs.txt");

/// Edits of hidden bodies that are more than another number. None moves a line.
const HIDDEN: &[(&str, &str)] = &[
    (
        "private() + 1001",
        "private() * private() + [1_u64, 2].iter().sum::<u64>()",
    ),
    (
        "Box::new(move |value| value + captured)",
        "Box::new(move |value| [captured; 9].len() as u64 + value)",
    ),
    (
        "Box::pin(async { 1010 })",
        "Box::pin(async { future().await; 7 })",
    ),
    (
        "        value: u64,\n",
        "        value: u64, other: Option<String>,\n",
    ),
    (
        "inner(&Local { value: LOCAL })",
        "inner(&Local { value: LOCAL, other: None })",
    ),
    (
        "#[derive(Clone, Debug, PartialEq)]",
        "#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]",
    ),
    (
        "static KEPT: AtomicU64 = AtomicU64::new(LOCAL);",
        "static KEPT: AtomicU64 = AtomicU64::new(8); static MORE: u8 = 1; let _ = &MORE;",
    ),
    (
        "assert!(value < 1016, \"too large\");",
        "if let 0..9 = value { unsafe { std::hint::unreachable_unchecked() } }",
    ),
    (
        "COUNT.store(1019, Ordering::Relaxed);",
        "let _ = std::mem::take(&mut self.0);",
    ),
    (
        "assert_eq!(super::hidden(), 1029);",
        "assert_eq!(super::inner::hidden(), 1);",
    ),
];

/// What is put to the end of the module `inner`, which has no modules in it.
const ADDED: &str = "fn added<T>(value: T) -> T { value } #[inline] fn more() -> u64 { added(3) } ";

#[derive(Clone, Copy)]
struct Flags(&'static [&'static str]);

/// As dependents are compiled in the `dev` profile.
const UNOPTIMISED: Flags = Flags(&["-Copt-level=0"]);
const OPTIMISED_INCREMENTAL: Flags = Flags(&["-Copt-level=3", "-Cincremental=incremental"]);
/// Without the one difference that is expected: see `a_dependent_uses_instances_that_a_body_no_longer_needs`.
const UNSHARED: Flags = Flags(&["-Copt-level=0", "-Zshare-generics=no"]);
const OPTIMISED: Flags = Flags(&["-Copt-level=3"]);

/// The object code of the dependent when the library has this text.
fn dependent(folder: &Path, name: &str, library: &str, flags: Flags) -> Vec<u8> {
    let folder: PathBuf = folder.join(name);
    std::fs::create_dir(&folder).expect("a new folder");
    std::fs::write(folder.join("library.rs"), library).expect("library.rs");
    std::fs::write(folder.join("dependent.rs"), DEPENDENT).expect("dependent.rs");
    let rustc = |arguments: &[&str]| {
        let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
            .current_dir(&folder)
            // For `-Zshare-generics`.
            .env("RUSTC_BOOTSTRAP", "1")
            .args([
                "--edition=2024",
                "-Cdebuginfo=0",
                "-Ccodegen-units=1",
                "-Awarnings",
            ])
            .args(flags.0)
            .args(arguments)
            .output()
            .expect("rustc runs");
        assert!(
            output.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    rustc(&["--crate-type=rlib", "library.rs"]);
    rustc(&[
        "--crate-type=bin",
        "--emit=obj=dependent.o",
        "--extern=library=liblibrary.rlib",
        "dependent.rs",
    ]);
    std::fs::read(folder.join("dependent.o")).expect("the object")
}

/// All numbers of four digits in the library that begin with this digit.
fn numbers(first: char) -> Vec<&'static str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let found: Vec<&str> = LIBRARY
        .split(|c: char| !is_digit(c))
        .filter(|word| word.len() == 4 && word.starts_with(first) && !word.ends_with("000"))
        .collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

fn edit(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

fn raised(number: &str) -> String {
    format!("7{}", &number[1..])
}

#[test]
fn the_compiler_agrees_that_nothing_changed() {
    let mut text = LIBRARY.to_owned();
    for number in numbers('1') {
        let one = edit(LIBRARY, number, &raised(number));
        assert_eq!(unchanged(LIBRARY, &one, true), Ok(()), "{number}");
        text = edit(&text, number, &raised(number));
    }
    assert_eq!(unchanged(LIBRARY, &text, true), Ok(()));
    the_dependent_stays(&text, &[UNOPTIMISED, OPTIMISED_INCREMENTAL]);
}

#[test]
fn the_compiler_agrees_about_larger_edits() {
    let mut text = LIBRARY.to_owned();
    for (from, to) in HIDDEN {
        text = edit(&text, from, to);
    }
    text = edit(
        &text,
        "        super::private()",
        "        more() + super::private()",
    );
    text = edit(
        &text,
        "    pub type Array",
        &format!("    {ADDED}pub type Array"),
    );
    assert_eq!(unchanged(LIBRARY, &text, true), Ok(()));
    the_dependent_stays(&text, &[UNSHARED, OPTIMISED_INCREMENTAL]);
}

fn the_dependent_stays(library: &str, flags: &[Flags]) {
    for flags in flags {
        let folder = tempfile::tempdir().expect("a folder");
        let old = dependent(folder.path(), "old", LIBRARY, *flags);
        let new = dependent(folder.path(), "new", library, *flags);
        assert!(old == new, "the dependent sees a change: {:?}", flags.0);
    }
}

/// The tests above would see a difference if there were one; and each of these is refused.
#[test]
fn the_compiler_shows_what_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let old = dependent(folder.path(), "old", LIBRARY, UNOPTIMISED);
    for number in numbers('2') {
        let text = edit(LIBRARY, number, &raised(number));
        assert!(unchanged(LIBRARY, &text, true).is_err(), "{number}");
        let new = dependent(folder.path(), number, &text, UNOPTIMISED);
        assert!(old != new, "{number} is not seen by the dependent");
    }
    // Without `-C incremental`, an optimised crate shows its small functions to others.
    let text = edit(LIBRARY, "1018", "7018");
    assert!(unchanged(LIBRARY, &text, false).is_err());
    let old = dependent(folder.path(), "old-optimised", LIBRARY, OPTIMISED);
    let new = dependent(folder.path(), "new-optimised", &text, OPTIMISED);
    assert!(old != new, "a small function was not inlined");
}

/// What the module's documentation says of instances: they differ, and only they.
#[test]
fn a_dependent_uses_instances_that_a_body_no_longer_needs() {
    let text = edit(LIBRARY, "super::shared(value)", "value");
    assert_eq!(unchanged(LIBRARY, &text, true), Ok(()));
    let folder = tempfile::tempdir().expect("a folder");
    let old = dependent(folder.path(), "old", LIBRARY, UNOPTIMISED);
    let new = dependent(folder.path(), "new", &text, UNOPTIMISED);
    assert!(old != new);
}
