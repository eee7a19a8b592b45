//! What a session does when something happens: its state, and the only code that changes it.

mod calls;
mod compilation;
mod crash;
mod program;
mod restart;
mod saves;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use liveswap_protocol::message::{Frame, Hello, ToAgent};

use super::batch::Batch;
use super::calls::{Calls, Owners};
use super::child::End;
use super::control::{Answer, Request};
use super::event::Event;
use super::old_bodies;
use super::outcome::Clock;
use super::parts::{Begun, FromMain, Job, NoAgent, OldBody, Planned};
use super::report::{Report, Reports};
use super::restart::{Hands, Heritage, Over, Rules};
use crate::codes::Code;
use crate::model::CancelToken;
use restart::Restart;

/// A program whose run-time has not come by then has none.
const HELLO: Duration = Duration::from_secs(10);
/// A program whose run-time is gone ends, or executes itself and connects again, before that.
const GONE: Duration = Duration::from_secs(1);
/// A program that has not answered by then is said to be silent.
const ANSWER: Duration = Duration::from_secs(10);
/// So long nothing happens before dependents that were left out are compiled.
const IDLE: Duration = Duration::from_millis(300);
/// After so many compilations in a row that were stopped for newer files, one is let finish.
const STOPS_AT_MOST: u32 = 5;

/// What is under way.
#[derive(Debug)]
enum Phase<P> {
    Idle,
    /// The worker looks at changed files.
    Compiling {
        batch: Batch,
        begun: Option<Begun>,
        cancel: CancelToken,
    },
    /// The worker compiles what was left out.
    Deferred {
        cancel: CancelToken,
    },
    /// The worker links what a restart starts.
    Linking {
        /// The saves that it is for, if no program runs; else what waits already.
        batch: Option<Batch>,
        /// The compiler's messages are shown.
        shown: bool,
        cancel: CancelToken,
    },
    /// The worker puts it in the place of what runs.
    Placing,
    /// The program was asked for the sockets that it listens at.
    Gathering,
    /// The program was asked to end, and is started anew then.
    Ending,
    /// The program has a patch and has not answered.
    Applying {
        planned: Box<Planned<P>>,
        clock: Clock,
        /// Who waits; `None` for what was left out earlier.
        batch: Option<Batch>,
    },
}

/// A request that the program has not answered. It answers in order.
#[derive(Debug)]
enum Asked {
    Apply,
    Announce,
    Look(Vec<OldBody>, Option<Vec<Frame>>),
    Calls(Owners),
    Main(Vec<FromMain>),
    Listeners,
    Release,
}

/// A look at the stacks that is to be taken.
#[derive(Debug)]
struct Look {
    at: Instant,
    /// Whose frames are looked for.
    bodies: Vec<OldBody>,
    /// What a first look has shown.
    earlier: Option<Vec<Frame>>,
}

/// What is pending without being the outcome of a save, to be told when none is owed.
#[derive(Debug)]
struct HeldBack {
    message: String,
    /// A restart applies it.
    restart: bool,
    /// Nothing of the save takes effect without one.
    in_vain: bool,
}

/// What is known of the program from the start.
#[derive(Clone, Debug)]
pub struct About {
    /// Its process id.
    pub pid: u32,
    /// The executable.
    pub exe: PathBuf,
    /// The crates whose code can be changed.
    pub modules: Vec<String>,
    /// Why its code cannot be changed, if that is known from the start.
    pub obstacle: Option<String>,
    /// It is the process that was started, and no runner.
    pub is_direct: bool,
    /// It has listening sockets of the one before.
    pub has_listeners: bool,
}

/// A session in the middle of its life.
pub struct Machine<P> {
    about: About,
    reports: Reports,
    jobs: Sender<Job<P>>,
    hands: Box<dyn Hands>,
    hello: Result<Hello, Option<NoAgent>>,
    agent: Option<Sender<ToAgent>>,
    asked: VecDeque<Asked>,
    phase: Phase<P>,
    queue: Option<Batch>,
    stopped_in_a_row: u32,
    started: bool,
    /// The code that was compiled last was refused with this.
    refused: Option<Report>,
    deferred: bool,
    /// The last outcome was a refusal or an error.
    last_failed: bool,
    /// The last outcome was an error of the compiler.
    last_failed_to_build: bool,
    generation: u64,
    functions: u64,
    last: (Option<String>, Instant),
    hello_by: Option<Instant>,
    /// The run-time is gone: since when nobody need be waited for any more, and what is said then.
    gone: Option<(Instant, NoAgent)>,
    /// What the run-time said first.
    first: Option<Hello>,
    /// Other processes of the program were told of.
    knows_of_copies: bool,
    answer_by: Option<Instant>,
    deferred_at: Option<Instant>,
    looks: Vec<Look>,
    /// Old bodies that somebody was in when it was looked last.
    lingering: Vec<OldBody>,
    /// Which functions were called.
    calls: Calls,
    /// When that is looked at.
    calls_at: Option<Instant>,
    /// Up to this generation it is known which functions nobody can call any more.
    settled_calls: u64,
    /// Who waits for the answer to `status`, and until when at most.
    status_waits: Vec<Sender<Answer>>,
    status_by: Option<Instant>,
    /// A change was told of whose outcome was not. What is told in between would be taken for it.
    owes_an_outcome: bool,
    /// What is no outcome: of functions that go on in their old bodies, and of the run-time; to be told after that
    /// one.
    held_back: Vec<HeldBack>,
    restart: Restart,
    /// A signal came that means the session, while no program was there to get it.
    end_wanted: bool,
    /// How the program ended, if the session goes on without it.
    crashed: Option<End>,
    over: Option<Over>,
}

