//! Where the program was when it panicked or gave up: what the run-time noted, looked up in the executable and in the
//! images' files.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use addr2line::Context;
use gimli::{EndianSlice, RunTimeEndian, SectionId};
use liveswap_object::names;
use liveswap_protocol::crash::{self, Kind};
use liveswap_protocol::message::Hello;
use liveswap_protocol::patch::{FILE_BASE, SLICE_SIZE};
use object::{Object, ObjectSection};

/// A function of the user's, and the line in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Demangled.
    pub function: String,
    /// `src/main.rs:7`, if debug information has it.
    pub line: Option<String>,
}

/// The innermost function of the user's on the stack that was noted in this folder for images; `crates` are the user's.
pub fn place(
    images: &Path,
    kind: Kind,
    exe: &Path,
    hello: &Hello,
    crates: &[String],
) -> Option<Place> {
    let (noted, addresses) = crash::read(&fs::read(images.join(crash::FILE)).ok()?)?;
    if noted != kind {
        return None;
    }
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    addresses.iter().find_map(|address| {
        // It is where a call returns to; the call itself stands before it.
        let call = address.checked_sub(1)?;
        let (path, address) = match call.checked_sub(hello.range_start) {
            Some(at) if at < hello.range_len => {
                let slice = at / SLICE_SIZE;
                (images.join(format!("slice-{slice:04x}.so")), FILE_BASE + at)
            }
            _ => (exe.to_owned(), call.checked_sub(hello.bias)?),
        };
        let known = files.iter().position(|(known, _)| *known == path);
        let at = match known {
            Some(at) => at,
            None => {
                files.push((path.clone(), fs::read(&path).ok()?));
                files.len() - 1
            }
        };
        look_up(&files[at].1, address, crates)
    })
}

fn look_up(file: &[u8], address: u64, crates: &[String]) -> Option<Place> {
    let file = object::File::parse(file).ok()?;
    let sections = |id: SectionId| -> Result<Cow<'_, [u8]>, gimli::Error> {
        let section = file.section_by_name(id.name());
        let bytes = section.and_then(|section| section.uncompressed_data().ok());
        Ok(bytes.unwrap_or_default())
    };
    let sections = gimli::DwarfSections::load(sections).ok()?;
    let endian = if file.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    };
    let dwarf = sections.borrow(|section| EndianSlice::new(section, endian));
    let context = Context::from_dwarf(dwarf).ok()?;
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    while let Ok(Some(frame)) = frames.next() {
        let Some(name) = frame.function.as_ref().and_then(|it| it.raw_name().ok()) else {
            continue;
        };
        let function = format!("{:#}", rustc_demangle::demangle(&name));
        if !is_of(&function, crates) {
            continue;
        }
        let line = frame.location.and_then(|location| {
            let file = Path::new(location.file?);
            let here = std::env::current_dir().unwrap_or_default();
            let shown = file.strip_prefix(here).unwrap_or(file).display();
            Some(format!("{shown}:{}", location.line?))
        });
        return Some(Place { function, line });
    }
    None
}

/// Whether a function belongs to one of these crates: `app::run`, `<app::Type as Trait>::method`.
fn is_of(function: &str, crates: &[String]) -> bool {
    let root = names::root(function);
    let rest = function.split_once(root);
    rest.is_some_and(|(_, rest)| rest.starts_with("::"))
        && crates.iter().any(|name| name.replace('-', "_") == root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_the_users_by_the_crate_that_their_path_begins_with() {
        let crates = ["my-app".to_owned()];
        for users in ["my_app::run", "<my_app::T as core::fmt::Display>::fmt"] {
            assert!(is_of(users, &crates), "{users}");
        }
        for others in [
            "core::panicking::panic",
            "my_app2::run",
            "main",
            "<alloc::vec::Vec<my_app::T>>::push",
        ] {
            assert!(!is_of(others, &crates), "{others}");
        }
    }

    #[inline(never)]
    fn stack() -> u64 {
        let here = stack as fn() -> u64;
        here as usize as u64
    }

    #[test]
    fn an_address_of_our_own_is_found_in_our_own_executable() {
        let exe = std::env::current_exe().unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let first = maps
            .lines()
            .find(|line| line.ends_with(exe.to_str().unwrap()))
            .unwrap();
        let bias = u64::from_str_radix(first.split('-').next().unwrap(), 16).unwrap();
        let hello = Hello {
            version: 1,
            pid: 1,
            build_id: Vec::new(),
            bias,
            range_start: 0,
            range_len: 0,
            page_size: 4096,
            generation: 0,
            images: String::new(),
        };
        let images = tempfile::tempdir().unwrap();
        // Nobody's, a function of std's, and one of ours.
        let addresses = [
            3,
            std::fs::read::<&str> as fn(&'static str) -> _ as usize as u64 + 1,
            stack() + 2,
        ];
        let words = crash::words(Kind::Panic, &addresses).into_iter();
        let bytes: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        fs::write(images.path().join(crash::FILE), bytes).unwrap();
        let crates = [env!("CARGO_CRATE_NAME").to_owned()];
        let place = |kind| place(images.path(), kind, &exe, &hello, &crates);
        let found = place(Kind::Panic).unwrap();
        assert_eq!(
            found.function,
            "cargo_liveswap::session::crash::tests::stack"
        );
        assert!(found.line.unwrap().contains("src/session/crash.rs:"));
        assert_eq!(place(Kind::Abort), None);
    }
}
