//! Linkers, symbol names and debug information of every kind.

use liveswap_tests::LiveProject;

/// Goes through two edits, with a panic in new code, in a project that was set up in some way.
fn works(flags: &str, profile: &str) {
    let project = LiveProject::new("panics");
    project.append("Cargo.toml", &format!("\n[profile.dev]\n{profile}\n"));
    let mut options = project.live();
    if !flags.is_empty() {
        options = options.env("RUSTFLAGS", flags);
    }
    let mut live = options.start();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("work"), "21");
    project.edit("src/work.rs", "deeper(x) + 1", "deeper(x) + 2");
    live.swapped();
    assert_eq!(live.ask("work"), "22");
    project.edit("src/work.rs", "\"old {x}\"", "\"new {x}\"");
    live.swapped();
    assert_eq!(live.ask("catch"), "new 7, 6 drops");
    live.quit();
}

#[test]
fn the_default_linker() {
    works("", "");
}

#[test]
fn gnu_ld() {
    works("-C link-arg=-fuse-ld=bfd", "");
}

#[test]
fn mold() {
    works("-C link-arg=-fuse-ld=mold", "");
}

#[test]
fn clang_as_driver() {
    works("-C linker=clang", "");
}

#[test]
fn clang_with_mold() {
    works("-C linker=clang -C link-arg=-fuse-ld=mold", "");
}

#[test]
fn the_default_of_the_linker_driver() {
    works("-C linker-features=-lld", "");
}

#[test]
fn symbol_names_of_version_0() {
    works("-C symbol-mangling-version=v0", "");
}

#[test]
fn symbol_names_of_version_0_in_optimised_code() {
    works("-C symbol-mangling-version=v0 -C opt-level=3", "");
}

/// These names do not tell the signature: the function is another one under the same name.
fn signature_goes_live_under_names_of_version_0(level: u8) {
    let project = LiveProject::with_main(
        r#"
use std::io::BufRead;

mod work;

fn main() {
    let held: fn(u32) -> String = work::shown;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "quit" {
            return;
        }
        println!("{} held={}", work::work(), held(7));
    }
}
"#,
    );
    let work = "pub fn shown(n: u32) -> String {\n    format!(\"{n}\")\n}\n\n#[inline(never)]\npub fn work() -> String {\n    shown(5)\n}\n";
    project.write("src/work.rs", work);
    let flags = format!("-C symbol-mangling-version=v0 -C opt-level={level}");
    let mut live = project.live().env("RUSTFLAGS", &flags).start();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("work"), "5 held=7");
    let other = work
        .replace("shown(n: u32)", "shown(n: &str)")
        .replace("shown(5)", "shown(\"five\")")
        .replace("format!(\"{n}\")", "format!(\"<{n}>\")");
    // `main` holds it as what it was.
    project.edit("src/main.rs", "work::shown;", "|n| n.to_string();");
    project.save("src/work.rs", &other);
    live.swapped();
    assert_eq!(live.ask("work"), "<five> held=7");
    project.save("src/work.rs", &other.replace("<{n}>", "[{n}]"));
    live.swapped();
    assert_eq!(live.ask("work"), "[five] held=7");
    live.quit();
}

#[test]
fn a_changed_signature_goes_live_under_names_of_version_0() {
    signature_goes_live_under_names_of_version_0(0);
}

#[test]
fn a_changed_signature_goes_live_under_names_of_version_0_in_optimised_code() {
    signature_goes_live_under_names_of_version_0(3);
}

#[test]
fn no_debug_information() {
    works("", "debug = 0");
}

#[test]
fn debug_information_for_lines() {
    works("", "debug = 1");
}

#[test]
fn full_debug_information() {
    works("", "debug = 2");
}

#[test]
fn split_debug_information() {
    works("", "debug = 2\nsplit-debuginfo = \"unpacked\"");
}

#[test]
fn packed_debug_information() {
    works("", "debug = 2\nsplit-debuginfo = \"packed\"");
}

#[test]
fn link_time_optimisation_and_stripping_of_the_profile_do_not_hurt() {
    works(
        "",
        "lto = \"thin\"\nstrip = true\nopt-level = 2\ncodegen-units = 1",
    );
}
