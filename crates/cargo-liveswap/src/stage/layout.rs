//! Where things are in the stage folder, and how files in it are written.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the command when it stands before rustc.
pub const RUSTC: &str = "liveswap-rustc";
/// Name of the command when it stands before the linker. Its end tells rustc that it takes the
/// arguments of a C compiler.
pub const LINKER: &str = "liveswap-gcc";
/// Name of the command when it stands before the program.
pub const RUNNER: &str = "liveswap-runner";

/// The stage folder.
#[derive(Clone, Debug)]
pub struct Stage {
    root: PathBuf,
}

impl Stage {
    /// The one at `root`.
    pub fn new(root: PathBuf) -> Stage {
        Stage { root }
    }

    /// The one that the session named in the environment.
    pub fn of_environment() -> Option<Stage> {
        std::env::var_os(super::env::STAGE_DIR).map(|root| Stage::new(root.into()))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Records of compilations.
    pub fn units(&self) -> PathBuf {
        self.root.join("units")
    }

    /// The record with this key.
    pub fn unit(&self, key: &str) -> PathBuf {
        self.units().join(format!("{key}.json"))
    }

    /// First value of `-C metadata` of each unit.
    pub fn pins(&self) -> PathBuf {
        self.root.join("pins")
    }

    /// Links to the command under its other names.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// What the link stage keeps of the executable with this record.
    pub fn link(&self, key: &str) -> PathBuf {
        self.root.join("link").join(key)
    }

    /// Where the program is linked that takes the place of the one that runs.
    pub fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    /// Where objects of programs are collected.
    pub fn collect(&self) -> PathBuf {
        self.root.join("collect")
    }

    /// The run-time that executables are linked with.
    pub fn agent(&self) -> PathBuf {
        self.root.join("libliveswap_agent.so")
    }

    /// Hashes of the variables of the session's environment.
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment")
    }

    /// The folders of the manifests of the workspace's members, one a line.
    pub fn members(&self) -> PathBuf {
        self.root.join("members")
    }

    /// What made the folder's contents.
    pub fn version(&self) -> PathBuf {
        self.root.join("version")
    }

    /// Where the runner writes.
    pub fn launch(&self) -> PathBuf {
        self.root.join("launch.json")
    }
}

/// Writes a file so that a reader sees all of it or the one before.
///
/// # Errors
/// Those of the file system.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Makes `to` have the contents of `from`: the same file if the file system allows it.
///
/// # Errors
/// Those of the file system.
pub fn link_or_copy(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(to)?;
            fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ()))
        }
        Err(_) => fs::copy(from, to).map(|_| ()),
    }
}
