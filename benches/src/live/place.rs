//! What all measurements share: the command, the tools, a folder for projects.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

pub struct Place {
    folder: PathBuf,
    /// Removes the folder in the end, if nobody wants to keep it.
    _temporary: Option<TempDir>,
    /// `cargo-liveswap`.
    command: PathBuf,
    cargo: OsString,
}

impl Place {
    /// Builds the command as users get it, unless `LIVESWAP_COMMAND` names one.
    pub fn set(kept: Option<&Path>) -> Result<Self> {
        let (folder, temporary) = if let Some(kept) = kept {
            std::fs::create_dir_all(kept)?;
            (kept.canonicalize()?, None)
        } else {
            let temporary = tempfile::Builder::new()
                .prefix("liveswap-benches-")
                .tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        };
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = match std::env::var_os("LIVESWAP_COMMAND") {
            Some(command) => PathBuf::from(command),
            None => build(&cargo)?,
        };
        // Nobody builds another one while we measure.
        let command = folder.join("cargo-liveswap");
        if command.exists() {
            std::fs::remove_file(&command)?;
        }
        std::fs::copy(&built, &command).with_context(|| format!("copying {}", built.display()))?;
        Ok(Self {
            folder,
            _temporary: temporary,
            command,
            cargo,
        })
    }

    /// A path for something new.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// cargo as it is in a terminal: without what the cargo around us has set.
    pub fn cargo(&self, folder: &Path) -> Command {
        plain(Command::new(&self.cargo), folder)
    }

    /// `cargo liveswap run`, telling its events in a file.
    pub fn liveswap(&self, folder: &Path, events: &Path) -> Command {
        let mut command = plain(Command::new(&self.command), folder);
        command.args(["liveswap", "run", "--events"]).arg(events);
        command
    }
}

/// The command in this folder, without what the cargo around us has set.
pub fn plain(mut command: Command, folder: &Path) -> Command {
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if (name_text.starts_with("CARGO") && name_text != "CARGO_HOME")
            || ["LD_LIBRARY_PATH", "RUSTFLAGS", "RUST_RECURSION_COUNT"].contains(&&*name_text)
        {
            command.env_remove(&name);
        }
    }
    command.current_dir(folder);
    command
}

/// Runs it to its end; what it says is shown only if it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} ended with {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn build(cargo: &OsString) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("this package has no parent folder")?;
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "cargo-liveswap"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    ensure!(output.status.success(), "building cargo-liveswap failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back()
        .context("cargo names no executable")
}
