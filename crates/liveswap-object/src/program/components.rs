//! Digests of data that refers to other data, also in a circle.
//!
//! What is no part of a circle gets a digest of its own contents and of the digests of what it refers to.
//! Where data refers to itself by others, each of them is known by all of them: who leads into a circle somewhere
//! gets to everything in it.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::Xxh3;

use crate::elf::Section;
use crate::program::digest::Digest;

/// A section by itself.
#[derive(Debug)]
pub(super) struct Node {
    /// All that does not depend on the contents of other sections.
    pub own: Digest,
    /// The sections whose contents count, in the order of the references.
    pub refers: Vec<Section>,
}

/// A section on the way through what sections refer to (Tarjan's algorithm, without recursion: such a way can
/// be as long as the object has sections).
struct Visited {
    node: Node,
    /// Number in the order of the visits.
    number: usize,
    /// The lowest number of an unfinished section that this one leads to, as far as is known.
    lowest: usize,
    finished: bool,
}

/// Adds the digests of `root`, which has none yet, and of everything that it leads to.
pub(super) fn add<E>(
    root: Section,
    known: &mut HashMap<Section, Digest>,
    mut read: impl FnMut(Section) -> Result<Node, E>,
) -> Result<(), E> {
    let node = read(root)?;
    if node
        .refers
        .iter()
        .all(|section| known.contains_key(section))
    {
        // Most are like this.
        known.insert(root, combine(&node, known, &HashMap::new()));
        return Ok(());
    }
    let mut first = Some(node);
    let mut visited: HashMap<Section, Visited> = HashMap::new();
    // Sections whose component is not complete yet, in the order of the visits.
    let mut open: Vec<Section> = Vec::new();
    // The way from the root: section, and number of its reference that comes next.
    let mut way: Vec<(Section, usize)> = Vec::new();
    let mut enter = Some(root);
    loop {
        if let Some(section) = enter.take() {
            let number = visited.len();
            let node = match first.take() {
                Some(node) => node,
                None => read(section)?,
            };
            visited.insert(
                section,
                Visited {
                    node,
                    number,
                    lowest: number,
                    finished: false,
                },
            );
            open.push(section);
            way.push((section, 0));
        }
        let Some((section, next)) = way.last_mut() else {
            return Ok(());
        };
        let section = *section;
        let Some(from) = visited.get(&section) else {
            return Ok(());
        };
        if let Some(target) = from.node.refers.get(*next).copied() {
            *next += 1;
            if known.contains_key(&target) {
                continue;
            }
            let Some(to) = visited.get(&target) else {
                enter = Some(target);
                continue;
            };
            if !to.finished {
                let number = to.number;
                lower(&mut visited, section, number);
            }
            continue;
        }
        let (number, lowest) = (from.number, from.lowest);
        way.pop();
        if let Some((before, _)) = way.last() {
            lower(&mut visited, *before, lowest);
        }
        if lowest == number {
            let first = open.iter().rposition(|other| *other == section);
            let component = open.split_off(first.unwrap_or_default());
            for section in &component {
                if let Some(done) = visited.get_mut(section) {
                    done.finished = true;
                }
            }
            complete(&component, &visited, known);
        }
    }
}

fn lower(visited: &mut HashMap<Section, Visited>, section: Section, number: usize) {
    if let Some(visited) = visited.get_mut(&section) {
        visited.lowest = visited.lowest.min(number);
    }
}

/// Enters the digests of sections that all lead to each other; everything else that they lead to is known.
fn complete(
    component: &[Section],
    visited: &HashMap<Section, Visited>,
    known: &mut HashMap<Section, Digest>,
) {
    let members: Vec<(Section, &Node)> = component
        .iter()
        .filter_map(|section| Some((*section, &visited.get(section)?.node)))
        .collect();
    if let [(section, node)] = *members
        && !node.refers.contains(&section)
    {
        known.insert(section, combine(node, known, &HashMap::new()));
        return;
    }
    // In each round a member is known by what those are known by that it refers to, until a round tells
    // no more of them apart: then two that are known by the same lead to the same.
    let mut before: HashMap<Section, Digest> = members
        .iter()
        .map(|(section, _)| (*section, Digest(0)))
        .collect();
    let mut kinds = 1;
    loop {
        let now: HashMap<Section, Digest> = members
            .iter()
            .map(|(section, node)| (*section, combine(node, known, &before)))
            .collect();
        let different: HashSet<Digest> = now.values().copied().collect();
        if different.len() == kinds {
            enter(&before, &now, known);
            return;
        }
        kinds = different.len();
        before = now;
    }
}

