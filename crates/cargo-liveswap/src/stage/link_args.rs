//! The arguments that rustc gives a C compiler that links.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Puts the arguments in response files (`@file`) in their place.
///
/// # Errors
/// If such a file cannot be read.
pub fn expand(args: impl IntoIterator<Item = OsString>) -> io::Result<Vec<OsString>> {
    let mut expanded = Vec::new();
    for arg in args {
        match arg.as_bytes().strip_prefix(b"@") {
            Some(path) if Path::new(OsStr::from_bytes(path)).is_file() => {
                expanded.extend(split(&fs::read(OsStr::from_bytes(path))?));
            }
            _ => expanded.push(arg),
        }
    }
    Ok(expanded)
}

/// Splits a response file: white space separates, quotes and backslashes protect.
fn split(text: &[u8]) -> Vec<OsString> {
    let mut args = Vec::new();
    let mut current: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (byte, quote) {
            (b'\\', _) => current.get_or_insert_default().extend(bytes.next()),
            (_, Some(end)) if byte == end => quote = None,
            (_, Some(_)) => current.get_or_insert_default().push(byte),
            (b'"' | b'\'', None) => {
                quote = Some(byte);
                current.get_or_insert_default();
            }
            (_, None) if byte.is_ascii_whitespace() => {
                args.extend(current.take().map(OsString::from_vec));
            }
            (_, None) => current.get_or_insert_default().push(byte),
        }
    }
    args.extend(current.map(OsString::from_vec));
    args
}

/// A response file with these arguments.
pub fn join(args: &[OsString]) -> Vec<u8> {
    let mut text = Vec::new();
    for arg in args {
        text.push(b'"');
        for byte in arg.as_bytes() {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.extend_from_slice(b"\"\n");
    }
    text
}

/// The file after `-o`.
pub fn output(args: &[OsString]) -> Option<PathBuf> {
    let at = args.iter().position(|arg| arg == "-o")?;
    args.get(at + 1).map(PathBuf::from)
}

/// Has the linker write to another file.
pub fn set_output(args: &mut [OsString], file: &Path) {
    if let Some(at) = args.iter().position(|arg| arg == "-o")
        && let Some(output) = args.get_mut(at + 1)
    {
        *output = file.into();
    }
}

/// Why the program that these arguments make cannot be changed while it runs.
pub fn obstacle(args: &[OsString]) -> Option<String> {
    let shape = args
        .iter()
        .rev()
        .filter_map(|arg| arg.to_str())
        .find(|arg| {
            matches!(
                *arg,
                "-pie" | "-no-pie" | "-static" | "-static-pie" | "-shared" | "-r"
            )
        })
        .unwrap_or("-no-pie");
    match shape {
        "-pie" => None,
        "-no-pie" => Some("the program is not position independent".to_owned()),
        "-static" | "-static-pie" => Some("the program is linked statically".to_owned()),
        _ => Some("what is linked is not a program".to_owned()),
    }
}

/// Takes out what would remove or merge code that a later patch may need.
pub fn keep_everything(args: &mut Vec<OsString>) {
    for arg in args.iter_mut() {
        let Some(options) = arg.to_str().and_then(|text| text.strip_prefix("-Wl,")) else {
            continue;
        };
        if !options.split(',').any(removes_code) {
            continue;
        }
        let kept: Vec<&str> = options
            .split(',')
            .filter(|option| !removes_code(option))
            .collect();
        *arg = if kept.is_empty() {
            OsString::new()
        } else {
            format!("-Wl,{}", kept.join(",")).into()
        };
    }
    args.retain(|arg| !arg.is_empty() && arg != "-s");
}

fn removes_code(option: &str) -> bool {
    matches!(
        option,
        "--gc-sections"
            | "-gc-sections"
            | "-s"
            | "--strip-all"
            | "-S"
            | "--strip-debug"
            | "--print-gc-sections"
    ) || option.starts_with("--icf=")
        || option.starts_with("--build-id")
}

/// Whether the arguments choose a linker.
pub fn chooses_linker(args: &[OsString]) -> bool {
    args.iter().any(|arg| {
        let bytes = arg.as_bytes();
        bytes.starts_with(b"-fuse-ld=") || bytes.starts_with(b"--ld-path=")
    })
}

/// The linker that comes with rustc, for the C compiler: rustc adds these arguments only if it takes
/// the linker to be its default. `args` are asked for the place of the standard library.
pub fn default_linker(args: &[OsString]) -> Vec<OsString> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let standard_library = args.iter().map(Path::new).find(|path| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        name.starts_with("libstd-") || name.starts_with("libcore-")
    });
    // …/lib/rustlib/TARGET/lib/libstd-….rlib
    let Some(target) = standard_library.and_then(|path| path.parent()?.parent()) else {
        return Vec::new();
    };
    let folder = target.join("bin").join("gcc-ld");
    if target.file_name() != Some(OsStr::new(TARGET)) || !folder.is_dir() {
        return Vec::new();
    }
    let mut option = OsString::from("-B");
    option.push(folder);
    vec![option, "-fuse-ld=lld".into()]
}

