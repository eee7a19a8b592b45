//! The crates of a program, found by following the records from the executable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use crate::stage::layout::Stage;
use crate::stage::manifest::Inputs;
use crate::stage::record::{self, Kind, Record};

/// All records of the stage, by key.
#[derive(Debug, Default)]
pub struct Records(HashMap<String, (Record, SystemTime)>);

/// The crates that a program is made of.
#[derive(Debug, Default)]
pub struct Graph {
    /// Live crates, dependencies first; the last one is the program. With the time of the record.
    pub live: Vec<(Record, SystemTime)>,
    /// For each live crate the numbers of those that it uses directly.
    pub dependencies: Vec<Vec<usize>>,
    /// Crates of others, by key, and the user's that stay as they are: those in dynamic libraries.
    pub foreign: BTreeMap<String, Record>,
    /// Their keys, dependencies first.
    pub foreign_order: Vec<String>,
    /// Live crates that a crate of others uses: cargo has to compile them.
    pub used_by_foreign: Vec<usize>,
    /// What is compiled to compile these: proc macros, build scripts and what they use.
    pub helpers: Vec<Record>,
}

impl Records {
    /// Reads them.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(stage: &Stage) -> io::Result<Records> {
        let records = Record::read_all(stage)?;
        Ok(Records(
            records
                .into_iter()
                .map(|(record, time)| (record.key(), (record, time)))
                .collect(),
        ))
    }

    /// The record with this key.
    pub fn get(&self, key: &str) -> Option<&Record> {
        self.0.get(key).map(|(record, _)| record)
    }

    /// The program that cargo put at `exe`: the same file, or the newest one of that name.
    pub fn program(&self, exe: &Path) -> Option<&Record> {
        let name = exe.file_name()?.to_str()?.replace('-', "_");
        let identity = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        let wanted = identity(exe);
        let mut candidates: Vec<&(Record, SystemTime)> = self
            .0
            .values()
            .filter(|(record, _)| {
                record.kind == Kind::Live && record.is_program() && record.crate_name == name
            })
            .collect();
        candidates.sort_unstable_by_key(|(_, time)| *time);
        candidates
            .iter()
            .find(|(record, _)| wanted.is_some() && identity(&record.output()) == wanted)
            .or(candidates.last())
            .map(|(record, _)| record)
    }

    /// What cargo calls the programs that it would put at `exe`: one for each set of dependencies.
    pub fn outputs_of_programs(&self, exe: &Path) -> Vec<PathBuf> {
        let name = exe.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().replace('-', "_");
        let records = self.0.values().map(|(record, _)| record);
        let programs = records.filter(|record| {
            record.kind == Kind::Live && record.is_program() && record.crate_name == name
        });
        programs.map(Record::output).collect()
    }

    /// The same after a run of cargo that did not link: what it compiled is not at `exe`.
    pub fn program_of_run(&self, exe: &Path, run: &str) -> Option<&Record> {
        let name = exe.file_name()?.to_str()?.replace('-', "_");
        self.0
            .values()
            .map(|(record, _)| record)
            .find(|record| {
                record.kind == Kind::Live
                    && record.is_program()
                    && record.crate_name == name
                    && record.run == run
            })
            .or_else(|| self.program(exe))
    }

    /// What the program with this key is made of, if it is linked with these.
    pub fn graph(&self, program: &str, inputs: &Inputs) -> Graph {
        let mut walk = Walk {
            records: self,
            in_dynamic: self.in_dynamic(inputs),
            graph: Graph::default(),
            numbers: HashMap::new(),
            helpers: BTreeMap::new(),
        };
        walk.in_program(program, false);
        let mut graph = walk.graph;
        graph.helpers = walk.helpers.into_values().collect();
        graph
    }
}

impl Records {
    /// The keys of crates whose code is in dynamic libraries of the program: such a library has all that it uses
    /// in it. The program has no slots for them, and a second copy would have statics of its own.
    fn in_dynamic(&self, inputs: &Inputs) -> HashSet<String> {
        let libraries = inputs.libraries.iter().map(|library| library.path());
        let dynamic = libraries.filter(|path| path.extension().is_some_and(|it| it == "so"));
        let mut queue: Vec<String> = dynamic.filter_map(record::key_of_library).collect();
        let mut found = HashSet::new();
        while let Some(key) = queue.pop() {
            if let Some(record) = self.get(&key)
                && found.insert(key)
            {
                queue.extend(record.extern_keys());
            }
        }
        found
    }
}