/// Enters the digests of members. What they are known by in the last two rounds says how all of them refer to each other.
fn enter(
    before: &HashMap<Section, Digest>,
    now: &HashMap<Section, Digest>,
    known: &mut HashMap<Section, Digest>,
) {
    let mut all: Vec<(u128, u128)> = now
        .iter()
        .filter_map(|(section, now)| Some((before.get(section)?.0, now.0)))
        .collect();
    all.sort_unstable();
    let mut hash = Xxh3::new();
    for (before, now) in all {
        hash.update(&before.to_le_bytes());
        hash.update(&now.to_le_bytes());
    }
    let all = hash.digest128();
    for (section, now) in now {
        let mut hash = Xxh3::new();
        hash.update(&now.0.to_le_bytes());
        hash.update(&all.to_le_bytes());
        known.insert(*section, Digest(hash.digest128()));
    }
}

fn combine(
    node: &Node,
    known: &HashMap<Section, Digest>,
    members: &HashMap<Section, Digest>,
) -> Digest {
    if node.refers.is_empty() {
        return node.own;
    }
    let mut hash = Xxh3::new();
    hash.update(&node.own.0.to_le_bytes());
    for section in &node.refers {
        let (tag, digest) = match members.get(section) {
            Some(digest) => (1, Some(digest)),
            None => (0, known.get(section)),
        };
        hash.update(&[tag]);
        hash.update(&digest.map_or(0, |digest| digest.0).to_le_bytes());
    }
    Digest(hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// Sections by number: contents, and what they refer to.
    type Graph<'a> = &'a [(u128, &'a [Section])];

    /// The digests of all sections, asked for in this order.
    fn digests(graph: Graph<'_>, order: impl Iterator<Item = Section>) -> Vec<Digest> {
        let mut known = HashMap::new();
        for section in order {
            if !known.contains_key(&section) {
                let read = |section: Section| {
                    let (own, refers) = graph[section];
                    Ok::<_, Infallible>(Node {
                        own: Digest(own),
                        refers: refers.to_vec(),
                    })
                };
                add(section, &mut known, read).unwrap();
            }
        }
        (0..graph.len()).map(|section| known[&section]).collect()
    }

    #[test]
    fn digests_of_a_circle_do_not_depend_on_who_asks_first() {
        // 0 → 1 → 2 → 0, 3 → 2, 1 → 4 ⇄ 5, 6 → 6
        let graph: Graph<'_> = &[
            (10, &[1]),
            (11, &[2, 4]),
            (12, &[0]),
            (13, &[2]),
            (14, &[5]),
            (15, &[4]),
            (16, &[6]),
        ];
        let forward = digests(graph, 0..7);
        assert_eq!(forward, digests(graph, (0..7).rev()));
        assert_eq!(forward, digests(graph, [4, 1, 6, 3, 0, 5, 2].into_iter()));
    }

    #[test]
    fn everybody_who_leads_into_a_circle_knows_all_of_it() {
        let graph = |contents: [u128; 3]| {
            let [a, b, c] = contents;
            // 3, 4 and 5 lead to one of the three each.
            let graph: Graph<'_> = &[
                (a, &[1]),
                (b, &[2]),
                (c, &[0]),
                (7, &[0]),
                (7, &[1]),
                (7, &[2]),
            ];
            digests(graph, 0..6)
        };
        let first = graph([1, 2, 3]);
        for edited in [[9, 2, 3], [1, 9, 3], [1, 2, 9], [2, 1, 3]] {
            let now = graph(edited);
            for section in 0..6 {
                assert_ne!(first[section], now[section], "{edited:?} {section}");
            }
        }
        let different: HashSet<Digest> = first.iter().copied().collect();
        assert_eq!(
            different.len(),
            6,
            "each leads to another place of the circle"
        );
    }

    #[test]
    fn how_equal_members_of_a_circle_refer_to_each_other_counts() {
        // Two of each kind, in one circle: a a b b, or a b a b.
        let graph = |contents: [u128; 4]| {
            let [a, b, c, d] = contents;
            let graph: Graph<'_> = &[(a, &[1]), (b, &[2]), (c, &[3]), (d, &[0])];
            digests(graph, 0..4)
        };
        let (pairs, alternating) = (graph([1, 1, 2, 2]), graph([1, 2, 1, 2]));
        assert!(pairs.iter().all(|digest| !alternating.contains(digest)));
        // All that can be told of the first and third of these is the same.
        assert_eq!(alternating[0], alternating[2]);
        assert_ne!(pairs[0], pairs[1]);
    }

    #[test]
    fn a_way_as_long_as_an_object_has_sections_is_no_matter() {
        const LENGTH: usize = 50_000;
        let chain = |last: u128| {
            let mut known = HashMap::new();
            let read = |section: Section| {
                let end = section + 1 == LENGTH;
                Ok::<_, Infallible>(Node {
                    own: Digest(if end { last } else { 1 }),
                    refers: if end { vec![] } else { vec![section + 1] },
                })
            };
            add(0, &mut known, read).unwrap();
            assert_eq!(known.len(), LENGTH);
            known[&0]
        };
        assert_ne!(chain(1), chain(2));
    }
}
