//! The machine with everybody that it deals with.

use super::*;

/// Signals go into a channel; a panic was always at the same place.
pub struct TestHands {
    pub signal: Sender<i32>,
}

impl Hands for TestHands {
    fn signal(&self, number: i32) {
        // Of a bench that was taken apart.
        let _ = self.signal.send(number);
    }

    fn restore_terminal(&self) {
        self.signal(RESTORED);
    }

    fn crash_place(&self, kind: Kind, _: &About, _: &Hello) -> Option<Place> {
        (kind == Kind::Panic).then(|| Place {
            function: "app::run".into(),
            line: Some("src/main.rs:7".into()),
        })
    }
}

/// Stands for the terminal in the list of signals.
pub const RESTORED: i32 = 0;

pub struct Bench {
    pub machine: Machine<u32>,
    pub jobs: Receiver<Job<u32>>,
    pub agent: Receiver<ToAgent>,
    pub agent_sender: Sender<ToAgent>,
    pub signals: Receiver<i32>,
    pub events: tempfile::NamedTempFile,
    pub now: Instant,
}

impl Bench {
    /// The program runs and its run-time has come.
    pub fn started() -> Bench {
        Bench::started_with(Mode::Never)
    }

    pub fn started_with(mode: Mode) -> Bench {
        Bench::with(mode).greeted()
    }

    /// Its run-time comes.
    pub fn greeted(self) -> Bench {
        let mut bench = self;
        let requests = bench.agent_sender.clone();
        bench.happens(Event::AgentConnected(requests));
        bench.happens(Event::Agent(FromAgent::Hello(hello())));
        bench
    }

    pub fn new() -> Bench {
        Bench::with(Mode::Never)
    }

    pub fn with(mode: Mode) -> Bench {
        Bench::with_rules(mode, false)
    }

    pub fn with_rules(mode: Mode, stay: bool) -> Bench {
        let events = tempfile::NamedTempFile::new().unwrap();
        let reports = Reports::new(Some(events.path()), true, Some(false)).unwrap();
        let (job, jobs) = channel();
        let (agent_sender, agent) = channel();
        let (signal, signals) = channel();
        let about = About {
            pid: 7,
            exe: "app".into(),
            modules: vec!["app".into()],
            obstacle: None,
            is_direct: true,
            has_listeners: false,
        };
        let send = Box::new(TestHands { signal });
        let now = Instant::now();
        let rules = Rules {
            mode,
            stay,
            keep_sockets: false,
            grace: GRACE,
        };
        let machine = Machine::new(about, Heritage::first(reports), rules, job, send, now);
        Bench {
            machine,
            jobs,
            agent,
            agent_sender,
            signals,
            events,
            now,
        }
    }

    pub fn happens(&mut self, event: Event<u32>) -> Option<Over> {
        self.machine.handle(event, self.now)
    }

    pub fn worker(&mut self, done: Done<u32>) {
        self.happens(Event::Worker(done));
    }

    pub fn save(&mut self, files: &[&str]) {
        self.happens(Event::Changed(batch(files)));
    }

    pub fn passes(&mut self, time: Duration) {
        self.now += time;
        self.machine.tick(self.now);
    }

    /// The files of the job that the worker got, and its token.
    pub fn job(&self) -> (BTreeSet<PathBuf>, CancelToken) {
        match self.jobs.try_recv() {
            Ok(Job::Changed { batch, cancel, .. }) => (batch.paths, cancel),
            other => panic!("{other:?}"),
        }
    }

    pub fn reports(&self) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.events.path()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub fn names(&self) -> Vec<String> {
        let name = |it: serde_json::Value| it["event"].as_str().unwrap().to_owned();
        self.reports().into_iter().map(name).collect()
    }
}
