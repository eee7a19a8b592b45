//! What is told of a run: the matrix, and a line for each shortfall.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::case::Label;
use super::judge::Outcome;
use super::run::Result;

/// One of so many safe edits may be refused.
const REFUSED_AT_MOST: usize = 100;

/// A line about an edit that is not as labelled.
pub fn shortfall(result: &Result) -> String {
    let seen = &result.seen;
    let mut line = format!(
        "{:13} {} opt {} {} step {} ({}): {}",
        result.outcome,
        result.label,
        result.level,
        result.case,
        result.number,
        result.about,
        seen.events.join(" "),
    );
    let message: String = seen.messages.join("; ").chars().take(200).collect();
    for text in [message, seen.bad.join(" / "), last(&seen.tail)] {
        if !text.is_empty() {
            let _ = write!(line, " | {text}");
        }
    }
    line
}

fn last(tail: &[String]) -> String {
    tail[tail.len().saturating_sub(2)..].join(" / ")
}

/// How often each label had each outcome at each level.
pub fn matrix(results: &[Result]) -> String {
    let mut counts: BTreeMap<(Label, u8, Outcome), usize> = BTreeMap::new();
    for result in results {
        *counts
            .entry((result.label, result.level, result.outcome))
            .or_default() += 1;
    }
    let mut text = String::new();
    for ((label, level, outcome), count) in counts {
        let _ = writeln!(text, "{label} opt {level} {outcome:13} {count}");
    }
    let fine = results
        .iter()
        .filter(|result| result.outcome.is_ok())
        .count();
    let _ = write!(text, "{fine} of {} edits as labelled", results.len());
    text
}

/// Whether everything is within the aims: nothing falls short but one safe edit of a hundred that is
/// refused.
pub fn is_within_aims(results: &[Result]) -> bool {
    let safe = results.iter().filter(|result| result.label == Label::Safe);
    let refused = results
        .iter()
        .filter(|result| result.outcome == Outcome::FalseRefusal);
    let others = results
        .iter()
        .filter(|result| !result.outcome.is_ok() && result.outcome != Outcome::FalseRefusal);
    others.count() == 0 && refused.count() * REFUSED_AT_MOST <= safe.count()
}

/// One JSON object a line, for each edit.
pub fn json(results: &[Result]) -> String {
    let mut text = String::new();
    for result in results {
        let object = json!({
            "case": result.case,
            "opt": result.level,
            "step": result.number,
            "label": result.label.letter(),
            "about": result.about,
            "outcome": result.outcome.word(),
            "kinds": result.seen.events,
            "messages": result.seen.messages,
            "bad": result.seen.bad,
            "dead": result.seen.dead,
            "last": result.seen.tail,
            "ms": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
        });
        let _ = writeln!(text, "{object}");
    }
    text
}
