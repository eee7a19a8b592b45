//! The bodies that a plan brings, for the session: their first calls can be noticed.

use std::sync::Arc;

use liveswap_object::{names, patch};
use liveswap_protocol::patch::Place;

use crate::session::parts::{NewBodies, NewBody};

/// Bodies whose first calls can be noticed. `main` is called once, and that is said otherwise.
pub fn of(
    planned: &patch::Planned,
    mains: &[String],
    absolute: &dyn Fn(Place) -> u64,
) -> NewBodies {
    let body = |body: &patch::NewBody| NewBody {
        name: names::for_people(&body.symbol),
        symbol: Arc::clone(&body.symbol),
        words: body
            .words
            .iter()
            .map(|(word, stub)| (absolute(*word), absolute(*stub)))
            .collect(),
        replaces: body.replaces,
    };
    let bodies = planned.new_bodies.iter().map(body);
    let mut bodies: Vec<NewBody> = bodies.filter(|it| !mains.contains(&it.name)).collect();
    // As in `reports`: those of the standard library only where they are all there is.
    let is_standard = |it: &NewBody| matches!(names::root(&it.name), "std" | "core" | "alloc");
    if !bodies.iter().all(is_standard) {
        bodies.retain(|it| !is_standard(it));
    }
    let words = planned.patch.slots.iter();
    NewBodies {
        bodies,
        words: words.map(|slot| absolute(slot.word)).collect(),
    }
}
