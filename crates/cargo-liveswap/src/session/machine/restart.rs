//! Restarts: what waits for one is linked beside the program that runs, the old process is asked to end, and the
//! life of this machine is over when it has.

use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use liveswap_protocol::message::ToAgent;
use signal_hook::consts::{SIGKILL, SIGTERM};

use super::{Asked, IDLE, Machine, Phase};
use crate::model::{BuildError, CancelToken};
use crate::session::batch::Batch;
use crate::session::control::Answer;
use crate::session::listeners::Listener;
use crate::session::parts::{Done, Job};
use crate::session::report::Report;
use crate::session::restart::{Heritage, Mode, Over, Rules};

/// So long it is waited for the sockets that the program listens at.
const GATHER: Duration = Duration::from_millis(500);
/// A link follows another one at once if it begins within this time and its own delay.
const AT_ONCE: Duration = Duration::from_secs(5);
/// Of links that follow each other at once each one waits twice as long as the one before, up to five minutes.
const MOST_DOUBLED: u32 = 10;
/// Sockets of the last process that the program has not bound by then are closed.
const RELEASE: Duration = Duration::from_secs(30);

/// What is known of the next start.
#[derive(Debug)]
pub struct Restart {
    rules: Rules,
    /// How often the program was started before.
    pub count: u32,
    /// Something waits for it, apart from what was refused.
    pub pending: bool,
    linked: Linked,
    /// When it is linked ahead: saves that follow each other fast are not kept waiting by that.
    link_at: Option<Instant>,
    /// When a link was begun last.
    last_link: Option<Instant>,
    /// How many followed each other at once: a build script that writes sources makes every one of them out of date.
    links_at_once: u32,
    wanted: Option<Wanted>,
    /// The link that was begun last is for somebody who asked for a restart: saves that come meanwhile are for the next
    /// life, for they may be what the link itself has written.
    for_user: bool,
    /// When the old process is killed.
    kill_at: Option<Instant>,
    /// When it is not waited for any more to give its sockets.
    gather_by: Option<Instant>,
    /// When sockets that the new one has not bound are closed.
    release_at: Option<Instant>,
    /// What the old one listened at.
    listeners: Vec<Listener>,
    /// Who waits for this life's start.
    start_waits: Vec<Sender<Answer>>,
}

/// The program as it is written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    No,
    Yes,
    /// It cannot be built; the next save may mend that.
    Failed,
}

#[derive(Debug)]
struct Wanted {
    reason: String,
    /// As opposed to a save whose outcome asks for it.
    by_user: bool,
    waiting: Vec<Sender<Answer>>,
}

impl Restart {
    fn new(rules: Rules, count: u32, start_waits: Vec<Sender<Answer>>) -> Restart {
        Restart {
            rules,
            count,
            pending: false,
            linked: Linked::No,
            link_at: None,
            last_link: None,
            links_at_once: 0,
            wanted: None,
            for_user: false,
            kill_at: None,
            gather_by: None,
            release_at: None,
            listeners: Vec::new(),
            start_waits,
        }
    }

    /// Sockets were left to this life, or not.
    pub fn has_listeners(&mut self, any: bool, now: Instant) {
        self.release_at = any.then(|| now + RELEASE);
    }

    /// So long nothing has to happen before a link begins for which nobody asked. `is_wanted`: a restart follows it.
    fn delay(&self, is_wanted: bool) -> Duration {
        match self.links_at_once {
            0 if is_wanted => Duration::ZERO,
            count => IDLE * (1 << count.min(MOST_DOUBLED)),
        }
    }

    fn begins_a_link(&mut self, now: Instant, is_wanted: bool) {
        let last = self.last_link.replace(now);
        self.links_at_once = match last {
            Some(last) if now < last + self.delay(is_wanted) + AT_ONCE => self.links_at_once + 1,
            _ => 0,
        };
    }

    /// Whether the link that is under way, or was made, is for somebody who waits for it.
    pub fn is_for_user(&self) -> bool {
        self.for_user && self.wanted.as_ref().is_some_and(|it| it.by_user)
    }

    /// When there is something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let all = [self.link_at, self.kill_at, self.gather_by, self.release_at];
        all.into_iter().flatten().min()
    }

    /// What is said behind what waits for a restart.
    pub fn hint(rules: Rules) -> Option<&'static str> {
        (rules.mode == Mode::Ask).then_some("`cargo liveswap restart` applies it")
    }
}

impl<P> Machine<P> {
    /// What an earlier life left.
    pub(super) fn inherit(
        rules: Rules,
        heritage: Heritage,
    ) -> (super::Reports, Restart, Option<Batch>) {
        let Heritage {
            mut reports,
            restarts,
            waiting,
            queue,
            listeners: _,
        } = heritage;
        reports.set_hint(Restart::hint(rules));
        (reports, Restart::new(rules, restarts, waiting), queue)
    }

