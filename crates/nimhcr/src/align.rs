//! Aligning the symbols of a module before an edit with those after it.
//!
//! Both sequences are in the order of the source. Several procs may have the same identity (anonymous
//! and nested procs of one signature), so that only their neighbours tell which is which. The longest
//! common subsequence gives the neighbours; where an inserted or removed stretch could as well lie a
//! little earlier or later, the place that a programmer would have meant is taken: an anonymous proc
//! comes right *before* the global that it initialises and right *behind* the proc that it is nested in.

use hashbrown::HashMap;
use similar::{Algorithm, DiffOp};
use std::collections::VecDeque;

/// A symbol as the alignment sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// What stays the same from build to build.
    pub(crate) identity: Vec<u8>,
    /// Fingerprint of an anonymous proc's body, if it is known.
    pub(crate) body: Option<u64>,
    pub(crate) kind: Kind,
}

/// What a symbol is to its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A proc with a name of its own.
    Proc,
    /// An anonymous proc.
    Anonymous,
    Global,
}

/// For every new symbol the old one that it continues, as indices.
pub(crate) fn align(old: &[Item], new: &[Item]) -> Vec<Option<usize>> {
    let mut matched = vec![None; new.len()];
    let (old_keys, new_keys) = keys(old, new);
    for op in similar::capture_diff_slices(Algorithm::Myers, &old_keys, &new_keys) {
        if let DiffOp::Equal {
            old_index,
            new_index,
            len,
        } = op
        {
            for n in 0..len {
                matched[new_index + n] = Some(old_index + n);
            }
        }
    }
    slide_inserted(new, &new_keys, &mut matched);
    slide_removed(old, &old_keys, &mut matched);
    match_moved(&old_keys, &new_keys, &mut matched);
    matched
}

/// What makes two symbols the same for the alignment: the identity, and for anonymous procs whose body
/// occurs on both sides, that too. A body that was not edited tells best which one it is.
type Key<'a> = (&'a [u8], Option<u64>);

fn keys<'a>(old: &'a [Item], new: &'a [Item]) -> (Vec<Key<'a>>, Vec<Key<'a>>) {
    let count = |items: &'a [Item]| {
        let mut counts: HashMap<(&[u8], u64), usize> = HashMap::new();
        for item in items {
            if let Some(body) = item.body {
                *counts.entry((&item.identity, body)).or_default() += 1;
            }
        }
        counts
    };
    let (in_old, in_new) = (count(old), count(new));
    let keys = |items: &'a [Item]| {
        let same_on_both_sides = |item: &Item, body: &u64| {
            let key = (&*item.identity, *body);
            in_old
                .get(&key)
                .is_some_and(|count| in_new.get(&key) == Some(count))
        };
        items
            .iter()
            .map(|item| {
                let body = item.body.filter(|body| same_on_both_sides(item, body));
                (&*item.identity, body)
            })
            .collect()
    };
    (keys(old), keys(new))
}

