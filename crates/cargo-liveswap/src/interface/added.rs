//! Private functions that an edit adds or removes: nothing outside of their module can name them.
//!
//! A new name could still change what an old one means, where the old one came by a glob import or from the prelude: the
//! item of the module goes first. So this holds only for modules without glob imports and without modules inside
//! (which could import by glob from here), and for names that the prelude does not have.

use std::collections::HashSet;
use std::ops::Range;

use super::Cause;
use super::body;
use super::compare::File;
use super::items::{Item, What};
use super::known::Attribute;

/// Values of the prelude.
const PRELUDE: &[&str] = &[
    "Err",
    "None",
    "Ok",
    "Some",
    "align_of",
    "align_of_val",
    "drop",
    "size_of",
    "size_of_val",
];

/// Takes the hidden functions that only one side has out of the items of a module.
pub(super) fn set_aside(
    (old, old_items): (&File<'_>, &mut Vec<Item>),
    (new, new_items): (&File<'_>, &mut Vec<Item>),
) {
    let before = names(old, old_items);
    let after = names(new, new_items);
    if before == after || !is_closed(old, old_items) || !is_closed(new, new_items) {
        return;
    }
    retain_shared(old, old_items, &after, new);
    retain_shared(new, new_items, &before, old);
}

fn retain_shared(file: &File<'_>, items: &mut Vec<Item>, others: &HashSet<&str>, other: &File<'_>) {
    items.retain(|item| {
        let Some(name) = name(file, item) else {
            return true;
        };
        let stays_hidden = item.is_private
            && item.what != What::Function(Some(Cause::UnknownAttribute))
            && item.what != What::Function(Some(Cause::MacroInSignature))
            && !PRELUDE.contains(&name)
            && !has_own_symbol(file, item.all.start..item.body.start)
            && body::check(
                (&other.source, &other.names, 0..0),
                (&file.source, &file.names, item.all.clone()),
            )
            .is_ok();
        others.contains(name) || !stays_hidden
    });
}

/// The name of a free function, without `r#`.
fn name<'a>(file: &File<'a>, item: &Item) -> Option<&'a str> {
    let What::Function(_) = item.what else {
        return None;
    };
    let name = file.source.text(item.name?);
    Some(name.strip_prefix("r#").unwrap_or(name))
}

fn names<'a>(file: &File<'a>, items: &[Item]) -> HashSet<&'a str> {
    items.iter().filter_map(|item| name(file, item)).collect()
}

/// Linkers see it whatever its visibility.
fn has_own_symbol(file: &File<'_>, header: Range<usize>) -> bool {
    header.into_iter().any(|at| {
        matches!(
            file.source.word(at),
            "no_mangle" | "export_name" | "link_section"
        )
    })
}

/// All names of the module are written in it, and nothing inside takes names from it.
fn is_closed(file: &File<'_>, items: &[Item]) -> bool {
    let source = &file.source;
    items.iter().all(|item| {
        let generates = item.attributes == Attribute::Unknown
            && !item.is_derived
            && item.what != What::MacroDefinition;
        let calls = item.is_macro_call;
        let mut in_use = false;
        let reaches = item.all.clone().any(|at| {
            match source.word(at) {
                "use" => in_use = true,
                "mod" => return true,
                _ => {}
            }
            in_use &= !source.is(at, b';');
            in_use && source.is(at, b'*')
        });
        !(generates || calls || reaches)
    })
}
