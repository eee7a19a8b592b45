//! What is live in the program, and how it becomes that of a compilation.
//!
//! All work on objects is [`liveswap_object`]'s; this folder reads the files, checks layouts of types,
//! and says in the session's words what a patch means.

mod archives;
mod debug_file;
mod layouts;
mod left;
mod new_bodies;
mod objects;
mod replaced;
mod start;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use liveswap_object::identity::{self, ChangedTypes};
use liveswap_object::layouts::Layouts;
use liveswap_object::names;
use liveswap_object::patch::{
    self, Identities, LiveBytes, Member, NewObject, NewUnit, Refusal, Room, Supply,
};
use liveswap_object::program::executable::Executable;
use liveswap_object::program::{Program, Remembered};
use liveswap_protocol::message::Hello;
use liveswap_protocol::patch::{Place, SLICE_SIZE};

use crate::declared;
use crate::model::{Compiled, Linked, LinkedSources};
use crate::session::parts::{FromMain, ModuleReport, OldBody, Outcome, Planned, Planner};
use archives::ArchiveSet;
use left::LeftBehind;
use objects::{NewObjects, Objects};
use start::Start;

/// Knows what is live.
#[derive(Debug)]
pub struct Engine {
    program: Program,
    layouts: Layouts,
    /// What the sources declare.
    declared: declared::Live,
    /// Names of live crates that have names of the standard library's.
    named_as_std: Vec<String>,
    archives: ArchiveSet,
    objects: Objects,
    /// What goes on in code from before.
    left: LeftBehind,
    /// Types of which values with other layouts may live than new code knows.
    changed_types: Vec<ChangedTypes>,
    /// What only the start of the program calls.
    start: Start,
    /// Whether a unit was optimised, by its key.
    optimised: HashMap<String, bool>,
}

/// A plan that waits for its end.
#[derive(Debug)]
pub struct Plan {
    planned: patch::Planned,
    layouts: Layouts,
    declared: HashMap<String, declared::Unit>,
    objects: NewObjects,
    left: LeftBehind,
    /// Types that have another layout from then on.
    types: Option<ChangedTypes>,
    remembered: Remembered,
}

