//! The project as cargo sees it: packages, target folder, and the flags that are ours to read.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::model::{BuildError, RunOptions};

/// The file in a session's target folder that it holds a lock on.
pub const LOCK: &str = "session.lock";

/// What a session has to know of the project before it builds.
#[derive(Clone, Debug)]
pub struct Project {
    /// The cargo to call.
    pub cargo: PathBuf,
    /// The folder of the workspace's manifest.
    pub workspace_root: PathBuf,
    /// Cargo's own target folder for it.
    pub target_dir: PathBuf,
    /// The folders of the members' manifests.
    pub members: Vec<PathBuf>,
    /// The flags for cargo, without the target folder's.
    pub cargo_args: Vec<OsString>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
}

impl Project {
    /// Asks cargo.
    ///
    /// # Errors
    /// If cargo fails; it has said why on stderr.
    pub fn of(options: &RunOptions) -> Result<Project, BuildError> {
        let cargo = cargo();
        let Split {
            others,
            target_dir,
            for_metadata,
        } = Split::of(&options.cargo_args);
        let output = Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .args(&for_metadata)
            .stderr(Stdio::inherit())
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                BuildError::Failed(format!("cannot run {}: {error}", cargo.display()))
            })?;
        if !output.status.success() {
            return Err(BuildError::Cargo {
                status: output.status.code().unwrap_or(101),
            });
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| BuildError::Failed(format!("cargo metadata: {error}")))?;
        let target_dir = match target_dir {
            Some(folder) => std::path::absolute(&folder)
                .map_err(|error| BuildError::Failed(format!("--target-dir: {error}")))?,
            None => metadata.target_directory,
        };
        Ok(Project {
            cargo,
            workspace_root: metadata.workspace_root,
            target_dir,
            members: metadata
                .packages
                .into_iter()
                .filter_map(|package| package.manifest_path.parent().map(Path::to_owned))
                .collect(),
            cargo_args: others,
        })
    }

    /// A target folder that no other session uses, and its lock.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn own_target_dir(&self) -> Result<(PathBuf, File), BuildError> {
        const AT_ONCE: usize = 64;
        for n in 1..=AT_ONCE {
            let name = match n {
                1 => "liveswap".to_owned(),
                n => format!("liveswap-{n}"),
            };
            let folder = self.target_dir.join(name);
            if let Some(lock) = self.take_target_dir(&folder)? {
                return Ok((folder, lock));
            }
        }
        Err(BuildError::Failed(format!(
            "{AT_ONCE} sessions of this project run already"
        )))
    }

    /// Makes this folder, if it is not there, and takes its lock; `None` if another session has it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn take_target_dir(&self, folder: &Path) -> Result<Option<File>, BuildError> {
        let failed =
            |error: std::io::Error| BuildError::Failed(format!("{}: {error}", folder.display()));
        // Cargo tags only what it makes itself.
        let is_ours = !self.target_dir.is_dir();
        fs::create_dir_all(folder).map_err(failed)?;
        if is_ours {
            tag_as_cache(&self.target_dir).map_err(failed)?;
        }
        tag_as_cache(folder).map_err(failed)?;
        let lock = File::create(folder.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Says of a folder what cargo says of a target folder that it makes: backup programs and our own watcher leave
/// out what can be made again.
fn tag_as_cache(folder: &Path) -> std::io::Result<()> {
    const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
        # This file is a cache directory tag created by cargo.\n\
        # For information about cache directory tags see https://bford.info/cachedir/\n";
    match File::create_new(folder.join("CACHEDIR.TAG")) {
        Ok(mut file) => file.write_all(TAG.as_bytes()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// The cargo that called this command, or the one on the path.
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Cargo's flags, sorted.
struct Split {
    others: Vec<OsString>,
    target_dir: Option<PathBuf>,
    for_metadata: Vec<OsString>,
}

impl Split {
    fn of(args: &[OsString]) -> Split {
        let mut split = Split {
            others: Vec::new(),
            target_dir: None,
            for_metadata: Vec::new(),
        };
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if let Some(value) = value_of(arg, "--target-dir", &mut rest) {
                split.target_dir = Some(value.into());
                continue;
            }
            split.others.push(arg.clone());
            let bytes = arg.as_encoded_bytes();
            if matches!(
                bytes,
                b"--locked" | b"--offline" | b"--frozen" | b"-q" | b"--quiet"
            ) {
                split.for_metadata.push(arg.clone());
            }
            for name in ["--manifest-path", "--config", "-Z", "--color"] {
                let joined = [name.as_bytes(), b"="].concat();
                if arg == name {
                    split.for_metadata.push(arg.clone());
                    let value = rest.next().cloned();
                    split.for_metadata.extend(value.clone());
                    split.others.extend(value);
                } else if bytes.starts_with(&joined) || (name == "-Z" && bytes.starts_with(b"-Z")) {
                    split.for_metadata.push(arg.clone());
                }
            }
        }
        split
    }
}

/// The value of `name` if `arg` is that flag: what follows its `=`, or the next argument.
pub fn value_of<'a>(
    arg: &OsStr,
    name: &str,
    rest: &mut impl Iterator<Item = &'a OsString>,
) -> Option<OsString> {
    if arg == name {
        return rest.next().cloned();
    }
    let value = arg
        .as_encoded_bytes()
        .strip_prefix(name.as_bytes())?
        .strip_prefix(b"=")?;
    Some(OsStr::from_bytes(value).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn a_target_folder_that_is_made_here_is_a_cache_and_one_of_the_user_stays_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let project = |name: &str| Project {
            cargo: "cargo".into(),
            workspace_root: root.path().to_owned(),
            target_dir: root.path().join(name),
            members: Vec::new(),
            cargo_args: Vec::new(),
        };
        let is_tagged = |path: &str| {
            let text = fs::read_to_string(root.path().join(path).join("CACHEDIR.TAG"));
            text.is_ok_and(|text| text.starts_with("Signature: 8a477f597d28d172789f06886806bc55"))
        };
        let (_, _lock) = project("made").own_target_dir().unwrap();
        assert!(is_tagged("made") && is_tagged("made/liveswap"));
        fs::create_dir(root.path().join("users")).unwrap();
        let (_, _lock) = project("users").own_target_dir().unwrap();
        assert!(!is_tagged("users") && is_tagged("users/liveswap"));
    }

    #[test]
    fn the_target_folder_is_taken_out_and_metadata_gets_its_own() {
        for line in ["--target-dir x", "--target-dir=x"] {
            let split = Split::of(&args(&format!(
                "{line} -p app --locked --manifest-path a/Cargo.toml --config=a=1 -F x"
            )));
            assert_eq!(split.target_dir, Some("x".into()));
            assert_eq!(
                split.others,
                args("-p app --locked --manifest-path a/Cargo.toml --config=a=1 -F x")
            );
            assert_eq!(
                split.for_metadata,
                args("--locked --manifest-path a/Cargo.toml --config=a=1")
            );
        }
    }
}
