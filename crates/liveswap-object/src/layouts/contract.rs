//! The contract of a function: what its callers pass, what they get back, and which values without a name of their
//! own it can get at.
//!
//! A slot may be led to another body only if that has the same contract. A body of another contract belongs to
//! another function, whatever its symbol says: legacy symbols do not tell opaque and projected types, those of
//! version 0 tell no types at all.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _};
use std::sync::Arc;

use super::{Layouts, Reach, is_environment};
use crate::names;

/// What debug information tells of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its name with its generic arguments, `new<u32>`; of a closure with its number, `{closure#1}`.
    pub instance: Arc<str>,
    /// What it is given, in order.
    pub parameters: Box<[Parameter]>,
    /// The type that it gives back.
    pub result: Option<Arc<str>>,
    /// The environment that is its own, if it is the function of a closure or future: the name with all numbers.
    pub own: Option<Arc<str>>,
    /// The environments that it can get at: their names with all numbers.
    pub environments: Box<[Arc<str>]>,
    /// Digest of what it can get at of them; 0 if there are none.
    pub digest: u64,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name; empty if it has none.
    pub name: Box<str>,
    /// The name of its type.
    pub type_name: Arc<str>,
}

/// Parameters and result as they are written in a type.
impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            signature(
                self.parameters
                    .iter()
                    .map(|parameter| &*parameter.type_name),
                self.result.as_deref()
            )
        )
    }
}

/// Writes parameters and result as in a type.
pub(super) fn signature<'t>(
    parameters: impl Iterator<Item = &'t str>,
    result: Option<&str>,
) -> String {
    let parameters: Vec<&str> = parameters.collect();
    let mut text = format!("fn({})", parameters.join(", "));
    if let Some(result) = result {
        text.push_str(" -> ");
        text.push_str(result);
    }
    text
}

impl Contract {
    /// Hashes all that makes another contract of it.
    pub(super) fn hash_all(&self, hasher: &mut DefaultHasher) {
        for Parameter { name, type_name } in &self.parameters {
            (name, type_name).hash(hasher);
        }
        (&self.result, self.digest).hash(hasher);
    }

    /// The types that a method is given beside the value that it is called on, and gives back.
    pub(super) fn exchanged(&self) -> impl Iterator<Item = &str> {
        let others = self.parameters.iter().skip(1).map(|it| &*it.type_name);
        others.chain(self.result.as_deref())
    }

    /// The environments that it can get at, its own among them. (Of one that holds nothing there is not always a type.)
    pub fn works_on(&self) -> impl Iterator<Item = &Arc<str>> {
        let own = self.own.iter();
        let own = own.filter(|own| !self.environments.contains(own));
        self.environments.iter().chain(own)
    }

    /// Whether callers pass and get the same types at the same places.
    pub fn same_types(&self, other: &Contract) -> bool {
        self.parameters.len() == other.parameters.len()
            && self.result == other.result
            && self
                .parameters
                .iter()
                .zip(&other.parameters)
                .all(|(one, other)| one.type_name == other.type_name)
    }

    /// Whether one of several parameters of one type has the place of another: callers pass the one where the
    /// other is read. A new name alone is none.
    pub fn permutes(&self, other: &Contract) -> bool {
        // A closure that holds nothing may leave out what it holds.
        let named = |contract: &'_ Contract| -> Vec<Box<str>> {
            let parameters = contract.parameters.iter();
            parameters
                .filter(|parameter| !is_environment(&parameter.type_name))
                .map(|parameter| parameter.name.clone())
                .collect()
        };
        let (own, other) = (named(self), named(other));
        own.iter().enumerate().any(|(at, name)| {
            let now = other.iter().position(|other| other == name);
            !name.is_empty() && now.is_some_and(|now| now != at)
        })
    }
}