impl Engine {
    /// Reads the executable and the objects that it was linked from.
    ///
    /// # Errors
    /// If one of them cannot be read or is not understood; the message names it.
    pub fn open(linked: &Linked) -> Result<Engine, String> {
        let read = |path: &std::path::Path| {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let mut executable = Executable::parse(&read(&linked.exe)?)
            .map_err(|error| format!("{}: {error}", linked.exe.display()))?;
        // Stubs stand in for what the executable does not have.
        executable.forget(&linked.missing);
        let mut engine = Engine {
            program: Program::new(executable),
            layouts: Layouts::default(),
            declared: declared::Live::default(),
            named_as_std: linked
                .sources
                .iter()
                .map(|krate| krate.name.clone())
                .filter(|name| matches!(&**name, "core" | "alloc" | "std"))
                .collect(),
            archives: ArchiveSet::new(linked.archives.clone()),
            objects: Objects::default(),
            left: LeftBehind::default(),
            changed_types: Vec::new(),
            start: Start::default(),
            optimised: HashMap::new(),
        };
        for krate in &linked.crates {
            let optimised = krate.opt_level != "0";
            engine.optimised.insert(krate.unit.clone(), optimised);
            for (cgu, path) in &krate.objects {
                let bytes = read(path)?;
                let problem =
                    |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
                engine
                    .program
                    .add_object(&krate.unit, cgu, optimised, &bytes)
                    .map_err(|error| problem(&error))?;
                let layouts = liveswap_object::layouts::read(&bytes, &engine.named_as_std)
                    .map_err(|error| problem(&error))?;
                engine.objects.add_file(&krate.name, cgu, path, &bytes);
                engine.layouts.merge(&layouts);
            }
        }
        let read = |krate: &LinkedSources| {
            let unit = declared::Unit::read(&krate.name, &krate.sources, None);
            (krate.unit.clone(), unit)
        };
        engine.declared.enter(linked.sources.iter().map(read));
        Ok(engine)
    }

    fn units(&self, compiled: &Compiled) -> Vec<NewUnit> {
        compiled
            .crates
            .iter()
            .map(|krate| NewUnit {
                unit: krate.unit.as_str().into(),
                name: krate.name.clone(),
                optimised: self.optimised.get(&krate.unit).copied().unwrap_or(false),
                changed: krate
                    .objects
                    .iter()
                    .map(|object| NewObject {
                        cgu: object.cgu.as_str().into(),
                        bytes: Arc::clone(&object.bytes),
                    })
                    .collect(),
                all: krate.all.iter().map(|cgu| cgu.as_str().into()).collect(),
            })
            .collect()
    }

    fn prepare(&mut self, compiled: Compiled, hello: &Hello) -> Result<Outcome<Plan>, Refused> {
        self.archives.add(compiled.new_archives.clone());
        let units = self.units(&compiled);
        let room = Room {
            slices: u32::try_from(hello.range_len / SLICE_SIZE).unwrap_or(u32::MAX),
            page_size: hello.page_size,
        };
        // Both read all new objects, and neither needs the other.
        let (layouts, mut planned) = std::thread::scope(|scope| {
            let live = layouts::Live {
                layouts: &self.layouts,
                declared: &self.declared,
                named_as_std: &self.named_as_std,
            };
            let crates = &compiled.crates;
            let units = &units;
            let layouts = scope.spawn(move || layouts::compare(&live, units, crates));
            let planned = self.make(units, &Identities::default(), &room);
            (layouts.join(), planned)
        });
        let compared = layouts.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // Without those, a static whose symbol is another would be a new one, of another type.
        let statics = identity::statics(&self.program, &self.layouts, &compared.layouts);
        if !statics.is_empty() {
            let identities = Identities {
                renamed: statics.clone(),
                ..Identities::default()
            };
            planned = self.make(&units, &identities, &room);
        }
        let types = match &planned {
            Ok(planned) => self.changed_types(&compared, planned)?,
            Err(_) => None,
        };
        if types.is_none() {
            // What it says of types says more than where the plan failed.
            compared.check(planned.as_ref().ok())?;
        }
        let mut planned = planned?;
        let settled = identity::settle(
            &self.program,
            &self.layouts,
            &compared.layouts,
            &planned,
            &statics,
            types.as_ref(),
            &|symbol| compared.convention(symbol),
        );
        if !settled.identities.is_empty() {
            tracing::debug!(?settled, "symbols that mean something else than before");
            planned = self.make(&units, &settled.identities, &room)?;
        }
        let mains = self.mains(&planned);
        if types.is_some()
            && let Some(main) = mains.first()
        {
            let way = format!("`{main}`, which runs, may hold values of it");
            return Err(compared.refused_for(Some(&planned), &way));
        }
        let held = identity::held(&self.program, &settled, &planned, self)
            .map_err(patch::Refusal::from)?;
        let staying = self.start.staying_with_earlier(&self.program, &planned);
        let (left, left_behind) = self.left.after(
            &self.program,
            &settled,
            &planned,
            &held,
            &staying.symbols,
            &self.layouts,
        );
        let mut pending = compiled.pending;
        pending.extend(left_behind);
        let drops = liveswap_object::layouts::changed_drops(&self.layouts, &compared.layouts);
        pending.extend(drops.iter().map(|implementation| {
            format!("trait objects of `{implementation}` from before are dropped as they were made: what the type does when it is dropped has changed")
        }));
        let mut once = identity::initialisers(&planned, &self.layouts, &compared.layouts);
        compared.add_initialisers(&mut once);
        pending.extend(once.iter().map(|owner| {
            format!("what `{owner}` initialises once is not initialised again: where that has happened, the change counts after a restart")
        }));
        let layouts = compared.layouts;
        pending.extend(planned.initialisers.iter().map(|name| {
            format!(
                "static `{name}` keeps its live value; its new initialiser counts after a restart"
            )
        }));
        pending.extend(planned.collected.iter().map(|(krate, section)| {
            format!("what is new in the section `{section}` of {krate} counts after a restart")
        }));
        if planned.is_empty() {
            self.commit(Plan {
                planned,
                layouts,
                declared: compared.units,
                objects: objects::of_units(&units),
                left,
                types,
                remembered: settled.remembered,
            });
            return Ok(Outcome::Unchanged { pending });
        }
        let only_main = !mains.is_empty()
            && planned.modules.iter().all(|module| {
                module
                    .changed
                    .iter()
                    .all(|name| *name == main_of(&module.name))
            });
        let running = staying.symbols.iter().map(|it| names::for_people(it));
        let running = running.filter(|name| *name == main_of(names::root(name)));
        let mains_that_stay: BTreeSet<String> = running.chain(mains.iter().cloned()).collect();
        pending.extend(mains_that_stay.iter().map(|main| {
            format!("`{main}` is called once, at the start: what changed in it, or in what the optimiser put into it, counts after a restart")
        }));
        let absolute = |place: Place| match place {
            Place::Executable(at) => hello.bias.wrapping_add(at),
            Place::Range(at) => hello.range_start.wrapping_add(at),
            Place::Import(_) => 0,
        };
        let patch = planned.patch.encode().map_err(|error| Refused {
            code: "LS0006",
            message: error.to_string(),
        })?;
        let image = planned.patch.image.as_ref();
        Ok(Outcome::Patch(Box::new(Planned {
            patch,
            bytes: image.map_or(0, |image| image.code.len() + image.data_len as usize),
            modules: reports(&planned),
            pending,
            pending_only: only_main,
            old_bodies: planned
                .old_bodies
                .iter()
                .filter(|body| !mains.contains(&body.name))
                .map(|body| OldBody {
                    name: body.name.clone(),
                    start: absolute(body.place),
                    len: body.len,
                })
                .collect(),
            staying: staying.bodies.into_iter().map(absolute).collect(),
            new_bodies: new_bodies::of(&planned, &mains, &absolute),
            debug_file: debug_file::make(&self.program, &planned, hello),
            plan: Plan {
                planned,
                layouts,
                declared: compared.units,
                objects: objects::of_units(&units),
                left,
                types,
                remembered: settled.remembered,
            },
        })))
    }

    fn make(
        &self,
        units: &[NewUnit],
        identities: &Identities,
        room: &Room,
    ) -> Result<patch::Planned, Refusal> {
        patch::plan(&self.program, units, identities, self, room)
    }

    /// The types that have another layout, if nothing else stands against new code. Refused if values from before could
    /// get to it.
    fn changed_types(
        &self,
        compared: &layouts::Compared,
        planned: &patch::Planned,
    ) -> Result<Option<ChangedTypes>, Refused> {
        let refused = |way: String| compared.refused_for(Some(planned), &way);
        for types in &self.changed_types {
            let way = types.later_way_to_values(&compared.layouts);
            if let Some(way) = way.or_else(|| self.untyped_way(compared, types)) {
                let mut names: Vec<&str> = types.names.iter().map(|name| &**name).collect();
                names.sort_unstable();
                return Err(refused(format!(
                    "values of `{}` from before the last change of it: {way}",
                    names.join("`, `")
                )));
            }
        }
        let Some(names) = compared.changed_types(planned) else {
            return Ok(None);
        };
        let (old, new) = (&self.layouts, &compared.layouts);
        let types =
            ChangedTypes::find(&self.program, old, new, planned, names).map_err(&refused)?;
        match self.untyped_way(compared, &types) {
            Some(way) => Err(refused(way)),
            None => Ok(Some(types)),
        }
    }

    fn untyped_way(&self, compared: &layouts::Compared, types: &ChangedTypes) -> Option<String> {
        let units = &compared.units;
        let krate = self
            .declared
            .crate_with_untyped(units, types.names_in_scope())?;
        Some(format!(
            "`{krate}` may lead to values of it by raw pointers"
        ))
    }

    /// The `main` functions that a plan replaces.
    fn mains(&self, planned: &patch::Planned) -> Vec<String> {
        planned
            .modules
            .iter()
            .flat_map(|module| {
                let main = main_of(&module.name);
                let replaced = module.changed.iter().chain(&module.copied);
                replaced.filter(move |name| **name == main).cloned()
            })
            .collect()
    }
}

fn main_of(name: &str) -> String {
    format!("{}::main", name.replace('-', "_"))
}

/// What changes, by the crate that a function belongs to: instances of generic functions are compiled in
/// the crates that use them. Those of the standard library come and go with others and are counted
/// only where they are all there is.
fn reports(planned: &patch::Planned) -> Vec<ModuleReport> {
    let crates: Vec<String> = planned
        .modules
        .iter()
        .map(|module| module.name.replace('-', "_"))
        .collect();
    let mut own: BTreeMap<&str, ModuleReport> = BTreeMap::new();
    let mut standard = own.clone();
    for (module, krate) in planned.modules.iter().zip(&crates) {
        let lists = [&module.changed, &module.added, &module.removed];
        for (list, functions) in lists.into_iter().enumerate() {
            for function in functions {
                let root = names::root(function);
                let reports = if matches!(root, "std" | "core" | "alloc") {
                    &mut standard
                } else {
                    &mut own
                };
                let name = crates.iter().find(|name| *name == root).unwrap_or(krate);
                let report = reports.entry(name).or_insert_with(|| ModuleReport {
                    name: name.clone(),
                    changed: 0,
                    added: 0,
                    removed: 0,
                });
                let count = match list {
                    0 => &mut report.changed,
                    1 => &mut report.added,
                    _ => &mut report.removed,
                };
                *count += 1;
            }
        }
    }
    if own.is_empty() { standard } else { own }
        .into_values()
        .collect()
}

impl Supply for Engine {
    fn member_defining(&self, symbol: &str) -> Option<Member> {
        self.archives.member_defining(symbol)
    }

