//! What tells a function of an earlier generation from the one of now under the same symbol.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::reach::{object, parts};
use super::{Contract, Environment, Layout, Layouts, implementation, is_environment};

/// Fingerprints of functions: of contracts, with the layouts of all types that values can be got at in.
///
/// New objects tell less than all that is live: it is what is known of both together that is compared, as it is
/// known once the new ones are live.
pub struct Fingerprints<'l> {
    layouts: &'l Layouts,
    earlier: &'l Layouts,
    /// Types with other layouts than earlier.
    changed: Option<&'l HashSet<Arc<str>>>,
    /// Types that the methods of trait objects are given and give back.
    methods: OnceCell<HashMap<String, BTreeSet<&'l str>>>,
    types: RefCell<Types<'l>>,
}

/// Types with those that each of them leads to: many functions lead to the same ones.
#[derive(Default)]
struct Types<'l> {
    numbers: HashMap<&'l str, usize>,
    all: Vec<Type>,
}

struct Type {
    /// Of its layouts; 0 if there are none.
    digest: u64,
    leads_to: Vec<usize>,
}

impl<'l> Fingerprints<'l> {
    /// Of the functions that `layouts` tell of. `changed` are types that have another layout there than `earlier`.
    pub fn new(
        layouts: &'l Layouts,
        earlier: &'l Layouts,
        changed: Option<&'l HashSet<Arc<str>>>,
    ) -> Fingerprints<'l> {
        Fingerprints {
            layouts,
            earlier,
            changed,
            methods: OnceCell::new(),
            types: RefCell::default(),
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

    /// A digest of the layouts of all types that a function can get at values of, in whatever order.
    fn types_of(&self, contract: &'l Contract) -> u64 {
        let parameters = contract.parameters.iter().map(|it| &*it.type_name);
        let names = parameters.chain(contract.result.as_deref());
        // Generic arguments tell what is behind pointers that do not.
        let names = names.chain([&*contract.instance]);
        let environments = contract.works_on();
        let environments = environments.filter_map(|name| self.environment(name));
        let names = names.chain(environments.flat_map(|it| it.holds.iter().map(|name| &**name)));
        let mut types = self.types.borrow_mut();
        let mut waiting: Vec<usize> = Vec::new();
        for part in names.flat_map(parts) {
            waiting.push(self.number(part, &mut types));
        }
        let mut seen = Vec::new();
        let mut digest = 0_u64;
        while let Some(number) = waiting.pop() {
            if seen.len() <= number {
                seen.resize(number + 1, false);
            }
            if std::mem::replace(&mut seen[number], true) {
                continue;
            }
            digest = digest.wrapping_add(types.all[number].digest);
            waiting.extend(&types.all[number].leads_to);
        }
        digest
    }

    /// The number of a type; it is entered with all that it leads to.
    fn number(&self, name: &'l str, types: &mut Types<'l>) -> usize {
        if let Some(number) = types.numbers.get(name) {
            return *number;
        }
        let mut waiting = vec![types.add(name, self.digest(name))];
        let mut names = vec![name];
        while let (Some(number), Some(name)) = (waiting.pop(), names.pop()) {
            let next = self.leads_to(name).into_iter().map(|name| {
                types.numbers.get(name).copied().unwrap_or_else(|| {
                    let number = types.add(name, self.digest(name));
                    waiting.push(number);
                    names.push(name);
                    number
                })
            });
            let next = next.collect();
            types.all[number].leads_to = next;
        }
        types.numbers[name]
    }

    fn known(&self, name: &str) -> &'l [Arc<Layout>] {
        let is_changed = self.changed.is_some_and(|changed| changed.contains(name));
        match self.earlier.layouts(name) {
            known @ [_, ..] if !is_changed => known,
            _ => self.layouts.layouts(name),
        }
    }

    fn digest(&self, name: &str) -> u64 {
        let digests = self.known(name).iter().map(|layout| {
            let mut hasher = DefaultHasher::new();
            (name, layout).hash(&mut hasher);
            hasher.finish()
        });
        digests.fold(0, u64::wrapping_add)
    }

    /// The names in what one type leads to.
    fn leads_to(&self, name: &'l str) -> BTreeSet<&'l str> {
        let mut found: BTreeSet<&'l str> = BTreeSet::new();
        let mut enter = |name: &'l str| found.extend(parts(name));
        enter(name);
        for layout in self.known(name) {
            layout.fields().for_each(|field| enter(&field.type_name));
        }
        // What an environment holds is told by its number.
        if !is_environment(name.split('<').next().unwrap_or_default()) {
            let both = [self.layouts, self.earlier].into_iter();
            let members = both.filter_map(|layouts| layouts.holders.get(name));
            members.flatten().for_each(|member| enter(member));
        }
        if name.starts_with("dyn ") {
            let methods = self.methods.get_or_init(|| self.methods());
            let types = methods.get(name).into_iter().flatten();
            types.for_each(|name| enter(name));
        }
        found
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

impl<'l> Types<'l> {
    fn add(&mut self, name: &'l str, digest: u64) -> usize {
        let number = self.all.len();
        self.numbers.insert(name, number);
        self.all.push(Type {
            digest,
            leads_to: Vec::new(),
        });
        number
    }
}
