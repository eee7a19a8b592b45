//! The folders of a session, mode 0700, ours alone: one for its sockets, where paths are short, and one
//! for the images' files, on a disk: the other may be in memory, and images add up.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

const PREFIX: &str = "liveswap-";
/// The address of a Unix socket has room for 107 bytes; our names in the folder need some of them.
const LONGEST_BASE: usize = 70;
/// Holds the process ids that use the folder.
const OWNERS: &str = "owners";

/// They are removed when this is dropped.
#[derive(Debug)]
pub struct RunDir {
    sockets: TempDir,
    images: TempDir,
}

impl RunDir {
    /// Fresh folders, that for images in `target_dir`; what killed sessions left is removed.
    ///
    /// # Errors
    /// If there is no place for them.
    pub fn new(target_dir: &Path) -> Result<RunDir, String> {
        let base =
            base().ok_or("there is no usable folder for sockets: set XDG_RUNTIME_DIR or TMPDIR")?;
        let images = target_dir.join("images");
        fs::create_dir_all(&images).map_err(|error| format!("{}: {error}", images.display()))?;
        let run_dir = RunDir {
            sockets: fresh(&base)?,
            images: fresh(&images)?,
        };
        run_dir.set_program(None)?;
        Ok(run_dir)
    }

    /// The program uses the folders, too: backtraces read the images' files, even when we are gone.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn set_program(&self, pid: Option<u32>) -> Result<(), String> {
        let pid = pid.map(|it| it.to_string()).unwrap_or_default();
        let text = format!("{}\n{pid}\n", std::process::id());
        for folder in [&self.sockets, &self.images] {
            // By rename: another session that reads half of it would take the folder for a dead one's.
            let new = folder.path().join("owners.new");
            fs::write(&new, &text)
                .and_then(|()| fs::rename(&new, folder.path().join(OWNERS)))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Another process of the program begins: its images have a fresh folder.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn renew(&mut self, target_dir: &Path) -> Result<(), String> {
        let images = target_dir.join("images");
        fs::create_dir_all(&images).map_err(|error| format!("{}: {error}", images.display()))?;
        self.images = fresh(&images)?;
        self.set_program(None)
    }

    /// Where the run-time in the program connects.
    pub fn agent_socket(&self) -> PathBuf {
        self.sockets.path().join("agent.sock")
    }

    /// The folder for sockets: it stays when somebody removes what was built.
    pub fn sockets(&self) -> &Path {
        self.sockets.path()
    }

    /// Where `status` and `swap` connect.
    pub fn control_socket(&self) -> PathBuf {
        self.sockets.path().join("control.sock")
    }

    /// Where the images' files belong.
    pub fn images(&self) -> PathBuf {
        self.images.path().to_owned()
    }
}

/// A fresh folder in `base`, after those of dead sessions were removed from it.
///
/// # Errors
/// If it cannot be made, or is not private.
pub fn fresh(base: &Path) -> Result<TempDir, String> {
    sweep(base);
    let dir = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(base)
        .map_err(|error| format!("no folder in {}: {error}", base.display()))?;
    if is_private(dir.path()) {
        Ok(dir)
    } else {
        Err(format!("{} is not private", dir.path().display()))
    }
}

/// The folder for run-time folders: `XDG_RUNTIME_DIR`, the one for temporary files, or `/tmp`.
pub fn base() -> Option<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let choices = [runtime, Some(std::env::temp_dir()), Some("/tmp".into())];
    choices.into_iter().flatten().find(|base| is_usable(base))
}

/// Whether a session could live below this folder.
pub fn is_usable(base: &Path) -> bool {
    base.is_absolute()
        && base.as_os_str().len() <= LONGEST_BASE
        && base.is_dir()
        && rustix::fs::access(base, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Makes a folder for us alone, if it is not there.
///
/// # Errors
/// Those of the file system.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

/// Whether the folder is ours and closed to others.
pub fn is_private(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|data| {
        data.is_dir()
            && data.mode() & 0o077 == 0
            && data.uid() == rustix::process::getuid().as_raw()
    })
}

/// Removes folders of ours whose session and program are both gone.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let folder = entry.path();
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) || !is_private(&folder) {
            continue;
        }
        // A folder without the file is one that is just being made.
        let Ok(owners) = fs::read_to_string(folder.join(OWNERS)) else {
            continue;
        };
        if owners.trim().is_empty() {
            continue;
        }
        let lives = owners
            .split_whitespace()
            .any(|pid| Path::new("/proc").join(pid).exists());
        if !lives && let Err(error) = fs::remove_dir_all(&folder) {
            tracing::debug!(folder = %folder.display(), %error, "a dead session's folder stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_private_and_goes_with_the_session() {
        let target = tempfile::tempdir().unwrap();
        let dir = RunDir::new(target.path()).unwrap();
        let path = dir.agent_socket().parent().unwrap().to_owned();
        assert!(is_private(&path) && is_private(&dir.images()));
        assert!(dir.images().starts_with(target.path()));
        assert!(dir.agent_socket().as_os_str().len() < 108);
        let images = dir.images();
        drop(dir);
        assert!(!path.exists() && !images.exists());
    }

    #[test]
    fn dead_sessions_are_swept_and_living_ones_are_not() {
        let base = tempfile::tempdir().unwrap();
        let make = |name: &str, owners: Option<&str>| {
            let folder = base.path().join(name);
            fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
            if let Some(owners) = owners {
                fs::write(folder.join(OWNERS), owners).unwrap();
            }
            folder
        };
        let own = std::process::id().to_string();
        // Above the largest process id that Linux gives.
        let dead = make("liveswap-dead", Some("4194305\n4194306\n"));
        let alive = make("liveswap-alive", Some(&format!("4194305\n{own}\n")));
        let young = make("liveswap-young", None);
        let half_written = make("liveswap-half", Some(""));
        let other = make("other", Some("4194305\n"));
        sweep(base.path());
        assert!(!dead.exists());
        assert!(alive.exists() && young.exists() && other.exists());
        assert!(
            half_written.exists(),
            "a session that begins loses its socket"
        );
    }
}
