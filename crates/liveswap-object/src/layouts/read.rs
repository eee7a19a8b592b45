//! From the entries to layouts.

use std::sync::Arc;

use super::contract::signature;
use super::dwarf::tag;
use super::environments::{Environments, Function};
use super::graph::{AddressAt, Graph, NONE, Names, RawMember, RawType, without_numbers};
use super::sections::{Sections, malformed};
use super::vtables::Functions;
use super::walk::walk;
use super::{Contract, Kind, Layout, Layouts, Member, Parameter, Variant, is_environment};
use crate::Error;
use crate::elf::Elf;
use crate::functions;

/// Reads what an object's debug information tells.
///
/// `crates` are those whose types may change although they have the names of crates of the standard library.
///
/// # Errors
/// For damaged objects and debug information, and for an object with code and without debug information: nothing is
/// known of its types.
pub fn read(object: &[u8], crates: &[String]) -> Result<Layouts, Error> {
    let object = Elf::parse(object)?;
    let layouts = match Sections::of_object(&object)? {
        Some(sections) => layouts(&object, &sections, crates)?,
        None => Layouts::default(),
    };
    // Split off, of another compiler's form, or not there.
    if layouts.contracts.is_empty() && functions::Functions::of(&object).iter().next().is_some() {
        return Err(malformed("it tells of no function"));
    }
    Ok(layouts)
}

/// Reads what the debug information tells that was split off from an object (`-C split-debuginfo`) into the
/// file `split`, a `.dwo`.
///
/// # Errors
/// For damaged objects and debug information.
pub fn read_split(object: &[u8], split: &[u8]) -> Result<Layouts, Error> {
    let object = Elf::parse(object)?;
    layouts(&object, &Sections::of_split(split, &object)?, &[])
}

fn layouts(object: &Elf<'_>, sections: &Sections<'_>, crates: &[String]) -> Result<Layouts, Error> {
    let mut layouts = Layouts::default();
    let graph = walk(sections)?;
    let mut names = Names::new(&graph);
    let mut environments = Environments::new(&graph);
    types(&graph, &mut names, &environments, crates, &mut layouts);
    functions(&graph, &mut names, &mut environments, &mut layouts);
    layouts.holders = environments.holders(&mut names);
    layouts.environment_types = environments.into_types(&mut names);
    variables(object, sections, &graph, &mut names, &mut layouts);
    Ok(layouts)
}

/// Adds layouts of types.
fn types<'a>(
    graph: &Graph<'a>,
    names: &mut Names<'_, 'a>,
    environments: &Environments<'_, 'a>,
    crates: &[String],
    layouts: &mut Layouts,
) {
    let is_of_std = |name: &str| is_of_std(name, crates);
    for (number, raw) in graph.types.iter().enumerate() {
        if kind_of(raw).is_none() || raw.size.is_none() {
            continue;
        }
        if let Some((name, slots)) = trait_object(graph, number) {
            layouts.traits.insert(without_numbers(name).into(), slots);
            continue;
        }
        // References are structs too if they are two words wide; what they are made of is fixed.
        if raw.declaration || raw.name.starts_with(['&', '*']) || graph.is_variant(number) {
            continue;
        }
        if environments.depends(number) {
            continue;
        }
        let name = names.of_type(number);
        if name.ends_with("::{vtable_type}") || is_of_std(&name) {
            continue;
        }
        // One that only mentions an environment: what the standard library has of that kind holds nothing.
        if is_environment(&name) && is_of_std(name.split('<').next().unwrap_or_default()) {
            continue;
        }
        if let Some(layout) = layout(graph, names, number) {
            layouts.add(&name, Arc::new(layout));
        }
    }
}

fn kind_of(raw: &RawType<'_>) -> Option<Kind> {
    Some(match raw.tag {
        tag::STRUCTURE if raw.variants => Kind::Enum,
        tag::STRUCTURE => Kind::Struct,
        tag::UNION => Kind::Union,
        tag::ENUMERATION => Kind::Enum,
        _ => return None,
    })
}

