//! Old layouts against new ones.

use std::collections::HashSet;
use std::sync::Arc;

use super::compare_traits::traits;
use super::reach::parts;
use super::{Change, ChangeKind, Kind, Layout, Layouts, Member, Variant, is_environment};
use crate::names;

/// A type that is known in both generations, with no layout in common.
struct Difference<'a> {
    name: &'a str,
    old: &'a Layout,
    new: &'a Layout,
    cause: bool,
}

/// The types and traits of `new` that `old` knows otherwise, causes first, own types before those of the
/// standard library that contain them.
///
/// What only one side knows is no change.
pub fn compare(old: &Layouts, new: &Layouts) -> Vec<Change> {
    let mut differences = Vec::new();
    for (name, news) in new.types() {
        let olds = old.layouts(name);
        let [known, ..] = olds else { continue };
        let fits = |new: &Arc<Layout>| olds.iter().any(|old| survives(old, new));
        let added: Vec<_> = news.iter().filter(|new| !fits(new)).collect();
        // Several types may share a name in anonymous scopes: one layout in common is all that can be asked.
        if is_anonymous(name) && added.len() < news.len() {
            continue;
        }
        differences.extend(added.into_iter().map(|layout| Difference {
            name,
            old: known,
            new: layout,
            cause: false,
        }));
    }
    find_causes(&mut differences);
    differences.sort_by_key(|found| (!found.cause, is_wrapper(found.name), found.name));
    let mut changes: Vec<_> = differences.iter().flat_map(describe).collect();
    let traits = traits(old, new);
    let causes = changes.iter().take_while(|change| change.cause).count();
    changes.splice(causes..causes, traits);
    changes
}

/// The functions whose parameters or result are not what they were under the same linkage name, with that.
pub fn compare_signatures(old: &Layouts, new: &Layouts) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    for (symbol, now) in &new.contracts {
        let Some(known) = old.contracts.get(symbol) else {
            continue;
        };
        if !known.same_types(now) && known.digest == 0 && now.digest == 0 {
            let (known, now) = (known.to_string(), now.to_string());
            changes.push(change(ChangeKind::Signature, symbol, known, now));
        }
    }
    by_name(changes)
}

/// The statics whose type has another name than before, with their linkage names.
pub fn compare_statics(old: &Layouts, new: &Layouts) -> Vec<(String, Change)> {
    let mut changes = Vec::new();
    for (symbol, now) in &new.statics {
        let Some(known) = old.statics.get(symbol).filter(|known| *known != now) else {
            continue;
        };
        if !is_environment(known) && !is_environment(now) {
            changes.push(change(
                ChangeKind::Static,
                symbol,
                known.clone(),
                now.clone(),
            ));
        }
    }
    by_name(changes)
}

fn change(kind: ChangeKind, symbol: &str, old: String, new: String) -> (String, Change) {
    let change = Change {
        kind,
        type_name: format!("{:#}", rustc_demangle::demangle(symbol)),
        member: None,
        old,
        new,
        cause: true,
    };
    (symbol.to_owned(), change)
}

fn by_name(mut changes: Vec<(String, Change)>) -> Vec<(String, Change)> {
    changes.sort_by(|(_, a), (_, b)| a.type_name.cmp(&b.type_name));
    changes
}

/// Whether values of the one layout are values of the other: everything is where it was. Names may be new ones; one that
/// another field or variant had is read by code that means that one.
pub(super) fn survives(old: &Layout, new: &Layout) -> bool {
    if old == new {
        return true;
    }
    let place = |member: &Member| (member.offset, member.size, member.type_name.clone());
    old.kind == new.kind
        && old.size == new.size
        && old.align == new.align
        && old.discriminant.as_ref().map(place) == new.discriminant.as_ref().map(place)
        && members_survive(&old.members, &new.members)
        && old.variants.len() == new.variants.len()
        && old.variants.iter().zip(&new.variants).all(|(old, new)| {
            old.discriminant == new.discriminant && members_survive(&old.members, &new.members)
        })
        && !moved(&old.variants, &new.variants, |variant| &variant.name)
}

fn members_survive(old: &[Member], new: &[Member]) -> bool {
    // What has no size is nowhere.
    let sized = |members: &[Member]| -> Vec<Member> {
        let sized = members.iter().filter(|member| member.size != 0);
        sized.cloned().collect()
    };
    let (old, new) = (sized(old), sized(new));
    let same = |(old, new): (&Member, &Member)| {
        (old.offset, old.size, &old.type_name) == (new.offset, new.size, &new.type_name)
    };
    old.len() == new.len()
        && old.iter().zip(&new).all(same)
        && !moved(&old, &new, |member| &member.name)
}

/// Whether one has the name that another one had. Numbers of tuples say no more than the place.
fn moved<T>(old: &[T], new: &[T], name: impl Fn(&T) -> &Arc<str>) -> bool {
    old.iter().enumerate().any(|(at, one)| {
        let name_was = name(one);
        let mut new = new.iter();
        new.position(|other| name(other) == name_was)
            .is_some_and(|now| now != at)
    })
}

fn is_anonymous(name: &str) -> bool {
    name.contains('{') || name.contains("::_::")
}

/// Whether the type itself comes with the language; what changed is then in its arguments.
fn is_wrapper(name: &str) -> bool {
    names::is_of_std(name) || name.starts_with(['(', '['])
}

