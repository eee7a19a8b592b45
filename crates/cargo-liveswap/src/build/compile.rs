//! Compiles what source files make stale, by repeating recorded compilations.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use xxhash_rust::xxh3::xxh3_128;

use super::diagnostics::Colours;
use super::plan::{self, State};
use super::replay::{Finished, Job, Replay, ShowsMessages, Stopped, collected};
use super::unit::{Objects, Stale, Unit};
use super::versions::{Reader, Version, canonical};
use super::{Build, at};
use crate::interface;
use crate::model::{BuildError, CancelToken, Change, Compiled, Diagnostic};

impl Build {
    /// Compiles what these changed files make stale, and gives out the objects that are new.
    ///
    /// Nothing is compiled for a file that contains what was compiled last.
    ///
    /// # Errors
    /// If there is nothing to load afterwards. What was compiled before that is given out by the
    /// next call that succeeds.
    pub fn compile(
        &mut self,
        changed: &[PathBuf],
        cancel: &CancelToken,
    ) -> Result<Compiled, BuildError> {
        let mut by_cargo = self.needs_cargo || self.is_cleaned();
        for path in changed {
            let real = canonical(path);
            match self.classify(path) {
                Change::Cargo => by_cargo |= self.cargo_files.is_changed(&real),
                Change::Source | Change::Irrelevant => {}
            }
            for unit in &self.units {
                self.suspects.extend(unit.source(path, &real));
                if unit.aliases.contains_key(path) {
                    self.suspects.insert(path.clone());
                }
            }
        }
        let mut compiled = if by_cargo {
            self.rebuild(cancel)?
        } else {
            let mut seen = Reader::default();
            let states: Vec<State> = (0..self.units.len())
                .map(|number| self.state(number, &mut seen))
                .collect();
            self.run(&states, seen, cancel)?
        };
        let mut reals = changed.iter().map(|path| canonical(path));
        if reals.any(|path| self.toolchain.concerns(&path)) {
            compiled.pending.extend(self.toolchain.change());
        }
        Ok(compiled)
    }