/// The layout of a struct, an enum or a union.
pub(super) fn layout<'a>(
    graph: &Graph<'a>,
    names: &mut Names<'_, 'a>,
    number: usize,
) -> Option<Layout> {
    let raw = &graph.types[number];
    let (kind, size) = (kind_of(raw)?, raw.size?);
    let discriminant = match raw.tag {
        tag::ENUMERATION => {
            let member = RawMember {
                owner: 0,
                name: "",
                offset: 0,
                target: raw.target,
            };
            Some(field(graph, names, &member))
        }
        _ => {
            let found = graph.discriminant_of(number);
            found.map(|member| field(graph, names, member))
        }
    };
    let variants = graph.variants_of(number).iter().map(|variant| Variant {
        name: names.plain(variant.name),
        discriminant: variant.discriminant,
        members: match graph.type_at(variant.target) {
            Some(fields) => members(graph, names, fields),
            None => Box::default(),
        },
    });
    let mut variants: Box<[_]> = variants.collect();
    variants.sort_by(|a, b| (a.discriminant, &a.name).cmp(&(b.discriminant, &b.name)));
    Some(Layout {
        kind,
        size,
        align: raw.align,
        members: members(graph, names, number),
        discriminant,
        variants,
    })
}

fn members<'a>(graph: &Graph<'a>, names: &mut Names<'_, 'a>, owner: usize) -> Box<[Member]> {
    let members = graph.members_of(owner).iter();
    let mut members: Box<[_]> = members.map(|member| field(graph, names, member)).collect();
    // The order in the source is not that in memory.
    members.sort_by(|a, b| (a.offset, &a.name).cmp(&(b.offset, &b.name)));
    members
}

/// If the type is a pointer to a trait object: the trait, and how many slots its tables have.
fn trait_object<'a>(graph: &Graph<'a>, number: usize) -> Option<(&'a str, u64)> {
    let table = match graph.members_of(number) {
        [_, table] if table.name == "vtable" => graph.type_at(table.target)?,
        _ => return None,
    };
    let table = &graph.types[graph.type_at(graph.types[table].target)?];
    let slots = table.count.filter(|_| table.tag == tag::ARRAY)?;
    let name = graph.types[number].name;
    let start = name.find("dyn ")? + "dyn ".len();
    let mut depth = 0_i32;
    let end = name[start..].find(|c| {
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        depth < 0 || depth == 0 && (c == ',' || c == '+')
    });
    let inner = &name[start..end.map_or(name.len(), |end| start + end)];
    Some((inner.trim_end(), slots))
}

fn field<'a>(graph: &Graph<'a>, names: &mut Names<'_, 'a>, raw: &RawMember<'a>) -> Member {
    let number = graph.type_at(raw.target);
    Member {
        name: names.plain(raw.name),
        offset: raw.offset,
        size: number.map_or(0, |number| size_of(graph, number, 0)),
        type_name: match number {
            Some(number) => names.of_type(number),
            None => names.of_place(raw.target),
        },
    }
}

fn size_of(graph: &Graph<'_>, number: usize, depth: u32) -> u64 {
    let raw = &graph.types[number];
    match raw.tag {
        tag::ARRAY if depth < 16 => {
            let element = graph.type_at(raw.target);
            let size = element.map_or(0, |element| size_of(graph, element, depth + 1));
            size.saturating_mul(raw.count.unwrap_or(0))
        }
        tag::POINTER => 8,
        _ => raw.size.unwrap_or(0),
    }
}