/// The symbols that a linker says it did not find: rust-lld and mold, GNU ld, gold.
pub fn missing_symbols(messages: &str) -> Vec<String> {
    let mut symbols: Vec<String> = messages
        .lines()
        .filter_map(|line| {
            if let Some((_, rest)) = line.split_once("undefined symbol: ") {
                // mold: "…: undefined symbol: file.o: name"; lld: "undefined symbol: name".
                return Some(rest.rsplit(": ").next().unwrap_or(rest).trim());
            }
            let (_, rest) = line.split_once("undefined reference to ")?;
            rest.trim_start_matches(['`', '\'', '‘'])
                .split(['\'', '’'])
                .next()
        })
        .filter(|name| !name.is_empty() && !name.contains(char::is_whitespace))
        .map(str::to_owned)
        .collect();
    symbols.sort_unstable();
    symbols.dedup();
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn response_files_are_read_and_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("args");
        fs::write(&path, b"-o\n/a\\ b/app\n\"quoted \\\" c\"\n/x/y.o").unwrap();
        let mut at = OsString::from("@");
        at.push(&path);
        let expanded = expand(["-m64".into(), at]).unwrap();
        let expected: Vec<OsString> = ["-m64", "-o", "/a b/app", "quoted \" c", "/x/y.o"]
            .map(OsString::from)
            .to_vec();
        assert_eq!(expanded, expected);
        assert_eq!(split(&join(&expected)), expected);
        assert_eq!(output(&expanded), Some("/a b/app".into()));
    }

    #[test]
    fn only_a_position_independent_program_can_be_live() {
        assert_eq!(obstacle(&args("a.o -pie -o x")), None);
        for line in [
            "a.o -no-pie",
            "a.o -static-pie",
            "-pie -static",
            "-shared a.o",
            "a.o",
        ] {
            assert!(obstacle(&args(line)).is_some(), "{line}");
        }
    }

    #[test]
    fn what_removes_code_goes_and_the_rest_stays() {
        let mut line = args(
            "-Wl,--gc-sections a.o -Wl,-z,relro,-z,now -s -Wl,-s -Wl,--icf=all,-O1 -Wl,--build-id=none",
        );
        keep_everything(&mut line);
        assert_eq!(line, args("a.o -Wl,-z,relro,-z,now -Wl,-O1"));
    }

    #[test]
    fn every_linker_names_what_it_misses() {
        for message in [
            "rust-lld: error: undefined symbol: missing\n>>> referenced by a.c",
            "mold: error: undefined symbol: a.o: missing",
            "ld.bfd: a.o: in function `dead':\na.c:(.text.dead+0x11): undefined reference to `missing'",
            "a.o:a.c:function dead: error: undefined reference to 'missing'",
        ] {
            assert_eq!(missing_symbols(message), ["missing"], "{message}");
        }
        assert!(missing_symbols("no such file").is_empty());
    }
}
