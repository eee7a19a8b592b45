//! What functions expect of the environments of closures, futures and generators.
//!
//! An environment is known by its number in the function around it, and its type has a name nowhere but in the
//! instances that work on it: the closure's own function, glue that drops it, shims that call it, iterators over
//! it. Those keep their symbols when the environment changes, or when another closure gets its number. So each
//! function that is given or gives back such values keeps a digest of all environments that it can reach by them,
//! and of what lies around them; two functions of one symbol whose digests differ cannot work on each other's values.
//!
//! A function that is only generic over an environment is none of them: a server's table of handlers leads to such
//! functions, and an edited handler has to answer the next request. Nor is one that gets at its values by a pointer
//! that does not tell their type.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::dwarf::tag;
use super::graph::{Graph, Index, Names};
use super::read::layout;
use super::{Layouts, is_environment};

/// The symbols of functions that old and new objects know, and that work on environments whose layout, or the
/// way they are called, is not what it was.
///
/// A function whose environments stayed as they were is none of them, whatever its body does.
pub fn of_changed_environments(old: &Layouts, new: &Layouts) -> HashSet<Arc<str>> {
    let known = new.signatures.keys();
    let known = known.filter(|symbol| old.signatures.contains_key(*symbol));
    known
        .filter(|symbol| {
            let digests = (old.environments.get(*symbol), new.environments.get(*symbol));
            let own = (
                old.own_environments.get(*symbol),
                new.own_environments.get(*symbol),
            );
            match (digests, own) {
                ((Some(old), Some(new)), _) => old != new,
                // One of the objects does not tell of the type, but another one may.
                (_, (Some(old_name), Some(new_name))) => {
                    let before = old.environment_types.get(old_name);
                    let after = new.environment_types.get(new_name);
                    after.is_some_and(|after| Some(after) != before)
                }
                ((old, new), _) => old != new,
            }
        })
        .map(|symbol| Arc::from(symbol.as_str()))
        .collect()
}

/// What is in one type, and the types from which it goes on.
struct Node {
    digest: u64,
    next: Vec<usize>,
}

/// The environments of an object.
pub(super) struct Environments<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Types by their whole name, with all numbers. An object of several units has several of a name.
    places: HashMap<String, Vec<usize>>,
    nodes: HashMap<usize, Node>,
    /// Digests of all that can be reached from a type.
    reached: HashMap<usize, u64>,
}

/// A function, put together from all entries that tell of it.
pub(super) struct Function<'f> {
    pub parent: Option<Index>,
    pub name: &'f str,
    pub signature: &'f str,
}

impl<'g, 'a> Environments<'g, 'a> {
    /// `types` are all that have an environment in their name.
    pub(super) fn new(graph: &'g Graph<'a>, types: &[usize]) -> Self {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        // Only environments themselves are looked up by name.
        for number in types.iter().copied() {
            let raw = &graph.types[number];
            if raw.name.starts_with('{') {
                let name = graph.path(raw.parent, raw.name);
                places.entry(name).or_default().push(number);
            }
        }
        Environments {
            graph,
            places,
            nodes: HashMap::new(),
            reached: HashMap::new(),
        }
    }

    /// The digests of all environments by their names.
    pub(super) fn into_types(mut self, names: &mut Names<'_, 'a>) -> HashMap<String, u64> {
        let places = std::mem::take(&mut self.places);
        let digests = places.into_iter().map(|(name, places)| {
            let digests = places.iter().map(|place| self.reached_from(*place, names));
            (name, digest(&as_set(digests)))
        });
        digests.collect()
    }

    /// The name of the environment of a closure's own function.
    pub(super) fn own_name(&self, function: &Function<'_>) -> Option<String> {
        own_environment(function.name).map(|own| self.graph.path(function.parent, &own))
    }

    /// The digest of what a function is given and gives back; none if that is no environment. `types` are those of
    /// its parameters and its result.
    pub(super) fn of_function(
        &mut self,
        names: &mut Names<'_, 'a>,
        function: &Function<'_>,
        types: impl Iterator<Item = usize>,
    ) -> Option<u64> {
        let mut roots: Vec<usize> = Vec::new();
        if is_environment(function.signature) {
            let types = types.filter_map(|place| self.graph.type_at(place));
            roots.extend(types.filter(|number| is_environment(&names.of_type(*number))));
            roots.retain(|number| !is_function(&names.of_type(*number)));
        }
        if function.name.starts_with("drop_in_place<") {
            // Its parameter is not told.
            self.named_in(function.name, &mut roots);
        }
        // A closure's own function has its environment for a parameter only if that is not taken apart at once.
        let own = self.own_name(function);
        let own = own.and_then(|own| self.places.get(&own));
        roots.extend(own.into_iter().flatten());
        if roots.is_empty() {
            return None;
        }
        let digests = roots.iter().map(|root| self.reached_from(*root, names));
        Some(digest(&(function.signature, as_set(digests))))
    }