/// What two compilations tell of the functions and environments of a program.
#[derive(Debug)]
pub struct Contracts<'l> {
    old: &'l Layouts,
    new: &'l Layouts,
    old_names: HashMap<&'l str, String>,
    new_names: HashMap<&'l str, String>,
    /// Environments that are others, whatever they hold, by their lasting names.
    others: HashSet<String>,
    /// What leads to values of types that have another layout now.
    types: Option<&'l Reach>,
}

impl<'l> Contracts<'l> {
    /// Prepares a comparison.
    pub fn new(old: &'l Layouts, new: &'l Layouts) -> Contracts<'l> {
        Contracts {
            old,
            new,
            old_names: lasting_names(old),
            new_names: lasting_names(new),
            others: HashSet::new(),
            types: None,
        }
    }

    /// What the old compilation tells.
    pub fn old(&self) -> &'l Layouts {
        self.old
    }

    /// What the new compilation tells.
    pub fn new_ones(&self) -> &'l Layouts {
        self.new
    }

    /// Says of environments that they are others, although they may hold the same.
    pub fn set_others(&mut self, others: HashSet<String>) {
        self.others = others;
    }

    /// Says what leads to values of types that have another layout now.
    pub fn set_types(&mut self, reach: Option<&'l Reach>) {
        self.types = reach;
    }

    /// Whether a function works on values of types that have another layout now.
    pub fn works_on_types(&self, contract: &Contract) -> bool {
        self.types.is_some_and(|types| types.works_on(contract))
    }

    /// The environments that lead to some types, by their lasting names.
    pub fn environments_to(&self, reach: &Reach) -> impl Iterator<Item = String> {
        [(self.old, true), (self.new, false)]
            .into_iter()
            .flat_map(move |(layouts, of_old)| {
                let names = layouts.environment_types.keys();
                names
                    .filter(|name| reach.leads(&super::graph::without_numbers(name)))
                    .map(move |name| self.lasting_name(name, of_old).into_owned())
            })
    }

    /// Whether a function of the new compilation may take the place of one of the old: callers and values of the one
    /// are those of the other. `None` if one of them is not known.
    pub fn same(&self, old: &str, new: &str) -> Option<bool> {
        let (old, new) = (self.old.contracts.get(old)?, self.new.contracts.get(new)?);
        Some(
            old.same_types(new)
                && !old.permutes(new)
                && self.same_environments(old, new)
                && !self.works_on_types(old)
                && !self.works_on_types(new)
                && self.others_among(old, true).next().is_none()
                && self.others_among(new, false).next().is_none(),
        )
    }

    /// The environments of a contract that are others, by their lasting names.
    pub fn others_among<'n>(
        &'n self,
        contract: &'n Contract,
        of_old: bool,
    ) -> impl Iterator<Item = Cow<'n, str>> {
        contract
            .works_on()
            .filter(move |name| self.is_other(name, of_old))
            .map(move |name| self.lasting_name(name, of_old))
    }

    /// Whether a closure or future is another one, by itself or because it is in one that is.
    fn is_other(&self, environment: &str, of_old: bool) -> bool {
        let mut name = Some(environment.to_owned());
        while let Some(one) = name {
            if self.others.contains(&*self.lasting_name(&one, of_old)) {
                return true;
            }
            name = super::around(&one);
        }
        false
    }

    /// Of environments that the old compilation knows those whose values are not values of the new one: that holds other
    /// things there, or nothing tells of it any more. `stay` are those whose functions stay as they are.
    pub fn changed<'n>(
        &self,
        environments: impl Iterator<Item = &'n Arc<str>>,
        stay: &HashSet<&Arc<str>>,
    ) -> BTreeSet<Arc<str>> {
        let environments: BTreeSet<&Arc<str>> = environments.collect();
        if environments.is_empty() {
            return BTreeSet::new();
        }
        let now = self.new.environment_types.iter();
        let mut told: HashMap<Cow<'_, str>, Vec<u64>> = HashMap::new();
        for (name, now) in now {
            let digests = told.entry(self.lasting_name(name, false)).or_default();
            digests.push(now.digest);
        }
        let is_known = |environment: &Arc<str>| {
            let before = self.old.environment_types.get(&**environment);
            match told.get(&self.lasting_name(environment, true)) {
                Some(now) => before.is_some_and(|before| now.contains(&before.digest)),
                None => stay.contains(environment),
            }
        };
        let changed = environments
            .into_iter()
            .filter(|name| self.is_other(name, true) || !is_known(name));
        changed.map(Arc::clone).collect()
    }

    /// The name of an environment that it keeps when `impl` blocks are renumbered.
    pub fn lasting_name<'n>(&'n self, name: &'n str, of_old: bool) -> Cow<'n, str> {
        let names = if of_old {
            &self.old_names
        } else {
            &self.new_names
        };
        match names.get(name) {
            Some(name) => name.as_str().into(),
            None => super::graph::without_numbers(name),
        }
    }

    fn same_environments(&self, old: &Contract, new: &Contract) -> bool {
        let (Some(old_name), Some(new_name)) = (&old.own, &new.own) else {
            return old.digest == new.digest;
        };
        // The object that has the function does not always tell of the type; another one does.
        let digest = |layouts: &Layouts, name: &Arc<str>| {
            let known = layouts.environment_types.get(&**name);
            known.map(|known| known.digest)
        };
        let after = digest(self.new, new_name);
        let is_told = old.digest != 0 && new.digest != 0;
        (!is_told || old.digest == new.digest)
            && (after.is_none() || after == digest(self.old, old_name))
    }
}

