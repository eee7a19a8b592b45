//! The thread that compiles and compares: it owns the build side and the engine.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant, SystemTime};

use liveswap_protocol::message::Hello;

use super::batch::Batch;
use super::event::Event;
use super::parts::{Begun, Builder, DebugFile, Done, Job, NoAgent, Outcome, Planner};
use super::run_dir;
use super::stamps::Stamps;
use super::watcher::Watcher;
use crate::codes::Code;
use crate::files;
use crate::model::{BuildError, CancelToken, Change, Compiled, CrateObjects};

/// A time of modification that lies further before the first event is not that of the save.
const PLAUSIBLE: Duration = Duration::from_secs(1);

/// The engine is opened while the program starts; whoever needs it first waits.
pub enum Engine<E> {
    /// It is on its way.
    Opening(Receiver<Result<E, String>>),
    /// It is there, or cannot be had.
    Open(Result<E, NoAgent>),
}

impl<E> Engine<E> {
    fn get(&mut self) -> &mut Result<E, NoAgent> {
        if let Engine::Opening(coming) = self {
            let none = |code, message| NoAgent { code, message };
            let opened = match coming.recv() {
                Ok(opened) => opened.map_err(|error| none(Code::Executable, error)),
                Err(_) => Err(none(
                    Code::Internal,
                    BuildError::Internal("it cannot read the program".into()).to_string(),
                )),
            };
            *self = Engine::Open(opened);
        }
        match self {
            Engine::Open(opened) => opened,
            Engine::Opening(_) => unreachable!("it was just opened"),
        }
    }
}

/// Does work; a panic in it becomes its words. Its place is on standard error already.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without words").to_owned()
    })
}

/// What the thread has.
pub struct Worker<B: Builder, E: Planner> {
    build: B,
    engine: Engine<E>,
    events: Sender<Event<E::Plan>>,
    watcher: Option<Watcher>,
    sources: Vec<PathBuf>,
    /// Real names of sources, with all others.
    real_sources: HashMap<PathBuf, Vec<PathBuf>>,
    stamps: Stamps,
    /// Objects that were compiled and are not live: refused ones. They belong to whatever comes next.
    held: Vec<CrateObjects>,
    /// What a restart would start, as long as nothing has changed since it was linked.
    next: Option<B::Next>,
}

impl<B: Builder, E: Planner> Worker<B, E> {
    /// Before the first job. The watcher learns the sources.
    pub fn new(
        build: B,
        engine: Engine<E>,
        events: Sender<Event<E::Plan>>,
        watcher: Option<Watcher>,
    ) -> Self {
        let mut worker = Worker {
            build,
            engine,
            events,
            watcher,
            sources: Vec::new(),
            real_sources: HashMap::new(),
            stamps: Stamps::default(),
            held: Vec::new(),
            next: None,
        };
        worker.sources_may_differ();
        worker
    }

    /// Does jobs until nobody gives any more; gives back the program that was linked last. Whoever gave a job waits
    /// for what comes of it, so a panic is an outcome, too.
    pub fn run(&mut self, jobs: &Receiver<Job<E::Plan>>) -> Option<B::Next> {
        for job in jobs {
            match job {
                Job::Changed {
                    batch,
                    hello,
                    cancel,
                } => self.report(|it| it.changed(&batch, hello.as_ref(), &cancel)),
                Job::Deferred { hello, cancel } => self
                    .report(|it| it.timed(hello.as_ref(), |build| build.finish_deferred(&cancel))),
                Job::Link {
                    batch,
                    shown,
                    cancel,
                } => self.report(|it| it.link(batch.as_ref(), shown, &cancel)),
                Job::PutInPlace => self.report(Self::put_in_place),
                Job::Commit(plan) => {
                    self.held.clear();
                    self.settled(|engine| engine.commit(plan));
                }
                Job::Abandon(plan) => self.settled(|engine| engine.abandon(plan)),
                Job::OnlyFromMain {
                    functions,
                    alone,
                    hello,
                } => self.only_from_main(&functions, alone, &hello),
            }
        }
        self.next.take()
    }

    fn report(&mut self, work: impl FnOnce(&mut Self) -> Done<E::Plan>) {
        let done = caught(|| work(self)).unwrap_or_else(|panic| {
            self.build.broke_down();
            Done::Failed(BuildError::Internal(panic))
        });
        self.send(done);
    }

    /// The process has taken a plan in, or not, and the engine learns of it. If it does not, it knows another
    /// program than the one that runs.
    fn settled(&mut self, learn: impl FnOnce(&mut E)) {
        if let Ok(engine) = self.engine.get()
            && let Err(panic) = caught(|| learn(engine))
        {
            let message = BuildError::Internal(panic).to_string();
            // A receiver that is gone means that the session ends.
            let _ = self.events.send(Event::Problem(format!(
                "{message}; the program can only be changed again after a restart"
            )));
            self.engine = Engine::Open(Err(NoAgent {
                code: Code::Internal,
                message,
            }));
        }
    }

