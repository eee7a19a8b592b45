//! What the run-time in the program says.

use std::time::Instant;

use liveswap_protocol::VERSION;
use liveswap_protocol::message::{Frame, FromAgent, Hello, ToAgent};

use super::{Asked, Look, Machine, Phase, no_answer};
use crate::codes::Code;
use crate::session::old_bodies;
use crate::session::outcome;
use crate::session::parts::{Job, NoAgent, OldBody};
use crate::session::report::Report;

impl<P> Machine<P> {
    pub(super) fn agent_says(&mut self, message: FromAgent, now: Instant) {
        if let FromAgent::Hello(hello) = message {
            return self.greeted(hello);
        }
        let asked = self.asked.pop_front();
        match (asked, message) {
            (Some(Asked::Apply), message) => self.applied(message, now),
            (Some(Asked::Look(bodies, earlier)), FromAgent::Frames(frames)) => {
                self.looked(bodies, earlier, frames, now);
            }
            (asked, message) => tracing::trace!(?asked, ?message, "answered"),
        }
    }

    /// The stacks were looked at.
    fn looked(
        &mut self,
        bodies: Vec<OldBody>,
        earlier: Option<Vec<Frame>>,
        frames: Vec<Frame>,
        now: Instant,
    ) {
        let told = old_bodies::tell(&bodies, earlier.as_deref(), &frames);
        self.held_back.extend(told.messages);
        if told.again {
            self.looks.push(Look {
                at: now + old_bodies::DELAY,
                bodies,
                earlier: Some(frames),
            });
        }
    }

    fn greeted(&mut self, hello: Hello) {
        self.hello_by = None;
        if hello.version != VERSION {
            let message = format!(
                "its run-time speaks version {} and not {VERSION}",
                hello.version
            );
            return self.no_agent(Code::Executable, &message);
        }
        self.generation = hello.generation;
        self.hello = Ok(hello);
        self.say_started(true);
    }

    fn applied(&mut self, message: FromAgent, now: Instant) {
        self.answer_by = None;
        let (planned, clock, batch) = match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Applying {
                planned,
                clock,
                batch,
            } => (*planned, clock, batch),
            phase => {
                self.phase = phase;
                return;
            }
        };
        let (generation, apply_us, pause_us, flipped_at_ns) = match message {
            FromAgent::Applied {
                generation,
                apply_us,
                pause_us,
                flipped_at_ns,
            } => (generation, apply_us, pause_us, flipped_at_ns),
            FromAgent::Refused { code, message } => {
                return self.not_applied(planned, batch, Report::Refused { code, message });
            }
            other => {
                tracing::error!(?other, "not an answer to a patch");
                return self.not_applied(planned, batch, no_answer("it answers something else"));
            }
        };
        let ms = clock.ms(apply_us, pause_us, flipped_at_ns);
        self.generation = generation;
        self.refused = None;
        let functions: usize = planned.modules.iter().map(|it| it.changed + it.added).sum();
        self.functions += functions as u64;
        self.job(Job::Commit(planned.plan));
        let mut reports = Vec::new();
        // What was left out of an earlier compilation belongs to that one's report.
        let silent = batch.is_none() && functions == 0;
        if !silent {
            let (modules, bytes) = (planned.modules, planned.bytes);
            reports.push(Report::Swapped {
                generation,
                modules,
                bytes,
                ms,
            });
        }
        reports.extend(outcome::pending(&planned.pending));
        if reports.is_empty() && batch.is_some() {
            reports.push(Report::Unchanged {});
        }
        self.settle(&reports, batch);
        if let Some(file) = planned.debug_file {
            self.ask(ToAgent::Announce(file.slice), Asked::Announce);
        }
        if !planned.old_bodies.is_empty() {
            self.looks.push(Look {
                at: now + old_bodies::DELAY,
                bodies: planned.old_bodies,
                earlier: None,
            });
        }
        tracing::debug!(elapsed = ?now.elapsed(), "settled");
    }

    pub(super) fn agent_gone(&mut self, reason: &str, _now: Instant) {
        self.hello_by = None;
        self.answer_by = None;
        self.agent = None;
        self.asked.clear();
        self.looks.clear();
        self.held_back.clear();
        tracing::info!(reason, "the run-time is gone");
        // A program that ends closes its connection first; no code can be refused any more then.
        self.hello = Err(Some(NoAgent {
            code: Code::NoAnswer,
            message: format!("the program's run-time is gone: {reason}"),
        }));
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Applying { planned, batch, .. } => {
                self.not_applied(*planned, batch, no_answer("it closed the connection"));
            }
            phase => self.phase = phase,
        }
    }

    pub(super) fn no_agent(&mut self, code: Code, message: &str) {
        self.reports.note(&format!(
            "the code of this program cannot be changed: {message}"
        ));
        self.hello = Err(Some(NoAgent {
            code,
            message: message.to_owned(),
        }));
        self.say_started(false);
    }
}
