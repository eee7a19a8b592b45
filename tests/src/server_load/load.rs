//! The load: clients that send requests all the time and look at each answer.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Http, Lines};
use super::part::Part;
use super::timeline::{Begun, Timelines};
use crate::random::Random;

/// Answers that are told by a task in the background, or that lie in a socket, are this old at most.
const OLD: Duration = Duration::from_secs(3);
/// The tasks that follow each other live a fifth of a second; on a busy machine not much longer.
const TASK: Duration = Duration::from_secs(10);
/// How many failures are kept: the first ones tell all.
const KEPT: usize = 20;

/// Where the server listens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) http: u16,
    pub(super) lines: u16,
    pub(super) direct: u16,
}

/// What the clients share with each other and with who edits the server.
pub(super) struct Load {
    ports: Ports,
    timelines: Mutex<Timelines>,
    /// How often each version of a part has answered.
    seen: Mutex<BTreeMap<(Part, u64), u64>>,
    failures: Mutex<Vec<String>>,
    /// How many requests were sent, and lines of streams taken.
    requests: AtomicU64,
    lines: AtomicU64,
    connections: AtomicU64,
    shared: AtomicU64,
}

/// How much was asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Volume {
    /// Requests that were sent and answered.
    pub requests: u64,
    /// Lines that were taken from streams.
    pub lines: u64,
    /// Connections that were made.
    pub connections: u64,
}

/// The clients at work.
pub(super) struct Clients {
    threads: Vec<JoinHandle<()>>,
    stop: Vec<Sender<()>>,
}

impl Load {
    pub(super) fn new(ports: Ports, timelines: Timelines) -> Self {
        Self {
            ports,
            timelines: Mutex::new(timelines),
            seen: Mutex::default(),
            failures: Mutex::default(),
            requests: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            shared: AtomicU64::new(0),
        }
    }

    pub(super) fn timelines(&self) -> MutexGuard<'_, Timelines> {
        lock(&self.timelines)
    }

    /// How often a version of a part has answered.
    pub(super) fn seen(&self, part: Part, id: u64) -> u64 {
        lock(&self.seen).get(&(part, id)).copied().unwrap_or(0)
    }

    /// How often a part has answered.
    pub(super) fn answers(&self, part: Part) -> u64 {
        lock(&self.seen)
            .iter()
            .filter(|((of, _), _)| *of == part)
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    pub(super) fn volume(&self) -> Volume {
        Volume {
            requests: self.requests.load(Ordering::Relaxed),
            lines: self.lines.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
        }
    }

    /// How many requests the handler `shared` must have had.
    pub(super) fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }

    fn fail(&self, who: &str, what: impl Display) {
        let mut failures = lock(&self.failures);
        if failures.len() < KEPT {
            failures.push(format!("{who}: {what}"));
        }
    }

    /// Looks at the answers of parts: `name:id:value`, with blanks between.
    fn check(
        &self,
        answers: &str,
        expected: &[(Part, Begun)],
        times: (Instant, Instant),
    ) -> Result<(), String> {
        let words: Vec<&str> = answers.split_whitespace().collect();
        if words.len() != expected.len() {
            return Err(format!("`{answers}` for {expected:?}"));
        }
        for (word, (part, begun)) in words.into_iter().zip(expected) {
            let (name, id, value) =
                answer(word).ok_or_else(|| format!("`{word}` in `{answers}`"))?;
            if name != *part {
                return Err(format!("`{word}` for {part:?}"));
            }
            self.timelines().check(*part, (id, value), *begun, times)?;
            *lock(&self.seen).entry((*part, id)).or_default() += 1;
        }
        Ok(())
    }

    fn connected<T>(&self, connection: Result<T, String>) -> Result<T, String> {
        self.connections.fetch_add(1, Ordering::Relaxed);
        connection
    }

    /// One request of the router's.
    fn page(
        &self,
        http: &mut Http,
        path: &str,
        parts: &[(Part, Begun)],
        wait: usize,
    ) -> Result<(), String> {
        let sent = Instant::now();
        let page = http.get(&format!("/{path}/{wait}"))?;
        let received = Instant::now();
        self.requests.fetch_add(1, Ordering::Relaxed);
        if path == "shared" {
            self.shared.fetch_add(1, Ordering::Relaxed);
        }
        let sent = if path == "ticks" {
            sent.checked_sub(OLD).unwrap_or(sent)
        } else {
            sent
        };
        self.check(&page.text, parts, (sent, received))?;
        for (header, part) in [("x-layer", Part::Layer), ("x-service", Part::Service)] {
            let value = page
                .header(header)
                .ok_or_else(|| format!("{path} without {header}"))?;
            self.check(value, &[(part, Begun::Now)], (sent, received))?;
        }
        Ok(())
    }

    /// The pages in turns, on a connection that is kept or on a new one each.
    fn pages(
        &self,
        mut random: Random,
        kept: bool,
        slow: usize,
        stop: &Receiver<()>,
    ) -> Result<(), String> {
        let mut http = None;
        while is_on(stop) {
            let (path, parts) = *random.pick(&PAGES);
            let mut current = match http.take() {
                Some(http) => http,
                None => self.connected(Http::connect(self.ports.http, kept))?,
            };
            let parts: Vec<(Part, Begun)> = parts.iter().map(|&part| (part, begun(part))).collect();
            self.page(&mut current, path, &parts, slow + random.below(12))?;
            http = kept.then_some(current);
        }
        Ok(())
    }

    /// Connections with a task of their own: some requests each. Those that are `idle` are left alone in between.
    fn talks(&self, mut random: Random, idle: Duration, stop: &Receiver<()>) -> Result<(), String> {
        while is_on(stop) {
            let before = Instant::now();
            let mut lines = self.connected(Lines::connect(self.ports.lines))?;
            let talk = 1 + random.below(60);
            let mut after = None;
            for number in 1..=talk {
                if number > 1 && stops_within(stop, idle) {
                    break;
                }
                let sent = Instant::now();
                let answers = lines.ask(&random.below(12).to_string(), number)?;
                let received = Instant::now();
                self.requests.fetch_add(1, Ordering::Relaxed);
                // The task was begun by the time of its first answer.
                let task = Begun::Between(before, *after.get_or_insert(received));
                let parts = [
                    (Part::Connection, task),
                    (Part::Reply, task),
                    (Part::Word, Begun::Now),
                    (Part::Boxed, Begun::Now),
                ];
                self.check(&answers, &parts, (sent, received))?;
            }
        }
        Ok(())
    }

    /// Connections whose task the loop of accept makes itself.
    fn direct(&self, mut random: Random, stop: &Receiver<()>) -> Result<(), String> {
        while is_on(stop) {
            let before = Instant::now();
            let mut lines = self.connected(Lines::connect(self.ports.direct))?;
            let mut after = None;
            for number in 1..=1 + random.below(60) {
                let sent = Instant::now();
                let answers = lines.ask(&random.below(15).to_string(), number)?;
                self.requests.fetch_add(1, Ordering::Relaxed);
                let received = Instant::now();
                let task = Begun::ByFirst(before, *after.get_or_insert(received));
                self.check(&answers, &[(Part::Direct, task)], (sent, received))?;
            }
        }
        Ok(())
    }

    /// Streams of so many lines.
    fn streams(&self, most: usize, stop: &Receiver<()>) -> Result<(), String> {
        while is_on(stop) {
            let before = Instant::now();
            let mut lines = self.connected(Lines::connect(self.ports.lines))?;
            lines.say("stream")?;
            let mut after = None;
            for number in 1..=most {
                if !is_on(stop) {
                    break;
                }
                let answers = lines.hear(number)?;
                let received = Instant::now();
                self.lines.fetch_add(1, Ordering::Relaxed);
                let task = Begun::Between(before, *after.get_or_insert(received));
                let sent = received.checked_sub(OLD).unwrap_or(received);
                let parts = [(Part::Stream, task), (Part::Chunk, Begun::Now)];
                self.check(&answers, &parts, (sent, received))?;
            }
        }
        Ok(())
    }
}

