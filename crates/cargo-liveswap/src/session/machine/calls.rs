//! Which functions were called, for events and `status`, and which ones nobody can call any more.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use liveswap_protocol::message::{Frame, ToAgent};

use super::{Asked, HeldBack, Machine};
use crate::session::calls::Owners;
use crate::session::control::Answer;
use crate::session::parts::{FromMain, Job};
use crate::session::report::Report;

/// So long `status` waits for a program that does not answer.
const STATUS: Duration = Duration::from_secs(1);

impl<P> Machine<P> {
    /// Asks a while after a swap. What comes of it can be told of as pending, so no outcome may be owed.
    pub(super) fn look_at_calls(&mut self, now: Instant) {
        if !self.owes_an_outcome && self.calls_at.take_if(|at| *at <= now).is_some() {
            self.ask_for_calls();
        }
    }

    fn ask_for_calls(&mut self) -> bool {
        let question = self.calls.question().filter(|_| self.agent.is_some());
        let Some(question) = question else {
            return false;
        };
        self.ask(ToAgent::Hold(question.words), Asked::Calls(question.owners));
        true
    }

    /// Somebody wants to know how things are.
    pub(super) fn status_wanted(&mut self, answers: Sender<Answer>, now: Instant) {
        self.status_waits.push(answers);
        if self.ask_for_calls() {
            self.status_by.get_or_insert(now + STATUS);
        } else {
            self.answer_status(now);
        }
    }

    /// Tells all who wait.
    pub(super) fn answer_status(&mut self, now: Instant) {
        self.status_by = None;
        let (outcome, since) = self.last.clone();
        let answer = Answer::Status {
            pid: self.about.pid,
            exe: self.about.exe.clone(),
            generation: self.generation,
            functions: self.functions,
            calls: self.calls.of_newest(),
            outcome,
            restarts: self.restart.count,
            waits: self.waits_for_a_restart(),
            crashed: self.is_without_program(),
            seconds: now.saturating_duration_since(since).as_secs(),
        };
        for answers in std::mem::take(&mut self.status_waits) {
            // Who asked may have gone.
            let _ = answers.send(answer.clone());
        }
    }

    /// The run-time says which words hold what they held.
    pub(super) fn calls_answered(&mut self, owners: &Owners, holds: &[bool], now: Instant) {
        for (generation, functions) in self.calls.answered(owners, holds) {
            self.tell(&Report::Called {
                generation,
                functions,
            });
        }
        if !self.status_waits.is_empty() {
            self.answer_status(now);
        }
        if self.calls_at.is_some() || self.settled_calls >= self.generation {
            return;
        }
        // The look after a swap: who was not called by now?
        let functions = self.calls.not_called(self.settled_calls);
        self.settled_calls = self.generation;
        tracing::debug!(?functions, "not called since the swap");
        if let Ok(hello) = self.hello.clone()
            && !functions.is_empty()
        {
            let alone = self.calls.of_newest().len() == 1;
            self.job(Job::OnlyFromMain {
                functions,
                alone,
                hello,
            });
        }
    }

    /// The worker says which functions only `main` leads to. Where `main` is tells whether it will do so again.
    pub(super) fn only_from_main(&mut self, functions: Vec<FromMain>) {
        tracing::debug!(?functions, "only `main` leads to");
        if let Some(first) = functions.first() {
            let main = first.main;
            self.ask(ToAgent::Frames(vec![main]), Asked::Main(functions));
        }
    }

    /// Where `main` is.
    pub(super) fn main_seen(&mut self, functions: &[FromMain], frames: &[Frame]) {
        // Of the frames that are certain there is one for each thread.
        tracing::debug!(?frames, "`main` is at");
        let [frame] = frames else { return };
        if !frame.exact {
            return;
        }
        let over = functions.iter().filter(|it| it.returns < frame.address);
        let mut names: Vec<&str> = over
            .filter_map(|it| self.calls.name_if_not_called(&it.symbol))
            .collect();
        names.sort_unstable();
        names.dedup();
        if let Some(message) = only_at_start(&names) {
            self.held_back.push(HeldBack {
                message,
                restart: true,
                in_vain: true,
            });
        }
    }
}

/// What is said of functions that `main` has called for the last time.
fn only_at_start(names: &[&str]) -> Option<String> {
    const LISTED: usize = 3;
    let (first, others) = names.split_first()?;
    let (has, it) = match others {
        [] => ("has", "it"),
        _ => ("have", "them"),
    };
    let mut list = format!("`{first}`");
    for name in others.iter().take(LISTED - 1) {
        list.push_str(&format!(", `{name}`"));
    }
    if names.len() > LISTED {
        list.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    Some(format!(
        "{list} {has} not been called since the swap: only the start of `main` leads to {it}, which is over; the change counts after a restart"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_start_are_one_message() {
        assert_eq!(only_at_start(&[]), None);
        assert_eq!(
            only_at_start(&["app::init"]).unwrap(),
            "`app::init` has not been called since the swap: only the start of `main` leads to it, which is over; the change counts after a restart"
        );
        let many = only_at_start(&["a", "b", "c", "d", "e"]).unwrap();
        assert!(many.starts_with("`a`, `b`, `c` and 2 more have not been called"));
        assert!(many.contains("leads to them"));
    }
}
