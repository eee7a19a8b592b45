//! The session outlives a program that crashes: it says where, and the next save starts it again.

use liveswap_protocol::crash::Kind;
use signal_hook::consts::SIGABRT;

use super::{Machine, Phase};
use crate::codes::Code;
use crate::model::CancelToken;
use crate::session::child::End;
use crate::session::parts::{Job, NoAgent};
use crate::session::report::Report;

/// The exit code of a program whose `main` panicked.
const PANICKED: i32 = 101;

impl<P> Machine<P> {
    /// Tells of a crash, if it is one. Returns whether the session goes on without the program.
    pub(super) fn has_crashed(&mut self, end: End) -> bool {
        let stays = self.rules().stay && !self.end_wanted;
        let signal = end.crashed();
        let panicked = end == End::Code(PANICKED);
        if signal.is_none() && !(panicked && stays) {
            return false;
        }
        if stays {
            self.hands.restore_terminal();
        }
        let kind = match signal {
            None => Some(Kind::Panic),
            Some(SIGABRT) => Some(Kind::Abort),
            Some(_) => None,
        };
        let hello = self.first.clone();
        let place = kind
            .zip(hello)
            .and_then(|(kind, hello)| self.hands.crash_place(kind, &self.about, &hello));
        self.tell(&Report::Crashed {
            signal,
            code: signal.is_none().then_some(PANICKED),
            line: place.as_ref().and_then(|place| place.line.clone()),
            function: place.map(|place| place.function),
            generation: self.generation,
            waits: stays,
        });
        if stays {
            self.crashed = Some(end);
            self.has_no_program();
        }
        stays
    }

    /// Whatever was to be asked of it has no answer any more.
    pub(super) fn has_no_program(&mut self) {
        self.hello = Err(Some(NoAgent {
            code: Code::NoAnswer,
            message: "the program has ended".to_owned(),
        }));
        (self.hello_by, self.gone, self.answer_by) = (None, None, None);
        (self.deferred_at, self.calls_at) = (None, None);
        self.looks.clear();
        self.held_back.clear();
    }

    /// Whether the session goes on without a program.
    pub(super) fn is_without_program(&self) -> bool {
        self.crashed.is_some()
    }

    /// Nothing is under way, and no program runs: what was saved is built and started.
    pub(super) fn start_with_a_save(&mut self) {
        let Some(batch) = self.queue.take() else {
            return;
        };
        let cancel = CancelToken::new();
        let files = batch.files();
        self.phase = Phase::Linking {
            batch: Some(batch),
            shown: true,
            cancel: cancel.clone(),
        };
        self.job(Job::Link {
            batch: Some(files),
            shown: true,
            cancel,
        });
    }
}
