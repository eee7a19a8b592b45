//! What a random module consists of, and how it is written in C.

use std::collections::BTreeMap;

use liveswap_tests::CModule;
use liveswap_tests::random::Random;

/// Number of a module; 0 is the system module.
pub type ModuleId = usize;
pub type ProcId = usize;
pub type GlobalId = usize;

pub const SYSTEM: ModuleId = 0;

pub fn name(module: ModuleId) -> String {
    if module == SYSTEM {
        "system".to_owned()
    } else {
        format!("m{module}")
    }
}

/// One version of a module.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub imports: Vec<ModuleId>,
    pub procs: BTreeMap<ProcId, Proc>,
    pub globals: BTreeMap<GlobalId, Global>,
    pub handlers: Vec<Handler>,
    /// What the top-level code prints.
    pub top: i64,
}

/// `proc(x)` is `constant`, plus the raised value of a global of its own module, plus twice the
/// value of a proc of any module with `x - 1`, unless `x` is 0.
#[derive(Clone, Copy, Debug)]
pub struct Proc {
    pub constant: i64,
    pub raises: Option<GlobalId>,
    pub calls: Option<(ModuleId, ProcId)>,
}

/// An array of which the first element is used; the initial value is added to the zero there.
#[derive(Clone, Copy, Debug)]
pub struct Global {
    pub length: usize,
    pub initial: i64,
}

/// Prints the tag, and the value of a proc of its own module if it calls one.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    pub before: bool,
    pub tag: i64,
    pub calls: Option<ProcId>,
}

impl Spec {
    /// A random module of a program with modules up to `last`.
    pub fn random(random: &mut Random, last: ModuleId) -> Self {
        let mut spec = Self {
            top: number(random),
            ..Self::default()
        };
        for _ in 0..random.below(3) {
            spec.add_import(random, last);
        }
        for _ in 0..random.below(3) {
            spec.add_global(random);
        }
        for _ in 0..=random.below(3) {
            spec.add_proc(random, last);
        }
        for _ in 0..random.below(3) {
            spec.add_handler(random);
        }
        spec
    }

    pub fn add_import(&mut self, random: &mut Random, last: ModuleId) {
        let module = random.below(last + 1);
        let place = random.below(self.imports.len() + 1);
        // Twice the same is allowed: nobody forbids it to a program.
        self.imports.insert(place, module);
    }

    pub fn add_global(&mut self, random: &mut Random) {
        let global = Global {
            length: 1 + random.below(20),
            initial: number(random),
        };
        self.globals.insert(random.below(4), global);
    }

    pub fn add_proc(&mut self, random: &mut Random, last: ModuleId) {
        let globals: Vec<GlobalId> = self.globals.keys().copied().collect();
        let raises = (!globals.is_empty() && random.chance(60)).then(|| *random.pick(&globals));
        let calls = random
            .chance(60)
            .then(|| (random.below(last + 1), random.below(4)));
        let proc = Proc {
            constant: number(random),
            raises,
            calls,
        };
        self.procs.insert(random.below(4), proc);
    }

    pub fn add_handler(&mut self, random: &mut Random) {
        let procs: Vec<ProcId> = self.procs.keys().copied().collect();
        let calls = (!procs.is_empty() && random.chance(50)).then(|| *random.pick(&procs));
        let handler = Handler {
            before: random.chance(50),
            tag: number(random),
            calls,
        };
        let place = random.below(self.handlers.len() + 1);
        self.handlers.insert(place, handler);
    }

    pub fn remove_global(&mut self, global: GlobalId) {
        self.globals.remove(&global);
        for proc in self.procs.values_mut() {
            if proc.raises == Some(global) {
                proc.raises = None;
            }
        }
    }

    pub fn remove_proc(&mut self, proc: ProcId) {
        self.procs.remove(&proc);
        for handler in &mut self.handlers {
            if handler.calls == Some(proc) {
                handler.calls = None;
            }
        }
    }

    /// The module in C. What Init does comes in this order: globals, handlers, top-level code.
    pub fn to_c(&self, module: ModuleId) -> CModule {
        let names: Vec<String> = self.imports.iter().map(|&import| name(import)).collect();
        let mut c = CModule::new(&name(module))
            .flags(["-O0", "-nostdlib"])
            .imports(names.iter().map(String::as_str));
        for (id, global) in &self.globals {
            c = c.global(
                &format!("long[{}]", global.length),
                &format!("g{id}"),
                &format!("(*g{id})[0] += {};", global.initial),
            );
        }
        for (id, proc) in &self.procs {
            let mut body = format!("long value = {};", proc.constant);
            if let Some(global) = proc.raises {
                body.push_str(&format!(" value += ++(*g{global})[0];"));
            }
            if let Some((other, proc)) = proc.calls {
                // A pointer of its own for each caller: two procs may call the same one.
                c = c
                    .declare(&format!("static long (*callee{id})(long);"))
                    .dat(&format!(
                        "callee{id} = hcrGetProc(@{{{}}}, \"p{proc}\");",
                        name(other)
                    ));
                body.push_str(&format!(" if (x > 0) value += 2 * callee{id}(x - 1);"));
            }
            body.push_str(" return value;");
            c = c.proc(&format!("p{id}"), &body);
        }
        for handler in &self.handlers {
            let when = if handler.before { "before" } else { "after" };
            let line = format!("{when} {} {}", name(module), handler.tag);
            let body = match handler.calls {
                Some(proc) => format!("fixture_log(\"{line}: %ld\", p{proc}(0));"),
                None => format!("fixture_log(\"{line}\");"),
            };
            c = if handler.before {
                c.before(&body)
            } else {
                c.after(&body)
            };
        }
        c.top_level(&format!(
            "fixture_log(\"top {} {}\");",
            name(module),
            self.top
        ))
    }
}

/// A number that is easy to tell from others in an account of a failure.
pub fn number(random: &mut Random) -> i64 {
    i64::try_from(random.below(900)).expect("a small number") + 100
}