struct Walk<'a> {
    records: &'a Records,
    in_dynamic: HashSet<String>,
    graph: Graph,
    /// Of crates in the program: the live crates by which one depends on it (itself, if it is live).
    numbers: HashMap<String, Vec<usize>>,
    helpers: BTreeMap<String, Record>,
}

impl Walk<'_> {
    /// Enters a crate that is part of the program; returns the live crates that stand for it.
    fn in_program(&mut self, key: &str, by_foreign: bool) -> Vec<usize> {
        if let Some(numbers) = self.numbers.get(key) {
            let numbers = numbers.clone();
            if by_foreign {
                self.note_foreign(&numbers);
            }
            return numbers;
        }
        let Some((record, time)) = self.records.0.get(key) else {
            return Vec::new();
        };
        if record.crate_types.iter().any(|kind| kind == "proc-macro") {
            self.helper(key);
            self.numbers.insert(key.to_owned(), Vec::new());
            return Vec::new();
        }
        self.build_scripts(record);
        let is_dynamic = self.in_dynamic.contains(key);
        let is_live = record.kind == Kind::Live && !is_dynamic;
        let mut below: Vec<usize> = Vec::new();
        for used in record.extern_keys() {
            below.extend(self.in_program(&used, !is_live));
        }
        below.sort_unstable();
        below.dedup();
        let numbers = if is_live {
            self.graph.live.push((record.clone(), *time));
            self.graph.dependencies.push(below);
            let number = self.graph.live.len() - 1;
            if by_foreign {
                self.note_foreign(&[number]);
            }
            vec![number]
        } else {
            let mut record = record.clone();
            if record.kind == Kind::Live {
                record.kind = Kind::Helper;
            }
            self.graph.foreign.insert(key.to_owned(), record);
            self.graph.foreign_order.push(key.to_owned());
            below
        };
        self.numbers.insert(key.to_owned(), numbers.clone());
        numbers
    }

    fn note_foreign(&mut self, numbers: &[usize]) {
        self.graph.used_by_foreign.extend(numbers);
        self.graph.used_by_foreign.sort_unstable();
        self.graph.used_by_foreign.dedup();
    }

    /// Enters what runs during the build.
    fn helper(&mut self, key: &str) {
        if self.helpers.contains_key(key) {
            return;
        }
        let Some(record) = self.records.get(key) else {
            return;
        };
        self.helpers.insert(key.to_owned(), record.clone());
        self.build_scripts(record);
        for used in record.extern_keys() {
            self.helper(&used);
        }
    }

    /// The build scripts of a crate's package.
    fn build_scripts(&mut self, record: &Record) {
        if record.build_out_dir.is_none() {
            return;
        }
        let scripts: Vec<String> = self
            .records
            .0
            .values()
            .filter(|(script, _)| {
                script.crate_name.starts_with("build_script_")
                    && script.manifest_dir == record.manifest_dir
            })
            .map(|(script, _)| script.key())
            .collect();
        for script in scripts {
            if !self.helpers.contains_key(&script) {
                self.helper(&script);
            }
        }
    }
}

impl Graph {
    /// For each live crate those that it depends on, however indirectly.
    pub fn reach(&self) -> Vec<Vec<bool>> {
        let mut reach: Vec<Vec<bool>> = Vec::new();
        for direct in &self.dependencies {
            let mut row = vec![false; self.live.len()];
            for &number in direct {
                row[number] = true;
                for (below, reached) in reach[number].iter().enumerate() {
                    row[below] |= reached;
                }
            }
            reach.push(row);
        }
        reach
    }

    /// The user's crates that stay as they are.
    pub fn fixed(&self) -> impl Iterator<Item = &Record> {
        let foreign = self.foreign.values();
        foreign.filter(|record| record.kind != Kind::Foreign)
    }

    /// The libraries of crates of others, those that are used before those that use them.
    pub fn foreign_archives(&self) -> Vec<PathBuf> {
        self.foreign_order
            .iter()
            .filter_map(|key| self.foreign.get(key))
            .map(Record::output)
            .collect()
    }

