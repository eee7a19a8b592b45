//! What leads to values of given types: the other way round than types are written.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{Contract, Layouts, implementation, without_numbers};
use crate::names;

/// Types from which values of some types can be got at: by value, by pointer, as a generic argument, or by calling
/// what a trait object has for methods.
#[derive(Debug)]
pub struct Reach {
    names: HashSet<Arc<str>>,
}

impl Reach {
    /// What leads to one of `types` in one of the compilations.
    pub fn to(types: &HashSet<Arc<str>>, compilations: [&Layouts; 2]) -> Reach {
        let mut reach = Reach {
            names: types.clone(),
        };
        // By the name of a type: those that have it in their own name or in their fields.
        let mut before: HashMap<&str, Vec<&Arc<str>>> = HashMap::new();
        for layouts in compilations {
            for (name, known) in layouts.types() {
                let fields = known.iter().flat_map(|layout| layout.fields());
                let members = fields.map(|field| &*field.type_name);
                for part in members.chain([&**name]).flat_map(parts) {
                    before.entry(part).or_default().push(name);
                }
            }
            for (name, members) in &layouts.holders {
                for part in members.iter().flat_map(|member| parts(member)) {
                    before.entry(part).or_default().push(name);
                }
            }
        }
        let mut waiting: Vec<Arc<str>> = types.iter().cloned().collect();
        loop {
            while let Some(name) = waiting.pop() {
                for other in before.get(&*name).into_iter().flatten() {
                    if reach.names.insert(Arc::clone(other)) {
                        waiting.push(Arc::clone(other));
                    }
                }
            }
            let objects = compilations.iter().flat_map(|one| reach.trait_objects(one));
            let objects: Vec<Arc<str>> = objects.collect();
            for object in objects {
                if reach.names.insert(Arc::clone(&object)) {
                    waiting.push(object);
                }
            }
            if waiting.is_empty() {
                return reach;
            }
        }
    }

    /// Adds other types, with what leads to them.
    pub fn add(&mut self, other: Reach) {
        self.names.extend(other.names);
    }

    /// The names of all these types.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    /// Trait objects whose methods are given values of the types, or give them back. (What is behind the
    /// pointer itself finds its own methods.)
    fn trait_objects(&self, layouts: &Layouts) -> Vec<Arc<str>> {
        let passes = |symbol: &str| {
            let contract = layouts.contracts.get(symbol);
            contract.is_some_and(|it| it.exchanged().any(|name| self.leads(name)))
        };
        let mut found = Vec::new();
        for (name, table) in &layouts.vtables {
            let methods = table.methods.iter().filter(|symbol| passes(symbol));
            let mut methods = methods.peekable();
            if methods.peek().is_some() {
                found.extend(implementation(name).and_then(|(_, of)| object(of)));
            }
            // The table is that of all supertraits as well.
            found.extend(methods.filter_map(|symbol| {
                let method = names::for_people(symbol);
                let provided = || method.rsplit_once("::").map(|(path, _)| path);
                let of_trait = implementation(&method).map(|(_, of)| of);
                of_trait.or_else(provided).and_then(object)
            }));
        }
        found
    }

    /// Whether values of the types can be got at from one of this type.
    pub fn leads(&self, type_name: &str) -> bool {
        parts(type_name).any(|part| self.names.contains(part))
    }

    /// Whether a function is given, gives back, or works by other ways on what leads to the types.
    pub fn works_on(&self, contract: &Contract) -> bool {
        let mut environments = contract.works_on();
        self.is_given(contract)
            || self.gives(contract)
            || environments.any(|name| self.leads(&without_numbers(name)))
            // By a pointer that does not tell the type. One that gives back a trait object makes what is behind it.
            || self.is_instance(contract)
                && !contract.result.as_ref().is_some_and(|it| it.contains("dyn "))
    }

    /// Whether one of its parameters leads to the types.
    pub fn is_given(&self, contract: &Contract) -> bool {
        let mut parameters = contract.parameters.iter();
        parameters.any(|parameter| self.leads(&parameter.type_name))
    }

    /// Whether its result leads to the types.
    pub fn gives(&self, contract: &Contract) -> bool {
        contract.result.as_ref().is_some_and(|it| self.leads(it))
    }

    /// Whether a generic argument leads to the types.
    pub fn is_instance(&self, contract: &Contract) -> bool {
        let arguments = contract.instance.find('<');
        arguments.is_some_and(|at| self.leads(&contract.instance[at..]))
    }
}

/// Trait objects of a trait, whatever its arguments are. (Those of the standard library's tell all that their methods are
/// given and give back.)
pub(super) fn object(of: &str) -> Option<Arc<str>> {
    let path = of.split(['<', '>']).next().unwrap_or_default();
    (!names::is_of_std(path)).then(|| format!("dyn {path}").into())
}

/// The types that a type's name has in it, itself among them: `Vec<(u8, &T)>`, `(u8, &T)`, `u8`, `T`.
pub(super) fn parts(name: &str) -> impl Iterator<Item = &str> {
    let starts = name.match_indices(['<', '(', '[', ' ', '&', '*', '=']);
    let starts = starts.map(|(at, _)| at + 1);
    std::iter::once(0).chain(starts).flat_map(|start| {
        let rest = &name[start..];
        let whole = &rest[..end(rest)];
        // `dyn Trait<u8, Item=u8> + Send`
        let path = whole.starts_with("dyn ").then(|| whole.find(['<', '+']));
        let path = path.flatten().map(|end| whole[..end].trim_end());
        [Some(whole), path].into_iter().flatten()
    })
}

/// Where the type ends that a text begins with.
pub(super) fn end(text: &str) -> usize {
    let mut depth = 0_u32;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' => depth += 1,
            // Not the end of `->`.
            '>' if before == '-' => {}
            '>' | ')' | ']' if depth == 0 => return at,
            '>' | ')' | ']' => depth -= 1,
            ',' | ';' if depth == 0 => return at,
            _ => {}
        }
        before = c;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_in_the_names_of_others() {
        let all = |name| -> HashSet<&str> { parts(name).collect() };
        let found = all("alloc::vec::Vec<(u8, &mut app::T<u32>), alloc::alloc::Global>");
        for part in ["u8", "app::T<u32>", "(u8, &mut app::T<u32>)", "u32"] {
            assert!(found.contains(part), "{part}");
        }
        assert!(!found.contains("app::T"));
        assert!(all("[*const app::T; 3]").contains("app::T"));
        assert!(all("fn(u8) -> app::T").contains("app::T"));
        let future = all("Box<dyn core::future::Future<Output=app::T>>");
        assert!(future.contains("app::T"));
        let object = all("&(dyn app::Trait<u8> + core::marker::Send)");
        assert!(object.contains("dyn app::Trait"));
        assert!(all("&(dyn app::Trait + core::marker::Send)").contains("dyn app::Trait"));
        assert!(all("alloc::boxed::Box<dyn app::Trait>").contains("dyn app::Trait"));
    }
}
