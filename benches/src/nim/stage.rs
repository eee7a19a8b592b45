//! What all measurements share: the run-times, the generated modules and the host program, built once.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::modules::Modules;
use super::runtimes::{self, Runtime, Runtimes};
use super::session::Session;
use super::{growth, reload};

pub struct Stage {
    pub runtimes: Runtimes,
    pub modules: Modules,
    host: PathBuf,
    folder: TempDir,
}

impl Stage {
    /// Builds what the `wanted` measurements need.
    pub fn set(wanted: &[String]) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("liveswap-benches-")
            .tempdir()?;
        eprintln!("building the run-times");
        let runtimes = Runtimes::build(folder.path())?;
        let host = folder.path().join("host");
        let source = folder.path().join("host.c");
        std::fs::write(&source, include_str!("../../c/host.c"))?;
        // -rdynamic and no -fPIE tricks: an ordinary program.
        runtimes::run(
            Command::new("gcc")
                .args(["-O2", "-Wall", "-o"])
                .args([&host, &source])
                .arg("-ldl"),
        )?;
        let mut sizes = vec![reload::FEW];
        if wanted.iter().any(|what| what == "reload") {
            sizes.extend(reload::SIZES);
        }
        if wanted.iter().any(|what| what == "growth") {
            sizes.extend(growth::SIZES);
        }
        let count = sizes.iter().copied().max().unwrap_or(reload::FEW);
        let mut edited: Vec<usize> = sizes.iter().map(|&n| reload::edited_of(n)).collect();
        edited.sort_unstable();
        edited.dedup();
        eprintln!("generating and compiling {count} modules");
        let modules = Modules::build(folder.path(), count, &edited)?;
        Ok(Self {
            runtimes,
            modules,
            host,
            folder,
        })
    }

    /// A folder for one measurement's own files.
    pub fn new_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// The host program with the first `n` modules under one of the run-times.
    pub fn start(&self, runtime: &Runtime, n: usize) -> Result<Session> {
        Session::start(
            &mut self.host_command(Command::new(&self.host), runtime, n)?,
            runtime.name,
        )
    }

    /// The same under a tool whose command line ends where the program's begins.
    pub fn start_under(&self, mut tool: Command, runtime: &Runtime, n: usize) -> Result<Command> {
        tool.arg(&self.host);
        self.host_command(tool, runtime, n)
    }

    fn host_command(&self, mut command: Command, runtime: &Runtime, n: usize) -> Result<Command> {
        command
            .args([&runtime.library, &runtime.rtl])
            .arg(self.modules.folder())
            .args(self.modules.root_imports(n))
            .env("LD_LIBRARY_PATH", runtime.search_path()?);
        Ok(command)
    }
}