    /// The outputs of build scripts: what they printed, with the package's folder.
    pub fn script_outputs(&self) -> Vec<(PathBuf, PathBuf)> {
        let records = self
            .live
            .iter()
            .map(|(record, _)| record)
            .chain(&self.helpers)
            .chain(self.foreign.values());
        let mut outputs: Vec<(PathBuf, PathBuf)> = records
            .filter(|record| record.kind != Kind::Foreign)
            .filter_map(|record| {
                let output = record
                    .build_out_dir
                    .as_ref()?
                    .path()
                    .parent()?
                    .join("output");
                Some((output, record.manifest_dir.path().to_owned()))
            })
            .collect();
        outputs.sort_unstable();
        outputs.dedup();
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::text::Text;

    fn record(stem: &str, kind: Kind, types: &str, externs: &[&str]) -> (Record, SystemTime) {
        let record = Record {
            kind,
            unit: stem.to_owned(),
            stem: stem.to_owned(),
            crate_name: stem.split('-').next().unwrap().to_owned(),
            crate_types: vec![types.to_owned()],
            package: stem.to_owned(),
            version: "1".to_owned(),
            manifest_dir: stem.into(),
            out_dir: "/t".into(),
            opt_level: "0".to_owned(),
            incremental: true,
            features: Vec::new(),
            code_options: Vec::new(),
            externs: externs
                .iter()
                .map(|stem| Text::from(format!("/t/lib{stem}.rlib").as_str()))
                .collect(),
            build_out_dir: None,
            run: String::new(),
            command: None,
        };
        (record, SystemTime::UNIX_EPOCH)
    }

    /// All records, and the key of the first.
    fn all(records: impl IntoIterator<Item = (Record, SystemTime)>) -> (String, Records) {
        let records: Vec<_> = records.into_iter().collect();
        let key = records[0].0.key();
        let records = records.into_iter().map(|entry| (entry.0.key(), entry));
        (key, Records(records.collect()))
    }

    #[test]
    fn dependencies_come_first_and_others_are_left_out() {
        let records = [
            record("app-1", Kind::Live, "bin", &["mid-1", "serde-1", "pm-1"]),
            record("mid-1", Kind::Live, "lib", &["leaf-1"]),
            record("leaf-1", Kind::Live, "lib", &[]),
            record("serde-1", Kind::Foreign, "lib", &["patched-1"]),
            record("patched-1", Kind::Live, "lib", &[]),
            record("pm-1", Kind::Helper, "proc-macro", &["syn-1"]),
            record("syn-1", Kind::Foreign, "lib", &[]),
            record("old-1", Kind::Live, "lib", &[]),
        ];
        let (key, records) = all(records);
        let graph = records.graph(&key, &Inputs::default());
        let names: Vec<&str> = graph
            .live
            .iter()
            .map(|(record, _)| record.stem.as_str())
            .collect();
        assert_eq!(names, ["leaf-1", "mid-1", "patched-1", "app-1"]);
        assert_eq!(graph.dependencies, [vec![], vec![0], vec![], vec![1, 2]]);
        assert_eq!(graph.used_by_foreign, [2]);
        assert_eq!(graph.foreign.len(), 1);
        assert_eq!(graph.helpers.len(), 2);
        assert_eq!(graph.reach()[3], [true, true, true, false]);
    }

    /// An edit in the program brought a second copy of `engine` in, whose statics began anew.
    #[test]
    fn what_is_in_a_dynamic_library_is_not_in_the_program() {
        let records = [
            record("app-1", Kind::Live, "bin", &["engine-1", "all", "logic-1"]),
            record("all", Kind::Helper, "dylib", &["engine-1"]),
            record("engine-1", Kind::Live, "lib", &[]),
            record("logic-1", Kind::Live, "lib", &["engine-1"]),
        ];
        let (key, records) = all(records);
        let inputs = Inputs {
            libraries: vec!["/t/liball.so".into(), "-lc".into(), "/s/libstd-1.so".into()],
            ..Inputs::default()
        };
        let graph = records.graph(&key, &inputs);
        let live = graph.live.iter().map(|(record, _)| record.stem.as_str());
        assert_eq!(live.collect::<Vec<_>>(), ["logic-1", "app-1"]);
        let fixed = graph.fixed().map(|record| record.stem.as_str());
        assert_eq!(fixed.collect::<Vec<_>>(), ["all", "engine-1"]);
    }
}
