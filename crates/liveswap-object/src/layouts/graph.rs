//! The entries of interest, as they stand in the debug information, and how they are called.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::Arc;

use super::dwarf::tag;

/// Number of something in its list.
pub(super) type Index = u32;

/// No entry.
pub(super) const NONE: usize = usize::MAX;

/// A namespace, or a type that holds others.
pub(super) struct Scope<'a> {
    pub parent: Option<Index>,
    pub name: &'a str,
    /// The type it is, if it is one.
    pub of_type: Option<Index>,
}

/// A type. Other entries refer to it by the place where it stands.
pub(super) struct RawType<'a> {
    pub place: usize,
    pub tag: u16,
    pub parent: Option<Index>,
    pub name: &'a str,
    pub size: Option<u64>,
    pub align: u64,
    /// What a pointer points to, what an array is made of.
    pub target: usize,
    /// Number of an array's elements.
    pub count: Option<u64>,
    pub declaration: bool,
    /// Whether it has a part that differs between variants.
    pub variants: bool,
}

/// A field, or the discriminant of an enum.
#[derive(Clone, Copy)]
pub(super) struct RawMember<'a> {
    pub owner: Index,
    pub name: &'a str,
    pub offset: u64,
    pub target: usize,
}

/// A parameter of a function.
pub(super) struct RawParameter<'a> {
    pub owner: Index,
    pub name: Unread<'a>,
    pub target: usize,
}

/// A type that belongs to a function: of a generic argument, or of a local variable.
#[derive(Clone, Copy)]
pub(super) struct OwnedType {
    pub owner: Index,
    pub target: usize,
}

/// A variant or an enumerator.
pub(super) struct RawVariant<'a> {
    pub owner: Index,
    pub name: &'a str,
    pub discriminant: Option<i128>,
    /// The struct with its fields.
    pub target: usize,
}

/// A function, or a declaration of one.
pub(super) struct RawFunction<'a> {
    pub place: usize,
    pub parent: Option<Index>,
    pub linkage: &'a str,
    /// With the arguments of a generic function: `new<u32>`.
    pub name: Unread<'a>,
    /// Type of its result.
    pub target: usize,
    /// The entry that says the rest.
    pub origin: usize,
    /// Whether its code is in this object.
    pub has_code: bool,
}

/// A string whose end nobody looked for yet; most names of functions are never asked for.
#[derive(Clone, Copy, Default)]
pub(super) struct Unread<'a>(pub &'a [u8]);

impl<'a> Unread<'a> {
    pub(super) fn is_empty(self) -> bool {
        matches!(self.0.first(), None | Some(0))
    }

    /// The string; empty if it is no text.
    pub(super) fn text(self) -> &'a str {
        let text = match CStr::from_bytes_until_nul(self.0) {
            Ok(text) => text.to_bytes(),
            Err(_) => self.0,
        };
        std::str::from_utf8(text).unwrap_or_default()
    }
}

/// A static or a table of methods.
pub(super) struct RawVariable<'a> {
    pub name: &'a str,
    pub linkage: &'a str,
    pub target: usize,
    /// Where its address stands.
    pub address: Option<AddressAt>,
}

/// Where an address stands.
#[derive(Clone, Copy)]
pub(super) enum AddressAt {
    /// Offset in `.debug_info`.
    Info(usize),
    /// Offset in `.debug_addr`.
    Table(u64),
}

/// Everything of interest.
#[derive(Default)]
pub(super) struct Graph<'a> {
    pub scopes: Vec<Scope<'a>>,
    pub types: Vec<RawType<'a>>,
    pub members: Vec<RawMember<'a>>,
    pub discriminants: Vec<RawMember<'a>>,
    pub variants: Vec<RawVariant<'a>>,
    pub functions: Vec<RawFunction<'a>>,
    pub parameters: Vec<RawParameter<'a>>,
    /// Generic arguments of functions.
    pub function_arguments: Vec<OwnedType>,
    /// Types of local variables; not of those of functions that are inlined.
    pub locals: Vec<OwnedType>,
    pub variables: Vec<RawVariable<'a>>,
}

impl<'a> Graph<'a> {
    /// Brings what belongs together next to each other. To be called once, after all is read.
    pub(super) fn finish(&mut self) {
        self.members.sort_by_key(|member| member.owner);
        self.variants.sort_by_key(|variant| variant.owner);
        self.parameters.sort_by_key(|parameter| parameter.owner);
        self.discriminants.sort_by_key(|member| member.owner);
        self.function_arguments
            .sort_by_key(|argument| argument.owner);
    }

    /// The type that stands at a place. Types are in the order of their places.
    pub(super) fn type_at(&self, place: usize) -> Option<usize> {
        self.types.binary_search_by_key(&place, |t| t.place).ok()
    }

    pub(super) fn function_at(&self, place: usize) -> Option<usize> {
        let found = self.functions.binary_search_by_key(&place, |f| f.place);
        found.ok()
    }

    pub(super) fn members_of(&self, owner: usize) -> &[RawMember<'a>] {
        owned(&self.members, owner, |member| member.owner)
    }

    pub(super) fn parameters_of(&self, owner: usize) -> &[RawParameter<'a>] {
        owned(&self.parameters, owner, |parameter| parameter.owner)
    }

    pub(super) fn arguments_of_function(&self, owner: usize) -> &[OwnedType] {
        owned(&self.function_arguments, owner, |argument| argument.owner)
    }

    pub(super) fn locals_of(&self, owner: usize) -> &[OwnedType] {
        owned(&self.locals, owner, |local| local.owner)
    }