/// Where a closure or future is in the source, in terms that last when `impl` blocks are renumbered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClosurePlace {
    /// The function around it, with its generic arguments, and the closures around it in there.
    pub owner: String,
    /// Its number in that.
    pub number: u32,
}

impl ClosurePlace {
    /// The place of the closure whose own function has this symbol and contract; `None` if it is no closure.
    pub fn of(symbol: &str, contract: &Contract) -> Option<ClosurePlace> {
        let own = &**contract.own.as_ref()?;
        let path = names::path(symbol)?;
        // Names of version 0 have the number, others do not.
        let path = path.rfind("::{closure").map_or(&*path, |at| &path[..at]);
        let (scopes, arguments) = split_arguments(own);
        let mut numbers = numbers(scopes);
        let number = numbers.pop()?;
        let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
        let arguments = super::graph::without_numbers(arguments);
        Some(ClosurePlace {
            owner: format!("{path}{arguments}#{}", numbers.join(".")),
            number,
        })
    }

    /// The name of its environment that lasts.
    pub fn name(&self) -> String {
        format!("{}#{}", self.owner, self.number)
    }
}

/// Where a closure or future is, as the name of its environment tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentPlace {
    /// The function that all of it is in, with the generic arguments of the closure. `impl` blocks have no numbers in it.
    pub function: String,
    /// Its number with those of the closures around it, outermost first.
    pub chain: Vec<u32>,
}

impl EnvironmentPlace {
    /// The place of an environment, by the name that debug information calls it by.
    pub fn of(environment: &str) -> Option<EnvironmentPlace> {
        let (scopes, arguments) = split_arguments(environment);
        let mut scopes_in = scopes.match_indices("::{");
        let (first, _) = scopes_in.find(|(at, _)| !scopes[*at..].starts_with("::{impl"))?;
        let function = super::graph::without_numbers(&scopes[..first]);
        let arguments = super::graph::without_numbers(arguments);
        Some(EnvironmentPlace {
            function: format!("{function}{arguments}"),
            chain: numbers(scopes),
        })
    }
}

/// The name of an environment, and its generic arguments behind that.
fn split_arguments(environment: &str) -> (&str, &str) {
    let own = environment.find("_env#").unwrap_or(environment.len());
    let arguments = environment[own..].find('<');
    environment.split_at(arguments.map_or(environment.len(), |at| own + at))
}