    fn live_object(&self, cgu: &str) -> Option<LiveBytes> {
        self.objects.get(cgu)
    }
}

#[derive(Clone, Debug)]
struct Refused {
    code: &'static str,
    message: String,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Refused {
        let code = match refusal {
            Refusal::StaticType { .. } => "LS0003",
            Refusal::Missing(_) => "LS0004",
            Refusal::Ambiguous(_) => "LS0005",
            Refusal::NotUnderstood(_) => "LS0006",
            Refusal::ThreadLocalRoom(_) => "LS0007",
            Refusal::Range => "LS0008",
            Refusal::NotReplaceable(_) => "LS0013",
        };
        Refused {
            code,
            message: refusal.to_string(),
        }
    }
}

impl Planner for Engine {
    type Plan = Plan;

    fn plan(&mut self, compiled: Compiled, hello: &Hello) -> Outcome<Plan> {
        match self.prepare(compiled, hello) {
            Ok(outcome) => outcome,
            Err(refused) => Outcome::Refused {
                code: refused.code.to_owned(),
                message: refused.message,
            },
        }
    }

    fn commit(&mut self, plan: Plan) {
        self.start.note(&self.program, &self.objects, &plan.planned);
        self.program.commit(plan.planned);
        self.program.remember(plan.remembered);
        if let Some(types) = plan.types {
            self.layouts.forget(&types.names);
            let mut known = self.changed_types.iter_mut();
            match known.find(|it| it.names == types.names) {
                Some(known) => known.add(types),
                None => self.changed_types.push(types),
            }
        }
        self.layouts.update(&plan.layouts);
        self.declared.enter(plan.declared);
        self.objects.commit(plan.objects);
        self.left = plan.left;
    }

    fn abandon(&mut self, plan: Plan) {
        self.program.abandon(&plan.planned);
    }

    fn only_from_main(
        &mut self,
        functions: &[Arc<str>],
        alone: bool,
        hello: &Hello,
    ) -> Vec<FromMain> {
        let (program, objects) = (&self.program, &self.objects);
        self.start
            .only_from_main(program, objects, functions, alone, hello)
    }
}