fn functions<'a>(
    graph: &Graph<'a>,
    names: &mut Names<'_, 'a>,
    environments: &mut Environments<'_, 'a>,
    layouts: &mut Layouts,
) {
    for (number, raw) in graph.functions.iter().enumerate() {
        if !raw.has_code {
            continue;
        }
        // A definition may leave parts of what it is to an entry that it shares with inlined copies, and
        // that one to a declaration inside of a type.
        let (mut linkage, mut result) = (raw.linkage, raw.target);
        let (mut name, mut parent) = (raw.name, raw.parent);
        let mut parameters = graph.parameters_of(number);
        let of_instance = graph.arguments_of_function(number);
        let mut arguments: Vec<usize> = of_instance.iter().map(|one| one.target).collect();
        let own_locals = graph.locals_of(number).iter();
        let mut locals: Vec<usize> = own_locals.map(|one| one.target).collect();
        let mut origin = raw.origin;
        for _ in 0..4 {
            let Some(next) = graph.function_at(origin) else {
                break;
            };
            let more = &graph.functions[next];
            if linkage.is_empty() {
                linkage = more.linkage;
            }
            if name.is_empty() {
                (name, parent) = (more.name, more.parent);
            }
            if result == NONE {
                result = more.target;
            }
            let declared = graph.parameters_of(next);
            if !declared.is_empty() {
                parameters = declared;
            }
            if arguments.is_empty() {
                let declared = graph.arguments_of_function(next).iter();
                arguments.extend(declared.map(|one| one.target));
            }
            locals.extend(graph.locals_of(next).iter().map(|one| one.target));
            origin = more.origin;
        }
        // It is left out where it equals the name: `#[no_mangle]`.
        if linkage.is_empty() {
            linkage = name.text();
        }
        if linkage.is_empty() {
            continue;
        }
        let types: Vec<Arc<str>> = parameters
            .iter()
            .map(|parameter| names.of_place(parameter.target))
            .collect();
        let result_name = (result != NONE).then(|| names.of_place(result));
        let signature = signature(types.iter().map(|name| &**name), result_name.as_deref());
        let function = Function {
            parent,
            name: name.text(),
            signature: &signature,
            parameters,
            result,
            arguments: &arguments,
            locals: &locals,
        };
        let reached = environments.of_function(names, &function);
        let contract = Contract {
            instance: instance(function.name),
            parameters: parameters
                .iter()
                .zip(types)
                .map(|(parameter, type_name)| Parameter {
                    name: parameter.name.text().into(),
                    type_name,
                })
                .collect(),
            result: result_name,
            own: environments.own_name(&function).map(Arc::from),
            environments: reached.environments.into_iter().collect(),
            digest: reached.digest,
        };
        layouts.contracts.insert(linkage.into(), contract);
    }
}

/// The name of a function with its generic arguments. Closures are told apart by their own number only.
fn instance(name: &str) -> Arc<str> {
    match name.strip_prefix('{').and_then(|rest| rest.find('}')) {
        Some(end) => {
            let (own, arguments) = name.split_at(end + 2);
            format!("{own}{}", without_numbers(arguments)).into()
        }
        None => without_numbers(name).into(),
    }
}

fn variables<'a>(
    object: &Elf<'_>,
    sections: &Sections<'_>,
    graph: &Graph<'a>,
    names: &mut Names<'_, 'a>,
    layouts: &mut Layouts,
) {
    let mut functions = Functions::new(object);
    for raw in &graph.variables {
        if let Some(name) = raw.name.strip_suffix("::{vtable}") {
            let place = match raw.address {
                Some(AddressAt::Info(offset)) => Some((sections.info_section, offset as u64)),
                Some(AddressAt::Table(offset)) => sections.addresses.map(|n| (n, offset)),
                None => None,
            };
            let size = graph.type_at(raw.target);
            let size = size.map_or(0, |table| size_of(graph, table, 0));
            let table = place.and_then(|(section, at)| functions.table(section, at, size));
            if let Some(table) = table {
                let name = without_numbers(name).into_owned();
                layouts.vtables.insert(name, table);
            }
        } else if raw.address.is_some() || !raw.linkage.is_empty() {
            // The linkage name is left out where it equals the name: `#[no_mangle]`.
            let symbol = if raw.linkage.is_empty() {
                raw.name
            } else {
                raw.linkage
            };
            let type_name = names.of_place(raw.target);
            layouts
                .statics
                .insert(symbol.to_owned(), type_name.to_string());
        }
    }
}

/// Whether all that a name mentions is of the standard library or built in: such a type is the same in every
/// object that this compiler makes.
fn is_of_std(name: &str, crates: &[String]) -> bool {
    let bytes = name.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let mut at = 0;
    while let Some(found) = name[at..].find("::") {
        let end = at + found;
        let mut start = end;
        while start > 0 && is_word(bytes[start - 1]) {
            start -= 1;
        }
        let inside = start >= 2 && &bytes[start - 2..start] == b"::";
        // After a closing bracket, as in `<T as Trait>::Item` or `{impl#0}::x`, the path goes on.
        let head = !inside && start < end;
        let head_name = &name[start..end];
        let is_std = matches!(head_name, "core" | "alloc" | "std");
        if head && (!is_std || crates.iter().any(|own| own == head_name)) {
            return false;
        }
        at = end + 2;
    }
    true
}
