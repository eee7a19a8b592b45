//! What goes on in code from before an edit: values that were made then, and callers that were compiled then.
//!
//! It is said by the save that leaves them behind, and again by every later one that touches the same function, as
//! long as it may hold. A version that comes back is not left behind any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use liveswap_object::identity::Settled;
use liveswap_object::layouts::Layouts;
use liveswap_object::names;
use liveswap_object::patch::Planned;

/// All that was left behind.
#[derive(Clone, Debug, Default)]
pub struct LeftBehind {
    /// By what people call the function around it.
    values: BTreeMap<Values, Versions>,
}

/// Values without a name of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Values {
    owner: String,
    kind: &'static str,
}

/// The versions of a closure's own function that values from before stay with: symbol and fingerprint.
type Versions = BTreeSet<(Arc<str>, u64)>;

impl LeftBehind {
    /// What is left behind after a plan, and what is said of it.
    pub fn after(
        &self,
        settled: &Settled,
        planned: &Planned,
        old: &Layouts,
        new: &Layouts,
    ) -> (LeftBehind, Vec<String>) {
        let mut after = self.clone();
        after.forget(settled, planned, new);
        let mut said: BTreeSet<Values> = after.touched(planned);
        if !settled.isolated.is_empty() {
            let isolated: HashSet<&str> = settled.isolated.iter().map(|name| &**name).collect();
            let mut own: HashMap<&str, Vec<&Arc<str>>> = HashMap::new();
            for (symbol, contract) in &old.contracts {
                if let Some(name) = contract.own.as_deref()
                    && isolated.contains(name)
                {
                    own.entry(name).or_default().push(symbol);
                }
            }
            for name in isolated {
                if !old.escapes(name) {
                    continue;
                }
                let symbols = own.get(name).map(Vec::as_slice).unwrap_or_default();
                let values = Values::of(name, symbols.first().map(|symbol| &***symbol));
                let versions = after.values.entry(values.clone()).or_default();
                versions.extend(symbols.iter().filter_map(|symbol| {
                    let contract = old.contracts.get(*symbol)?;
                    Some((Arc::clone(symbol), contract.fingerprint()))
                }));
                said.insert(values);
            }
        }
        let messages = said.into_iter().map(|values| {
            let Values { owner, kind } = values;
            format!("{kind} of `{owner}` made before this save run the version they were made with")
        });
        (after, messages.collect())
    }

    /// Forgets versions that are current again.
    fn forget(&mut self, settled: &Settled, planned: &Planned, new: &Layouts) {
        let others = &settled.identities.others;
        for (symbol, _) in &planned.functions {
            let current = match others.get(symbol) {
                Some(other) => other.takes.map(|version| version.contract),
                None => new.contracts.get(symbol).map(|it| it.fingerprint()),
            };
            if let Some(current) = current {
                for versions in self.values.values_mut() {
                    versions.remove(&(Arc::clone(symbol), current));
                }
            }
        }
        self.values.retain(|_, versions| !versions.is_empty());
    }

    /// What belongs to functions that this plan changes.
    fn touched(&self, planned: &Planned) -> BTreeSet<Values> {
        let modules = planned.modules.iter();
        let changed: HashSet<&str> = modules
            .flat_map(|module| module.changed.iter().chain(&module.added))
            .map(|name| without_closures(name))
            .collect();
        let values = self.values.keys();
        values
            .filter(|values| changed.contains(&*values.owner))
            .cloned()
            .collect()
    }
}

impl Values {
    fn of(environment: &str, symbol: Option<&str>) -> Values {
        let last = environment.rfind("::{").map_or(environment, |at| &environment[at + 3..]);
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
        Values { owner, kind }
    }
}

/// The function that a closure is in.
fn without_closures(name: &str) -> &str {
    let end = name.find("::{{closure}}").or_else(|| {
        let mut braces = name.match_indices("::{");
        braces.find_map(|(at, _)| (!name[at..].starts_with("::{impl")).then_some(at))
    });
    end.map_or(name, |end| &name[..end])
}
