//! Between cargo and the program: tells the session what cargo would have started.

use std::env;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::layout;
use super::text::Text;

/// What cargo would have started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The program.
    pub exe: Text,
    /// Its arguments.
    pub args: Vec<Text>,
    /// Its whole environment, with what the session told cargo.
    pub env: Vec<(Text, Text)>,
    /// Where.
    pub cwd: Text,
}

/// Runs it: `liveswap-runner program arguments…`.
pub fn main() -> ExitCode {
    let Some(file) = env::var_os(super::env::LAUNCH) else {
        super::complain(
            "this stands in for a program that cargo starts; no session told it where to write",
        );
        return ExitCode::from(2);
    };
    match write(Path::new(&file), env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&format!("{}: {error}", file.to_string_lossy()));
            ExitCode::FAILURE
        }
    }
}

fn write(file: &Path, mut args: impl Iterator<Item = OsString>) -> io::Result<()> {
    let exe = args
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program to run"))?;
    let started = Started {
        exe: exe.into(),
        args: args.map(Text).collect(),
        env: env::vars_os()
            .map(|(name, value)| (Text(name), Text(value)))
            .collect(),
        cwd: env::current_dir()?.into(),
    };
    layout::write_atomically(file, &serde_json::to_vec(&started)?)
}

impl Started {
    /// Reads what the runner wrote.
    ///
    /// # Errors
    /// Those of the file system; `InvalidData` for anything else.
    pub fn read(file: &Path) -> io::Result<Started> {
        serde_json::from_slice(&std::fs::read(file)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
