//! What is the same as before, and what is another thing: the one place that decides it.
//!
//! - **A slot is a contract** ([`Contract`]). It is led to a new body only if that has the
//!   contract of the old one. Another contract is another function: new callers get a new slot, the old one keeps
//!   the old body.
//! - **All that works on one environment is decided together.** What an environment holds is part of the contract of
//!   every function that can get at one, so makers, users and drop glue of the old one stay with each other.
//! - **Another symbol may be the same function** (`pairs`), if path, generic arguments and contract are the same.
//! - **A closure is its body and place** (`closures`), not its number.
//! - **A type with another layout is another type** (`types`): what works on its values is decided like what works on
//!   an environment, if old and new code have no other way to the same value.
//! - **A contract that comes back** finds its old slots again: an edit that is taken back reaches those that were left
//!   behind.

mod closures;
mod holders;
mod once;
mod pairs;
mod types;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

pub use holders::{Held, held};
pub use once::initialisers;
pub use pairs::statics;
pub use types::ChangedTypes;

use crate::layouts::{ClosurePlace, Contract, Contracts, Fingerprints, Layouts};
use crate::names;
use crate::patch::{Defined, Identities, Other, Planned, Renamed, Takes, Version};
use crate::program::digest::Digest;
use crate::program::{Program, Remembered};

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
    /// What is to be known later of functions and closures.
    pub remembered: Remembered,
}

