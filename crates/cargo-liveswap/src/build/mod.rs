//! Builds the program and keeps it up to date: cargo for the first time, recorded compilations after.
//!
//! Start reading at [`Build`]. It knows what is stale and how to compile it; it does not know the
//! process ([`crate::session`] does) nor what a change of an object means (the engine does).

mod agent_library;
mod cargo;
mod cargo_files;
mod compile;
mod config;
mod contents;
mod dep_info;
pub mod diagnostics;
mod difference;
mod next;
mod plan;
mod program;
pub mod project;
mod rebuild;
mod replay;
mod restore;
mod setup;
mod toolchain;
mod unit;
mod versions;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use cargo::{Cargo, Ready};
use cargo_files::CargoFiles;
use config::Config;
use contents::Contents;
use diagnostics::Colours;
use program::{Graph, Records};
use project::Project;
use toolchain::Toolchain;
use unit::{Kept, Unit};
use versions::{Reader, canonical};

pub use next::Next;
pub use toolchain::CHOSEN_AT_START;

use crate::files;
use crate::model::{BuildError, Change, Launch, Linked, LinkedCrate, LinkedSources, RunOptions};
use crate::stage::layout::Stage;
use crate::stage::manifest::{Inputs, Manifest, Object};
use crate::stage::record::{Kind, Record};
use crate::stage::text::Text;

/// The build side of a session.
#[derive(Debug)]
pub struct Build {
    options: RunOptions,
    project: Project,
    target_dir: PathBuf,
    stage: Stage,
    cargo: Cargo,
    colours: Colours,
    /// The live crates of the program, dependencies first.
    units: Vec<Unit>,
    /// For each unit those that it depends on, however indirectly.
    reach: Vec<Vec<bool>>,
    graph: Graph,
    cargo_files: CargoFiles,
    toolchain: Toolchain,
    /// The program that cargo built.
    exe: PathBuf,
    /// What it is linked with.
    inputs: Inputs,
    /// What libraries that stay as they are contain.
    contents: Contents,
    /// Source files that are not what was compiled.
    suspects: BTreeSet<PathBuf>,
    /// Units whose last compilation failed.
    failed: Vec<usize>,
    /// Whether cargo has to be asked before anything is compiled.
    needs_cargo: bool,
    /// Whether anything that is cargo's business changed since the program was linked.
    asked_cargo: bool,
    /// Whether objects that were kept when the program was linked have been removed since.
    keeps_again: bool,
    /// Of the target folder, held as long as the session lasts.
    lock: File,
}

impl Build {
    /// Finds the project and prepares a target folder for the session.
    ///
    /// # Errors
    /// If cargo does not find the project, or the folder cannot be prepared.
    pub fn prepare(options: &RunOptions) -> Result<Build, BuildError> {
        Build::prepare_in(options, |project| {
            let (target_dir, lock) = project.own_target_dir()?;
            let stage = setup::stage(&target_dir, project)?;
            Ok((target_dir, lock, stage))
        })
    }

    /// The same in the target folder that `folder` gives, with its lock.
    fn prepare_in(
        options: &RunOptions,
        folder: impl FnOnce(&Project) -> Result<(PathBuf, File, Stage), BuildError>,
    ) -> Result<Build, BuildError> {
        let cargo = project::cargo();
        let host = std::thread::spawn(move || config::host(cargo.as_os_str()));
        let project = Project::of(options)?;
        let (target_dir, lock, stage) = folder(&project)?;
        let host = host.join().ok().flatten().ok_or_else(|| {
            BuildError::Failed("neither rustc nor cargo names the host".to_owned())
        })?;
        let cwd = env::current_dir()
            .map_err(|error| BuildError::Failed(format!("the working folder: {error}")))?;
        let config = Config::read(&project.cargo_args, &cwd, &host);
        let cargo = Cargo::new(&project, options, &config, &stage, &target_dir);
        let toolchain = Toolchain::of(&cwd);
        Ok(Build::of(
            options.clone(),
            project,
            (target_dir, lock, stage),
            cargo,
            toolchain,
        ))
    }

    /// Before anything is built.
    fn of(
        options: RunOptions,
        project: Project,
        (target_dir, lock, stage): (PathBuf, File, Stage),
        cargo: Cargo,
        toolchain: Toolchain,
    ) -> Build {
        Build {
            options,
            cargo,
            colours: Colours::of(&project.cargo_args),
            project,
            target_dir,
            stage,
            units: Vec::new(),
            reach: Vec::new(),
            graph: Graph::default(),
            cargo_files: CargoFiles::default(),
            toolchain,
            exe: PathBuf::new(),
            inputs: Inputs::default(),
            contents: Contents::default(),
            suspects: BTreeSet::new(),
            failed: Vec::new(),
            needs_cargo: false,
            asked_cargo: false,
            keeps_again: false,
            lock,
        }
    }

