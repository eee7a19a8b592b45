//! What goes on in code from before an edit: values that were made then, and callers that were compiled then.
//!
//! It is said by the save that leaves them behind, and again by every later one that touches the same function, as
//! long as it may hold. A version that comes back is not left behind any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use liveswap_object::identity::{Held, Settled};
use liveswap_object::layouts::{Contract, Layouts, implementation, is_environment};
use liveswap_object::names;
use liveswap_object::patch::Planned;
use liveswap_object::program::Program;

/// All that was left behind, with the symbols of the functions that it stays with.
#[derive(Clone, Debug, Default)]
pub struct LeftBehind {
    all: BTreeMap<What, BTreeSet<Arc<str>>>,
}

/// What was left behind, as people call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Values without a name of their own, and the function that makes them.
    Values { owner: String, kind: &'static str },
    /// Values of a type behind trait objects.
    Objects(String),
    /// A function that is called otherwise now.
    Function(String),
    /// A function that is gone.
    Gone(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Values { owner, kind } => write!(
                f,
                "{kind} of `{owner}` made before this save run the version they were made with"
            ),
            What::Objects(name) => write!(
                f,
                "trait objects of `{name}` made before this save run the version they were made with"
            ),
            What::Gone(name) => write!(
                f,
                "`{name}` is gone: who holds its address goes on with it until what took that runs again"
            ),
            What::Function(name) => write!(
                f,
                "`{name}` is called otherwise than before: who holds the earlier one goes on with it until what made it runs again"
            ),
        }
    }
}

impl LeftBehind {
    /// What is left behind after a plan, and what is said of it. `held` are functions that somebody may hold as
    /// they were; `staying` are those whose earlier bodies call earlier versions of what changes.
    pub fn after(
        &self,
        program: &Program,
        settled: &Settled,
        planned: &Planned,
        held: &Held,
        staying: &HashSet<Arc<str>>,
        old: &Layouts,
    ) -> (LeftBehind, Vec<String>) {
        let mut after = self.clone();
        after.forget(program, planned);
        let mut said = after.touched(planned, staying);
        let functions = held.with_another_contract.iter();
        let functions = functions.map(|it| (What::Function(names::for_people(it)), it));
        let gone = held.gone.iter();
        let gone = gone.map(|symbol| (What::Gone(names::for_people(symbol)), symbol));
        let objects = objects(settled, planned, old);
        let values = values(settled, old);
        for (what, symbol) in functions.chain(gone).chain(values).chain(objects) {
            let symbols = after.all.entry(what.clone()).or_default();
            symbols.insert(Arc::clone(symbol));
            said.insert(what);
        }
        (after, said.iter().map(What::to_string).collect())
    }

    /// Forgets what new code is led to again.
    fn forget(&mut self, program: &Program, planned: &Planned) {
        let symbols: BTreeSet<Arc<str>> = self.all.values().flatten().cloned().collect();
        if symbols.is_empty() {
            return;
        }
        let left = planned.still_left(program, symbols);
        self.all.retain(|_, symbols| {
            symbols.retain(|symbol| left.contains(symbol));
            !symbols.is_empty()
        });
    }

    /// What belongs to functions that this plan changes, or calls earlier versions of them.
    fn touched(&self, planned: &Planned, staying: &HashSet<Arc<str>>) -> BTreeSet<What> {
        let modules = planned.modules.iter();
        let changed: HashSet<&str> = modules
            .flat_map(|module| module.changed.iter().chain(&module.added))
            .map(|name| without_closures(name))
            .collect();
        let touched = self.all.iter().filter(|(what, symbols)| {
            symbols.iter().any(|symbol| staying.contains(symbol))
                || match what {
                    What::Values { owner, .. } => changed.contains(&**owner),
                    What::Objects(_) => {
                        let mut methods = symbols.iter().map(|symbol| names::for_people(symbol));
                        methods.any(|name| changed.contains(&*name))
                    }
                    What::Function(name) | What::Gone(name) => changed.contains(&**name),
                }
        });
        touched.map(|(what, _)| what.clone()).collect()
    }
}

/// Values that may outlive the call that made them and stay with functions that are left, with these.
fn values<'s>(settled: &'s Settled, old: &Layouts) -> impl Iterator<Item = (What, &'s Arc<str>)> {
    let mut own: HashMap<&str, &str> = HashMap::new();
    let contract = |symbol: &Arc<str>| old.contracts.get(symbol);
    for symbol in &settled.left {
        if let Some(name) = contract(symbol).and_then(|it| it.own.as_deref()) {
            own.insert(name, symbol);
        }
    }
    let isolated = |name: &&Arc<str>| settled.isolated.contains(*name) && old.escapes(name);
    let mut found = Vec::new();
    for symbol in &settled.left {
        let names = contract(symbol).into_iter().flat_map(Contract::works_on);
        for name in names.filter(isolated) {
            found.push((values_of(name, own.get(&**name).copied()), symbol));
        }
    }
    found.into_iter()
}

/// Trait objects whose methods are left with them: their type has, or has had since, another layout, or it is gone.
fn objects<'s>(
    settled: &'s Settled,
    planned: &Planned,
    old: &'s Layouts,
) -> impl Iterator<Item = (What, &'s Arc<str>)> {
    let crates = planned.modules.iter();
    let crates: HashSet<String> = crates.map(|it| it.name.replace('-', "_")).collect();
    let left: HashMap<&str, &Arc<str>> = settled.left.iter().map(|it| (&**it, it)).collect();
    old.vtables.iter().flat_map(move |(name, table)| {
        let (of, implemented) = implementation(name).unzip();
        // Of environments it is said already.
        let of = of.filter(|of| !is_environment(of));
        let is_other = |symbol: &Arc<str>| settled.identities.others.contains_key(symbol);
        // That nothing needs a table any more of what other crates have is no change of theirs.
        let is_own = |name: &&str| crates.contains(names::root(name));
        let is_own = of.iter().chain(&implemented).any(is_own);
        let methods = table.methods.iter();
        let methods = methods.filter_map(|it| left.get(&**it).copied());
        let methods: Vec<_> = methods.filter(|it| is_own || is_other(it)).collect();
        let what = of.map(|of| What::Objects(of.to_owned()));
        what.into_iter().flat_map(move |what| {
            let symbols = methods.clone().into_iter();
            symbols.map(move |symbol| (what.clone(), symbol))
        })
    })
}

/// What people call the values of an environment.
fn values_of(environment: &str, symbol: Option<&str>) -> What {
    let last = environment
        .rfind("::{")
        .map_or(environment, |at| &environment[at + 3..]);
    let kind = if last.starts_with("async") {
        "futures"
    } else if last.starts_with("closure") {
        "closures"
    } else {
        "iterators"
    };
    let owner = match symbol {
        Some(symbol) => without_closures(&names::for_people(symbol)).to_owned(),
        None => without_closures(environment).to_owned(),
    };
    What::Values { owner, kind }
}

/// The function that a closure is in.
fn without_closures(name: &str) -> &str {
    let end = name.find("::{{closure}}").or_else(|| {
        let mut braces = name.match_indices("::{");
        braces.find_map(|(at, _)| (!name[at..].starts_with("::{impl")).then_some(at))
    });
    end.map_or(name, |end| &name[..end])
}