/// A type whose fields have the same names and types as before changed because one of those types did.
fn find_causes(differences: &mut [Difference<'_>]) {
    let names: HashSet<&str> = differences.iter().map(|found| found.name).collect();
    for found in differences {
        let follows = same_shape(found.old, found.new)
            && (mentions(found.name, found.name, &names)
                || found
                    .new
                    .fields()
                    .any(|field| mentions(&field.type_name, found.name, &names)));
        found.cause = !follows;
    }
}

/// Whether a text has one of the names in it, other than `except`.
fn mentions(text: &str, except: &str, names: &HashSet<&str>) -> bool {
    parts(text).any(|part| part != except && names.contains(part))
}

fn same_shape(old: &Layout, new: &Layout) -> bool {
    let same_fields = |old: &[Member], new: &[Member]| {
        old.len() == new.len()
            && old
                .iter()
                .all(|old| find(new, &old.name).is_some_and(|new| new.type_name == old.type_name))
    };
    old.kind == new.kind
        && same_fields(&old.members, &new.members)
        && old.variants.len() == new.variants.len()
        && old
            .variants
            .iter()
            .zip(&new.variants)
            .all(|(old, new)| old.name == new.name && same_fields(&old.members, &new.members))
}

fn find<'a>(members: &'a [Member], name: &str) -> Option<&'a Member> {
    members.iter().find(|member| &*member.name == name)
}

fn describe(found: &Difference<'_>) -> Vec<Change> {
    let Difference { old, new, .. } = found;
    let mut changes = Changes {
        name: found.name,
        cause: found.cause,
        list: Vec::new(),
    };
    if old.kind != new.kind {
        changes.add(ChangeKind::Kind, None, word(old.kind), word(new.kind));
    }
    changes.variants(&old.variants, &new.variants);
    changes.members("", &old.members, &new.members);
    for new in &new.variants {
        let name = &*new.name;
        if let Some(old) = old.variants.iter().find(|old| *old.name == *name) {
            changes.members(name, &old.members, &new.members);
        }
    }
    let place = |layout: &Layout| layout.discriminant.as_ref().map(place).unwrap_or_default();
    if old.kind == new.kind && place(old) != place(new) {
        changes.add(ChangeKind::Discriminant, None, place(old), place(new));
    }
    // Of an enum without room for a tag the values depend on what it contains: no news if that is reported.
    let only_values = changes.list.is_empty();
    if only_values
        || old
            .variants
            .iter()
            .all(|variant| variant.members.is_empty())
    {
        changes.values(&old.variants, &new.variants);
    }
    if old.size != new.size {
        let (old, new) = (old.size.to_string(), new.size.to_string());
        changes.add(ChangeKind::Size, None, old, new);
    }
    if old.align != new.align {
        let (old, new) = (old.align.to_string(), new.align.to_string());
        changes.add(ChangeKind::Align, None, old, new);
    }
    changes.list
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Struct => "a struct",
        Kind::Enum => "an enum",
        Kind::Union => "a union",
    }
}

fn place(member: &Member) -> String {
    let Member { offset, size, .. } = member;
    format!("{} at offset {offset}, size {size}", member.type_name)
}

struct Changes<'a> {
    name: &'a str,
    cause: bool,
    list: Vec<Change>,
}

impl Changes<'_> {
    fn add(
        &mut self,
        kind: ChangeKind,
        member: Option<String>,
        old: impl Into<String>,
        new: impl Into<String>,
    ) {
        self.list.push(Change {
            kind,
            type_name: self.name.to_owned(),
            member,
            old: old.into(),
            new: new.into(),
            cause: self.cause,
        });
    }

    fn members(&mut self, variant: &str, olds: &[Member], news: &[Member]) {
        let label = |name: &str| {
            let name = name.strip_prefix("__").unwrap_or(name);
            Some(match variant {
                "" => name.to_owned(),
                _ => format!("{variant}.{name}"),
            })
        };
        for new in news {
            if find(olds, &new.name).is_none() {
                self.add(ChangeKind::MemberAdded, label(&new.name), "", place(new));
            }
        }
        for old in olds {
            match find(news, &old.name) {
                None => self.add(ChangeKind::MemberRemoved, label(&old.name), place(old), ""),
                Some(new) if new == old => {}
                Some(new) => {
                    let kind = ChangeKind::MemberChanged;
                    self.add(kind, label(&old.name), place(old), place(new));
                }
            }
        }
    }

    fn variants(&mut self, olds: &[Variant], news: &[Variant]) {
        let missing = |all: &[Variant], one: &Variant| all.iter().all(|v| v.name != one.name);
        for new in news.iter().filter(|new| missing(olds, new)) {
            let name = Some(new.name.to_string());
            self.add(ChangeKind::VariantAdded, name, "", value(new));
        }
        for old in olds.iter().filter(|old| missing(news, old)) {
            let name = Some(old.name.to_string());
            self.add(ChangeKind::VariantRemoved, name, value(old), "");
        }
    }

    fn values(&mut self, olds: &[Variant], news: &[Variant]) {
        for new in news {
            let old = olds.iter().find(|old| old.name == new.name);
            if let Some(old) = old.filter(|old| old.discriminant != new.discriminant) {
                let name = Some(new.name.to_string());
                self.add(ChangeKind::Discriminant, name, value(old), value(new));
            }
        }
    }
}

fn value(variant: &Variant) -> String {
    match variant.discriminant {
        Some(value) => value.to_string(),
        None => "any other value".to_owned(),
    }
}