/// Moves stretches of `new` without a partner to where they make a unit.
fn slide_inserted(new: &[Item], keys: &[Key<'_>], matched: &mut [Option<usize>]) {
    let mut start = 0;
    while start < new.len() {
        if matched[start].is_some() {
            start += 1;
            continue;
        }
        let length = matched[start..]
            .iter()
            .take_while(|partner| partner.is_none())
            .count();
        let place = best_place(new, keys, start, length, |n| matched[n].is_some());
        if place < start {
            for n in (place..start).rev() {
                matched[n + length] = matched[n].take();
            }
        } else {
            for n in start..place {
                matched[n] = matched[n + length].take();
            }
        }
        start = start.max(place) + length;
    }
}

/// The same for stretches of `old` without a partner.
fn slide_removed(old: &[Item], keys: &[Key<'_>], matched: &mut [Option<usize>]) {
    let mut partner: Vec<Option<usize>> = vec![None; old.len()];
    for (n, o) in matched.iter().enumerate() {
        if let Some(o) = o {
            partner[*o] = Some(n);
        }
    }
    slide_inserted(old, keys, &mut partner);
    matched.fill(None);
    for (o, n) in partner.iter().enumerate() {
        if let Some(n) = n {
            matched[*n] = Some(o);
        }
    }
}

/// Where a stretch may begin: as far up and down as the symbols that it would pass are the same as
/// those that it would take in, and the one that makes the most sense of these.
fn best_place(
    items: &[Item],
    keys: &[Key<'_>],
    start: usize,
    length: usize,
    has_partner: impl Fn(usize) -> bool,
) -> usize {
    let same = |a: usize, b: usize| keys[a] == keys[b];
    let mut first = start;
    while first > 0 && has_partner(first - 1) && same(first - 1, first + length - 1) {
        first -= 1;
    }
    let mut last = start;
    while last + length < items.len() && has_partner(last + length) && same(last, last + length) {
        last += 1;
    }
    // At equal sense the lowest place: an inserted anonymous proc belongs to what follows it.
    (first..=last)
        .max_by_key(|at| (sense(items, *at, length), *at))
        .unwrap_or(start)
}

/// How much sense a stretch makes as something that was written or removed at once.
fn sense(items: &[Item], start: usize, length: usize) -> u32 {
    let (first, last) = (items[start].kind, items[start + length - 1].kind);
    // A name first, and what is nested in it or follows from it behind.
    let begins_well = first == Kind::Proc || (first == Kind::Global && last != Kind::Anonymous);
    // An anonymous proc first, and the global that holds it at the end.
    let unit_of_global = first == Kind::Anonymous && last == Kind::Global;
    match (begins_well, unit_of_global) {
        (true, _) | (_, true) => 2,
        _ if length == 1 => 1,
        _ => 0,
    }
}

/// Symbols that changed places are left over on both sides: paired in order, identity by identity.
fn match_moved(old: &[Key<'_>], new: &[Key<'_>], matched: &mut [Option<usize>]) {
    let mut taken = vec![false; old.len()];
    for o in matched.iter().flatten() {
        taken[*o] = true;
    }
    let mut left: HashMap<Key<'_>, VecDeque<usize>> = HashMap::new();
    for (o, key) in old.iter().enumerate().filter(|(o, _)| !taken[*o]) {
        left.entry(*key).or_default().push_back(o);
    }
    for (n, key) in new.iter().enumerate() {
        if matched[n].is_none() {
            matched[n] = left.get_mut(key).and_then(VecDeque::pop_front);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `f` a proc, `.` an anonymous proc (`.7` with a known body), `G` a global.
    fn items(text: &str) -> Vec<Item> {
        text.split_whitespace()
            .map(|word| Item {
                identity: word[..1].replace(|c: char| c != '.', word).into_bytes(),
                body: word.strip_prefix('.').and_then(|body| body.parse().ok()),
                kind: match word.as_bytes()[0] {
                    b'.' => Kind::Anonymous,
                    byte if byte.is_ascii_uppercase() => Kind::Global,
                    _ => Kind::Proc,
                },
            })
            .collect()
    }

    #[track_caller]
    fn check(old: &str, new: &str, expected: &[Option<usize>]) {
        assert_eq!(align(&items(old), &items(new)), expected, "{old} -> {new}");
    }

    #[test]
    fn nothing_changed() {
        check("f g G", "f g G", &[Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn an_anonymous_proc_with_its_global_inserted_in_front() {
        check(". G", ". H . G", &[None, None, Some(0), Some(1)]);
        check(
            "f . G",
            "f . H . G",
            &[Some(0), None, None, Some(1), Some(2)],
        );
    }

    #[test]
    fn an_anonymous_proc_with_its_global_inserted_behind() {
        check(". G", ". G . H", &[Some(0), Some(1), None, None]);
    }

    #[test]
    fn a_proc_with_a_nested_one_inserted_behind() {
        check(
            "f . g",
            "f . h . g",
            &[Some(0), Some(1), None, None, Some(2)],
        );
    }

    #[test]
    fn a_proc_with_a_nested_one_inserted_in_front() {
        check(
            "f . g",
            "h . f . g",
            &[None, None, Some(0), Some(1), Some(2)],
        );
    }

    #[test]
    fn an_anonymous_proc_with_its_global_removed() {
        check(
            ". G . H . I",
            ". G . I",
            &[Some(0), Some(1), Some(4), Some(5)],
        );
        check(
            ". G . H . I",
            ". H . I",
            &[Some(2), Some(3), Some(4), Some(5)],
        );
    }

    #[test]
    fn a_proc_with_a_nested_one_removed() {
        check("f . g . h", "f . h", &[Some(0), Some(1), Some(4)]);
        check(
            "f . g . h .",
            "g . h .",
            &[Some(2), Some(3), Some(4), Some(5)],
        );
    }

    #[test]
    fn reordered_procs_keep_their_identity() {
        check("f g h", "h f g", &[Some(2), Some(0), Some(1)]);
    }

    #[test]
    fn of_equal_ones_the_order_decides() {
        check(". . .", ". .", &[Some(0), Some(1)]);
        check("", ". f", &[None, None]);
    }

    #[test]
    fn a_body_that_was_not_edited_tells_which_one_it_is() {
        check(
            ".1 .2 .3",
            ".9 .1 .2 .3",
            &[None, Some(0), Some(1), Some(2)],
        );
        check(".1 .2 .3", ".3 .1 .2", &[Some(2), Some(0), Some(1)]);
        check(".1 .2 .3", ".1 .3", &[Some(0), Some(2)]);
    }

    #[test]
    fn an_edited_body_is_what_is_left_between_those_that_were_not() {
        check(".1 .2 .3", ".1 .8 .3", &[Some(0), Some(1), Some(2)]);
        check(".1 .2", ".9 .1 .8", &[None, Some(0), Some(1)]);
    }
}