    /// The session's own target folder.
    pub fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Builds as `cargo run` does. Cargo's messages go to stderr.
    ///
    /// # Errors
    /// [`BuildError::Cargo`] if cargo fails.
    pub fn first(&mut self) -> Result<(Launch, Linked), BuildError> {
        let mut ready = self.cargo.build()?;
        let (records, manifest) = match self.linked(&ready)? {
            (_, program, None) => {
                // Cargo took the executable for fresh, but what belongs to it is gone.
                let output = program.output();
                files::remove(&output).map_err(|error| at(&output, &error))?;
                ready = self.cargo.build()?;
                let (records, _, manifest) = self.linked(&ready)?;
                (records, manifest)
            }
            (records, _, manifest) => (records, manifest),
        };
        let manifest = manifest.ok_or_else(|| {
            BuildError::Failed("the program was linked without liveswap's link stage".to_owned())
        })?;
        let program = records
            .program(&ready.exe)
            .map(Record::key)
            .unwrap_or_default();
        self.built(ready, &records, &program, manifest)
    }

    /// Takes in what cargo built and the link stage linked.
    fn built(
        &mut self,
        ready: Ready,
        records: &Records,
        program: &str,
        manifest: Manifest,
    ) -> Result<(Launch, Linked), BuildError> {
        self.take_over(records, program, &manifest)?;
        self.contents.learn(&self.graph);
        self.exe = ready.exe;
        self.inputs = manifest.inputs.clone();
        let mut linked = linked(manifest);
        linked.sources = self
            .units
            .iter()
            .map(|unit| LinkedSources {
                unit: unit.record.unit.clone(),
                name: unit.record.crate_name.clone(),
                sources: unit.source_texts(),
            })
            .collect();
        // Crates that are declared, but not used, are not linked. An edit may use them.
        for archive in self.graph.foreign_archives() {
            if !linked.archives.contains(&archive) {
                linked.archives.push(archive);
            }
        }
        Ok((ready.launch, linked))
    }

    /// The record and the manifest of the program that cargo built; no manifest if it does not fit.
    fn linked(&self, ready: &Ready) -> Result<(Records, Record, Option<Manifest>), BuildError> {
        let units = self.stage.units();
        let records = Records::read(&self.stage).map_err(|error| at(&units, &error))?;
        let program = records.program(&ready.exe).cloned().ok_or_else(|| {
            BuildError::Failed(format!(
                "{} is not a program of this workspace",
                ready.exe.display()
            ))
        })?;
        let manifest = Manifest::read(&self.stage.link(&program.key()))
            .ok()
            .filter(Manifest::is_true);
        Ok((records, program, manifest))
    }

    fn take_over(
        &mut self,
        records: &Records,
        program: &str,
        manifest: &Manifest,
    ) -> Result<(), BuildError> {
        let graph = records.graph(program, &manifest.inputs);
        let mut linked: HashMap<&str, _> = manifest
            .crates
            .iter()
            .map(|krate| (krate.unit.as_str(), krate))
            .collect();
        let mut units = Vec::new();
        for (record, time) in &graph.live {
            let krate = linked.remove(record.unit.as_str());
            let native = krate.map_or(0, |krate| krate.native.0);
            let kept = krate.map(|krate| kept(&krate.objects)).unwrap_or_default();
            units.push(Unit::new(record.clone(), *time, kept, native));
        }
        self.units = units;
        self.set_graph(graph)
    }

    /// Puts the program's graph in the place of the last one; the units are there already.
    fn set_graph(&mut self, graph: Graph) -> Result<(), BuildError> {
        let mut seen = Reader::default();
        for (unit, dependencies) in self.units.iter_mut().zip(&graph.dependencies) {
            unit.dependencies.clone_from(dependencies);
            let started = unit.recorded_at;
            unit.read_sources(&mut seen, started)
                .map_err(|error| at(&unit.record.dep_info(), &error))?;
        }
        self.reach = graph.reach();
        self.cargo_files = CargoFiles::of(&graph, &self.project, &self.target_dir);
        self.graph = graph;
        Ok(())
    }

    /// A panic ended a compilation, and what was being changed may be half changed. Cargo is asked next, and
    /// says all of it again; until then any file of a package may be a source.
    pub fn broke_down(&mut self) {
        self.needs_cargo = true;
        self.failed = (0..self.units.len()).collect();
    }

