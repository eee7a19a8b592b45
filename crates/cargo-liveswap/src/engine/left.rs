//! What goes on in code from before an edit: values that were made then, and callers that were compiled then.
//!
//! It is said by the save that leaves them behind, and again by every later one that touches the same function, as
//! long as it may hold. A version that comes back is not left behind any more.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::sync::Arc;

use liveswap_object::identity::Settled;
use liveswap_object::layouts::Layouts;
use liveswap_object::names;
use liveswap_object::patch::Planned;

/// All that was left behind.
#[derive(Clone, Debug, Default)]
pub struct LeftBehind {
    all: BTreeMap<What, Versions>,
}

/// What was left behind, as people call it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Values without a name of their own, and the function that makes them.
    Values { owner: String, kind: &'static str },
    /// A function that is called otherwise now.
    Function(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Values { owner, kind } => write!(
                f,
                "{kind} of `{owner}` made before this save run the version they were made with"
            ),
            What::Function(name) => write!(
                f,
                "`{name}` is called otherwise than before: who holds the earlier one goes on with it until what made it runs again"
            ),
        }
    }
}

/// The versions that are left: symbol and fingerprint.
type Versions = BTreeSet<(Arc<str>, u64)>;

impl LeftBehind {
    /// What is left behind after a plan, and what is said of it. `held` are functions with another contract that
    /// somebody may hold as they were.
    pub fn after(
        &self,
        settled: &Settled,
        planned: &Planned,
        held: &[Arc<str>],
        old: &Layouts,
        new: &Layouts,
    ) -> (LeftBehind, Vec<String>) {
        let mut after = self.clone();
        after.forget(settled, planned, old, new);
        let mut said = after.touched(planned);
        let version = |symbol: &Arc<str>| {
            let fingerprint = old.fingerprint(symbol, old)?;
            Some((Arc::clone(symbol), fingerprint))
        };
        for symbol in held {
            let what = What::Function(names::for_people(symbol));
            after
                .all
                .entry(what.clone())
                .or_default()
                .extend(version(symbol));
            said.insert(what);
        }
        let isolated: HashSet<&str> = settled.isolated.iter().map(|name| &**name).collect();
        for (name, symbols) in functions_of(&isolated, old) {
            if !old.escapes(name) {
                continue;
            }
            let what = values_of(name, symbols.first().map(|symbol| &***symbol));
            let versions = after.all.entry(what.clone()).or_default();
            versions.extend(symbols.iter().filter_map(|symbol| version(symbol)));
            said.insert(what);
        }
        (after, said.iter().map(What::to_string).collect())
    }

    /// Forgets versions that are current again.
    fn forget(&mut self, settled: &Settled, planned: &Planned, old: &Layouts, new: &Layouts) {
        if self.all.is_empty() {
            return;
        }
        let others = &settled.identities.others;
        for symbol in planned.functions.iter().map(|defined| &defined.symbol) {
            let current = match others.get(symbol) {
                Some(other) => other.takes.map(|version| version.contract),
                None => new.fingerprint(symbol, old),
            };
            if let Some(current) = current {
                let version = (Arc::clone(symbol), current);
                for versions in self.all.values_mut() {
                    versions.remove(&version);
                }
            }
        }
        self.all.retain(|_, versions| !versions.is_empty());
    }

    /// What belongs to functions that this plan changes.
    fn touched(&self, planned: &Planned) -> BTreeSet<What> {
        let modules = planned.modules.iter();
        let changed: HashSet<&str> = modules
            .flat_map(|module| module.changed.iter().chain(&module.added))
            .map(|name| without_closures(name))
            .collect();
        let touched = self.all.keys().filter(|what| match what {
            What::Values { owner, .. } => changed.contains(&**owner),
            What::Function(name) => changed.contains(&**name),
        });
        touched.cloned().collect()
    }
}

/// Environments with the symbols of the closures' own functions.
fn functions_of<'n>(
    environments: &HashSet<&'n str>,
    layouts: &'n Layouts,
) -> BTreeMap<&'n str, Vec<&'n Arc<str>>> {
    let mut found: BTreeMap<&str, Vec<&Arc<str>>> = BTreeMap::new();
    if environments.is_empty() {
        return found;
    }
    for (symbol, contract) in &layouts.contracts {
        if let Some(name) = contract.own.as_deref()
            && environments.contains(name)
        {
            found.entry(name).or_default().push(symbol);
        }
    }
    // Of some nothing is left but what the optimiser made part of other functions.
    for name in environments {
        found.entry(name).or_default();
    }
    found
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
