//! What the run-time in the program says.

use std::collections::BTreeSet;
use std::sync::mpsc::Sender;
use std::time::Instant;

use liveswap_protocol::VERSION;
use liveswap_protocol::message::{Frame, FromAgent, Hello, ToAgent};

use super::{Asked, GONE, HELLO, HeldBack, Look, Machine, Phase, no_answer};
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
            (Some(Asked::Calls(owners)), FromAgent::Hold(holds)) => {
                self.calls_answered(&owners, &holds, now);
            }
            (Some(Asked::Main(functions)), FromAgent::Frames(frames)) => {
                self.main_seen(&functions, &frames);
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
        // Whoever is in one of them may be there for long, and later saves may be about the same function.
        let exact = frames.iter().filter(|frame| frame.exact);
        let seen: BTreeSet<u32> = exact.map(|frame| frame.range).collect();
        self.lingering.retain(|body| !bodies.contains(body));
        let linger = bodies.iter().zip(0..).filter(|(_, n)| seen.contains(n));
        self.lingering.extend(linger.map(|(body, _)| body.clone()));
        let told = old_bodies::tell(&bodies, earlier.as_deref(), &frames);
        // A loop that never returns is not called anew; a call that only waits for long is no reason for a restart.
        let certain = bodies.iter().zip(0..).filter(|(_, n)| seen.contains(n));
        let in_vain = certain
            .into_iter()
            .any(|(body, _)| self.calls.is_not_called(&body.name));
        let messages = told.messages.into_iter();
        self.held_back.extend(messages.map(|message| HeldBack {
            message,
            restart: true,
            in_vain,
        }));
        if told.again {
            self.looks.push(Look {
                at: now + old_bodies::DELAY,
                bodies,
                earlier: Some(frames),
            });
        }
    }

    pub(super) fn agent_connected(&mut self, requests: Sender<ToAgent>, now: Instant) {
        self.agent = Some(requests);
        // Perhaps of another image of the process: what it says of itself comes next.
        self.gone = None;
        self.hello = Err(None);
        self.hello_by = Some(now + HELLO);
    }

    /// Another process of the program keeps its code.
    pub(super) fn copy(&mut self, pid: u32) {
        if !std::mem::replace(&mut self.knows_of_copies, true) {
            let message = format!(
                "process {pid} runs the program, too, and keeps the code that it was started with"
            );
            self.held_back.push(HeldBack {
                message,
                restart: false,
                in_vain: false,
            });
        }
    }

    /// The process runs another image: it executed its executable anew.
    fn greeted_again(&mut self, hello: Hello) {
        let same = self.first.as_ref();
        let is_same = same.is_some_and(|first| first.build_id == hello.build_id);
        let why = if !is_same {
            "the program executed another one"
        } else if self.generation != hello.generation {
            "the program executed itself anew, and runs the code that it was built with, without what went live since; a restart brings it"
        } else {
            // Where it was said that nothing can change, that is over; and else that it can, for the image
            // that is gone.
            self.hello = Ok(hello);
            self.started = false;
            return self.say_started(true);
        };
        self.generation = hello.generation;
        self.hello = Err(Some(NoAgent {
            code: Code::NoAnswer,
            message: why.to_owned(),
        }));
        self.held_back.push(HeldBack {
            message: why.to_owned(),
            restart: true,
            in_vain: false,
        });
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
        if self.first.is_some() {
            return self.greeted_again(hello);
        }
        self.generation = hello.generation;
        self.first = Some(hello.clone());
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
        self.calls.swapped(generation, planned.new_bodies);
        self.calls_at = Some(now + old_bodies::DELAY);
        let mut bodies = planned.old_bodies;
        let replaced: BTreeSet<String> = bodies.iter().map(|body| body.name.clone()).collect();
        let lingering = self.lingering.iter();
        let concerns =
            |it: &&OldBody| replaced.contains(&it.name) || planned.staying.contains(&it.start);
        bodies.extend(lingering.filter(concerns).cloned());
        if !bodies.is_empty() {
            self.looks.push(Look {
                at: now + old_bodies::DELAY,
                bodies,
                earlier: None,
            });
        }
        tracing::debug!(elapsed = ?now.elapsed(), "settled");
    }

    pub(super) fn agent_gone(&mut self, reason: &str, now: Instant) {
        self.hello_by = None;
        self.answer_by = None;
        self.agent = None;
        self.asked.clear();
        self.looks.clear();
        self.lingering.clear();
        self.calls.forget();
        self.calls_at = None;
        self.settled_calls = 0;
        self.answer_status(now);
        self.held_back.clear();
        tracing::info!(reason, "the run-time is gone");
        // A program that ends closes its connection first; no code can be refused any more then. One that
        // executes itself connects again, and until then there is nothing to compare with.
        self.hello = Err(None);
        let message = format!("the program's run-time is gone: {reason}");
        let code = Code::NoAnswer;
        self.gone = Some((now + GONE, NoAgent { code, message }));
        if let Phase::Compiling { cancel, .. } = &self.phase {
            cancel.cancel();
        }
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Applying { planned, batch, .. } => {
                self.not_applied(*planned, batch, no_answer("it closed the connection"));
            }
            phase => self.phase = phase,
        }
        if self.is_without_program() {
            self.has_no_program();
        }
    }

    /// The program lives, and its run-time does not.
    pub(super) fn stays_gone(&mut self, gone: NoAgent) {
        self.held_back.push(HeldBack {
            message: format!(
                "{}; nothing goes live until it connects again",
                gone.message
            ),
            restart: true,
            in_vain: false,
        });
        self.hello = Err(Some(gone));
        // Whoever waits for the start need not wait for ever.
        self.say_started(false);
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