    /// Adds the environments that a text mentions.
    fn named_in(&self, text: &str, found: &mut Vec<usize>) {
        for name in environments_in(text) {
            found.extend(self.places.get(name).into_iter().flatten());
        }
    }

    /// What is reached does not depend on the way there: types contain each other in circles.
    fn reached_from(&mut self, root: usize, names: &mut Names<'_, 'a>) -> u64 {
        if let Some(known) = self.reached.get(&root) {
            return *known;
        }
        let mut digests = Vec::new();
        let mut seen = HashSet::from([root]);
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            if !self.nodes.contains_key(&number) {
                let node = self.node(number, names);
                self.nodes.insert(number, node);
            }
            let node = &self.nodes[&number];
            digests.push(node.digest);
            waiting.extend(node.next.iter().filter(|next| seen.insert(**next)));
        }
        let digest = digest(&as_set(digests.into_iter()));
        self.reached.insert(root, digest);
        digest
    }

    fn node(&self, number: usize, names: &mut Names<'_, 'a>) -> Node {
        let graph = self.graph;
        let raw = &graph.types[number];
        let name = names.of_type(number);
        let mut hasher = DefaultHasher::new();
        (&name, raw.count).hash(&mut hasher);
        let mut targets = vec![raw.target];
        if matches!(raw.tag, tag::STRUCTURE | tag::UNION) {
            if let Some(layout) = layout(graph, names, number) {
                layout.hash(&mut hasher);
            }
            targets.extend(graph.members_of(number).iter().map(|member| member.target));
            for variant in graph.variants_of(number) {
                let fields = graph.type_at(variant.target);
                let members = fields.map_or(&[][..], |fields| graph.members_of(fields));
                targets.extend(members.iter().map(|member| member.target));
            }
        }
        let targets = targets.into_iter().filter_map(|place| graph.type_at(place));
        // A function that gives back an environment has none in it.
        let is_data = |name: &str| is_environment(name) && !is_function(name);
        let next = targets
            .filter(|target| is_data(&names.of_type(*target)))
            .collect();
        Node {
            digest: hasher.finish(),
            next,
        }
    }
}

/// Neither their order nor their number counts.
fn as_set(digests: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut digests: Vec<u64> = digests.collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Whether a type is that of functions: their results and parameters are not part of them.
fn is_function(name: &str) -> bool {
    let name = name.trim_start_matches("unsafe ");
    name.starts_with("fn(") || name.starts_with("extern ")
}

/// The environment of the function `{closure#0}<T>`: `{closure_env#0}<T>`.
fn own_environment(name: &str) -> Option<String> {
    let rest = name.strip_prefix('{')?;
    let (kind, rest) = rest.split_once('#')?;
    Some(format!("{{{kind}_env#{rest}"))
}

/// The environments in the name of a type or of an instance of a function, with their arguments.
fn environments_in(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("_env#").filter_map(move |(at, _)| {
        let start = text[..at].rfind(['<', '(', '[', ' ', '&', '*', ',']);
        let start = start.map_or(0, |before| before + 1);
        let end = at + text[at..].find('}')? + 1;
        let end = end + arguments(&text[end..]);
        Some(&text[start..end])
    })
}

/// The length of `<…>` at the start of a text.
fn arguments(text: &str) -> usize {
    if !text.starts_with('<') {
        return 0;
    }
    let mut depth = 0_u32;
    let mut before = b' ';
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            // Not the end of `->`.
            b'>' if before != b'-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
        before = byte;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_found_in_names() {
        fn found(text: &str) -> Vec<&str> {
            environments_in(text).collect()
        }
        let inner = "app::{impl#3}::go::{closure#1}::{closure_env#0}<fn(u8) -> u8, Vec<u8>>";
        assert_eq!(found("drop_in_place<app::T>"), [""; 0]);
        assert_eq!(found(&format!("drop_in_place<{inner}>")), [inner]);
        assert_eq!(found(&format!("next<(u32, &mut {inner}), u8>")), [inner]);
        let outer = format!("app::f::{{async_fn_env#12}}<{inner}>");
        assert_eq!(
            found(&format!("[core::pin::Pin<&mut {outer}>; 2]")),
            [&*outer, inner]
        );
        assert_eq!(found("a<b::{closure_env#0"), [""; 0]);
        assert_eq!(found("a<b::{closure_env#0}<c"), ["b::{closure_env#0}"]);
    }

    #[test]
    fn the_environment_of_a_function_has_its_number_and_arguments() {
        let own = own_environment("{async_fn#2}<u8>");
        assert_eq!(own.as_deref(), Some("{async_fn_env#2}<u8>"));
        assert_eq!(own_environment("new<u8>"), None);
    }
}