    /// What this life leaves.
    pub fn leave(mut self) -> Heritage {
        let wanted = self.restart.wanted.take();
        Heritage {
            reports: self.reports,
            restarts: self.restart.count + 1,
            waiting: wanted.map(|it| it.waiting).unwrap_or_default(),
            queue: self.queue,
            listeners: self.restart.listeners,
        }
    }

    /// Whether a restart would bring something.
    pub(super) fn waits_for_a_restart(&self) -> bool {
        self.refused.is_some() || self.restart.pending
    }

    /// This was told. `in_vain`: without a restart it does not take effect at all, or was told as the outcome of a save.
    pub(super) fn waits(&mut self, report: &Report, in_vain: bool) {
        if !report.restart_applies() {
            return;
        }
        // What is nothing but pending is held as what is refused.
        let is_pending = matches!(report, Report::Pending { .. }) && self.refused.is_none();
        self.restart.pending |= is_pending;
        let is_auto = self.restart.rules.mode == Mode::Auto && in_vain;
        if is_auto && self.restart.wanted.is_none() {
            self.restart.wanted = Some(Wanted {
                reason: report.summary(),
                by_user: false,
                waiting: Vec::new(),
            });
        }
    }

    /// Sources changed: what was linked is out of date, and the outcome of the save decides anew.
    pub(super) fn not_linked_any_more(&mut self) {
        self.restart.linked = Linked::No;
        self.restart.link_at = None;
        self.restart.wanted.take_if(|wanted| !wanted.by_user);
    }

    /// Somebody asks for it.
    pub(super) fn restart_wanted(&mut self, answers: Sender<Answer>) {
        if self.restart.rules.mode == Mode::Never && !self.is_without_program() {
            let outcome = "this session was started with `--restart never`".to_owned();
            // Who asked may have gone.
            let _ = answers.send(Answer::Restarted {
                success: false,
                outcome,
            });
            return;
        }
        // It may work by now.
        if self.restart.linked == Linked::Failed {
            self.restart.linked = Linked::No;
        }
        match &mut self.restart.wanted {
            Some(wanted) => wanted.waiting.push(answers),
            none => {
                *none = Some(Wanted {
                    reason: "`cargo liveswap restart`".to_owned(),
                    by_user: true,
                    waiting: vec![answers],
                });
            }
        }
    }

    /// Nothing else is to be done: goes on with a restart if one is wanted, or links for one. Returns whether there
    /// is something to wait for now.
    pub(super) fn restart_step(&mut self, now: Instant) -> bool {
        let is_wanted = self.restart.wanted.is_some();
        let is_of_use = self.restart.rules.mode != Mode::Never
            && self.waits_for_a_restart()
            && !self.is_without_program();
        match self.restart.linked {
            Linked::Yes if is_wanted => {
                self.phase = Phase::Placing;
                self.job(Job::PutInPlace);
                true
            }
            Linked::No if is_wanted || is_of_use && !self.last_failed_to_build => {
                let by_user = self.restart.wanted.as_ref().is_some_and(|it| it.by_user);
                let delay = self.restart.delay(is_wanted);
                if !by_user && now < *self.restart.link_at.get_or_insert(now + delay) {
                    return false;
                }
                self.restart.link_at = None;
                self.restart.for_user = by_user;
                if !by_user {
                    self.restart.begins_a_link(now, is_wanted);
                }
                let cancel = CancelToken::new();
                self.phase = Phase::Linking {
                    batch: None,
                    shown: is_wanted,
                    cancel: cancel.clone(),
                };
                self.job(Job::Link {
                    batch: None,
                    shown: is_wanted,
                    cancel,
                });
                true
            }
            _ => false,
        }
    }

    /// The worker says of a link.
    pub(super) fn linked(
        &mut self,
        done: Done<P>,
        batch: Option<Batch>,
        shown: bool,
        cancel: CancelToken,
    ) {
        self.restart.linked = match done {
            Done::Begun(begun) => {
                self.begun(&begun);
                self.phase = Phase::Linking {
                    batch,
                    shown,
                    cancel,
                };
                return;
            }
            Done::Irrelevant => {
                self.owes_an_outcome = false;
                return;
            }
            Done::Failed(BuildError::Cancelled) if cancel.is_cancelled() => {
                if let Some(batch) = batch {
                    self.stopped_in_a_row += 1;
                    Batch::merge_into(&mut self.queue, batch);
                }
                Linked::No
            }
            Done::Linked => {
                self.stopped_in_a_row = 0;
                if let Some(batch) = batch {
                    self.saved_for_a_start(batch);
                }
                Linked::Yes
            }
            Done::Failed(error) if batch.is_some() => {
                self.stopped_in_a_row = 0;
                let report = self.failed(error);
                self.settle(&[report], batch);
                Linked::Failed
            }
            // Whoever asked meanwhile gets to see why.
            Done::Failed(_) if !shown && self.restart.wanted.is_some() => Linked::No,
            Done::Failed(error) => {
                if shown {
                    self.restart_failed(error);
                } else {
                    tracing::debug!(%error, "not linked for a restart");
                }
                Linked::Failed
            }
            _ => {
                tracing::error!("not an answer to a link");
                Linked::Failed
            }
        };
    }

