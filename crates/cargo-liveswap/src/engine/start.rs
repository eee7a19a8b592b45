//! Functions that only `main` leads to: what `main` is past is not called again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_object::names;
use liveswap_object::patch;
use liveswap_object::program::callers::{self, Main, References};
use liveswap_object::program::{FunctionKey, Program};
use liveswap_protocol::message::Hello;
use liveswap_protocol::patch::Place;

use super::main_of;
use super::objects::Objects;
use super::replaced::{ReplacedCode, Staying};
use crate::session::parts::FromMain;

/// `main` as it runs, and what else may still run of what was replaced.
#[derive(Debug, Default)]
pub struct Start {
    main: Option<RunningMain>,
    replaced: ReplacedCode,
}

#[derive(Debug)]
struct RunningMain {
    name: Arc<str>,
    /// Its codegen unit.
    cgu: Arc<str>,
    main: Main,
    /// Its address in the executable, and its length.
    body: (u64, u64),
}

impl Start {
    /// Notes what a plan replaces, before it is committed.
    pub fn note(&mut self, program: &Program, objects: &Objects, planned: &patch::Planned) {
        if self.main.is_none() {
            self.main = running_main(program, objects);
        }
        // Calls of `main` count by where it is.
        let main = self.main.as_ref().map(|main| &main.name);
        self.replaced.note(program, objects, planned, main);
    }

    /// Old code that calls earlier versions of functions that a plan changes.
    pub fn staying_with_earlier(&self, program: &Program, planned: &patch::Planned) -> Staying {
        let main = self.main.as_ref();
        let (mut staying, left) =
            self.replaced
                .staying_with_earlier(program, planned, main.map(|main| &main.cgu));
        let calls_one = |main: &&RunningMain| main.main.calls(&|name| left.contains(name));
        let main = main.filter(calls_one);
        staying
            .symbols
            .extend(main.map(|main| Arc::clone(&main.name)));
        staying
    }

    /// Of these functions those that only `main` leads to, by calls that are in no loop.
    pub fn only_from_main(
        &self,
        program: &Program,
        objects: &Objects,
        functions: &[Arc<str>],
        alone: bool,
        hello: &Hello,
    ) -> Vec<FromMain> {
        let Some(running) = self.main.as_ref().filter(|_| !self.replaced.is_incomplete) else {
            return Vec::new();
        };
        let now = |name: &str| name_now(program, name);
        let mut unread = users(program);
        let mut read: HashSet<&str> = HashSet::new();
        let mut references = References::default();
        references.take_over(&self.replaced.references, &now);
        let mut complete = |function: &str, references: &mut References| {
            for cgu in unread.remove(function).unwrap_or_default() {
                if read.insert(cgu) {
                    let mut found = References::default();
                    found.add(&objects.get(cgu)?.bytes, &|_| true).ok()?;
                    references.take_over(&found, &now);
                }
            }
            Some(())
        };
        let start = hello.bias.wrapping_add(running.body.0);
        let found = functions.iter().filter_map(|symbol| {
            // An optimiser may have put what changed into others as well.
            if !alone && is_optimised(program, symbol) {
                return None;
            }
            let all =
                callers::only_from_main(symbol, &running.name, &mut references, &mut complete)?;
            let returns = running.main.last_call(&|name| all.contains(&now(name)))?;
            Some(FromMain {
                symbol: Arc::clone(symbol),
                main: (start, running.body.1),
                returns: start.wrapping_add(returns),
            })
        });
        found.collect()
    }
}

/// The objects in which each function is defined or used.
fn users(program: &Program) -> HashMap<Arc<str>, Vec<&str>> {
    let mut users: HashMap<Arc<str>, Vec<&str>> = HashMap::new();
    for (cgu, object) in &program.objects {
        let own = object.index.functions.iter().map(|it| &it.name);
        for name in own.chain(&object.index.foreign) {
            let name = name_now(program, name);
            users.entry(name).or_default().push(cgu);
        }
    }
    users
}

fn is_optimised(program: &Program, symbol: &str) -> bool {
    let mut objects = program.objects.values().filter(|it| it.optimised);
    objects.any(|it| it.index.functions.iter().any(|own| *own.name == *symbol))
}

/// The symbol that a function has now.
fn name_now(program: &Program, name: &str) -> Arc<str> {
    let mut now: Arc<str> = name.into();
    for _ in 0..program.renamed.len() {
        match program.renamed.get(&now) {
            Some(next) => now = Arc::clone(next),
            None => break,
        }
    }
    now
}

/// The only `main` of the program, as long as nothing is replaced.
fn running_main(program: &Program, objects: &Objects) -> Option<RunningMain> {
    let mut found = None;
    for (cgu, object) in &program.objects {
        let main = main_of(objects.crate_of(cgu)?);
        // Names are taken apart only where that can be worth it.
        let candidates = object.index.functions.iter();
        let candidates = candidates.filter(|it| it.name.contains("4main"));
        for function in candidates.filter(|it| names::for_people(&it.name) == main) {
            if found.replace((cgu, function)).is_some() {
                return None;
            }
        }
    }
    let (cgu, function) = found?;
    let key = FunctionKey {
        name: Arc::clone(&function.name),
        cgu: function.local.then(|| Arc::clone(cgu)),
    };
    let Some((Place::Executable(at), len)) = program.functions.get(&key)?.body else {
        return None;
    };
    Some(RunningMain {
        name: key.name,
        cgu: Arc::clone(cgu),
        main: Main::read(&objects.get(cgu)?.bytes, &function.name).ok()??,
        body: (at, len),
    })
}
