//! One sequence: a program that runs and its model, step by step.

use std::fmt;
use std::fs;

use liveswap_tests::random::Random;
use liveswap_tests::{CProject, Host, HostOptions, Reply, elf_damage};

use crate::edits::{Damage, Edit, random_edits};
use crate::rules::{File, Model, Said, Version};
use crate::spec::{ModuleId, SYSTEM, Spec, name};

const STEPS: usize = 6;

/// How often what happened.
#[derive(Debug, Default)]
pub struct Totals {
    reloads: u64,
    refusals: u64,
    resized: u64,
    unchanged: u64,
    calls: u64,
    aborts: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.reloads += other.reloads;
        self.refusals += other.refusals;
        self.resized += other.resized;
        self.unchanged += other.unchanged;
        self.calls += other.calls;
        self.aborts += other.aborts;
    }

    /// A generator that no longer generates something would make a test that cannot fail.
    pub fn require_that_everything_happened(&self) {
        let counts = [
            self.reloads,
            self.refusals,
            self.resized,
            self.unchanged,
            self.calls,
            self.aborts,
        ];
        assert!(counts.iter().all(|&count| count >= 10), "{self}");
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} reloads, {} refusals, {} times nothing to reload, {} globals of another size, \
             {} calls, {} calls of gone procs",
            self.reloads, self.refusals, self.unchanged, self.resized, self.calls, self.aborts
        )
    }
}

struct Session {
    seed: u64,
    step: usize,
    project: CProject,
    host: Host,
    model: Model,
    /// The newest good source of each module, also of those whose file is broken now.
    sources: Vec<Spec>,
    next_stamp: u64,
    edits: Vec<Edit>,
    totals: Totals,
}

/// Runs the sequence that the seed determines.
pub fn run(seed: u64) -> Totals {
    let mut random = Random::new(seed);
    let mut session = Session::start(seed, &mut random);
    for step in 1..=STEPS {
        session.step = step;
        session.edits = random_edits(&mut random, &session.model, &session.sources);
        session.write_files();
        session.check_queries();
        session.reload();
        session.check_queries();
        session.call_all();
    }
    session.end(&mut random)
}

impl Session {
    fn start(seed: u64, random: &mut Random) -> Self {
        let last = 1 + random.below(5);
        let sources: Vec<Spec> = (0..=last).map(|_| Spec::random(random, last)).collect();
        let mut root_imports: Vec<ModuleId> = (0..1 + random.below(2))
            .map(|_| 1 + random.below(last))
            .collect();
        // The program cannot do without the system module, and cannot be edited.
        root_imports.insert(random.below(root_imports.len() + 1), SYSTEM);
        let project = CProject::without_system("modules");
        for (module, spec) in sources.iter().enumerate() {
            project.write(&spec.to_c(module));
        }
        let mut model = Model::new(sources.clone(), root_imports.clone());
        let expected = model.start();
        let names: Vec<String> = root_imports.iter().map(|&module| name(module)).collect();
        let mut options = HostOptions::importing_exactly(names.iter().map(String::as_str));
        options = match random.below(3) {
            0 => options.env("LIVESWAP_KEEP_IMAGES", "0"),
            1 => options.env("LIVESWAP_KEEP_IMAGES", "all"),
            _ => options,
        };
        let (host, reply) = options.start(&project);
        let mut session = Self {
            seed,
            step: 0,
            project,
            host,
            model,
            next_stamp: sources.len() as u64 + 1,
            sources,
            edits: Vec::new(),
            totals: Totals::default(),
        };
        session.compare(&expected, &reply);
        for index in 0..random.below(3) {
            let before = random.chance(50);
            let when = if before { "before" } else { "after" };
            let line = format!("{when} root {index}");
            session.host.command(&format!("handler {when} {line}"));
            session.model.root_handlers.push((before, line));
        }
        session.call_all();
        session
    }

    /// Writes what the step's edits say, to the disk and to the model.
    fn write_files(&mut self) {
        for edit in self.edits.clone() {
            let module = edit.module();
            let file = match edit {
                Edit::Write(module, spec) => {
                    self.project.write(&spec.to_c(module));
                    self.sources[module] = spec.clone();
                    File::Good(spec)
                }
                Edit::Break(module, damage, spec) => {
                    self.damage(module, damage, &spec);
                    File::Broken(damage.step())
                }
            };
            let stamp = self.next_stamp;
            self.next_stamp += 1;
            self.model.disk[module] = Version { file, stamp };
        }
    }

    fn damage(&self, module: ModuleId, damage: Damage, spec: &Spec) {
        let place = name(module);
        let library = || fs::read(self.project.path(&place)).expect("the file is there");
        let bytes = match damage {
            Damage::Text => b"this is no library\n".repeat(30),
            Damage::Empty => Vec::new(),
            Damage::Truncated => elf_damage::truncated(&library(), 70),
            Damage::OtherMachine => elf_damage::for_another_machine(&library()),
            Damage::MissingExport => {
                let c = spec.to_c(module).without_export("HcrCreateTypeInfos");
                return self.project.write(&c);
            }
            Damage::Deleted => return self.project.remove(&place),
        };
        self.project.install_bytes(&bytes, &place);
    }