    /// What was saved is linked, and no program runs: it is started.
    fn saved_for_a_start(&mut self, batch: Batch) {
        self.owes_an_outcome = false;
        for answers in batch.waiting {
            // Who asked may have gone.
            let _ = answers.send(Answer::Swapped {
                success: true,
                outcome: "the program is started again".to_owned(),
            });
        }
        self.restart.wanted.get_or_insert_with(|| Wanted {
            reason: "saved after the crash".to_owned(),
            by_user: false,
            waiting: Vec::new(),
        });
    }

    /// What the command line says of restarts.
    pub(super) fn rules(&self) -> Rules {
        self.restart.rules
    }

    /// The worker has put the new program in the place of the old one, or not.
    pub(super) fn placed(&mut self, done: Done<P>, now: Instant) {
        match done {
            Done::InPlace => {}
            Done::Failed(error) => {
                self.restart.linked = Linked::Failed;
                return self.restart_failed(error);
            }
            _ => return tracing::error!("not an answer"),
        }
        let reason = self.restart.wanted.as_ref().map(|it| it.reason.clone());
        self.tell(&Report::Restarting {
            reason: reason.unwrap_or_default(),
        });
        if self.is_without_program() {
            self.over = Some(Over::Restart);
            return;
        }
        let gathers = self.restart.rules.keep_sockets
            && self.about.is_direct
            && self.hello.is_ok()
            && self.agent.is_some();
        if gathers {
            self.phase = Phase::Gathering;
            self.restart.gather_by = Some(now + GATHER);
            self.ask(ToAgent::Listeners, Asked::Listeners);
        } else {
            self.ask_to_end(now);
        }
    }

    /// The program has handed over its listening sockets.
    pub(super) fn gathered(&mut self, listeners: Vec<Listener>, now: Instant) {
        self.asked.pop_front();
        self.restart.listeners = listeners;
        if matches!(self.phase, Phase::Gathering) {
            self.ask_to_end(now);
        }
    }

    fn ask_to_end(&mut self, now: Instant) {
        self.restart.gather_by = None;
        self.phase = Phase::Ending;
        self.restart.kill_at = Some(now + self.restart.rules.grace);
        self.hands.signal(SIGTERM);
    }

    #[cfg(test)]
    pub(super) fn keep_sockets(&mut self) {
        self.restart.rules.keep_sockets = true;
    }

    /// Time has passed.
    pub(super) fn restart_tick(&mut self, now: Instant) {
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.restart.gather_by) {
            tracing::info!("the program does not hand over its sockets");
            self.ask_to_end(now);
        }
        if due(&mut self.restart.kill_at) {
            self.kill();
        }
        if due(&mut self.restart.release_at) {
            self.ask(ToAgent::Release, Asked::Release);
        }
    }

    /// The old process had its time.
    fn kill(&mut self) {
        tracing::info!("the program does not end by itself: killed");
        self.hands.signal(SIGKILL);
        // If a runner was started for it, its end does not end the program.
        if let Ok(hello) = &self.hello
            && hello.pid != self.about.pid
            && self.agent.is_some()
        {
            crate::session::child::send_signal(hello.pid, SIGKILL);
        }
    }

    fn restart_failed(&mut self, error: BuildError) {
        let report = self.failed(error);
        self.tell(&report);
        let outcome = report.summary();
        let wanted = self.restart.wanted.take();
        for answers in wanted.into_iter().flat_map(|wanted| wanted.waiting) {
            // Who asked may have gone.
            let _ = answers.send(Answer::Restarted {
                success: false,
                outcome: outcome.clone(),
            });
        }
    }

    /// The program runs.
    pub(super) fn started_again(&mut self, report: &Report) {
        for answers in std::mem::take(&mut self.restart.start_waits) {
            // Who asked may have gone.
            let _ = answers.send(Answer::Restarted {
                success: true,
                outcome: report.summary(),
            });
        }
    }
}
