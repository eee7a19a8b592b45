//! What is the same as before, and what is another thing: the one place that decides it.
//!
//! - **A slot is a contract** ([`Contract`]). It is led to a new body only if that has the
//!   contract of the old one. Another contract is another function: new callers get a new slot, the old one keeps
//!   the old body.
//! - **All that works on one environment is decided together.** What an environment holds is part of the contract of
//!   every function that can get at one, so makers, users and drop glue of the old one stay with each other.
//! - **Another symbol may be the same function** (`pairs`), if path, generic arguments and contract are the same.
//! - **A closure is its body and place** (`closures`), not its number.
//! - **A contract that comes back** finds its old slots again: an edit that is taken back reaches those that were left
//!   behind.

mod closures;
mod holders;
mod once;
mod pairs;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub use holders::held;
pub use once::initialisers;
pub use pairs::statics;

use crate::layouts::{ClosurePlace, Contract, Contracts, Layouts};
use crate::names;
use crate::patch::{Defined, Identities, Other, Planned, Renamed, Takes, Version};
use crate::program::Program;

/// What was found out.
#[derive(Debug, Default)]
pub struct Settled {
    /// For the plan.
    pub identities: Identities,
    /// Symbols of functions that live values and callers from before stay with, as their contract is another one now.
    pub left: Vec<Arc<str>>,
    /// Of those the ones that have a name of their own and are no instances of generic functions.
    plain: HashSet<Arc<str>>,
    /// Environments of which values from before stay with their code: names as debug information has them.
    pub isolated: BTreeSet<Arc<str>>,
}

/// Decides what is the same, from what debug information tells of live and new objects.
///
/// `planned` is what would be planned if symbols were identities. `statics` are known already to be the same under other
/// symbols. `conventions` tells of a symbol how the function is called, as far as debug information does not say it: a
/// digest of before, and one of now.
pub fn settle(
    program: &Program,
    old: &Layouts,
    new: &Layouts,
    planned: &Planned,
    statics: &Renamed,
    conventions: &dyn Fn(&str) -> (u64, u64),
) -> Settled {
    let now = planned.functions.iter();
    let now: HashMap<Arc<str>, &Defined> = now
        .map(|defined| (Arc::clone(&defined.symbol), defined))
        .collect();
    let gone: HashSet<&str> = planned.went.iter().map(|symbol| &**symbol).collect();
    let mut contracts = Contracts::new(old, new);
    let displaced = closures::displaced(program, old, new, &now, &gone);
    contracts.set_others(displaced);
    let renamed = pairs::functions(
        &planned.came,
        &planned.went,
        old,
        new,
        &contracts,
        conventions,
    );
    let mut others = HashMap::new();
    let mut symbols: Vec<&Arc<str>> = now.keys().collect();
    // Closures first: what works on one that is back is back with it.
    symbols.sort_unstable_by_key(|symbol| {
        let contract = new.contracts.get(*symbol);
        (
            contract.is_none_or(|contract| contract.own.is_none()),
            *symbol,
        )
    });
    let mut back: HashSet<String> = HashSet::new();
    for symbol in symbols {
        if renamed.contains_key(symbol) || !names::is_mangled(symbol) {
            continue;
        }
        let Some(after) = new.contracts.get(symbol) else {
            continue;
        };
        if !old.contracts.contains_key(symbol) {
            continue;
        }
        let (convention_before, convention) = conventions(symbol);
        if contracts.same(symbol, symbol) == Some(true) && convention_before == convention {
            continue;
        }
        let displaced: Vec<_> = contracts.others_among(after, false).collect();
        let version = Version {
            contract: new.fingerprint(symbol, old).unwrap_or_default(),
            convention,
        };
        let takes = Takes {
            version,
            // Where a number is another closure's, only the very same one may have what was left.
            body: (!displaced.is_empty()).then(|| now[symbol].digest),
        };
        let mut known = program.superseded.get(symbol).into_iter().flatten();
        let mut takes = known.any(|it| it.is_taken(&takes)).then_some(takes);
        match ClosurePlace::of(symbol, after) {
            Some(place) if takes.is_some() => {
                back.insert(place.name());
            }
            Some(_) => {}
            None => takes = takes.filter(|_| displaced.iter().all(|name| back.contains(&**name))),
        }
        let leaves = Version {
            contract: old.fingerprint(symbol, old).unwrap_or_default(),
            convention: convention_before,
        };
        let other = Other {
            leaves,
            displaced: !displaced.is_empty(),
            takes,
        };
        others.insert(Arc::clone(symbol), other);
    }
    let paired: HashSet<&Arc<str>> = renamed.values().collect();
    let left = planned
        .went
        .iter()
        .filter(|symbol| !paired.contains(symbol));
    let left: Vec<Arc<str>> = left
        .filter(|symbol| old.contracts.contains_key(&***symbol))
        .chain(others.keys())
        .map(Arc::clone)
        .collect();
    // Values of what holds other things now, or is gone, stay with the functions that were left.
    let contracts_left = left.iter().filter_map(|symbol| old.contracts.get(symbol));
    let isolated = contracts.changed(contracts_left.flat_map(Contract::works_on));
    let is_plain = |symbol: &&Arc<str>| {
        let contract = old.contracts.get(&***symbol);
        // What is left with the values that it works on is said of those.
        contract.is_some_and(|it| {
            it.own.is_none()
                && !it.instance.contains('<')
                && !it.environments.iter().any(|name| isolated.contains(name))
        })
    };
    let plain = left.iter().filter(is_plain).cloned().collect();
    let mut renamed = renamed;
    renamed.extend(statics.clone());
    Settled {
        identities: Identities { renamed, others },
        left,
        plain,
        isolated,
    }
}
