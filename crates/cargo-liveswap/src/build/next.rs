//! Links the program as it is written now, beside the one that runs: what a restart starts.
//!
//! Cargo builds it, in the session's own target folder, so it is what a new session would begin with. Only the link
//! stage knows that another program of this name runs: it puts the executable, and the objects that it keeps, into a folder
//! of their own. The running program's files stay as they are until [`Next::put_in_place`].

use std::fs;
use std::path::{Path, PathBuf};

use super::program::Records;
use super::{Build, at, setup};
use crate::files;
use crate::model::{BuildError, CancelToken, Launch, Linked};
use crate::stage::layout;
use crate::stage::linker::EXECUTABLE;
use crate::stage::manifest::{Identity, Manifest};

/// A program that was linked beside the one that runs.
#[derive(Debug)]
pub struct Next {
    /// The build side from then on.
    pub build: Build,
    /// What is to be started.
    pub launch: Launch,
    /// What was linked.
    pub linked: Linked,
    /// Where all of it is.
    folder: PathBuf,
    /// Where the link stage keeps what belongs to the running one.
    place: PathBuf,
}

impl Build {
    /// Has cargo build the program from the sources as they are, and links it beside the one that runs. `shown`: cargo's and
    /// the compiler's messages are shown.
    ///
    /// # Errors
    /// If it does not compile, or was cancelled.
    pub fn next(&mut self, shown: bool, cancel: &CancelToken) -> Result<Next, BuildError> {
        let restored = self.restore()?;
        self.keeps_again |= restored;
        self.needs_cargo |= restored;
        // Cargo may be about to overwrite them.
        self.contents.wait();
        let mut next = self.beside()?;
        next.cargo.count_on(&self.cargo);
        let folder = self.stage.next();
        let result = next.link(&folder, &self.exe, shown, cancel);
        self.cargo.count_on(&next.cargo);
        let (launch, linked, key) = result?;
        Ok(Next {
            place: self.stage.link(&key),
            folder: folder.join(key),
            build: next,
            launch,
            linked,
        })
    }

    /// A build of the same project in the same folder, as a new session would begin it.
    fn beside(&self) -> Result<Build, BuildError> {
        let lock = self
            .lock
            .try_clone()
            .map_err(|error| at(&self.target_dir, &error))?;
        let folder = (self.target_dir.clone(), lock, self.stage.clone());
        if !self.asked_cargo {
            return Ok(Build::of(
                self.options.clone(),
                self.project.clone(),
                folder,
                self.cargo.clone(),
                self.toolchain.clone(),
            ));
        }
        let mut next = Build::prepare_in(&self.options, |project| {
            setup::write_members(&self.stage, project)
                .map_err(|error| at(&self.stage.members(), &error))?;
            Ok(folder)
        })?;
        // It is chosen when the session is started.
        next.toolchain = self.toolchain.clone();
        Ok(next)
    }

    /// `runs`: the executable that runs, as cargo calls it.
    fn link(
        &mut self,
        folder: &Path,
        runs: &Path,
        shown: bool,
        cancel: &CancelToken,
    ) -> Result<(Launch, Linked, String), BuildError> {
        files::empty_folder(folder).map_err(|error| at(folder, &error))?;
        self.forget_executables(runs)?;
        let ready = self.cargo.build_next(folder, shown, cancel)?;
        let units = self.stage.units();
        let records = Records::read(&self.stage).map_err(|error| at(&units, &error))?;
        let program = records
            .program_of_run(&ready.exe, &self.cargo.run())
            .ok_or_else(|| {
                BuildError::Failed(format!(
                    "{} is not a program of this workspace",
                    ready.exe.display()
                ))
            })?;
        let key = program.key();
        let manifest =
            Manifest::read(&folder.join(&key)).map_err(|error| at(&folder.join(&key), &error))?;
        let executable = folder.join(&key).join(EXECUTABLE);
        let identity = Identity::of(&executable).map_err(|error| at(&executable, &error))?;
        if identity != manifest.identity {
            return Err(BuildError::Failed(format!(
                "{} is not what was linked",
                executable.display()
            )));
        }
        let (launch, linked) = self.built(ready, &records, &key, manifest)?;
        Ok((launch, linked, key))
    }

    /// Removes cargo's own name of the program, whatever it is made of: cargo has it linked then. The running one has
    /// another name, too, which stays.
    fn forget_executables(&self, runs: &Path) -> Result<(), BuildError> {
        let units = self.stage.units();
        let records = Records::read(&self.stage).map_err(|error| at(&units, &error))?;
        for output in records.outputs_of_programs(runs) {
            if output != runs {
                files::remove(&output).map_err(|error| at(&output, &error))?;
            }
        }
        Ok(())
    }
}

impl Next {
    /// Puts it in the place of the running one, whose process keeps the file that it has open. The rest of a session for
    /// that one could not be told any more what it was made of.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn put_in_place(&self) -> Result<(), BuildError> {
        let exe = &self.build.exe;
        let output = &self.linked.exe;
        files::empty_folder(&self.place).map_err(|error| at(&self.place, &error))?;
        fs::rename(&self.folder, &self.place).map_err(|error| at(&self.place, &error))?;
        let executable = self.place.join(EXECUTABLE);
        for name in [output, exe] {
            layout::link_or_copy(&executable, name).map_err(|error| at(name, &error))?;
        }
        files::remove(&executable).map_err(|error| at(&executable, &error))
    }
}
