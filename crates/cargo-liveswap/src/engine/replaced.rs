//! Code that was replaced, because it may still run.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use liveswap_object::names;
use liveswap_object::patch;
use liveswap_object::program::Program;
use liveswap_object::program::callers::References;
use liveswap_protocol::patch::Place;

use super::objects::Objects;

/// What is known of it.
#[derive(Debug, Default)]
pub struct ReplacedCode {
    /// What its functions refer to, by the symbols that these had then.
    pub references: References,
    /// Its bodies, by symbol.
    bodies: HashMap<Arc<str>, Vec<Body>>,
    /// Something could not be read: there are more references.
    pub is_incomplete: bool,
}

#[derive(Debug)]
struct Body {
    place: Place,
    calls: HashSet<Arc<str>>,
}

/// Old code that, as long as it runs, does not see what a plan changes.
#[derive(Debug, Default)]
pub struct Staying {
    /// Symbols of its functions.
    pub symbols: HashSet<Arc<str>>,
    /// Where its bodies begin.
    pub bodies: HashSet<Place>,
}

impl ReplacedCode {
    /// Notes what a plan replaces but the function `except`, before it is committed.
    pub fn note(
        &mut self,
        program: &Program,
        objects: &Objects,
        planned: &patch::Planned,
        except: Option<&Arc<str>>,
    ) {
        if self.try_note(program, objects, planned, except).is_none() {
            tracing::warn!("a live object cannot be read again");
            self.is_incomplete = true;
        }
    }

    fn try_note(
        &mut self,
        program: &Program,
        objects: &Objects,
        planned: &patch::Planned,
        except: Option<&Arc<str>>,
    ) -> Option<()> {
        let functions = planned.functions.iter();
        let functions: HashMap<&str, _> = functions.map(|it| (&*it.symbol, &it.digest)).collect();
        // Some do the same as before, with other functions.
        let bodies = planned.old_bodies.iter();
        let bodies: HashSet<&str> = bodies.map(|body| &*body.symbol).collect();
        let mut references = References::default();
        for cgu in planned.outgoing() {
            let old = program.objects.get(cgu)?.index.functions.iter();
            let old = old.filter(|it| Some(&it.name) != except);
            let replaced: HashSet<&str> = old
                .filter(|it| {
                    bodies.contains(&*it.name) || functions.get(&*it.name) != Some(&&it.digest)
                })
                .map(|it| &*it.name)
                .collect();
            if !replaced.is_empty() {
                let counts =
                    |function: Option<&str>| function.is_some_and(|it| replaced.contains(it));
                references.add(&objects.get(cgu)?.bytes, &counts).ok()?;
            }
        }
        let calls = references.callees();
        for body in &planned.old_bodies {
            let of_symbol = self.bodies.entry(Arc::clone(&body.symbol)).or_default();
            of_symbol.push(Body {
                place: body.place,
                calls: calls.get(&body.symbol).cloned().unwrap_or_default(),
            });
        }
        self.references.take_over(&references, &|name| name.into());
        Some(())
    }

    /// Old code that calls earlier versions of functions that a plan changes, and the functions of which code in the
    /// codegen unit `cgu` calls earlier versions.
    pub fn staying_with_earlier(
        &self,
        program: &Program,
        planned: &patch::Planned,
        cgu: Option<&Arc<str>>,
    ) -> (Staying, HashSet<Arc<str>>) {
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
        let mut of_cgu = earlier.clone();
        for (function, home) in planned.with_callers_left(program) {
            earlier.insert(Arc::clone(function));
            if cgu == Some(home) {
                of_cgu.insert(Arc::clone(function));
            }
        }
        let mut waiting: Vec<Arc<str>> = earlier.iter().cloned().collect();
        while let Some(function) = waiting.pop() {
            // Code from before it got its present symbol.
            for (before, now) in &program.renamed {
                if *now == function && earlier.insert(Arc::clone(before)) {
                    waiting.push(Arc::clone(before));
                    if of_cgu.contains(now) {
                        of_cgu.insert(Arc::clone(before));
                    }
                }
            }
            for caller in self.references.callers(&function) {
                let bodies = self.bodies.get(caller).into_iter().flatten();
                let callers = bodies.filter(|body| body.calls.contains(&function));
                staying.bodies.extend(callers.map(|body| body.place));
                if !staying.symbols.insert(Arc::clone(caller)) {
                    continue;
                }
                // One whose slots lead to new code is called by nobody as it was.
                let left = planned.still_left(program, [Arc::clone(caller)]);
                waiting.extend(left.iter().cloned());
                of_cgu.extend(left);
            }
        }
        (staying, of_cgu)
    }
}