/// Decides what is the same, from what debug information tells of live and new objects.
///
/// `planned` is what would be planned if symbols were identities. `statics` are known already to be the same under other
/// symbols. `types` have another layout than before. `conventions` tells of a symbol how the function is called, as far
/// as debug information does not say it: a digest of before, and one of now.
pub fn settle(
    program: &Program,
    old: &Layouts,
    new: &Layouts,
    planned: &Planned,
    statics: &Renamed,
    types: Option<&ChangedTypes>,
    conventions: &dyn Fn(&str) -> (u64, u64),
) -> Settled {
    let now = planned.functions.iter();
    let now: HashMap<Arc<str>, &Defined> = now
        .map(|defined| (Arc::clone(&defined.symbol), defined))
        .collect();
    let gone: HashSet<&str> = planned.went.iter().map(|symbol| &**symbol).collect();
    let mut contracts = Contracts::new(old, new);
    let displaced = closures::displaced(program, &contracts, &now, &gone);
    let mut others = displaced.others.clone();
    if let Some(types) = types {
        others.extend(contracts.environments_to(&types.reach));
    }
    let has_others = !others.is_empty() || types.is_some();
    contracts.set_others(others);
    contracts.set_types(types.map(|types| &types.reach));
    let renamed = pairs::functions(
        &planned.came,
        &planned.went,
        old,
        new,
        &contracts,
        conventions,
    );
    // Functions that may be others: those of new objects, and what works on another closure in objects that stay.
    let mut functions: HashMap<&Arc<str>, Digest> = now
        .iter()
        .map(|(symbol, defined)| (symbol, defined.digest))
        .collect();
    if has_others {
        for (key, live) in &program.functions {
            let contract = old.contracts.get(&key.name);
            let works_on_others = contract.is_some_and(|it| {
                contracts.others_among(it, true).next().is_some() || contracts.works_on_types(it)
            });
            if live.present && works_on_others && !gone.contains(&*key.name) {
                functions.entry(&key.name).or_insert(live.digest);
            }
        }
    }
    let contract = |symbol: &Arc<str>| {
        new.contracts
            .get(symbol)
            .or_else(|| old.contracts.get(symbol))
    };
    let mut others = HashMap::new();
    let mut symbols: Vec<&Arc<str>> = functions.keys().copied().collect();
    // Closures first: what works on one that is back is back with it.
    symbols.sort_unstable_by_key(|symbol| {
        (
            contract(symbol).is_none_or(|contract| contract.own.is_none()),
            *symbol,
        )
    });
    let before = Fingerprints::new(old, old, None);
    let after = Fingerprints::new(new, old, types.map(|types| &types.names));
    let version_before = |symbol: &Arc<str>, convention: u64| Version {
        contract: before.of(symbol).unwrap_or_default(),
        convention,
    };
    let mut back: HashSet<String> = HashSet::new();
    for symbol in symbols {
        if renamed.contains_key(symbol) || !names::is_mangled(symbol) {
            continue;
        }
        let (Some(was), Some(is)) = (old.contracts.get(symbol), contract(symbol)) else {
            continue;
        };
        let (convention_before, convention) = conventions(symbol);
        // What is known of it by its name is of others meanwhile, if it was gone.
        let gone = program.gone.contains_key(symbol);
        let gone = gone.then(|| program.remembered_version(symbol)).flatten();
        let version = || Version {
            contract: after
                .of(symbol)
                .or_else(|| before.of(symbol))
                .unwrap_or_default(),
            convention,
        };
        let others_here: BTreeSet<_> = contracts
            .others_among(is, !new.contracts.contains_key(symbol))
            .chain(contracts.others_among(was, true))
            .collect();
        // Of those that lead to types with another layout the version tells which they are.
        let displaced_here: Vec<_> = others_here
            .iter()
            .filter(|name| displaced.others.contains(&***name))
            .collect();
        let same_version = match gone {
            Some(gone) => gone == version(),
            None => {
                contracts.same(symbol, symbol).unwrap_or(true)
                    && convention_before == convention
                    && !contracts.works_on_types(is)
            }
        };
        if same_version && others_here.is_empty() {
            continue;
        }
        let version = version();
        let place = ClosurePlace::of(symbol, is);
        let name = place.map(|place| place.name());
        // All else that it works on has to be back as well.
        let mut rest = displaced_here
            .iter()
            .filter(|other| name.as_deref() != Some(&***other));
        let rest_is_back = rest.all(|other| back.contains(&***other));
        let is_certain = |name: &String| !displaced.uncertain.contains(name);
        // The very same as when it went, whatever its number was another's for meanwhile.
        let is_back = gone == Some(version) && rest_is_back && {
            let live = program.gone.get(symbol);
            let live = live.and_then(|key| program.functions.get(key));
            live.is_some_and(|live| live.digest == functions[symbol])
        };
        if let Some(name) = name.clone().filter(|name| is_back && is_certain(name)) {
            back.insert(name);
            continue;
        }
        let takes = Takes {
            version,
            // Where a number is another closure's, only the very same one may have what was left.
            body: (!displaced_here.is_empty()).then(|| functions[symbol]),
        };
        let mut known = program.superseded.get(symbol).into_iter().flatten();
        let mut takes = known.any(|it| it.is_taken(&takes)).then_some(takes);
        match name {
            Some(name) => {
                // Of one that has others in it the body does not tell everything.
                takes = takes.filter(|it| it.body.is_none() || rest_is_back && is_certain(&name));
                if takes.is_some() {
                    back.insert(name);
                }
            }
            None => takes = takes.filter(|_| rest_is_back),
        }
        let other = Other {
            leaves: gone.unwrap_or_else(|| version_before(symbol, convention_before)),
            displaced: !displaced_here.is_empty(),
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
    let is_left: HashSet<&Arc<str>> = left.iter().collect();
    let stay = program.functions.iter();
    let stay = stay.filter(|(key, live)| live.present && !is_left.contains(&key.name));
    let own = stay.filter_map(|(key, _)| old.contracts.get(&key.name)?.own.as_ref());
    let mut isolated =
        contracts.changed(contracts_left.flat_map(Contract::works_on), &own.collect());
    // One that is given values of a type with another layout stays as well, whatever it holds.
    let by_types = left.iter().filter_map(|symbol| old.contracts.get(symbol));
    let by_types = by_types.filter(|contract| contracts.works_on_types(contract));
    isolated.extend(by_types.filter_map(|contract| contract.own.clone()));
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
    let went = planned.went.iter();
    let versions = went.map(|symbol| {
        (
            Arc::clone(symbol),
            version_before(symbol, conventions(symbol).0),
        )
    });
    let remembered = Remembered {
        versions: versions.collect(),
        renumbered: displaced.renumbered,
    };
    let mut renamed = renamed;
    renamed.extend(statics.clone());
    Settled {
        remembered,
        identities: Identities { renamed, others },
        left,
        plain,
        isolated,
    }
}
