//! Layouts of types, signatures of functions and order of methods, as the debug information of objects
//! tells them.
//!
//! Living data has the layout of the code that made it. Before new code may work on it, the layouts that old
//! and new objects tell are compared by the name of the type. Names are not always unique: types of several
//! versions of a crate and types inside of anonymous scopes can share one, so a name may have several layouts.
//!
//! Scopes without a name (`{impl#3}`) are known by number only, and each new one renumbers the others; so the
//! numbers are left out, and types in such scopes share a name more often.
//!
//! Not kept are types that cannot change: those of the standard library with nothing else in their arguments.
//! Not kept either are the environments of closures, futures and generators: they change with many an edit of
//! a body. Of them the functions that work on them keep a digest, see `environments`.

mod change;
mod compare;
mod compare_traits;
mod contract;
mod dwarf;
mod environments;
mod fingerprint;
mod forms;
mod graph;
mod reach;
mod read;
mod sections;
mod vtables;
mod walk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use change::{Change, ChangeKind};
pub use compare::{compare, compare_signatures, compare_statics};
pub use compare_traits::changed_drops;
pub use contract::{
    ClosurePlace, Contract, Contracts, EnvironmentPlace, Parameter, changed_contracts,
};
pub use fingerprint::Fingerprints;
pub use graph::without_numbers;
pub use reach::Reach;
pub use read::{read, read_split};

/// What the debug information of one or more objects tells.
#[derive(Clone, Debug, Default)]
pub struct Layouts {
    types: HashMap<Arc<str>, Known>,
    /// What is known of functions, by linkage name.
    pub contracts: HashMap<Arc<str>, Contract>,
    /// Environments by their names.
    environment_types: HashMap<String, Environment>,
    /// Types that are environments or lead to some, and so are not among the others: what they consist of and point to.
    holders: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// By the name of the implementation, `<T as Trait>`.
    pub vtables: HashMap<String, VTable>,
    /// How many slots the tables of a trait have, by its name: as the pointers to its objects tell it.
    pub traits: HashMap<String, u64>,
    /// Name of the type by the linkage name of the static.
    pub statics: HashMap<String, String>,
}

/// What is known of an environment.
#[derive(Clone, Debug)]
struct Environment {
    /// Of what it holds.
    digest: u64,
    /// The names of the types of that.
    holds: Arc<[Arc<str>]>,
    /// Whether values of it are kept elsewhere than in frames of functions that are called: on the heap.
    escapes: bool,
}

/// The layouts that share a name; nearly always one.
#[derive(Clone, Debug)]
enum Known {
    One(Arc<Layout>),
    Several(Vec<Arc<Layout>>),
}

/// Kind of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A struct or a tuple.
    Struct,
    /// An enum.
    Enum,
    /// A union.
    Union,
}

/// How values of a type lie in memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Its kind.
    pub kind: Kind,
    /// Its size in bytes.
    pub size: u64,
    /// Its alignment; 0 if not known.
    pub align: u64,
    /// Fields of a struct or union, by offset.
    pub members: Box<[Member]>,
    /// Where an enum keeps what tells its variants apart.
    pub discriminant: Option<Member>,
    /// Variants of an enum, by value.
    pub variants: Box<[Variant]>,
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Its name; those of tuples are `__0`, `__1`, …
    pub name: Arc<str>,
    /// Offset in bytes.
    pub offset: u64,
    /// Size of its type, 0 if not known.
    pub size: u64,
    /// Name of its type.
    pub type_name: Arc<str>,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// Its name.
    pub name: Arc<str>,
    /// The value that stands for it; none for the variant that is meant by all other values.
    pub discriminant: Option<i128>,
    /// Its fields.
    pub members: Box<[Member]>,
}

/// The methods that a trait object finds its code by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VTable {
    /// The linkage name of the function in each slot after the three that all tables have. Empty for a slot
    /// that holds no function.
    pub methods: Box<[Box<str>]>,
    /// Whether dropping a value behind the table calls something.
    pub drops: bool,
}

impl Layout {
    /// All fields, those of variants as well.
    pub fn fields(&self) -> impl Iterator<Item = &Member> {
        let of_variants = self.variants.iter().flat_map(|variant| &variant.members);
        self.members.iter().chain(of_variants)
    }
}

impl Layouts {
    /// The layouts known under a name.
    pub fn layouts(&self, name: &str) -> &[Arc<Layout>] {
        self.types.get(name).map_or(&[], Known::all)
    }

    /// All types by name.
    pub fn types(&self) -> impl Iterator<Item = (&Arc<str>, &[Arc<Layout>])> {
        self.types.iter().map(|(name, known)| (name, known.all()))
    }

    /// Whether several types share the name of one that is called `last` in some scope.
    pub fn is_ambiguous(&self, last: &str) -> bool {
        let mut types = self.types.iter();
        types.any(|(name, known)| {
            let path = name.split('<').next().unwrap_or_default();
            let is_it = path.rsplit("::").next() == Some(last);
            is_it
                && (matches!(known, Known::Several(_))
                    || path.contains('{')
                    || path.contains("::_::"))
        })
    }