impl<P> Machine<P> {
    /// The program was just started.
    pub fn new(
        about: About,
        heritage: Heritage,
        rules: Rules,
        jobs: Sender<Job<P>>,
        hands: Box<dyn Hands>,
        now: Instant,
    ) -> Machine<P> {
        let (reports, mut restart, queue) = Self::inherit(rules, heritage);
        restart.has_listeners(about.has_listeners, now);
        // With an obstacle nobody will come.
        let patience = if about.obstacle.is_some() {
            Duration::ZERO
        } else {
            HELLO
        };
        Machine {
            about,
            reports,
            jobs,
            hands,
            hello: Err(None),
            agent: None,
            asked: VecDeque::new(),
            phase: Phase::Idle,
            queue,
            stopped_in_a_row: 0,
            started: false,
            refused: None,
            deferred: false,
            last_failed: false,
            last_failed_to_build: false,
            generation: 0,
            functions: 0,
            last: (None, now),
            hello_by: Some(now + patience),
            gone: None,
            first: None,
            knows_of_copies: false,
            answer_by: None,
            deferred_at: None,
            looks: Vec::new(),
            lingering: Vec::new(),
            calls: Calls::default(),
            calls_at: None,
            settled_calls: 0,
            status_waits: Vec::new(),
            status_by: None,
            owes_an_outcome: false,
            held_back: Vec::new(),
            restart,
            end_wanted: false,
            crashed: None,
            over: None,
        }
    }

    /// Something happened. Returns how this life of the program ended when it has.
    pub fn handle(&mut self, event: Event<P>, now: Instant) -> Option<Over> {
        match event {
            Event::Changed(batch) => self.changed(batch),
            Event::Problem(problem) => self.reports.note(&problem),
            Event::Worker(done) => self.worker(done, now),
            Event::OnlyFromMain(functions) => self.only_from_main(functions),
            Event::AgentConnected(requests) => self.agent_connected(requests, now),
            Event::Copy(pid) => self.copy(pid),
            Event::Agent(message) => self.agent_says(message, now),
            Event::Listeners(listeners) => self.gathered(listeners, now),
            Event::AgentGone(reason) => self.agent_gone(&reason, now),
            Event::Control(request, answers) => self.asked_by_user(request, answers, now),
            Event::Signal {
                number,
                to_us_alone,
            } => {
                tracing::debug!(number, to_us_alone, "signal");
                self.end_wanted |= matches!(self.phase, Phase::Gathering | Phase::Ending);
                if let Some(end) = self.crashed {
                    return Some(self.end(end));
                }
                if to_us_alone {
                    self.hands.signal(number);
                }
            }
            Event::Ended(status) => {
                self.over = self.ended(status.into());
            }
        }
        if self.over.is_some() {
            return self.over.take();
        }
        self.tell_of_old_bodies();
        self.look_at_calls(now);
        self.look(now);
        self.begin(now);
        None
    }