    fn reload(&mut self) {
        let expected = self.model.reload();
        let reply = self.host.reload();
        self.compare(&expected, &reply);
        assert_eq!(reply.number(), self.model.generation, "{}", self.account());
        if expected.refused.is_some() {
            self.totals.refusals += 1;
            // Nothing changed in between: it is not said again.
            let again = self.host.reload();
            assert_eq!(
                (again.lines, again.stderr),
                (vec![], vec![]),
                "{}",
                self.account()
            );
        } else if expected.lines.is_empty() {
            self.totals.unchanged += 1;
        } else {
            self.totals.reloads += 1;
        }
    }

    #[track_caller]
    fn compare(&mut self, expected: &Said, reply: &Reply) {
        assert_eq!(reply.lines, expected.lines, "{}", self.account());
        let resized: Vec<String> = expected
            .resized
            .iter()
            .map(|resized| {
                format!(
                    "liveswap: global g{} of module {} changed its size from {} to {} bytes: it \
                     starts anew",
                    resized.global,
                    self.path(resized.module),
                    resized.from,
                    resized.to
                )
            })
            .collect();
        self.totals.resized += resized.len() as u64;
        match expected.refused {
            None => assert_eq!(reply.stderr, resized, "{}", self.account()),
            Some((module, step)) => {
                let opening = format!(
                    "liveswap: reload refused, generation {} goes on: module {}: {step}: ",
                    self.model.generation,
                    self.path(module)
                );
                // The same file may have been refused in the step before; if anything else changed
                // since then, it may be said again or not.
                let said = reply.stderr.first();
                let old_news = self.edits.iter().all(|edit| edit.module() != module);
                assert!(
                    said.is_some_and(|line| line.starts_with(&opening))
                        || (said.is_none() && old_news),
                    "expected {opening:?}, got {:?}\n{}",
                    reply.stderr,
                    self.account()
                );
            }
        }
    }

    fn check_queries(&mut self) {
        let needed = self.host.reload_needed();
        assert_eq!(needed, self.model.reload_needed(), "{}", self.account());
        for module in 0..self.sources.len() {
            let changed = self.host.has_changed(&name(module));
            assert_eq!(
                changed,
                self.model.has_changed(module),
                "module {}\n{}",
                name(module),
                self.account()
            );
        }
    }

    /// Calls every proc that can be called without an abort.
    fn call_all(&mut self) {
        for (module, proc, depth) in self.possible_calls() {
            let mut after = self.model.clone();
            let Ok(expected) = after.call(module, proc, depth) else {
                continue;
            };
            self.model = after;
            let value = self.host.call(&name(module), &format!("p{proc}"), depth);
            assert_eq!(
                value,
                expected,
                "{}.p{proc}({depth})\n{}",
                name(module),
                self.account()
            );
            self.totals.calls += 1;
        }
    }

    fn possible_calls(&self) -> Vec<(ModuleId, usize, i64)> {
        let mut calls = Vec::new();
        for (module, spec) in self.sources.iter().enumerate() {
            for &proc in spec.procs.keys() {
                calls.extend([(module, proc, 0), (module, proc, 3)]);
            }
        }
        calls
    }

    /// Ends the program: by a call of a proc that is not there, if there is one, or normally.
    fn end(mut self, random: &mut Random) -> Totals {
        let mut fatal = Vec::new();
        for module in 0..self.sources.len() {
            for proc in 0..4 {
                let result = self.model.clone().call(module, proc, 3);
                fatal.extend(result.err().map(|abort| (module, proc, abort)));
            }
        }
        if fatal.is_empty() || random.chance(30) {
            self.host.quit();
            assert_eq!(self.project.private_copies().len(), 0);
            return self.totals;
        }
        let (module, proc, abort) = *random.pick(&fatal);
        let account = self.account();
        let path = self.path(abort.module);
        let opening = format!(
            "liveswap: call of proc p{} of module {path}, which ",
            abort.proc
        );
        let expected = match abort.since {
            Some(generation) => format!("{opening}is gone since generation {generation}"),
            None => format!("{opening}was never registered"),
        };
        let exit = self
            .host
            .fatal_about(&format!("call 3 p{proc}"), &name(module));
        assert_eq!(exit.stderr, [expected], "{account}");
        assert_eq!(exit.signal(), Some(libc::SIGABRT), "{account}");
        self.totals.aborts += 1;
        self.totals
    }

    fn path(&self, module: ModuleId) -> String {
        let path = self.project.path(&name(module));
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// What a reader of a failure wants to know.
    fn account(&self) -> String {
        format!(
            "seed {}, step {} of {STEPS}, edits of this step: {:#?}",
            self.seed, self.step, self.edits
        )
    }
}
