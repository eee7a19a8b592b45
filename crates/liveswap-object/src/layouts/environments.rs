//! What functions expect of the environments of closures, futures and generators.
//!
//! An environment is known by its number in the function around it, and its type has a name nowhere but in the
//! instances that work on it: the closure's own function, glue that drops it, shims that call it, iterators over
//! it, tasks that poll it. Those keep their symbols when the environment changes, or when another closure gets its
//! number. So each function that can get at such a value keeps which ones, and a digest of all that it can reach
//! there, with what lies around them; two functions of one symbol whose digests differ cannot work on each other's
//! values.
//!
//! A function gets at a value
//! - by its parameters or its result: by value, by pointer, or through any type in between;
//! - if it is the closure's own function;
//! - by a pointer that does not tell the type, if it knows the type by a generic argument: executors keep tasks that
//!   way.
//!
//! A function that is only generic over an environment is none of them: a server's table of handlers leads to such
//! functions, and an edited handler has to answer the next request. It makes its values anew.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use super::dwarf::tag;
use super::graph::{Graph, Index, NONE, Names, RawParameter};
use super::read::layout;
use super::{Environment, is_environment};

/// What is in one type.
struct Node {
    digest: u64,
    /// Its name, if it is an environment.
    environment: Option<Arc<str>>,
}

/// What can be reached from some types.
#[derive(Clone, Default)]
pub(super) struct Reached {
    /// Of all types on the ways to environments; 0 if there is none.
    pub digest: u64,
    /// The environments.
    pub environments: BTreeSet<Arc<str>>,
}

/// The environments of an object.
pub(super) struct Environments<'g, 'a> {
    graph: &'g Graph<'a>,
    /// Environments by their whole name, with all numbers. An object of several units has several of a name.
    places: HashMap<String, Vec<usize>>,
    /// Types that a type consists of or points to.
    next: Vec<Vec<Index>>,
    /// Whether a type is an environment, or leads to one.
    leads: Vec<bool>,
    nodes: HashMap<usize, Node>,
    reached: HashMap<usize, Reached>,
}

/// A function, put together from all entries that tell of it.
pub(super) struct Function<'f, 'a> {
    pub parent: Option<Index>,
    pub name: &'f str,
    pub signature: &'f str,
    pub parameters: &'f [RawParameter<'a>],
    pub result: usize,
    /// Types of its generic arguments.
    pub arguments: &'f [usize],
    /// Types of its local variables.
    pub locals: &'f [usize],
}