    /// When [`Machine::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let looks = self.looks.iter().map(|look| look.at);
        let is_looking = self.asked.iter().any(|it| matches!(it, Asked::Look(..)));
        let look = looks.min().filter(|_| !self.owes_an_outcome && !is_looking);
        let (hello, gone) = (self.hello_by, self.gone.as_ref().map(|(at, _)| *at));
        let calls = self.calls_at.filter(|_| !self.owes_an_outcome);
        let restart = self.restart.deadline();
        let others = [
            self.answer_by,
            self.deferred_at,
            self.status_by,
            calls,
            restart,
        ];
        let all = [hello, gone, look].into_iter().chain(others);
        all.flatten().min()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.hello_by) {
            let unknown = "its run-time does not answer; is it started by something else?";
            let why = self
                .about
                .obstacle
                .clone()
                .unwrap_or_else(|| unknown.to_owned());
            self.no_agent(Code::Executable, &why);
        }
        if let Some((_, gone)) = self.gone.take_if(|(at, _)| *at <= now) {
            self.stays_gone(gone);
        }
        if due(&mut self.answer_by) {
            self.tell(&Report::Pending {
                message: "the program does not answer; the change is live as soon as it does"
                    .into(),
                restart: false,
            });
        }
        if due(&mut self.deferred_at)
            && matches!(self.phase, Phase::Idle)
            && let Ok(hello) = self.hello.clone()
        {
            let cancel = CancelToken::new();
            let hello = Ok(hello);
            self.phase = Phase::Deferred {
                cancel: cancel.clone(),
            };
            self.job(Job::Deferred { hello, cancel });
        }
        self.restart_tick(now);
        if due(&mut self.status_by) {
            self.answer_status(now);
        }
        self.tell_of_old_bodies();
        self.look_at_calls(now);
        self.look(now);
        self.begin(now);
    }

    /// Takes a look that is due. One at a time: the program takes nothing else in meanwhile. First looks of
    /// several swaps are one.
    fn look(&mut self, now: Instant) {
        let is_due = |look: &mut Look| look.at <= now;
        let is_looking = self.asked.iter().any(|it| matches!(it, Asked::Look(..)));
        if self.owes_an_outcome || is_looking {
            return;
        }
        let first = |look: &mut Look| is_due(look) && look.earlier.is_none();
        let mut bodies = Vec::new();
        let mut earlier = None;
        for look in self.looks.extract_if(.., first) {
            bodies.extend(look.bodies);
        }
        if bodies.is_empty()
            && let Some(look) = self.looks.extract_if(.., |look| is_due(look)).next()
        {
            (bodies, earlier) = (look.bodies, look.earlier);
        }
        if !bodies.is_empty() {
            let ranges = old_bodies::ranges(&bodies);
            self.ask(ToAgent::Frames(ranges), Asked::Look(bodies, earlier));
        }
    }

    /// What a look has shown, as soon as nobody can take it for the outcome of a save.
    fn tell_of_old_bodies(&mut self) {
        if !self.owes_an_outcome {
            for told in std::mem::take(&mut self.held_back) {
                let report = Report::Pending {
                    message: told.message,
                    restart: told.restart,
                };
                self.tell(&report);
                self.waits(&report, told.in_vain);
            }
        }
    }

    fn tell(&mut self, report: &Report) {
        self.reports.tell(report);
    }

    fn job(&self, job: Job<P>) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the worker is gone");
        }
    }

    fn ask(&mut self, request: ToAgent, asked: Asked) {
        if let Some(agent) = &self.agent
            && agent.send(request).is_ok()
        {
            self.asked.push_back(asked);
        }
    }

    fn say_started(&mut self, changeable: bool) {
        if !std::mem::replace(&mut self.started, true) {
            let modules = if changeable {
                self.about.modules.clone()
            } else {
                Vec::new()
            };
            let report = Report::Started {
                pid: self.about.pid,
                exe: display(&self.about.exe),
                modules,
                restart: self.restart.count,
            };
            self.tell(&report);
            self.started_again(&report);
        }
    }

    fn asked_by_user(&mut self, request: Request, answers: Sender<Answer>, now: Instant) {
        match request {
            Request::Status => self.status_wanted(answers, now),
            Request::Restart => self.restart_wanted(answers),
            Request::Swap => {
                let mut batch = Batch::new(Default::default(), SystemTime::now());
                batch.urgent = false;
                batch.rebuild = true;
                batch.waiting.push(answers);
                Batch::merge_into(&mut self.queue, batch);
            }
        }
    }

    /// The program has ended. Nothing, if the session goes on without it.
    fn ended(&mut self, end: End) -> Option<Over> {
        if let Phase::Compiling { cancel, .. }
        | Phase::Deferred { cancel }
        | Phase::Linking { cancel, .. } = &self.phase
        {
            cancel.cancel();
        }
        self.say_started(true);
        if matches!(self.phase, Phase::Gathering | Phase::Ending) && !self.end_wanted {
            return Some(Over::Restart);
        }
        let stays = self.has_crashed(end);
        (!stays).then(|| self.end(end))
    }

    /// The session ends as the program did.
    fn end(&mut self, end: End) -> Over {
        self.tell(&Report::Exited { code: end.code() });
        Over::Ended(end.code())
    }
}

fn no_answer(why: &str) -> Report {
    Report::Refused {
        code: Code::NoAnswer.as_str().to_owned(),
        message: format!("the program does not answer: {why}"),
    }
}

fn display(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
