//! What the worker says.

use std::time::Instant;

use super::{Machine, Phase, display};
use crate::codes::Code;
use crate::model::BuildError;
use crate::session::batch::Batch;
use crate::session::outcome::{self, Clock};
use crate::session::parts::{Begun, Done, Job, Outcome, Planned};
use crate::session::report::Report;

impl<P> Machine<P> {
    pub(super) fn worker(&mut self, done: Done<P>, now: Instant) {
        match std::mem::replace(&mut self.phase, Phase::Idle) {
            Phase::Compiling {
                batch,
                begun,
                cancel,
            } => match done {
                Done::Begun(begun) => {
                    self.begun(&begun);
                    self.phase = Phase::Compiling {
                        batch,
                        begun: Some(begun),
                        cancel,
                    };
                }
                Done::Failed(BuildError::Cancelled) if cancel.is_cancelled() => {
                    self.stopped_in_a_row += 1;
                    Batch::merge_into(&mut self.queue, batch);
                }
                done => {
                    self.stopped_in_a_row = 0;
                    self.compiled(done, begun, batch, now);
                }
            },
            Phase::Deferred { cancel } => {
                let stopped = matches!(done, Done::Failed(BuildError::Cancelled));
                self.deferred = stopped && cancel.is_cancelled();
                if !self.deferred {
                    self.caught_up(done);
                }
            }
            Phase::Linking {
                batch,
                shown,
                cancel,
            } => self.linked(done, batch, shown, cancel),
            Phase::Placing => self.placed(done, now),
            // It answers only what it was asked.
            phase => self.phase = phase,
        }
    }

    /// Files changed indeed.
    pub(super) fn begun(&mut self, begun: &Begun) {
        self.not_linked_any_more();
        if !begun.paths.is_empty() {
            let paths = begun.paths.iter().map(|it| display(it)).collect();
            self.tell(&Report::Change { paths });
            self.owes_an_outcome = true;
        }
    }

    fn compiled(&mut self, done: Done<P>, begun: Option<Begun>, batch: Batch, now: Instant) {
        let reports = match done {
            Done::Irrelevant | Done::Begun(_) | Done::Linked | Done::InPlace => {
                self.owes_an_outcome = false;
                return;
            }
            // The process does not have this code: what was said of it still holds.
            Done::Same => vec![self.refused.clone().unwrap_or(Report::Unchanged {})],
            Done::Failed(error) => vec![self.failed(error)],
            Done::Planned {
                outcome,
                compile,
                diff,
                deferred,
            } => {
                self.deferred |= deferred;
                match outcome {
                    Outcome::Unchanged { pending } => {
                        self.refused = None;
                        vec![outcome::pending(&pending).unwrap_or(Report::Unchanged {})]
                    }
                    Outcome::Refused { code, message } => {
                        let report = Report::Refused { code, message };
                        self.refused = Some(report.clone());
                        vec![report]
                    }
                    Outcome::Patch(planned) if planned.pending_only => {
                        vec![self.leave_for_a_restart(*planned)]
                    }
                    Outcome::Patch(planned) => {
                        let clock = Clock::new(begun.as_ref(), compile, diff);
                        self.apply(planned, clock, Some(batch), now);
                        return;
                    }
                }
            }
        };
        self.settle(&reports, Some(batch));
    }

    pub(super) fn failed(&mut self, error: BuildError) -> Report {
        match error {
            BuildError::NeedsRestart { reason } => Report::Refused {
                code: Code::NeedsRestart.as_str().to_owned(),
                message: reason,
            },
            error @ BuildError::Internal(_) => Report::Refused {
                code: Code::Internal.as_str().to_owned(),
                message: error.to_string(),
            },
            error => {
                // The compiler and cargo have said so themselves.
                if let BuildError::Failed(text) = &error {
                    self.reports.note(text);
                }
                Report::BuildFailed {
                    diagnostics: outcome::diagnostics(&error),
                    runs: !self.is_without_program(),
                }
            }
        }
    }

    /// Nothing of an edit would take effect: it waits, with what comes next, and is no generation.
    fn leave_for_a_restart(&mut self, planned: Planned<P>) -> Report {
        let report = outcome::pending(&planned.pending).unwrap_or(Report::Unchanged {});
        self.refused = Some(report.clone());
        self.job(Job::Abandon(planned.plan));
        report
    }

    /// What was left out is compiled: normally there is nothing to say.
    fn caught_up(&mut self, done: Done<P>) {
        let report = match done {
            Done::Failed(error) => Some(self.failed(error)),
            Done::Planned {
                outcome: Outcome::Unchanged { pending },
                ..
            } => outcome::pending(&pending),
            Done::Planned {
                outcome: Outcome::Refused { code, message },
                ..
            } => {
                self.refused = Some(Report::Refused { code, message });
                self.refused.clone()
            }
            Done::Planned {
                outcome: Outcome::Patch(planned),
                ..
            } if planned.pending_only => Some(self.leave_for_a_restart(*planned)),
            Done::Planned {
                outcome: Outcome::Patch(planned),
                compile,
                diff,
                ..
            } => {
                self.apply(
                    planned,
                    Clock::new(None, compile, diff),
                    None,
                    Instant::now(),
                );
                None
            }
            _ => None,
        };
        if let Some(report) = report {
            self.settle(&[report], None);
        }
    }
}
