//! The two run-times: ours, and Nim's own, which is built here from the installed Nim.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// Both run-times, under one pair of names that every measurement iterates over.
pub struct Runtimes {
    pub liveswap: Runtime,
    pub nim: Runtime,
    pub nim_version: String,
}

#[derive(Clone)]
pub struct Runtime {
    pub name: &'static str,
    /// libnimhcr.so.
    pub library: PathBuf,
    /// libnimrtl.so, Nim's run-time library: the same file for both.
    pub rtl: PathBuf,
}

impl Runtimes {
    pub fn build(folder: &Path) -> Result<Self> {
        let dump = stdout_of(Command::new("nim").args(["dump", "--dump.format:json", "-"]))?;
        let nim_library =
            PathBuf::from(json_text(&dump, "libpath").context("`nim dump` names no libpath")?);
        let nim_version = json_text(&dump, "version").context("`nim dump` names no version")?;
        let nim_folder = folder.join("nim");
        for name in ["nimhcr", "nimrtl"] {
            let mut command = nim();
            command
                .args(["c", "-d:release"])
                .arg(option("--outdir:", &nim_folder))
                .arg(option("--nimcache:", &folder.join(name)))
                .arg(nim_library.join(name).with_extension("nim"));
            run(&mut command)?;
        }
        let rtl = nim_folder.join("libnimrtl.so");
        Ok(Self {
            liveswap: Runtime {
                name: "liveswap",
                library: build_liveswap(folder)?,
                rtl: rtl.clone(),
            },
            nim: Runtime {
                name: "nim",
                library: nim_folder.join("libnimhcr.so"),
                rtl,
            },
            nim_version,
        })
    }

    /// Both, the one that goes first changing with every round.
    pub fn in_turn(&self, round: usize) -> [&Runtime; 2] {
        if round.is_multiple_of(2) {
            [&self.liveswap, &self.nim]
        } else {
            [&self.nim, &self.liveswap]
        }
    }
}

impl Runtime {
    /// A search path under which a program finds this run-time as `libnimhcr.so`.
    pub fn search_path(&self) -> Result<OsString> {
        let folders = [&self.library, &self.rtl]
            .map(|file| file.parent().unwrap_or(Path::new("/")).to_path_buf());
        Ok(std::env::join_paths(folders)?)
    }
}

/// Our library as users get it, or the one that `LIVESWAP_NIMHCR` names, copied to where nothing else
/// stands beside it.
fn build_liveswap(folder: &Path) -> Result<PathBuf> {
    let built = match std::env::var_os("LIVESWAP_NIMHCR") {
        Some(library) => PathBuf::from(library),
        None => build_from_source()?,
    };
    let copy = folder.join("liveswap/libnimhcr.so");
    std::fs::create_dir_all(folder.join("liveswap"))?;
    std::fs::copy(&built, &copy).with_context(|| format!("copying {}", built.display()))?;
    Ok(copy)
}

fn build_from_source() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package has no parent folder")?;
    run(Command::new(&cargo)
        .args(["build", "--release", "-p", "nimhcr"])
        .current_dir(root))?;
    let mut metadata = Command::new(&cargo);
    metadata
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root);
    let metadata = stdout_of(&mut metadata)?;
    let target = json_text(&metadata, "target_directory")
        .context("cargo metadata names no target_directory")?;
    Ok(Path::new(&target).join("release/libnimhcr.so"))
}

/// The compiler, saying only what goes wrong.
pub fn nim() -> Command {
    let mut command = Command::new("nim");
    command.args(["--hints:off", "--warnings:off"]);
    command
}

pub fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The value of the first `"key":"value"` in a JSON text; values with escapes are not expected here.
fn json_text(json: &str, key: &str) -> Option<String> {
    let (_, rest) = json.split_once(&format!("\"{key}\":\""))?;
    let (value, _) = rest.split_once('"')?;
    (!value.contains('\\')).then(|| value.to_owned())
}
