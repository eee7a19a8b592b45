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
use crate::session::parts::FromMain;

/// What has to be known of code that was replaced, because it may still run.
#[derive(Debug, Default)]
pub struct Start {
    /// `main` as it runs.
    main: Option<RunningMain>,
    /// What was replaced, plan by plan.
    replaced: Vec<Replaced>,
    /// Something could not be read: nothing is said any more.
    is_lost: bool,
}

/// What one plan replaces.
#[derive(Debug, Default)]
struct Replaced {
    references: References,
    bodies: HashMap<Arc<str>, Vec<Place>>,
}

/// Old code that, as long as it runs, does not see what a plan changes.
#[derive(Debug, Default)]
pub struct Staying {
    /// Symbols of its functions.
    pub symbols: HashSet<Arc<str>>,
    /// Where its bodies begin.
    pub bodies: HashSet<Place>,
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
        if self.is_lost {
            return;
        }
        if self.main.is_none() {
            self.main = running_main(program, objects);
        }
        if self.try_note(program, objects, planned).is_none() {
            tracing::debug!("it is not known what only the start of the program calls");
            self.is_lost = true;
        }
    }

    fn try_note(
        &mut self,
        program: &Program,
        objects: &Objects,
        planned: &patch::Planned,
    ) -> Option<()> {
        let main = &self.main.as_ref()?.name;
        let functions = planned.functions.iter();
        let functions: HashMap<&str, _> = functions.map(|it| (&*it.symbol, &it.digest)).collect();
        // Some do the same as before, with other functions.
        let mut now = Replaced::default();
        for body in &planned.old_bodies {
            let of_symbol = now.bodies.entry(Arc::clone(&body.symbol)).or_default();
            of_symbol.push(body.place);
        }
        for cgu in planned.outgoing() {
            let old = program.objects.get(cgu)?.index.functions.iter();
            // Calls of `main` count by where it is.
            let old = old.filter(|it| it.name != *main);
            let replaced: HashSet<&str> = old
                .filter(|it| {
                    now.bodies.contains_key(&it.name)
                        || functions.get(&*it.name) != Some(&&it.digest)
                })
                .map(|it| &*it.name)
                .collect();
            if !replaced.is_empty() {
                let counts =
                    |function: Option<&str>| function.is_some_and(|it| replaced.contains(it));
                let references = &mut now.references;
                references.add(&objects.get(cgu)?.bytes, &counts).ok()?;
            }
        }
        self.replaced.push(now);
        Some(())
    }

    /// The symbol of `main` as it runs, once something was replaced.
    pub fn main(&self) -> Option<&str> {
        self.main.as_ref().map(|main| &*main.name)
    }

    /// Old code that calls earlier versions of functions that a plan changes.
    pub fn staying_with_earlier(&self, program: &Program, planned: &patch::Planned) -> Staying {
        let mut staying = Staying::default();
        // With another contract it may have another symbol.
        let changed = planned.changed.iter();
        let changed: HashSet<_> = changed.filter_map(|symbol| names::path(symbol)).collect();
        let known = program.superseded.keys().chain(program.gone.keys());
        let is_changed = |symbol: &&Arc<str>| {
            let path = names::path(symbol);
            path.is_some_and(|path| changed.contains(&path))
        };
        let mut earlier = planned.still_left(program, known.filter(is_changed).cloned());
        let mut left_by_main = earlier.clone();
        for (function, cgu) in planned.with_callers_left(program) {
            earlier.insert(Arc::clone(function));
            if self.main.as_ref().is_some_and(|main| main.cgu == *cgu) {
                left_by_main.insert(Arc::clone(function));
            }
        }
        let mut waiting: Vec<Arc<str>> = earlier.iter().cloned().collect();
        while let Some(function) = waiting.pop() {
            // Code from before it got its present symbol.
            for (before, now) in &program.renamed {
                if *now == function && earlier.insert(Arc::clone(before)) {
                    waiting.push(Arc::clone(before));
                    if left_by_main.contains(now) {
                        left_by_main.insert(Arc::clone(before));
                    }
                }
            }
            for replaced in &self.replaced {
                for caller in replaced.references.callers(&function) {
                    let bodies = replaced.bodies.get(caller).into_iter().flatten();
                    staying.bodies.extend(bodies.copied());
                    if !staying.symbols.insert(Arc::clone(caller)) {
                        continue;
                    }
                    // One whose slots lead to new code is called by nobody as it was.
                    let left = planned.still_left(program, [Arc::clone(caller)]);
                    waiting.extend(left.iter().cloned());
                    left_by_main.extend(left);
                }
            }
        }
        if let Some(running) = &self.main
            && running.main.calls(&|name| left_by_main.contains(name))
        {
            staying.symbols.insert(Arc::clone(&running.name));
        }
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
        let Some(running) = self.main.as_ref().filter(|_| !self.is_lost) else {
            return Vec::new();
        };
        let now = |name: &str| name_now(program, name);
        let mut unread = users(program);
        let mut read: HashSet<&str> = HashSet::new();
        let mut references = References::default();
        for replaced in &self.replaced {
            references.take_over(&replaced.references, &now);
        }
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
