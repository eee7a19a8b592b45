//! The installed Nim compiler: where its library is, and how its run-time library is built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Result, project};

/// Compiler options that every build of a reloadable program shares; `-o:` is given by the caller.
const RELOADABLE: &[&str] = &[
    "c",
    "--hotCodeReloading:on",
    "--hints:off",
    "--spellSuggest:0",
    "--warnings:off",
    "--nimcache:nimcache",
];

/// The folder of Nim's standard library, as the compiler itself tells it.
pub fn library_folder() -> Result<PathBuf> {
    let mut command = Command::new("nim");
    command
        .args(["dump", "--dump.format:json", "-"])
        .stdin(Stdio::null());
    let dump = project::stdout_of(&mut command)?;
    project::json_text(&dump, "libpath")
        .map(PathBuf::from)
        .ok_or_else(|| "`nim dump` names no libpath".to_owned())
}

/// Builds libnimrtl.so, which every reloadable Nim program needs beside libnimhcr.so, into `folder`.
pub fn build_nimrtl(folder: &Path) -> Result<()> {
    let source = library_folder()?.join("nimrtl.nim");
    let mut command = Command::new("nim");
    command
        .args([
            "c",
            "-d:release",
            "--hints:off",
            "--spellSuggest:0",
            "--warnings:off",
        ])
        .arg(option("--outdir:", folder))
        .arg(option("--nimcache:", &folder.join("nimrtl-cache")))
        .arg(source)
        .stdin(Stdio::null());
    project::run(&mut command)
}

/// The command that compiles `main.nim` of `program` so that its modules can be reloaded.
pub fn compile_reloadable(program: &Path, output: &str) -> Command {
    let mut command = Command::new("nim");
    command
        .args(RELOADABLE)
        .arg(format!("-o:{output}"))
        .arg("main.nim")
        .current_dir(program)
        .stdin(Stdio::null());
    command
}

fn option(name: &str, path: &Path) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(name);
    option.push(path);
    option
}