    /// The files that the program was compiled from, and those that cargo reads.
    pub fn sources(&self) -> Vec<PathBuf> {
        let mut files: BTreeSet<PathBuf> = BTreeSet::new();
        for unit in &self.units {
            files.extend(unit.sources.keys().cloned());
            files.extend(unit.aliases.keys().cloned());
        }
        files.extend(self.cargo_files.paths().map(Path::to_owned));
        files.extend(self.toolchain.files(&self.project.workspace_root));
        files.into_iter().collect()
    }

    /// Files that were written while cargo compiled or read them, so that it may have seen the one or the
    /// other, or since: they should be treated as changed.
    pub fn uncertain_sources(&self) -> Vec<PathBuf> {
        let mut files: BTreeSet<PathBuf> = BTreeSet::new();
        for unit in &self.units {
            files.extend(
                unit.sources
                    .iter()
                    .filter(|(path, version)| !version.as_ref().is_some_and(|it| it.still_is(path)))
                    .map(|(path, _)| path.clone()),
            );
            let turned = unit
                .aliases
                .iter()
                .filter(|(alias, real)| canonical(alias) != **real);
            files.extend(turned.map(|(alias, _)| alias.clone()));
        }
        files.extend(self.cargo_files.written().map(Path::to_owned));
        if self.toolchain.change().is_some() {
            files.extend(self.toolchain.files(&self.project.workspace_root));
        }
        files.into_iter().collect()
    }

    /// The names of the user's crates whose code stays as it is.
    pub fn fixed_crates(&self) -> Vec<String> {
        let names = self.graph.fixed().map(|record| record.crate_name.clone());
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Folders in which files of the build are or may appear: packages and the workspace's root.
    pub fn watch_roots(&self) -> Vec<PathBuf> {
        let mut roots: BTreeSet<PathBuf> = self
            .units
            .iter()
            .map(|unit| unit.record.manifest_dir.path().to_owned())
            .collect();
        roots.extend(
            self.graph
                .helpers
                .iter()
                .chain(self.graph.fixed())
                .filter(|record| record.kind != Kind::Foreign)
                .map(|record| record.manifest_dir.path().to_owned()),
        );
        roots.insert(self.project.workspace_root.clone());
        roots.into_iter().collect()
    }

    /// What a changed path means. It does not look whether the contents changed:
    /// [`Build::compile`] does.
    pub fn classify(&self, path: &Path) -> Change {
        let real = canonical(path);
        if real.starts_with(&self.target_dir) {
            return Change::Irrelevant;
        }
        if self.cargo_files.concerns(&real) {
            return Change::Cargo;
        }
        let of_units: Vec<usize> = (0..self.units.len())
            .filter(|&number| self.units[number].source(path, &real).is_some())
            .collect();
        if !of_units.is_empty() {
            let by_cargo = of_units
                .iter()
                .any(|number| self.graph.used_by_foreign.contains(number));
            return if by_cargo {
                Change::Cargo
            } else {
                Change::Source
            };
        }
        let may_mend = self.failed.iter().any(|&number| {
            let package = canonical(self.units[number].record.manifest_dir.path());
            real.starts_with(&package) && cargo_files::is_ordinary(&real, &package)
        });
        if may_mend {
            return Change::Source;
        }
        if self.cargo_files.may_concern(&real) {
            return Change::Cargo;
        }
        if self.toolchain.concerns(&real) {
            return Change::Source;
        }
        Change::Irrelevant
    }
}

fn kept(objects: &[Object]) -> BTreeMap<String, Kept> {
    let kept = |object: &Object| Kept {
        path: object.path.path().to_owned(),
        hash: object.hash.0,
    };
    let objects = objects.iter();
    objects
        .map(|object| (object.cgu.clone(), kept(object)))
        .collect()
}

/// What a session and an engine have to know of a linked program.
fn linked(manifest: Manifest) -> Linked {
    let paths = |texts: Vec<Text>| -> Vec<PathBuf> {
        texts.into_iter().map(|text| text.0.into()).collect()
    };
    Linked {
        sources: Vec::new(),
        exe: manifest.exe.0.into(),
        crates: manifest
            .crates
            .into_iter()
            .map(|krate| LinkedCrate {
                name: krate.name,
                unit: krate.unit,
                objects: krate
                    .objects
                    .into_iter()
                    .map(|object| (object.cgu, object.path.0.into()))
                    .collect(),
                opt_level: krate.opt_level,
            })
            .collect(),
        archives: paths(manifest.inputs.archives),
        missing: manifest.missing,
        obstacle: manifest.obstacle,
    }
}

fn at(path: &Path, error: &std::io::Error) -> BuildError {
    BuildError::Failed(format!("{}: {error}", path.display()))
}
