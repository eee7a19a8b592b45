//! Which bodies of a part were live when, and which of them may have answered.

use std::collections::BTreeMap;
use std::time::Instant;

use super::body::Body;
use super::part::Part;

/// Which instance of a part has answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Begun {
    /// One that was begun for this answer.
    Now,
    /// One that was begun between two times.
    Between(Instant, Instant),
    /// One that was begun at some time since this one, again and again.
    Since(Instant),
    /// One that is there since the start.
    AtFirst,
    /// One that was begun between two times, by code from the start or by what was newest then.
    ByFirst(Instant, Instant),
}

/// A body, and when it was the newest.
#[derive(Clone, Debug)]
struct Version {
    body: Body,
    /// When it was saved: from then on it may answer.
    saved: Instant,
    /// When the save of the next one was known to be live: from then on that one answers.
    replaced: Option<Instant>,
}

/// The versions of all parts.
#[derive(Debug)]
pub(super) struct Timelines {
    parts: BTreeMap<Part, Vec<Version>>,
}

impl Timelines {
    /// The first versions.
    pub(super) fn new(bodies: &BTreeMap<Part, Body>) -> Self {
        let saved = Instant::now();
        let first = |body: &Body| {
            vec![Version {
                body: body.clone(),
                saved,
                replaced: None,
            }]
        };
        let parts = bodies
            .iter()
            .map(|(part, body)| (*part, first(body)))
            .collect();
        Self { parts }
    }

    /// A body is saved now. It is not known to be live before `is_live` says so.
    pub(super) fn save(&mut self, part: Part, body: Body) {
        let versions = self.parts.entry(part).or_default();
        versions.push(Version {
            body,
            saved: Instant::now(),
            replaced: None,
        });
    }

    /// What was saved last is live.
    pub(super) fn is_live(&mut self, part: Part) {
        if let Some([.., before, _]) = self.parts.get_mut(&part).map(Vec::as_mut_slice) {
            before.replaced = Some(Instant::now());
        }
    }

    /// What was saved last was refused.
    pub(super) fn is_refused(&mut self, part: Part) {
        self.parts.entry(part).or_default().pop();
    }

    /// Looks whether a part may have answered this in the time from `sent` to `received`.
    ///
    /// # Errors
    /// What it should have answered.
    pub(super) fn check(
        &self,
        part: Part,
        (id, value): (u64, u64),
        begun: Begun,
        (sent, received): (Instant, Instant),
    ) -> Result<(), String> {
        let since = self.since(part, begun, sent, received);
        let allowed: Vec<&Body> = self.live(part, since, received).collect();
        if allowed
            .iter()
            .any(|body| body.id == id && body.value() == value)
        {
            return Ok(());
        }
        let allowed: Vec<String> = allowed
            .iter()
            .map(|body| format!("{}:{}", body.id, body.value()))
            .collect();
        Err(format!(
            "{} answers {id}:{value}, not one of {}",
            part.name(),
            allowed.join(" ")
        ))
    }

    /// From when on the versions count that an answer may come from.
    fn since(&self, part: Part, begun: Begun, sent: Instant, received: Instant) -> Instant {
        let first = self.start(part);
        let windows = match begun {
            Begun::Now => return sent,
            Begun::Between(from, to) => vec![(from, to)],
            Begun::Since(from) => vec![(from, received)],
            Begun::AtFirst => vec![(first, first)],
            Begun::ByFirst(from, to) => vec![(first, first), (from, to)],
        };
        // One that is tied to what the newest version is tied to as well runs that version.
        let is_free = part.group().iter().all(|&part| {
            let asked = (sent, received);
            let windows = windows.iter().chain([&asked]);
            let mut contracts = windows
                .flat_map(|(from, to)| self.live(part, *from, *to))
                .map(|body| part.contract(body));
            let first = contracts.next();
            contracts.all(|contract| Some(contract) == first)
        });
        if is_free { sent } else { windows[0].0 }
    }

    fn start(&self, part: Part) -> Instant {
        self.parts[&part][0].saved
    }

    /// The bodies that were live at some time between two.
    fn live(&self, part: Part, from: Instant, to: Instant) -> impl Iterator<Item = &Body> {
        self.parts[&part]
            .iter()
            .filter(move |version| {
                version.saved <= to && version.replaced.is_none_or(|replaced| replaced >= from)
            })
            .map(|version| &version.body)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Begun, Timelines};
    use crate::random::Random;
    use crate::server_load::body::{Body, Change};
    use crate::server_load::part::{PARTS, Part};

    #[test]
    fn what_is_begun_now_runs_the_newest_and_what_is_tied_to_another_layout_the_old() {
        let mut random = Random::new(1);
        let first = Body::first(&mut random);
        let mut lines = Timelines::new(&PARTS.map(|part| (part, first.clone())).into());
        let begin = Instant::now();
        let is_right = |lines: &Timelines, body: &Body, begun| {
            let now = Instant::now();
            let answer = (body.id, body.value());
            lines
                .check(Part::Connection, answer, begun, (now, now))
                .is_ok()
        };
        let old = Begun::Between(begin, begin);
        let second = first.changed(Change::Number, 1, &mut random);
        lines.save(Part::Connection, second.clone());
        assert!(is_right(&lines, &first, Begun::Now) && is_right(&lines, &second, Begun::Now));
        lines.is_live(Part::Connection);
        assert!(!is_right(&lines, &first, Begun::Now) && !is_right(&lines, &first, old));
        assert!(is_right(&lines, &second, Begun::Now) && is_right(&lines, &second, old));
        let third = second.changed(Change::Held, 2, &mut random);
        lines.save(Part::Connection, third.clone());
        lines.is_live(Part::Connection);
        assert!(is_right(&lines, &third, Begun::Now) && !is_right(&lines, &second, Begun::Now));
        assert!(is_right(&lines, &second, old));
        // It is taken back: the one from the start runs it again.
        lines.save(Part::Connection, second.clone());
        lines.is_live(Part::Connection);
        assert!(is_right(&lines, &second, old) && !is_right(&lines, &third, old));
        // One that the newest code may have begun, or that of the start, does not.
        let now = Instant::now();
        lines.save(Part::Direct, third.clone());
        let begun = Begun::ByFirst(now, Instant::now());
        lines.is_live(Part::Direct);
        lines.save(Part::Direct, first.clone());
        lines.is_live(Part::Direct);
        let now = Instant::now();
        let answer = (third.id, third.value());
        let check = |begun| lines.check(Part::Direct, answer, begun, (now, now)).is_ok();
        assert!(check(begun) && !check(Begun::ByFirst(now, now)));
        // A part of the same future ties it.
        lines.save(Part::Reply, first.changed(Change::Awaits, 3, &mut random));
        lines.is_live(Part::Reply);
        assert!(is_right(&lines, &third, old) && !is_right(&lines, &third, Begun::Now));
    }
}
