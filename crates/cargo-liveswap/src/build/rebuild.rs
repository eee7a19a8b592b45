//! Lets cargo compile, for changes that are its business, and finds out what that means for the
//! running program.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::compile::read_objects;
use super::difference;
use super::program::{Graph, Records};
use super::replay;
use super::unit::{Objects, Unit};
use super::versions::Reader;
use super::{Build, at};
use crate::files;
use crate::model::{BuildError, CancelToken, Compiled};
use crate::stage::linker::INPUTS;
use crate::stage::manifest::Inputs;
use crate::stage::record::Record;

impl Build {
    /// Asks cargo what is stale, and gives out the objects that are new.
    ///
    /// # Errors
    /// If there is nothing to load afterwards: [`BuildError::NeedsRestart`] if what cargo built is not
    /// what this process can become.
    pub fn rebuild(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError> {
        // Until all went well, repeating commands of the last build could mix two builds.
        self.needs_cargo = true;
        self.asked_cargo = true;
        self.keeps_again |= self.restore()?;
        let mut seen = Reader::default();
        for path in &self.suspects {
            seen.read(path);
        }
        // Cargo may be about to overwrite them.
        self.contents.wait();
        let collect = self.stage.collect();
        let ready = self.cargo.rebuild(&collect, cancel)?;
        if ready.exe != self.exe {
            return Err(restart("cargo builds another program now"));
        }
        let folder = self.stage.units();
        let records = Records::read(&self.stage).map_err(|error| at(&folder, &error))?;
        let run = self.cargo.run();
        let program = records
            .program_of_run(&ready.exe, &run)
            .ok_or_else(|| restart("cargo builds another program now"))?;
        let is_new = program.run == run;
        if is_new {
            // The file is not what cargo takes it for: the next session has to link.
            let output = program.output();
            files::remove(&output).map_err(|error| at(&output, &error))?;
        }
        let inputs = if is_new {
            read_inputs(&replay::collected(&collect, program))?
        } else {
            self.inputs.clone()
        };
        let graph = records.graph(&program.key(), &inputs);
        let is_same = |record: &Record| self.contents.is_same(record);
        let difference = difference::of_graphs(&self.graph, &graph, &is_same)
            .or_else(|| difference::of_inputs(&self.inputs, &inputs, &self.target_dir));
        if let Some(reason) = difference {
            return Err(restart(&reason));
        }
        let mut units = self.units_of(&graph);
        for unit in &mut units {
            unit.keeps_again = self.keeps_again;
            let objects = self.objects_of(unit, &collect)?;
            unit.keeps_again = false;
            if let Some(objects) = objects {
                if objects.native != unit.native && !unit.is_program() {
                    let name = &unit.record.crate_name;
                    return Err(restart(&format!("native code in `{name}` changed")));
                }
                unit.compiled(objects);
            }
        }
        let known: HashSet<PathBuf> = self.graph.foreign_archives().into_iter().collect();
        let new_archives = graph
            .foreign_archives()
            .into_iter()
            .filter(|path| !known.contains(path))
            .collect();

        self.units = units;
        self.set_graph(graph)?;
        self.contents.learn(&self.graph);
        self.failed.clear();
        self.forget_suspects(&mut seen);
        let _ = fs::remove_dir_all(&collect);
        self.needs_cargo = false;
        self.keeps_again = false;
        let mut compiled = self.hand_out(Vec::new());
        compiled.new_archives = new_archives;
        Ok(compiled)
    }

    /// The units of a new graph: those that were there before keep what the engine has of them.
    fn units_of(&self, graph: &Graph) -> Vec<Unit> {
        graph
            .live
            .iter()
            .map(|(record, time)| {
                self.units
                    .iter()
                    .find(|unit| unit.record.unit == record.unit)
                    .map_or_else(
                        || Unit::new(record.clone(), *time, Default::default(), 0),
                        |unit| unit.as_recorded(record.clone(), *time),
                    )
            })
            .collect()
    }

    /// The objects of a unit, if cargo compiled it since they were last read.
    fn objects_of(&self, unit: &Unit, collect: &Path) -> Result<Option<Objects>, BuildError> {
        let old = self
            .units
            .iter()
            .find(|old| old.record.unit == unit.record.unit);
        let is_known = old.is_some_and(|old| {
            old.recorded_at == unit.recorded_at && old.record.stem == unit.record.stem
        });
        let is_collected = replay::collected(collect, &unit.record).is_dir();
        if is_known && !(unit.is_program() && is_collected) {
            return Ok(None);
        }
        read_objects(unit, collect, &mut Vec::new())
            .map(Some)
            .map_err(BuildError::Failed)
    }
}

/// What the program would be linked with now.
fn read_inputs(collected: &Path) -> Result<Inputs, BuildError> {
    let file = collected.join(INPUTS);
    let bytes = fs::read(&file).map_err(|error| at(&file, &error))?;
    serde_json::from_slice(&bytes)
        .map_err(|error| BuildError::Failed(format!("{}: {error}", file.display())))
}

fn restart(reason: &str) -> BuildError {
    BuildError::NeedsRestart {
        reason: reason.to_owned(),
    }
}
