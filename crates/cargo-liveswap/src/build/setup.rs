//! Prepares the stage folder for a session.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::agent_library;
use super::project::Project;
use crate::files;
use crate::model::BuildError;
use crate::stage::layout::{self, Stage};
use crate::stage::record::{Environment, Record};

/// Version of records and manifests: with another one all is built anew.
const FORMAT: &str = "1";

/// Makes the stage folder in this target folder fit for a session of this command.
///
/// # Errors
/// Those of the file system.
pub fn stage(target_dir: &Path, project: &Project) -> Result<Stage, BuildError> {
    let stage = Stage::new(target_dir.join("stage"));
    prepare(&stage, target_dir, project).map_err(|error| {
        BuildError::Failed(format!("cannot prepare {}: {error}", target_dir.display()))
    })?;
    Ok(stage)
}

fn prepare(stage: &Stage, target_dir: &Path, project: &Project) -> io::Result<()> {
    let command = env::current_exe()?;
    let version = format!("{FORMAT}\n{}\n", identity(&command)?);
    let last = fs::read_to_string(stage.version()).unwrap_or_default();
    if last.lines().next() != Some(FORMAT) {
        // Crates that cargo takes for fresh would have no records.
        clear(target_dir)?;
    } else if last != version {
        forget_outputs(stage)?;
    }
    for folder in [stage.units(), stage.pins(), stage.bin()] {
        fs::create_dir_all(folder)?;
    }
    for name in [layout::RUSTC, layout::LINKER, layout::RUNNER] {
        link_command(&command, &stage.bin().join(name))?;
    }
    agent_library::write(stage)?;
    Environment::of(&env::vars_os().collect::<Vec<_>>()).write(stage)?;
    let members: String = project
        .members
        .iter()
        .map(|folder| format!("{}\n", folder.display()))
        .collect();
    layout::write_atomically(&stage.members(), members.as_bytes())?;
    if last != version {
        layout::write_atomically(&stage.version(), version.as_bytes())?;
    }
    Ok(())
}

/// What tells this command from another build of it.
fn identity(command: &Path) -> io::Result<String> {
    let metadata = fs::metadata(command)?;
    Ok(format!(
        "{} {} {}.{}",
        env!("CARGO_PKG_VERSION"),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec()
    ))
}

/// Empties the target folder, apart from what tells of sessions.
fn clear(target_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(target_dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Makes cargo compile live crates again: another version of this command treats them differently.
fn forget_outputs(stage: &Stage) -> io::Result<()> {
    for (record, _) in Record::read_all(stage)? {
        if record.command.is_some() {
            files::remove(&record.output())?;
        }
    }
    Ok(())
}

/// Gives the command another name. A hard link survives that the command is installed anew while the
/// session runs.
fn link_command(command: &Path, name: &Path) -> io::Result<()> {
    files::remove(name)?;
    match fs::hard_link(command, name) {
        Ok(()) => Ok(()),
        Err(_) => std::os::unix::fs::symlink(command, name),
    }
}