/// The pages of the router, and what answers on each.
const PAGES: [(&str, &[Part]); 7] = [
    ("plain", &[Part::Plain]),
    ("shared", &[Part::Shared]),
    ("blocking", &[Part::Blocking]),
    ("inner", &[Part::Inner; 5]),
    ("entry", &[Part::Entry]),
    ("closure", &[Part::Closure]),
    ("ticks", &[Part::Ticker, Part::Forever, Part::Beat]),
];

fn begun(part: Part) -> Begun {
    match part {
        Part::Closure | Part::Forever => Begun::AtFirst,
        Part::Ticker => Instant::now()
            .checked_sub(TASK)
            .map_or(Begun::AtFirst, Begun::Since),
        _ => Begun::Now,
    }
}

fn answer(word: &str) -> Option<(Part, u64, u64)> {
    let mut fields = word.split(':');
    let part = Part::of(fields.next()?)?;
    let answer = (
        part,
        fields.next()?.parse().ok()?,
        fields.next()?.parse().ok()?,
    );
    fields.next().is_none().then_some(answer)
}

fn is_on(stop: &Receiver<()>) -> bool {
    !stops_within(stop, Duration::ZERO)
}

fn stops_within(stop: &Receiver<()>, time: Duration) -> bool {
    !matches!(stop.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}

/// A client's failure is told by what it returns, not by its thread.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clients {
    /// Starts them all.
    pub(super) fn start(load: &Arc<Load>, seed: u64) -> Self {
        type Work = fn(&Load, Random, &Receiver<()>) -> Result<(), String>;
        let works: [(&str, Work); 11] = [
            ("kept 1", |load, random, stop| {
                load.pages(random, true, 2, stop)
            }),
            ("kept 2", |load, random, stop| {
                load.pages(random, true, 5, stop)
            }),
            ("new", |load, random, stop| {
                load.pages(random, false, 3, stop)
            }),
            ("slow 1", |load, random, stop| {
                load.pages(random, true, 400, stop)
            }),
            ("slow 2", |load, random, stop| {
                load.pages(random, false, 900, stop)
            }),
            ("talk", |load, random, stop| {
                load.talks(random, Duration::ZERO, stop)
            }),
            ("pensive", |load, random, stop| {
                load.talks(random, Duration::from_millis(200), stop)
            }),
            ("idle", |load, random, stop| {
                load.talks(random, Duration::from_secs(4), stop)
            }),
            ("direct", |load, random, stop| load.direct(random, stop)),
            ("stream", |load, _, stop| load.streams(usize::MAX, stop)),
            ("streams", |load, _, stop| load.streams(100, stop)),
        ];
        let mut clients = Self {
            threads: Vec::new(),
            stop: Vec::new(),
        };
        for (index, (name, work)) in works.into_iter().enumerate() {
            let (sender, stop) = channel();
            clients.stop.push(sender);
            let load = load.clone();
            let random = Random::new(seed.wrapping_mul(100).wrapping_add(index as u64));
            clients.threads.push(thread::spawn(move || {
                if let Err(why) = work(&load, random, &stop) {
                    load.fail(name, why);
                }
            }));
        }
        clients
    }

    /// Lets each take the answer that it waits for, and ends them.
    pub(super) fn end(self) {
        drop(self.stop);
        for thread in self.threads {
            thread.join().expect("a client returns its failures");
        }
    }
}
