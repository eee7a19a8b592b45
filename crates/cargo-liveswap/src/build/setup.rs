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
    prepare(&stage, target_dir, project).map_err(|error| cannot(target_dir, &error))?;
    Ok(stage)
}

/// Makes a stage folder that was removed anew. What else is in the target folder stays.
///
/// # Errors
/// Those of the file system.
pub fn again(target_dir: &Path, project: &Project) -> Result<Stage, BuildError> {
    let stage = Stage::new(target_dir.join("stage"));
    env::current_exe()
        .and_then(|command| fill(&stage, &command, &version(&command)?, project))
        .map_err(|error| cannot(target_dir, &error))?;
    Ok(stage)
}

fn cannot(target_dir: &Path, error: &io::Error) -> BuildError {
    BuildError::Failed(format!("cannot prepare {}: {error}", target_dir.display()))
}

fn prepare(stage: &Stage, target_dir: &Path, project: &Project) -> io::Result<()> {
    let command = env::current_exe()?;
    let version = version(&command)?;
    let last = fs::read_to_string(stage.version()).unwrap_or_default();
    if last.lines().next() != Some(FORMAT) {
        // Crates that cargo takes for fresh would have no records.
        clear(target_dir)?;
    } else if last != version {
        forget_outputs(stage)?;
    }
    fill(stage, &command, &version, project)
}

/// Puts into a stage folder what a session needs, and at last what says so.
fn fill(stage: &Stage, command: &Path, version: &str, project: &Project) -> io::Result<()> {
    for folder in [stage.units(), stage.pins(), stage.bin()] {
        fs::create_dir_all(folder)?;
    }
    for name in [layout::RUSTC, layout::LINKER, layout::RUNNER] {
        link_command(command, &stage.bin().join(name))?;
    }
    agent_library::write(stage)?;
    Environment::of(&env::vars_os().collect::<Vec<_>>()).write(stage)?;
    write_members(stage, project)?;
    layout::write_atomically(&stage.version(), version.as_bytes())
}

/// Says which folders the members of the workspace are in.
///
/// # Errors
/// Those of the file system.
pub fn write_members(stage: &Stage, project: &Project) -> io::Result<()> {
    let members: String = project
        .members
        .iter()
        .map(|folder| format!("{}\n", folder.display()))
        .collect();
    layout::write_atomically(&stage.members(), members.as_bytes())
}

/// What a stage folder says of whoever filled it.
fn version(command: &Path) -> io::Result<String> {
    Ok(format!("{FORMAT}\n{}\n", identity(command)?))
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
