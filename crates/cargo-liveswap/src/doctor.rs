//! `cargo liveswap doctor`: what this machine has, what it lacks, and how to get it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::session::{poll, run_dir};

/// The oldest rustc whose output is known.
const OLDEST_RUSTC: (u32, u32) = (1, 85);
/// Fewer watches than this are used up by a few editors.
const FEW_WATCHES: u64 = 8192;

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is there.
    Ok(String),
    /// It would be good to have.
    Wanted(String),
    /// Nothing works without it.
    Missing(String),
}

use Found::{Missing, Ok as Good, Wanted};

type Check = fn() -> Found;

/// Looks at everything.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub fn main() -> ExitCode {
    let checks: [(&str, Check); 10] = [
        ("system", system),
        ("rustc", rustc),
        ("cargo", cargo),
        ("C compiler", c_compiler),
        ("linker", linker),
        ("file watches", watches),
        ("file system", file_system),
        ("run-time folder", run_time_folder),
        ("memory map", overcommit),
        ("gdb", gdb),
    ];
    let mut missing = false;
    for (name, check) in checks {
        let (mark, text) = match check() {
            Good(text) => ("ok", text),
            Wanted(text) => ("note", text),
            Missing(text) => {
                missing = true;
                ("MISSING", text)
            }
        };
        println!("{mark:<8} {name}: {text}");
    }
    ExitCode::from(u8::from(missing))
}

fn system() -> Found {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let text = format!(
        "{} {}, {}",
        std::env::consts::OS,
        kernel.trim(),
        std::env::consts::ARCH
    );
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => Good(text),
        ("linux", "aarch64") => Wanted(format!("{text}: liveswap is tested on x86_64 only")),
        _ => Missing(format!("{text}: liveswap works on Linux")),
    }
}

/// The first line of what a program says, if it succeeds.
fn first_line(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn rustc() -> Found {
    let program = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let Some(version) = first_line(program, &["--version"]) else {
        return Missing("not found: install it with https://rustup.rs".to_owned());
    };
    match version_of(&version) {
        Some(found) if found >= OLDEST_RUSTC => Good(version),
        _ => {
            let (major, minor) = OLDEST_RUSTC;
            Missing(format!(
                "{version}: {major}.{minor} or later is needed (`rustup update`)"
            ))
        }
    }
}

/// `rustc 1.95.0 (…)` → (1, 95).
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn cargo() -> Found {
    let program = std::env::var_os("CARGO").unwrap_or("cargo".into());
    match first_line(program, &["--version"]) {
        Some(version) => Good(version),
        None => Missing("not found: install it with https://rustup.rs".to_owned()),
    }
}

fn c_compiler() -> Found {
    match first_line("cc", &["--version"]) {
        Some(version) => Good(version),
        None => Missing(
            "`cc` is not found; rustc links through it (Debian: apt install gcc libc6-dev)"
                .to_owned(),
        ),
    }
}

fn linker() -> Found {
    let sysroot = first_line("rustc", &["--print", "sysroot"]).map(PathBuf::from);
    let host = first_line("rustc", &["--print", "host-tuple"]);
    if let Some((sysroot, host)) = sysroot.zip(host) {
        let own = sysroot
            .join("lib/rustlib")
            .join(host)
            .join("bin/gcc-ld/ld.lld");
        if own.exists() {
            return Good("rust-lld, which comes with rustc".to_owned());
        }
    }
    match ["ld.lld", "mold", "ld"]
        .into_iter()
        .find_map(|it| first_line(it, &["--version"]))
    {
        Some(version) => Good(version),
        None => Missing("none is found (Debian: apt install lld, or binutils)".to_owned()),
    }
}

fn watches() -> Found {
    let limit = |name: &str| -> Option<u64> {
        let path = Path::new("/proc/sys/fs/inotify").join(name);
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    let Some((watches, instances)) = limit("max_user_watches").zip(limit("max_user_instances"))
    else {
        return Wanted("the kernel has no inotify: files are polled".to_owned());
    };
    if let Err(error) = notify::recommended_watcher(|_: notify::Result<notify::Event>| {}) {
        return Wanted(format!(
            "{error}, so files are polled: others use all {instances} instances (`sysctl fs.inotify.max_user_instances=512`)"
        ));
    }
    let text = format!("{watches} watches, {instances} instances");
    if watches < FEW_WATCHES {
        return Wanted(format!(
            "{text}; more: `sysctl fs.inotify.max_user_watches=65536`"
        ));
    }
    Good(text)
}

/// Of the working folder.
fn file_system() -> Found {
    match poll::deaf_file_system(".".as_ref()) {
        None => Good("tells of saves".to_owned()),
        Some(name) => Wanted(format!(
            "{name} in this folder: saves may come without an event, so files are also polled (`cargo liveswap run --poll=MS` says how often)"
        )),
    }
}

fn run_time_folder() -> Found {
    let base = match run_dir::base() {
        Some(base) => base,
        None => {
            return Missing(
                "neither XDG_RUNTIME_DIR nor the folder for temporary files can hold sockets: set TMPDIR"
                    .to_owned(),
            );
        }
    };
    match run_dir::fresh(&base) {
        Ok(_) => Good(format!(
            "{}, private folders can be made in it",
            base.display()
        )),
        Err(error) => Missing(format!(
            "{error}: set XDG_RUNTIME_DIR or TMPDIR to another folder"
        )),
    }
}

/// The range for new code is reserved, not used; only a strict policy minds.
fn overcommit() -> Found {
    let path = "/proc/sys/vm/overcommit_memory";
    match std::fs::read_to_string(path).unwrap_or_default().trim() {
        "2" => Wanted(format!(
            "{path} is 2: reserving room for new code may be refused (`sysctl vm.overcommit_memory=0`)"
        )),
        _ => Good("room for new code can be reserved".to_owned()),
    }
}

fn gdb() -> Found {
    match first_line("gdb", &["--version"]) {
        Some(version) => Good(version),
        None => {
            Wanted("not found; it is needed only to debug (Debian: apt install gdb)".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        assert_eq!(version_of("rustc 1.95.0 (abc 2026-01-01)"), Some((1, 95)));
        assert_eq!(version_of("rustc 1.97.0-nightly (abc)"), Some((1, 97)));
        assert_eq!(version_of("rustc"), None);
    }

    #[test]
    fn a_machine_that_runs_the_tests_has_what_is_needed() {
        for check in [
            system,
            rustc,
            cargo,
            c_compiler,
            linker,
            watches,
            file_system,
            run_time_folder,
        ] {
            let found = check();
            assert!(!matches!(found, Missing(_)), "{found:?}");
        }
    }
}