    /// Only a hint depends on it, so a panic says nothing but itself.
    fn only_from_main(&mut self, functions: &[Arc<str>], alone: bool, hello: &Hello) {
        if let Ok(engine) = self.engine.get()
            && let Ok(found) = caught(|| engine.only_from_main(functions, alone, hello))
        {
            // A receiver that is gone means that the session ends.
            let _ = self.events.send(Event::OnlyFromMain(found));
        }
    }

    fn send(&self, done: Done<E::Plan>) {
        // A receiver that is gone means that the session ends.
        let _ = self.events.send(Event::Worker(done));
    }

    fn changed(
        &mut self,
        batch: &Batch,
        hello: Result<&Hello, &NoAgent>,
        cancel: &CancelToken,
    ) -> Done<E::Plan> {
        let Some(news) = self.news(batch) else {
            return Done::Irrelevant;
        };
        self.next = None;
        let rebuild = batch.rebuild;
        let done = self.timed(hello, |build| {
            if rebuild {
                build.rebuild(cancel)
            } else {
                build.compile(&news, cancel)
            }
        });
        if let Done::Failed(BuildError::Cancelled) = &done {
            news.iter().for_each(|path| self.stamps.forget(path));
        }
        self.sources_may_differ();
        done
    }

    /// The files of a batch that are news, taken up and told of; `None` if nothing is to be done.
    fn news(&mut self, batch: &Batch) -> Option<Vec<PathBuf>> {
        // Late news of what was compiled since is none; nor is what cargo itself wrote.
        let told = batch.paths.iter().filter(|it| self.stamps.is_news(it));
        let found = batch.suspects.iter().filter(|it| self.stamps.is_other(it));
        let all: BTreeSet<&PathBuf> = told.chain(found).collect();
        let news = all.into_iter().filter(|path| self.matters(path));
        let news: Vec<PathBuf> = news.cloned().collect();
        if news.is_empty() && !batch.rebuild {
            return None;
        }
        self.send(Done::Begun(begun(news.clone(), batch.noticed)));
        for path in &news {
            self.take_up(path);
        }
        Some(news)
    }

    /// Links what a restart starts.
    fn link(&mut self, batch: Option<&Batch>, shown: bool, cancel: &CancelToken) -> Done<E::Plan> {
        let news = match batch.map(|batch| self.news(batch)) {
            Some(None) => return Done::Irrelevant,
            Some(Some(news)) => news,
            None => Vec::new(),
        };
        self.next = None;
        // It reads the files that are about to be replaced.
        let _ = self.engine.get();
        let start = Instant::now();
        let next = self.build.next(shown, cancel);
        tracing::debug!(elapsed = ?start.elapsed(), error = ?next.as_ref().err(), "linked for a restart");
        match next {
            Ok(next) => {
                self.next = Some(next);
                Done::Linked
            }
            Err(error) => {
                if let BuildError::Cancelled = &error {
                    news.iter().for_each(|path| self.stamps.forget(path));
                }
                Done::Failed(error)
            }
        }
    }

    fn put_in_place(&mut self) -> Done<E::Plan> {
        let next = self.next.as_ref();
        let placed = next.map(B::put_in_place).unwrap_or_else(|| {
            let error = "the program that was linked for a restart is gone";
            Err(BuildError::Internal(error.to_owned()))
        });
        match placed {
            Ok(()) => Done::InPlace,
            Err(error) => {
                self.next = None;
                Done::Failed(error)
            }
        }
    }

    /// The file is taken up as it is now, under all of its names.
    fn take_up(&mut self, path: &Path) {
        self.stamps.take_up(path);
        let real = real(path);
        for name in self.real_sources.get(&real).into_iter().flatten() {
            self.stamps.take_up(name);
        }
        self.stamps.take_up(&real);
    }

    /// Whether the build side has a use for a file.
    fn matters(&self, path: &Path) -> bool {
        let could_be = self.real_sources.contains_key(path)
            || path.exists()
            // A second file for a module is an error until it is gone.
            || path.extension().is_some_and(|it| it == "rs")
            || path.canonicalize().is_ok_and(|path| self.real_sources.contains_key(&path));
        could_be && self.build.classify(path) != Change::Irrelevant
    }

    fn timed(
        &mut self,
        hello: Result<&Hello, &NoAgent>,
        work: impl FnOnce(&mut B) -> Result<Compiled, BuildError>,
    ) -> Done<E::Plan> {
        let start = Instant::now();
        let compiled = match work(&mut self.build) {
            Ok(compiled) => compiled,
            Err(error) => return Done::Failed(error),
        };
        let compile = start.elapsed();
        tracing::debug!(?compile, rustc = ?compiled.rustc_runs, "compiled");
        let deferred = compiled.deferred;
        let nothing = compiled.crates.is_empty()
            && compiled.rustc_runs.is_empty()
            && compiled.new_archives.is_empty()
            && compiled.pending.is_empty();
        if nothing {
            return Done::Same;
        }
        let start = Instant::now();
        let outcome = self.plan(compiled, hello);
        Done::Planned {
            outcome,
            compile,
            diff: start.elapsed(),
            deferred,
        }
    }

