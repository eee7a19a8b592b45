//! Random edits of a program's files.

use liveswap_tests::random::Random;

use crate::rules::{File, Model};
use crate::spec::{ModuleId, Spec, number};

/// How a file is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    Text,
    Empty,
    Truncated,
    OtherMachine,
    MissingExport,
    Deleted,
}

impl Damage {
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Empty,
        Self::Truncated,
        Self::OtherMachine,
        Self::MissingExport,
        Self::Deleted,
    ];

    /// The step that refuses such a file.
    pub fn step(self) -> &'static str {
        match self {
            Self::Text | Self::Empty | Self::Truncated | Self::OtherMachine => "check",
            Self::MissingExport => "exports",
            Self::Deleted => "read",
        }
    }
}

/// A file to write before the next reload.
#[derive(Clone, Debug)]
pub enum Edit {
    Write(ModuleId, Spec),
    Break(ModuleId, Damage, Spec),
}

impl Edit {
    pub fn module(&self) -> ModuleId {
        match self {
            Self::Write(module, _) | Self::Break(module, _, _) => *module,
        }
    }
}

/// The edits of one step: at most one for each module, and at most one broken file in all, since
/// the rules do not say which of two the refusal names.
pub fn random_edits(random: &mut Random, model: &Model, sources: &[Spec]) -> Vec<Edit> {
    let last = sources.len() - 1;
    let mut edits: Vec<Edit> = Vec::new();
    let broken = |module: ModuleId| matches!(model.disk[module].file, File::Broken(_));
    let still_broken = (0..=last).find(|&module| broken(module));
    if let Some(module) = still_broken
        && random.chance(70)
    {
        edits.push(Edit::Write(module, changed(random, &sources[module], last)));
    }
    // Now and then nothing is edited at all.
    let count = if random.chance(6) {
        0
    } else {
        1 + random.below(3)
    };
    for _ in 0..count {
        // Mostly a module that the program knows: the others' files interest nobody.
        let mut module = random.below(last + 1);
        if !model.is_loaded(module) && random.chance(70) {
            module = model.root_imports[random.below(model.root_imports.len())];
        }
        if edits.iter().any(|edit| edit.module() == module) || broken(module) {
            continue;
        }
        edits.push(Edit::Write(module, changed(random, &sources[module], last)));
    }
    if still_broken.is_none() && random.chance(15) {
        let module = random.below(last + 1);
        edits.retain(|edit| edit.module() != module);
        let damage = *random.pick(&Damage::ALL);
        edits.push(Edit::Break(module, damage, sources[module].clone()));
    }
    edits
}

/// A new version of a module: one to three changes, or the same again.
fn changed(random: &mut Random, spec: &Spec, last: ModuleId) -> Spec {
    let mut spec = spec.clone();
    for _ in 0..random.below(4) {
        change(random, &mut spec, last);
    }
    spec
}

fn change(random: &mut Random, spec: &mut Spec, last: ModuleId) {
    match random.below(12) {
        0 | 1 => spec.add_proc(random, last),
        2 => {
            if let Some(proc) = any(random, spec.procs.keys()) {
                spec.remove_proc(proc);
            }
        }
        3 => {
            if let Some(proc) = any(random, spec.procs.keys()) {
                spec.procs.get_mut(&proc).expect("a proc").constant = number(random);
            }
        }
        4 => spec.add_global(random),
        5 => {
            if let Some(global) = any(random, spec.globals.keys()) {
                spec.remove_global(global);
            }
        }
        6 => {
            if let Some(global) = any(random, spec.globals.keys()) {
                spec.globals.get_mut(&global).expect("a global").initial = number(random);
            }
        }
        7 => spec.add_handler(random),
        8 => {
            if !spec.handlers.is_empty() {
                spec.handlers.remove(random.below(spec.handlers.len()));
            }
        }
        9 => spec.add_import(random, last),
        10 => {
            if !spec.imports.is_empty() {
                spec.imports.remove(random.below(spec.imports.len()));
            }
        }
        _ => {
            spec.imports.reverse();
            spec.handlers.reverse();
        }
    }
}

fn any<'a>(random: &mut Random, ids: impl Iterator<Item = &'a usize>) -> Option<usize> {
    let ids: Vec<usize> = ids.copied().collect();
    (!ids.is_empty()).then(|| *random.pick(&ids))
}