    pub(super) fn discriminant_of(&self, owner: usize) -> Option<&RawMember<'a>> {
        owned(&self.discriminants, owner, |member| member.owner).first()
    }

    pub(super) fn variants_of(&self, owner: usize) -> &[RawVariant<'a>] {
        owned(&self.variants, owner, |variant| variant.owner)
    }

    /// A name with the scopes that it stands in, numbers and all: what other names call it by.
    pub(super) fn path(&self, mut parent: Option<Index>, name: &str) -> String {
        let mut parts = vec![name];
        while let Some(number) = parent {
            let scope = &self.scopes[number as usize];
            parts.push(scope.name);
            parent = scope.parent;
        }
        parts.reverse();
        parts.join("::")
    }

    /// Whether a scope is in the crate of this name, or is that crate.
    pub(super) fn scope_is(&self, mut scope: Option<Index>, name: &str) -> bool {
        let mut outermost = "";
        while let Some(number) = scope {
            outermost = self.scopes[number as usize].name;
            scope = self.scopes[number as usize].parent;
        }
        outermost == name
    }

    /// Whether the type is the struct of one variant of an enum, which is part of that enum's layout.
    pub(super) fn is_variant(&self, number: usize) -> bool {
        let parent = self.types[number].parent;
        parent
            .and_then(|parent| self.scopes[parent as usize].of_type)
            .is_some_and(|outer| self.types[outer as usize].variants)
    }
}

fn owned<T>(list: &[T], owner: usize, owner_of: impl Fn(&T) -> Index) -> &[T] {
    let start = list.partition_point(|item| (owner_of(item) as usize) < owner);
    let rest = &list[start..];
    let length = rest
        .iter()
        .take_while(|item| owner_of(item) as usize == owner)
        .count();
    &rest[..length]
}

/// Names, each made once.
pub(super) struct Names<'g, 'a> {
    graph: &'g Graph<'a>,
    types: Vec<Option<Arc<str>>>,
    scopes: Vec<Option<Arc<str>>>,
    plain: HashMap<&'a str, Arc<str>>,
    unit: Arc<str>,
    unknown: Arc<str>,
}

/// Pointers to pointers to pointers: deeper than anybody writes.
const DEPTH: u32 = 64;

impl<'g, 'a> Names<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>) -> Names<'g, 'a> {
        Names {
            graph,
            types: vec![None; graph.types.len()],
            scopes: vec![None; graph.scopes.len()],
            plain: HashMap::new(),
            unit: "()".into(),
            unknown: "?".into(),
        }
    }

    /// A name of a field or variant.
    pub(super) fn plain(&mut self, name: &'a str) -> Arc<str> {
        self.plain
            .entry(name)
            .or_insert_with(|| name.into())
            .clone()
    }

    /// The name of the type that stands at a place.
    pub(super) fn of_place(&mut self, place: usize) -> Arc<str> {
        self.at(place, 0)
    }

    /// The name of a type.
    pub(super) fn of_type(&mut self, number: usize) -> Arc<str> {
        self.of(number, 0)
    }

    fn at(&mut self, place: usize, depth: u32) -> Arc<str> {
        if place == NONE {
            return self.unit.clone();
        }
        match self.graph.type_at(place) {
            Some(number) => self.of(number, depth),
            None => self.unknown.clone(),
        }
    }

    fn of(&mut self, number: usize, depth: u32) -> Arc<str> {
        if let Some(known) = &self.types[number] {
            return known.clone();
        }
        if depth > DEPTH {
            return self.unknown.clone();
        }
        let raw = &self.graph.types[number];
        let name: Arc<str> = match raw.tag {
            tag::POINTER if raw.name.is_empty() => {
                format!("*{}", self.at(raw.target, depth + 1)).into()
            }
            tag::ARRAY => {
                let element = self.at(raw.target, depth + 1);
                match raw.count {
                    Some(count) => format!("[{element}; {count}]").into(),
                    None => format!("[{element}]").into(),
                }
            }
            tag::SUBROUTINE if raw.name.is_empty() => "fn".into(),
            _ => match raw.parent {
                None => without_numbers(raw.name).into(),
                Some(parent) => {
                    let scope = self.scope(parent, depth + 1);
                    format!("{scope}::{}", without_numbers(raw.name)).into()
                }
            },
        };
        self.types[number] = Some(name.clone());
        name
    }

    fn scope(&mut self, number: Index, depth: u32) -> Arc<str> {
        if let Some(known) = &self.scopes[number as usize] {
            return known.clone();
        }
        if depth > DEPTH {
            return self.unknown.clone();
        }
        let scope = &self.graph.scopes[number as usize];
        let own = without_numbers(scope.name);
        let name: Arc<str> = match scope.parent {
            None => own.into(),
            Some(parent) => format!("{}::{own}", self.scope(parent, depth + 1)).into(),
        };
        self.scopes[number as usize] = Some(name.clone());
        name
    }
}

/// A name with `{impl}` for `{impl#3}`: these numbers change whenever another `impl` or closure is written
/// above. Environments keep theirs.
pub fn without_numbers(name: &str) -> Cow<'_, str> {
    if !name.contains('#') {
        return Cow::Borrowed(name);
    }
    let mut result = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('#') {
        let (before, after) = rest.split_at(at);
        let digits = after[1..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = after.split_at(1 + digits);
        result.push_str(before);
        if before.ends_with("_env") || !after.starts_with('}') {
            result.push_str(number);
        }
        rest = after;
    }
    result.push_str(rest);
    Cow::Owned(result)
}
