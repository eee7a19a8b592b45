//! The way of a save: from the queue to the worker, to the program, to what is told.

use std::time::{Instant, SystemTime};

use liveswap_protocol::message::ToAgent;

use super::{ANSWER, Asked, IDLE, Machine, Phase, STOPS_AT_MOST, no_answer};
use crate::model::CancelToken;
use crate::session::batch::Batch;
use crate::session::control::Answer;
use crate::session::outcome::Clock;
use crate::session::parts::{Job, Planned};
use crate::session::report::Report;

impl<P> Machine<P> {
    pub(super) fn changed(&mut self, batch: Batch) {
        match &self.phase {
            Phase::Compiling { cancel, .. }
                if batch.urgent && self.stopped_in_a_row < STOPS_AT_MOST =>
            {
                cancel.cancel();
            }
            Phase::Deferred { cancel } if batch.urgent => cancel.cancel(),
            Phase::Linking { cancel, .. }
                if batch.urgent
                    && !self.restart.is_for_user()
                    && self.stopped_in_a_row < STOPS_AT_MOST =>
            {
                cancel.cancel();
            }
            _ => {}
        }
        Batch::merge_into(&mut self.queue, batch);
    }

    /// Begins with what is queued if nothing is under way.
    pub(super) fn begin(&mut self, now: Instant) {
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        if (self.queue.is_none() || self.restart.is_for_user()) && self.restart_step(now) {
            return;
        }
        if self.crashed.is_some() {
            return self.start_with_a_save();
        }
        // Until the run-time comes, or it is clear that it does not, there is nothing to compare with.
        let hello = match &self.hello {
            Ok(hello) => Ok(hello.clone()),
            Err(Some(why)) => Err(why.clone()),
            Err(None) => return,
        };
        let Some(batch) = self.queue.take() else {
            // Until what failed is mended, dependents would only fail in the same way, with no save to blame.
            let may_go_live = hello.is_ok() && !self.last_failed;
            if self.deferred && may_go_live && self.deferred_at.is_none() {
                self.deferred_at = Some(now + IDLE);
            }
            return;
        };
        self.deferred_at = None;
        let cancel = CancelToken::new();
        let for_worker = batch.files();
        self.phase = Phase::Compiling {
            batch,
            begun: None,
            cancel: cancel.clone(),
        };
        self.job(Job::Changed {
            batch: for_worker,
            hello,
            cancel,
        });
    }

    pub(super) fn apply(
        &mut self,
        mut planned: Box<Planned<P>>,
        mut clock: Clock,
        batch: Option<Batch>,
        now: Instant,
    ) {
        let patch = std::mem::take(&mut planned.patch);
        clock.sent = SystemTime::now();
        let sent = self
            .agent
            .as_ref()
            .is_some_and(|it| it.send(ToAgent::Apply(patch)).is_ok());
        if sent {
            self.asked.push_back(Asked::Apply);
            self.answer_by = Some(now + ANSWER);
            self.phase = Phase::Applying {
                planned,
                clock,
                batch,
            };
        } else {
            self.not_applied(*planned, batch, no_answer("its run-time is gone"));
        }
    }

    pub(super) fn not_applied(
        &mut self,
        planned: Planned<P>,
        batch: Option<Batch>,
        refused: Report,
    ) {
        self.job(Job::Abandon(planned.plan));
        self.refused = Some(refused.clone());
        self.settle(&[refused], batch);
    }

    /// This is what came of a save.
    pub(super) fn settle(&mut self, reports: &[Report], batch: Option<Batch>) {
        for report in reports {
            self.tell(report);
            self.waits(report, true);
        }
        let Some(report) = reports.first() else {
            return;
        };
        self.last_failed_to_build = matches!(report, Report::BuildFailed { .. });
        let outcome = report.summary();
        self.last = (Some(outcome.clone()), Instant::now());
        if batch.is_some() {
            self.owes_an_outcome = false;
        }
        let success = matches!(report, Report::Swapped { .. } | Report::Unchanged {});
        self.last_failed = matches!(report, Report::Refused { .. } | Report::BuildFailed { .. });
        for answers in batch.into_iter().flat_map(|batch| batch.waiting) {
            // Who asked may have gone.
            let _ = answers.send(Answer::Swapped {
                success,
                outcome: outcome.clone(),
            });
        }
    }
}