    fn plan(
        &mut self,
        mut compiled: Compiled,
        hello: Result<&Hello, &NoAgent>,
    ) -> Outcome<E::Plan> {
        let refused = |code: Code, message: &str| Outcome::Refused {
            code: code.as_str().to_owned(),
            message: message.to_owned(),
        };
        // What was refused is not live: if it still stands, it must not be left behind by the next change.
        hold(&mut self.held, std::mem::take(&mut compiled.crates));
        compiled.crates.clone_from(&self.held);
        let hello = match hello {
            Ok(hello) => hello,
            Err(missing) => return refused(missing.code, &missing.message),
        };
        let outcome = match self.engine.get() {
            Ok(engine) => match caught(|| engine.plan(compiled, hello)) {
                Ok(outcome) => outcome,
                Err(panic) => {
                    let error = BuildError::Internal(panic);
                    return refused(Code::Internal, &error.to_string());
                }
            },
            Err(missing) => return refused(missing.code, &missing.message),
        };
        if let Outcome::Unchanged { .. } = &outcome {
            self.held.clear();
        }
        if let Outcome::Patch(planned) = &outcome
            && let Some(file) = &planned.debug_file
            && let Err(error) = write(file)
        {
            // The code is right without it; only debuggers and backtraces will know less.
            tracing::warn!(%error, file = %file.path.display(), "no file for debuggers");
        }
        outcome
    }

    fn sources_may_differ(&mut self) {
        let sources = self.build.sources();
        for path in sources.iter().filter(|path| path.ends_with("Cargo.lock")) {
            self.stamps.take_up(path);
        }
        if sources == self.sources && !sources.is_empty() {
            return;
        }
        self.real_sources.clear();
        for path in &sources {
            let names = self.real_sources.entry(real(path)).or_default();
            names.push(path.clone());
        }
        let all = sources.iter().chain(self.real_sources.keys());
        // They were just compiled; but what was taken up stays as it was then.
        let new: Vec<&PathBuf> = all
            .filter(|path| !self.stamps.knows(path) && !self.sources.contains(path))
            .collect();
        new.iter().for_each(|path| self.stamps.take_up(path));
        // Unless they were written meanwhile. Asked last, so that a file that is written now is one or the other.
        let uncertain = self.build.uncertain_sources();
        let uncertain: HashSet<PathBuf> = uncertain.iter().map(|path| real(path)).collect();
        for path in new {
            if uncertain.contains(&real(path)) {
                self.stamps.forget(path);
            }
        }
        if let Some(watcher) = &self.watcher {
            watcher.watch(sources.clone(), self.build.watch_roots());
        }
        self.sources = sources;
    }
}

fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Puts newer objects in the place of older ones.
fn hold(held: &mut Vec<CrateObjects>, newer: Vec<CrateObjects>) {
    for mut krate in newer {
        if let Some(at) = held.iter().position(|it| it.unit == krate.unit) {
            let old = held.remove(at);
            let is_newer = |cgu: &str| krate.objects.iter().any(|it| it.cgu == cgu);
            let mut kept: Vec<_> = old
                .objects
                .into_iter()
                .filter(|it| !is_newer(&it.cgu))
                .collect();
            kept.retain(|it| krate.all.contains(&it.cgu));
            krate.objects.extend(kept);
        }
        // At the end: the order of units is that of the compilation.
        held.push(krate);
    }
}

/// When the newest of the files was saved: as the file system says, if that can be.
fn begun(paths: Vec<PathBuf>, noticed: SystemTime) -> Begun {
    let at = SystemTime::now();
    let modified = |path: &PathBuf| path.metadata().and_then(|data| data.modified()).ok();
    let newest = paths.iter().filter_map(modified).max();
    // A file that was restored, or touched with a time of choice, does not say when it was saved.
    let earliest = noticed.checked_sub(PLAUSIBLE).unwrap_or(noticed);
    let saved = newest
        .filter(|time| (earliest..=at).contains(time))
        .unwrap_or(noticed);
    Begun { paths, saved, at }
}

fn write(file: &DebugFile) -> std::io::Result<()> {
    let (path, bytes) = &file.for_debugger;
    if let Some(folder) = file.path.parent() {
        // `cargo clean` removes it.
        run_dir::private_folder(folder)?;
    }
    // A patch that was refused may have left files, and links that would lead what is written astray.
    for old in file.links.iter().chain([&file.path, path]) {
        files::remove(old)?;
    }
    std::fs::write(&file.path, &file.bytes)?;
    std::fs::write(path, bytes)?;
    for link in &file.links {
        // Relative: the folder may be seen under another name.
        symlink(file.path.file_name().unwrap_or_default(), link)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
