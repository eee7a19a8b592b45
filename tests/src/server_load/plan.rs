//! Which edit comes next.

use std::collections::BTreeMap;

use super::body::{Body, Change};
use super::part::{Label, PARTS, Part};
use crate::random::Random;

/// So many of a hundred edits take the one before them of the same part back.
const BACK: usize = 15;

/// The bodies as the files have them, and those that were there before.
pub(super) struct Plan {
    random: Random,
    pub(super) bodies: BTreeMap<Part, Body>,
    before: BTreeMap<Part, Body>,
    /// Parts whose last edit waits: the next one takes it back.
    waiting: Vec<Part>,
    number: u64,
}

/// An edit of one part.
pub(super) struct Edit {
    pub(super) part: Part,
    pub(super) body: Body,
    pub(super) label: Label,
    pub(super) about: String,
    /// Whether what is held, captured or awaited becomes another.
    pub(super) changes_layout: bool,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let bodies = PARTS.map(|part| (part, Body::first(&mut random))).into();
        Self {
            random,
            bodies,
            before: BTreeMap::new(),
            waiting: Vec::new(),
            number: 0,
        }
    }

    /// The next edit.
    pub(super) fn next(&mut self) -> Edit {
        self.number += 1;
        let part = *self.random.pick(&PARTS);
        let old = &self.bodies[&part];
        let back = self.waiting.contains(&part) || self.random.chance(BACK);
        let (body, what) = match self.before.get(&part) {
            Some(before) if back => (before.clone(), "taken back".to_owned()),
            _ => {
                // Half of them change the layout.
                let change = if self.random.chance(50) {
                    Change::Number
                } else {
                    *self.random.pick(part.changes())
                };
                let body = old.changed(change, self.number, &mut self.random);
                (body, format!("{change:?}"))
            }
        };
        Edit {
            part,
            label: part.label(old, &body),
            about: format!("edit {}: {}, {what}", self.number, part.name()),
            changes_layout: old.contract() != body.contract(),
            body,
        }
    }

    /// An edit is in the files now. What becomes of it is `Held` or not.
    pub(super) fn made(&mut self, edit: &Edit) {
        let old = self.bodies.insert(edit.part, edit.body.clone());
        self.before.extend(old.map(|old| (edit.part, old)));
        let waited = self.waiting.contains(&edit.part);
        self.waiting.retain(|part| *part != edit.part);
        if edit.label == Label::Held && !waited {
            self.waiting.push(edit.part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Label, Plan};

    #[test]
    fn a_seed_stands_for_its_edits_and_what_waits_is_taken_back() {
        let (mut one, mut again) = (Plan::new(3), Plan::new(3));
        let (mut layouts, mut held) = (0, 0);
        for _ in 0..200 {
            let (edit, same) = (one.next(), again.next());
            assert_eq!((edit.part, &edit.body), (same.part, &same.body));
            if one.waiting.contains(&edit.part) {
                assert_eq!(edit.body, one.before[&edit.part]);
            }
            layouts += usize::from(edit.changes_layout);
            held += usize::from(edit.label == Label::Held);
            one.made(&edit);
            again.made(&same);
        }
        assert!(layouts > 60 && held > 8, "{layouts} {held}");
    }
}