impl<'g, 'a> Environments<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>) -> Self {
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        let next: Vec<Vec<Index>> = (0..graph.types.len())
            .map(|number| targets(graph, number))
            .collect();
        let mut leads = vec![false; next.len()];
        let mut waiting = Vec::new();
        for (number, raw) in graph.types.iter().enumerate() {
            if raw.name.starts_with('{') && is_environment(raw.name) {
                let name = graph.path(raw.parent, raw.name);
                places.entry(name).or_default().push(number);
                leads[number] = true;
                waiting.push(number);
            }
        }
        let mut before: Vec<Vec<Index>> = vec![Vec::new(); next.len()];
        for (number, targets) in next.iter().enumerate() {
            for target in targets {
                before[*target as usize].push(number as Index);
            }
        }
        while let Some(number) = waiting.pop() {
            for other in &before[number] {
                if !std::mem::replace(&mut leads[*other as usize], true) {
                    waiting.push(*other as usize);
                }
            }
        }
        Environments {
            graph,
            places,
            next,
            leads,
            nodes: HashMap::new(),
            reached: HashMap::new(),
        }
    }

    /// Whether a type is an environment, or leads to one: its layout changes with bodies of functions.
    pub(super) fn depends(&self, number: usize) -> bool {
        self.leads[number]
    }

    /// What the types consist of and point to that are environments or lead to some.
    pub(super) fn holders(&self, names: &mut Names<'_, 'a>) -> HashMap<Arc<str>, Vec<Arc<str>>> {
        let mut holders: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for (number, _) in self.leads.iter().enumerate().filter(|(_, leads)| **leads) {
            let members = self.next[number].iter();
            let members = members.map(|member| names.of_type(*member as usize));
            let members: Vec<Arc<str>> = members.collect();
            holders
                .entry(names.of_type(number))
                .or_default()
                .extend(members);
        }
        holders
    }

    /// All environments by their names.
    pub(super) fn into_types(mut self, names: &mut Names<'_, 'a>) -> HashMap<String, Environment> {
        let kept = self.kept();
        let places = std::mem::take(&mut self.places);
        let types = places.into_iter().map(|(name, places)| {
            let digests = places
                .iter()
                .map(|place| self.reached_from(*place, names).digest);
            let digests: Vec<u64> = digests.collect();
            let held = places.iter().flat_map(|place| &self.next[*place]);
            let held: BTreeSet<Arc<str>> = held.map(|it| names.of_type(*it as usize)).collect();
            let environment = Environment {
                digest: digest(&as_set(digests.into_iter())),
                holds: held.into_iter().collect(),
                escapes: places.iter().any(|place| kept.contains(place)),
            };
            (name, environment)
        });
        types.collect()
    }

    /// Types that lead to environments, and that something owns by a pointer: a box, a task.
    fn kept(&self) -> HashSet<usize> {
        let graph = self.graph;
        let of_std = |scope: Option<Index>| {
            let mut names = ["core", "alloc", "std"].iter();
            names.any(|name| graph.scope_is(scope, name))
        };
        let mut kept = HashSet::new();
        let mut waiting: Vec<usize> = Vec::new();
        for (number, raw) in graph.types.iter().enumerate() {
            if !self.leads[number] {
                continue;
            }
            let owns = match raw.tag {
                tag::POINTER if raw.name.starts_with('*') => {
                    let target = graph.type_at(raw.target);
                    target.is_some_and(|target| {
                        !of_std(graph.types[target].parent) && !self.is_environment(target)
                    })
                }
                tag::POINTER => !raw.name.starts_with('&'),
                _ => graph.scope_is(raw.parent, "alloc"),
            };
            if owns {
                waiting.push(number);
            }
        }
        while let Some(number) = waiting.pop() {
            for next in &self.next[number] {
                let next = *next as usize;
                if self.leads[next] && kept.insert(next) {
                    waiting.push(next);
                }
            }
        }
        kept
    }

    fn is_environment(&self, number: usize) -> bool {
        let name = self.graph.types[number].name;
        name.starts_with('{') && is_environment(name)
    }

    /// The name of the environment of a closure's own function.
    pub(super) fn own_name(&self, function: &Function<'_, 'a>) -> Option<String> {
        own_environment(function.name).map(|own| self.graph.path(function.parent, &own))
    }

    /// What a function can get at. The digest is that of its signature as well.
    pub(super) fn of_function(
        &mut self,
        names: &mut Names<'_, 'a>,
        function: &Function<'_, 'a>,
    ) -> Reached {
        let mut roots: Vec<usize> = Vec::new();
        let types = function.parameters.iter().map(|parameter| parameter.target);
        roots.extend(self.leading(types.chain([function.result])));
        if function.name.starts_with("drop_in_place<") {
            // Its parameter is not told.
            for name in environments_in(function.name) {
                roots.extend(self.places.get(name).into_iter().flatten());
            }
        }
        // A closure's own function has its environment for a parameter only if that is not taken apart at once.
        let own = self.own_name(function);
        let own = own.and_then(|own| self.places.get(&own));
        roots.extend(own.into_iter().flatten());
        let arguments: Vec<usize> = self.leading(function.arguments.iter().copied()).collect();
        if !arguments.is_empty() && self.may_cast(names, function) {
            roots.extend(arguments);
        }
        if roots.is_empty() {
            return Reached::default();
        }
        let mut found = Reached::default();
        let mut digests = Vec::new();
        for root in roots {
            let reached = self.reached_from(root, names);
            digests.push(reached.digest);
            found
                .environments
                .extend(reached.environments.iter().cloned());
        }
        found.digest = digest(&(function.signature, as_set(digests.into_iter())));
        found
    }

    /// Whether a function that knows an environment by a generic argument may get at values of it by what does not
    /// tell their type: a raw pointer, a reference to a header, a number.
    ///
    /// It does not if it makes its values itself: it gives back a trait object, as a server's handlers do, or is given what
    /// makes them, which mentions the environment in its type (the function itself, or a marker).
    fn may_cast(&self, names: &mut Names<'_, 'a>, function: &Function<'_, 'a>) -> bool {
        if gets_untyped_pointer(self.graph, function) {
            return true;
        }
        let mut parameters = function.parameters.iter();
        let is_given_maker =
            parameters.any(|parameter| is_environment(&names.of_place(parameter.target)));
        let gives_object =
            function.result != NONE && names.of_place(function.result).contains("dyn ");
        let is_pointer = |place: &usize| {
            let number = self.graph.type_at(*place);
            number.is_some_and(|number| {
                let raw = &self.graph.types[number];
                raw.tag == tag::POINTER && raw.name.starts_with(['&', '*']) && self.leads[number]
            })
        };
        !is_given_maker && !gives_object || function.locals.iter().any(is_pointer)
    }

    /// Those of these types that lead to environments.
    fn leading(&self, places: impl Iterator<Item = usize>) -> impl Iterator<Item = usize> {
        let numbers = places.filter_map(|place| self.graph.type_at(place));
        numbers.filter(|number| self.leads[*number])
    }

    /// What is reached does not depend on the way there: types contain each other in circles.
    fn reached_from(&mut self, root: usize, names: &mut Names<'_, 'a>) -> &Reached {
        if !self.reached.contains_key(&root) {
            let mut digests = Vec::new();
            let mut environments = BTreeSet::new();
            let mut seen = HashSet::from([root]);
            let mut waiting = vec![root];
            while let Some(number) = waiting.pop() {
                if !self.nodes.contains_key(&number) {
                    let node = self.node(number, names);
                    self.nodes.insert(number, node);
                }
                let node = &self.nodes[&number];
                digests.push(node.digest);
                environments.extend(node.environment.clone());
                let next = self.next[number].iter().map(|next| *next as usize);
                waiting.extend(next.filter(|next| self.leads[*next] && seen.insert(*next)));
            }
            let reached = Reached {
                digest: digest(&as_set(digests.into_iter())),
                environments,
            };
            self.reached.insert(root, reached);
        }
        &self.reached[&root]
    }

    fn node(&self, number: usize, names: &mut Names<'_, 'a>) -> Node {
        let graph = self.graph;
        let raw = &graph.types[number];
        let name = names.of_type(number);
        let mut hasher = DefaultHasher::new();
        (&name, raw.count).hash(&mut hasher);
        if matches!(raw.tag, tag::STRUCTURE | tag::UNION)
            && let Some(layout) = layout(graph, names, number)
        {
            layout.hash(&mut hasher);
        }
        Node {
            digest: hasher.finish(),
            environment: self
                .is_environment(number)
                .then(|| graph.path(raw.parent, raw.name).into()),
        }
    }
}