    /// Whether there are trait objects of a trait of this name, and of none of them both generations have the table.
    pub fn lost_tables(&self, newer: &Layouts, last: &str) -> bool {
        let of_trait = |name: &str| {
            let path = implementation(name).map_or(name, |(_, of)| of);
            let path = path.split('<').next();
            path.and_then(|path| path.rsplit("::").next()) == Some(last)
        };
        let mut tables = self.vtables.keys().filter(|name| of_trait(name)).peekable();
        tables.peek().is_some() && tables.all(|name| !newer.vtables.contains_key(name))
    }

    /// The names of the types of what an environment holds.
    pub fn held_by(&self, environment: &str) -> impl Iterator<Item = &str> {
        let known = self.environment_types.get(environment);
        known
            .into_iter()
            .flat_map(|it| it.holds.iter().map(|name| &**name))
    }

    /// The environments of closures and futures that have others in them.
    pub fn outer_closures(&self) -> HashSet<String> {
        let names = self.environment_types.keys();
        names.filter_map(|name| around(name)).collect()
    }

    /// Whether values of an environment may outlive the call that made them.
    pub fn escapes(&self, environment: &str) -> bool {
        let known = self.environment_types.get(environment);
        known.is_none_or(|known| known.escapes)
    }

    /// How many names of types are known.
    pub fn type_count(&self) -> usize {
        self.types.len()
    }

    /// Adds a layout of a type.
    fn add(&mut self, name: &Arc<str>, layout: Arc<Layout>) {
        match self.types.get_mut(&**name) {
            None => {
                self.types.insert(name.clone(), Known::One(layout));
            }
            Some(known) if known.all().contains(&layout) => {}
            Some(known) => {
                let mut all = known.all().to_vec();
                all.push(layout);
                *known = Known::Several(all);
            }
        }
    }

    /// Forgets the layouts of types that values of now do not have any more.
    pub fn forget(&mut self, types: &HashSet<Arc<str>>) {
        self.types.retain(|name, _| !types.contains(name));
    }

    /// Adds what a newer generation tells: names of fields are those of now.
    pub fn update(&mut self, newer: &Layouts) {
        for (name, layouts) in newer.types() {
            for layout in layouts {
                match self.types.get_mut(&**name) {
                    Some(Known::One(known)) if compare::survives(known, layout) => {
                        *known = layout.clone();
                    }
                    _ => self.add(name, layout.clone()),
                }
            }
        }
        self.merge_rest(newer);
    }

    /// Adds what another object tells. Layouts add up; of functions, tables and statics the newer one counts.
    pub fn merge(&mut self, newer: &Layouts) {
        for (name, layouts) in newer.types() {
            for layout in layouts {
                self.add(name, layout.clone());
            }
        }
        self.merge_rest(newer);
    }

    fn merge_rest(&mut self, newer: &Layouts) {
        for (name, newer) in &newer.environment_types {
            let known = self.environment_types.entry(name.clone());
            let known = known.or_insert_with(|| newer.clone());
            *known = Environment {
                escapes: known.escapes || newer.escapes,
                ..newer.clone()
            };
        }
        for (name, members) in &newer.holders {
            let known = self.holders.entry(Arc::clone(name)).or_default();
            known.extend(members.iter().cloned());
            known.sort_unstable();
            known.dedup();
        }
        let copy = |(name, text): (&String, &String)| (name.clone(), text.clone());
        let contracts = newer.contracts.iter();
        self.contracts
            .extend(contracts.map(|(name, contract)| (name.clone(), contract.clone())));
        self.statics.extend(newer.statics.iter().map(copy));
        let traits = newer.traits.iter();
        self.traits
            .extend(traits.map(|(name, slots)| (name.clone(), *slots)));
        let tables = newer.vtables.iter();
        self.vtables
            .extend(tables.map(|(name, table)| (name.clone(), table.clone())));
    }
}

impl Known {
    fn all(&self) -> &[Arc<Layout>] {
        match self {
            Known::One(one) => std::slice::from_ref(one),
            Known::Several(all) => all,
        }
    }
}

/// The environment of the closure or future that another one is in: `f::{closure_env#1}` for
/// `f::{closure#1}::{closure_env#0}`.
fn around(environment: &str) -> Option<String> {
    let scope = &environment[..environment.rfind("::{")?];
    let (function, closure) = scope.rsplit_once("::{")?;
    let (kind, number) = closure.split_once('#')?;
    (kind != "impl").then(|| format!("{function}::{{{kind}_env#{number}"))
}

/// The type and the trait of `<T as Trait>` and `<T as Trait>::method`.
pub fn implementation(name: &str) -> Option<(&str, &str)> {
    let inside = name.strip_prefix('<')?;
    let inside = &inside[..reach::end(inside)];
    let mut depth = 0_u32;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' if before != '-' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && inside[at..].starts_with(" as ") => {
                return Some((&inside[..at], &inside[at + " as ".len()..]));
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Whether a name depends on the bodies of functions: environments of closures, futures and generators.
pub fn is_environment(name: &str) -> bool {
    name.contains("_env#")
}