    /// Compiles the crates that were left out because nothing needed them at once.
    ///
    /// # Errors
    /// As [`Build::compile`].
    pub fn finish_deferred(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError> {
        if self.needs_cargo || self.is_cleaned() {
            return Ok(Compiled::default());
        }
        let mut seen = Reader::default();
        let states: Vec<State> = (0..self.units.len())
            .map(|number| self.state(number, &mut seen))
            .map(|state| State {
                // Only for this time: if it is cancelled, nothing needs them as before.
                stale: match state.stale {
                    Stale::Deferred => Stale::Must,
                    other => other,
                },
                ..state
            })
            .collect();
        let compiled = self.run(&states, seen, cancel);
        if compiled.is_err() && self.is_cleaned() {
            // No edit is to blame. Cargo builds all of it with the next save.
            self.needs_cargo = true;
            return Ok(Compiled::default());
        }
        compiled
    }

    /// Whether a unit's sources are what was compiled, and who can see the difference.
    fn state(&self, number: usize, seen: &mut Reader) -> State {
        let unit = &self.units[number];
        let mut state = State {
            changed: false,
            visible: false,
            stale: unit.stale,
        };
        for path in &self.suspects {
            let Some(known) = unit.compiled_from(path) else {
                continue;
            };
            let now = seen.read(path);
            if known.is_some_and(|known| known.same_as(&now)) {
                continue;
            }
            state.changed = true;
            state.visible |= !unit.is_program() && is_visible(unit, path, known, &now);
        }
        state
    }

    fn run(
        &mut self,
        states: &[State],
        mut seen: Reader,
        cancel: &CancelToken,
    ) -> Result<Compiled, BuildError> {
        let started = SystemTime::now();
        let plan = plan::plan(states, &self.reach);
        let numbers: Vec<usize> = (0..self.units.len())
            .filter(|&number| plan[number])
            .collect();
        let mut runs = Vec::new();
        let mut succeeded = vec![false; self.units.len()];
        self.failed.clear();
        let failure = if numbers.is_empty() {
            None
        } else {
            let Ran {
                finished,
                objects,
                shown,
                stopped,
            } = self.replay(&numbers, cancel);
            let mut failure = stopped;
            for (&number, finished) in numbers.iter().zip(&finished) {
                succeeded[number] = finished.success;
                if finished.begun {
                    self.units[number].shown.clear();
                }
            }
            for (job, hash) in shown {
                self.units[numbers[job]].shown.insert(hash);
            }
            for ((&number, finished), objects) in numbers.iter().zip(finished).zip(objects) {
                let name = self.units[number].record.crate_name.clone();
                if finished.begun {
                    runs.push((name, finished.elapsed));
                }
                match objects {
                    Some(Ok(objects)) if finished.success => {
                        if let Err(error) = self.take_in(number, objects, &mut seen, started) {
                            failure = Some(error);
                        }
                    }
                    Some(Err(error)) if finished.success => {
                        failure = Some(BuildError::Failed(error));
                    }
                    _ => {
                        let is_needed = (0..states.len()).any(|other| {
                            self.reach[number][other] && states[other].visible && succeeded[other]
                        });
                        if is_needed {
                            self.units[number].stale = Stale::Must;
                        }
                        if finished.begun {
                            self.failed.push(number);
                        }
                        note_errors(&mut failure, finished);
                    }
                }
            }
            failure
        };
        self.leave_out(&plan, &succeeded);
        self.forget_suspects(&mut seen);
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.take_in_unlinked(&numbers)?;
        Ok(self.hand_out(runs))
    }

    /// Crates that the program did not use when it was linked are not in it: once something is
    /// compiled that may use them, the engine needs them.
    fn take_in_unlinked(&mut self, compiled: &[usize]) -> Result<(), BuildError> {
        for number in 0..self.units.len() {
            let unit = &self.units[number];
            if unit.is_linked() || !compiled.iter().any(|&user| self.reach[user][number]) {
                continue;
            }
            let objects = unit
                .library_objects(&mut Vec::new())
                .map_err(BuildError::Failed)?;
            self.units[number].compiled(objects);
        }
        Ok(())
    }

    /// Marks what depends on what was compiled and was not compiled itself.
    fn leave_out(&mut self, plan: &[bool], succeeded: &[bool]) {
        for (number, unit) in self.units.iter_mut().enumerate() {
            let is_left_out = !plan[number]
                && (0..succeeded.len()).any(|other| succeeded[other] && self.reach[number][other]);
            if is_left_out {
                unit.stale = unit.stale.max(Stale::Deferred);
            }
        }
    }

    /// Repeats the compilations of these units and reads their objects.
    fn replay(&self, numbers: &[usize], cancel: &CancelToken) -> Ran {
        let jobs: Vec<Job<'_>> = numbers
            .iter()
            .map(|&number| Job {
                record: &self.units[number].record,
                after: (0..numbers.len())
                    .filter(|&other| self.reach[number][numbers[other]])
                    .collect(),
            })
            .collect();
        let show = Show {
            units: numbers.iter().map(|&number| &self.units[number]).collect(),
            colours: self.colours,
            shown: RefCell::default(),
        };
        let replay = Replay {
            stage: &self.stage,
            collect: self.stage.collect(),
            show: &show,
        };
        let mut objects: Vec<Option<Result<Objects, String>>> =
            numbers.iter().map(|_| None).collect();
        let mut buffer = Vec::new();
        let result = replay.run(&jobs, cancel, &mut |job, finished| {
            if finished.success {
                let unit = &self.units[numbers[job]];
                objects[job] = Some(read_objects(unit, &replay.collect, &mut buffer));
            }
        });
        let shown = show.shown.into_inner();
        match result {
            Ok(finished) => Ran {
                finished,
                objects,
                shown,
                stopped: None,
            },
            Err(reason) => {
                let error = match reason {
                    Stopped::Cancelled => BuildError::Cancelled,
                    Stopped::Failed(message) => BuildError::Failed(message),
                };
                // Those that came to their end are compiled, the others are not.
                let finished = objects
                    .iter()
                    .map(|objects| Finished {
                        success: objects.is_some(),
                        ..Finished::default()
                    })
                    .collect();
                Ran {
                    finished,
                    objects,
                    shown,
                    stopped: Some(error),
                }
            }
        }
    }

    /// Takes in what a compilation of a unit made.
    pub(super) fn take_in(
        &mut self,
        number: usize,
        objects: Objects,
        seen: &mut Reader,
        started: SystemTime,
    ) -> Result<(), BuildError> {
        let unit = &mut self.units[number];
        unit.compiled(objects);
        unit.stale = Stale::No;
        unit.read_sources(seen, started)
            .map_err(|error| at(&unit.record.dep_info(), &error))
    }

    /// Takes files off the list of suspects that are what all units were compiled from.
    pub(super) fn forget_suspects(&mut self, seen: &mut Reader) {
        let units = &self.units;
        self.suspects.retain(|path| {
            let now = seen.read(path);
            units
                .iter()
                .filter_map(|unit| unit.compiled_from(path))
                .any(|known| !known.is_some_and(|known| known.same_as(&now)))
        });
    }

    /// What the engine has not got yet.
    pub(super) fn hand_out(&mut self, rustc_runs: Vec<(String, Duration)>) -> Compiled {
        Compiled {
            crates: self.units.iter_mut().filter_map(Unit::hand_out).collect(),
            rustc_runs,
            new_archives: Vec::new(),
            pending: Vec::new(),
            deferred: self.units.iter().any(|unit| unit.stale == Stale::Deferred),
        }
    }
}

/// What repeated compilations led to.
struct Ran {
    finished: Vec<Finished>,
    objects: Vec<Option<Result<Objects, String>>>,
    /// Job and hash of each message.
    shown: HashSet<(usize, u128)>,
    stopped: Option<BuildError>,
}

/// The objects that a compilation of a unit made.
pub(super) fn read_objects(
    unit: &Unit,
    collect: &Path,
    buffer: &mut Vec<u8>,
) -> Result<Objects, String> {
    if unit.is_program() {
        let folder = collected(collect, &unit.record);
        let objects = unit.collected_objects(&folder, buffer);
        let _ = fs::remove_dir_all(folder);
        objects
    } else {
        unit.library_objects(buffer)
    }
}

/// Whether other crates can see the difference between two versions of a source file.
fn is_visible(unit: &Unit, path: &Path, old: Option<&Version>, new: &Version) -> bool {
    let (Some(old), Some(new)) = (old.and_then(|old| old.text.as_ref()), new.text.as_ref()) else {
        return true;
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut texts = unit.sources.values().flatten();
    if texts.any(|version| {
        version
            .text
            .as_ref()
            .is_none_or(|text| interface::may_include(text, &name))
    }) {
        return true;
    }
    let no_inference = unit.record.opt_level == "0" || unit.record.incremental;
    match interface::unchanged(old, new, no_inference) {
        Ok(()) => false,
        Err(why) => {
            tracing::debug!(krate = unit.record.crate_name, %why, "dependents are compiled");
            true
        }
    }
}

/// Makes a failed compilation the reason, unless there is another already.
fn note_errors(failure: &mut Option<BuildError>, finished: Finished) {
    if !finished.begun {
        return;
    }
    match failure {
        None => {
            *failure = Some(BuildError::Compile {
                diagnostics: finished.diagnostics,
            });
        }
        Some(BuildError::Compile { diagnostics }) => diagnostics.extend(finished.diagnostics),
        Some(_) => {}
    }
}

/// Shows messages, but a warning only if the last compilation of the crate did not give the same.
#[derive(Debug)]
struct Show<'a> {
    units: Vec<&'a Unit>,
    colours: Colours,
    shown: RefCell<HashSet<(usize, u128)>>,
}

impl ShowsMessages for Show<'_> {
    fn show(&self, job: usize, diagnostic: &Diagnostic) {
        let hash = xxh3_128(diagnostic.rendered.as_bytes());
        self.shown.borrow_mut().insert((job, hash));
        if diagnostic.level != "warning" || !self.units[job].shown.contains(&hash) {
            self.colours.show(&diagnostic.rendered);
        }
    }
}