/// The types that values of a type consist of or lead to. A function that is given or gives back an environment has
/// none in it.
fn targets(graph: &Graph<'_>, number: usize) -> Vec<Index> {
    let raw = &graph.types[number];
    if raw.tag == tag::SUBROUTINE {
        return Vec::new();
    }
    let mut targets = vec![raw.target];
    if matches!(raw.tag, tag::STRUCTURE | tag::UNION) {
        targets.extend(graph.members_of(number).iter().map(|member| member.target));
        for variant in graph.variants_of(number) {
            let fields = graph.type_at(variant.target);
            let members = fields.map_or(&[][..], |fields| graph.members_of(fields));
            targets.extend(members.iter().map(|member| member.target));
        }
    }
    let numbers = targets.into_iter().filter(|place| *place != NONE);
    let mut numbers: Vec<Index> = numbers
        .filter_map(|place| graph.type_at(place))
        .map(|number| number as Index)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Whether a function is given a pointer that does not say what is there, or its parameters are not told.
fn gets_untyped_pointer(graph: &Graph<'_>, function: &Function<'_, '_>) -> bool {
    let mut parameters = function.parameters.iter();
    function.parameters.is_empty()
        || parameters.any(|parameter| is_untyped_pointer(graph, parameter.target, 0))
}

/// Raw pointers, addresses as numbers, and what is made of one of these and no more.
fn is_untyped_pointer(graph: &Graph<'_>, place: usize, depth: u32) -> bool {
    /// `Harness(RawTask(NonNull(…)))`: deeper than anybody wraps a pointer.
    const DEPTH: u32 = 8;
    /// A pointer, and a table of functions that work on what is there.
    const PARTS: usize = 2;
    let Some(number) = graph.type_at(place) else {
        return false;
    };
    let raw = &graph.types[number];
    match raw.tag {
        tag::POINTER => raw.name.starts_with('*'),
        tag::BASE => matches!(raw.name, "usize" | "isize"),
        tag::STRUCTURE if depth < DEPTH && !raw.variants => {
            if raw.name.starts_with('&') || graph.scope_is(raw.parent, "alloc") {
                return false;
            }
            let members = graph.members_of(number).iter();
            let has_size = |place: usize| {
                let number = graph.type_at(place);
                number.is_some_and(|number| graph.types[number].size != Some(0))
            };
            let parts: Vec<usize> = members
                .map(|member| member.target)
                .filter(|place| has_size(*place))
                .collect();
            parts.len() <= PARTS
                && parts
                    .iter()
                    .any(|part| is_untyped_pointer(graph, *part, depth + 1))
        }
        _ => false,
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
