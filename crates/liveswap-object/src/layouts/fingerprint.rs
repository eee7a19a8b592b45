//! What tells a function of an earlier generation from the one of now under the same symbol.

use std::cell::OnceCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};

use super::reach::{object, parts};
use super::{Contract, Environment, Layouts, implementation, is_environment};

/// Fingerprints of functions: of contracts, with the layouts of all types that values can be got at in.
pub struct Fingerprints<'l> {
    layouts: &'l Layouts,
    /// Tells what those do not.
    earlier: &'l Layouts,
    /// Types that the methods of trait objects are given and give back.
    methods: OnceCell<HashMap<String, BTreeSet<&'l str>>>,
}

impl<'l> Fingerprints<'l> {
    /// Of the functions that `layouts` tell of.
    pub fn new(layouts: &'l Layouts, earlier: &'l Layouts) -> Fingerprints<'l> {
        Fingerprints {
            layouts,
            earlier,
            methods: OnceCell::new(),
        }
    }

    /// The fingerprint of a function; of a closure's own with what the closure holds.
    pub fn of(&self, symbol: &str) -> Option<u64> {
        let contract = self.layouts.contracts.get(symbol)?;
        let own = contract.own.as_ref().and_then(|own| self.environment(own));
        let mut hasher = DefaultHasher::new();
        contract.hash_all(&mut hasher);
        own.map_or(0, |own| own.digest).hash(&mut hasher);
        self.types_of(contract).hash(&mut hasher);
        Some(hasher.finish())
    }

    fn environment(&self, name: &str) -> Option<&'l Environment> {
        let now = self.layouts.environment_types.get(name);
        now.or_else(|| self.earlier.environment_types.get(name))
    }

    /// Digests of the layouts of all types that a function can get at values of.
    fn types_of(&self, contract: &Contract) -> BTreeSet<u64> {
        let parameters = contract.parameters.iter().map(|it| &*it.type_name);
        let mut waiting: Vec<&str> = parameters.chain(contract.result.as_deref()).collect();
        // Generic arguments tell what is behind pointers that do not.
        waiting.push(&contract.instance);
        let environments = contract.works_on();
        let environments = environments.filter_map(|name| self.environment(name));
        waiting.extend(environments.flat_map(|it| it.holds.iter().map(|name| &**name)));
        let mut seen: HashSet<&str> = HashSet::new();
        let mut digests = BTreeSet::new();
        while let Some(name) = waiting.pop() {
            for part in parts(name) {
                if seen.insert(part) {
                    self.enter(part, &mut digests, &mut waiting);
                }
            }
        }
        digests
    }

    /// Enters one type, and what it leads to.
    fn enter<'n>(&self, name: &str, digests: &mut BTreeSet<u64>, waiting: &mut Vec<&'n str>)
    where
        'l: 'n,
    {
        let known = match self.layouts.layouts(name) {
            [] => self.earlier.layouts(name),
            known => known,
        };
        for layout in known {
            let mut hasher = DefaultHasher::new();
            (name, layout).hash(&mut hasher);
            digests.insert(hasher.finish());
            waiting.extend(layout.fields().map(|field| &*field.type_name));
        }
        // What an environment holds is told by its number.
        if !is_environment(name.split('<').next().unwrap_or_default()) {
            let holders = self.layouts.holders.get(name);
            let holders = holders.or_else(|| self.earlier.holders.get(name));
            waiting.extend(holders.into_iter().flatten().map(|member| &**member));
        }
        if name.starts_with("dyn ") {
            let methods = self.methods.get_or_init(|| self.methods());
            waiting.extend(methods.get(name).into_iter().flatten());
        }
    }

    fn methods(&self) -> HashMap<String, BTreeSet<&'l str>> {
        let mut found: HashMap<String, BTreeSet<&str>> = HashMap::new();
        for layouts in [self.layouts, self.earlier] {
            for (name, table) in &layouts.vtables {
                let of = implementation(name).and_then(|(_, of)| object(of));
                let Some(of) = of else { continue };
                let contracts = table.methods.iter().filter_map(|symbol| {
                    let now = self.layouts.contracts.get(&**symbol);
                    now.or_else(|| self.earlier.contracts.get(&**symbol))
                });
                let types = contracts.flat_map(Contract::exchanged);
                found.entry(of.to_string()).or_default().extend(types);
            }
        }
        found
    }
}