/// Environments by the name that debug information calls them by, with the one that lasts.
fn lasting_names(layouts: &Layouts) -> HashMap<&str, String> {
    let contracts = layouts.contracts.iter();
    let named = contracts.filter_map(|(symbol, contract)| {
        let place = ClosurePlace::of(symbol, contract)?;
        Some((&**contract.own.as_ref()?, place.name()))
    });
    named.collect()
}

/// The numbers of closures in a path: 1 and 0 of `app::{impl#3}::f::{closure#1}::{closure_env#0}`.
fn numbers(path: &str) -> Vec<u32> {
    let parts = path.split("::").filter_map(|part| {
        let part = part.strip_prefix('{')?.strip_suffix('}')?;
        let (kind, number) = part.split_once('#')?;
        (kind != "impl").then(|| number.parse().ok())?
    });
    parts.collect()
}

/// The symbols of functions that old and new objects know, and that cannot take each other's place.
///
/// A function whose contract stayed as it was is none of them, whatever its body does.
pub fn changed_contracts(old: &Layouts, new: &Layouts) -> HashSet<Arc<str>> {
    let contracts = Contracts::new(old, new);
    let symbols = new.contracts.keys();
    symbols
        .filter(|symbol| contracts.same(symbol, symbol) == Some(false))
        .map(Arc::clone)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(names: &[&str]) -> Contract {
        Contract {
            instance: "f".into(),
            parameters: names
                .iter()
                .map(|name| Parameter {
                    name: (*name).into(),
                    type_name: "u32".into(),
                })
                .collect(),
            result: None,
            own: None,
            environments: Box::default(),
            digest: 0,
        }
    }

    #[test]
    fn places_of_closures_last() {
        for (symbol, own, expected) in [
            (
                "_ZN3app1f28_$u7b$$u7b$closure$u7d$$u7d$17h6c1ae81807e44783E",
                "app::f::{closure_env#4}",
                "_ZN3app1f28_$u7b$$u7b$closure$u7d$$u7d$##4",
            ),
            (
                "_ZN3app1Q1f28_$u7b$$u7b$closure$u7d$$u7d$17h6c1ae81807e44783E",
                "app::{impl#3}::f::{closure#1}::{closure_env#0}<u8, x::{closure_env#7}>",
                "_ZN3app1Q1f28_$u7b$$u7b$closure$u7d$$u7d$<u8, x::{closure_env#7}>#1#0",
            ),
            (
                "_RNCNvCs1_3app1fs_0B3_",
                "app::f::{async_fn_env#1}",
                "app::f##1",
            ),
        ] {
            let contract = Contract {
                own: Some(own.into()),
                ..contract(&[])
            };
            let place = ClosurePlace::of(symbol, &contract).unwrap();
            assert_eq!(place.name(), expected);
        }
    }

    #[test]
    fn places_of_environments_tell_function_and_numbers() {
        for (name, function, chain) in [
            ("app::f::{closure_env#4}", "app::f", vec![4]),
            (
                "app::{impl#3}::f::{closure#1}::{async_block_env#0}<u8, x::{closure_env#7}>",
                "app::{impl}::f<u8, x::{closure_env#7}>",
                vec![1, 0],
            ),
        ] {
            let place = EnvironmentPlace::of(name).unwrap();
            assert_eq!((&*place.function, place.chain), (function, chain));
        }
    }

    #[test]
    fn parameters_that_change_places() {
        let old = contract(&["len", "at"]);
        assert!(old.permutes(&contract(&["at", "len"])));
        assert!(old.permutes(&contract(&["at", "other"])));
        assert!(!old.permutes(&contract(&["length", "at"])));
        assert!(!old.permutes(&contract(&["len", "at"])));
        assert!(!contract(&["", ""]).permutes(&contract(&["", ""])));
    }
}
