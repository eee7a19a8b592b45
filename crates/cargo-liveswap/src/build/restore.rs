//! What is done when somebody removed what was built (`cargo clean`): the session lives on, for the program does not
//! need it. Cargo builds all of it again, and what comes out is compared as after any other build.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{Build, at, setup};
use crate::log::stderr_line;
use crate::model::BuildError;
use crate::stage::layout;
use crate::stage::rustc_args::RustcArgs;

impl Build {
    /// Whether files that compilations need are gone.
    pub(super) fn is_cleaned(&self) -> bool {
        let is_gone = |path: &Path| !path.is_file();
        let units = self.units.iter().map(|unit| &unit.record);
        !self.holds_lock()
            || is_gone(&self.stage.version())
            || units.clone().any(|unit| is_gone(&unit.dep_info()))
            || units
                .filter(|unit| !unit.is_program())
                .any(|unit| is_gone(&unit.output()))
            || self
                .graph
                .foreign_archives()
                .iter()
                .any(|path| is_gone(path))
    }

    /// Makes the target folder fit for this session again if it is gone; returns whether it was.
    ///
    /// # Errors
    /// If that cannot be done, or the folder is another session's by now.
    pub(super) fn restore(&mut self) -> Result<bool, BuildError> {
        let holds_lock = self.holds_lock();
        if holds_lock && self.stage.version().is_file() {
            return Ok(false);
        }
        if !holds_lock {
            self.lock = self
                .project
                .take_target_dir(&self.target_dir)?
                .ok_or_else(|| BuildError::NeedsRestart {
                    reason: format!(
                        "{} is gone, and another session builds there now",
                        self.target_dir.display()
                    ),
                })?;
        }
        stderr_line(&format!(
            "liveswap: {} is gone: everything is built again",
            self.target_dir.display()
        ));
        self.stage = setup::again(&self.target_dir, &self.project)?;
        // Under other names, nothing of what is compiled would be what runs.
        for unit in &self.units {
            let command = unit.record.command.iter();
            let args: Vec<OsString> = command
                .flat_map(|command| command.programs.iter().chain(&command.args))
                .map(|arg| arg.0.clone())
                .collect();
            if let Some(metadata) = RustcArgs::parse(&args).codegen_value("metadata") {
                let pin = self.stage.pins().join(&unit.record.unit);
                layout::write_atomically(&pin, metadata.as_encoded_bytes())
                    .map_err(|error| at(&pin, &error))?;
            }
        }
        Ok(true)
    }

    /// Whether the lock is still that of the folder.
    fn holds_lock(&self) -> bool {
        let path = self.target_dir.join(super::project::LOCK);
        let identity = |data: fs::Metadata| (data.dev(), data.ino());
        let there = fs::metadata(path).map(identity);
        there.is_ok_and(|there| {
            self.lock
                .metadata()
                .is_ok_and(|ours| identity(ours) == there)
        })
    }
}
