//! Watches the sources' folders and sends batches of changed files.
//!
//! Folders, not files: editors replace files. What the kernel reports goes to one thread, which keeps
//! the list of folders and waits until the editor is done ([`super::debounce`]).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant, SystemTime};

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{EventKind, INotifyWatcher, RecursiveMode, Watcher as _};

use super::batch::Batch;
use super::debounce::{Debounce, Look, Touch};
use super::event::Event;
use super::poll::{self, Poll};
use super::watched::{Kind, Watched};

enum Input {
    Notify(notify::Result<notify::Event>),
    Sources(Vec<PathBuf>, Vec<PathBuf>),
}

/// Tells the watching thread what to watch. It ends when the session's loop does.
#[derive(Clone, Debug)]
pub struct Watcher {
    inputs: Sender<Input>,
}

impl Watcher {
    /// Starts to watch: nothing yet. With a time it does not ask the kernel but looks itself, that often.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub fn start<P: Send + 'static>(
        events: Sender<Event<P>>,
        every: Option<Duration>,
    ) -> Result<Watcher, String> {
        let (inputs, received) = channel();
        let from_kernel = inputs.clone();
        // A receiver that is gone means that the session ends.
        let tell = move |event| drop(from_kernel.send(Input::Notify(event)));
        let kernel = every
            .is_none()
            .then(|| INotifyWatcher::new(tell, notify::Config::default()));
        let (kernel, problem) = match kernel {
            None => (None, None),
            Some(Ok(kernel)) => (Some(kernel), None),
            Some(Err(error)) => (None, Some(error.to_string())),
        };
        let mut thread = Thread {
            kernel,
            poll: Poll::new(every.unwrap_or(poll::EVERY)),
            every: every.unwrap_or(poll::EVERY),
            found: BTreeSet::new(),
            events,
            watched: Watched::default(),
            debounce: Debounce::default(),
            complained: false,
            is_deaf: false,
        };
        if let Some(problem) = problem {
            thread.complain(&problem);
        }
        std::thread::Builder::new()
            .name("watcher".into())
            .spawn(move || thread.run(&received))
            .map_err(|error| format!("no thread: {error}"))?;
        Ok(Watcher { inputs })
    }

    /// Watch the folders of these sources, and those below the roots.
    pub fn watch(&self, sources: Vec<PathBuf>, roots: Vec<PathBuf>) {
        // A receiver that is gone means that the session ends.
        let _ = self.inputs.send(Input::Sources(sources, roots));
    }
}

struct Thread<P> {
    /// None, where it cannot be had or is not wanted.
    kernel: Option<INotifyWatcher>,
    poll: Poll,
    every: Duration,
    /// Files of which only the polling told.
    found: BTreeSet<PathBuf>,
    events: Sender<Event<P>>,
    watched: Watched,
    debounce: Debounce,
    complained: bool,
    /// It was told that some files are on a file system without events.
    is_deaf: bool,
}

impl<P> Thread<P> {
    fn run(mut self, inputs: &Receiver<Input>) {
        loop {
            // What has come already is looked at before time is: we may be late.
            let input = match inputs.try_recv() {
                Ok(input) => Ok(input),
                Err(TryRecvError::Disconnected) => Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {
                    let ready = self.debounce.ready_at(Look::at);
                    match ready.into_iter().chain(self.poll.next()).min() {
                        None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                        Some(at) => {
                            inputs.recv_timeout(at.saturating_duration_since(Instant::now()))
                        }
                    }
                }
            };
            let open = match input {
                Ok(Input::Notify(event)) => {
                    self.happened(event);
                    true
                }
                Ok(Input::Sources(sources, roots)) => {
                    let first = self.watched.files().next().is_none();
                    let folders = self.watched.set_sources(&sources, &roots);
                    let is_more = first || !folders.is_empty();
                    self.add(folders);
                    // What was saved before a watch stood was not seen.
                    !is_more || self.suspect_all()
                }
                Err(RecvTimeoutError::Timeout) => {
                    let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
                    if is_due(self.poll.next()) {
                        self.look();
                    }
                    !is_due(self.debounce.ready_at(Look::at)) || self.take()
                }
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !open {
                return;
            }
        }
    }

    /// Sends what may be taken up. What the polling found may be known already: it is compared with what was
    /// compiled.
    fn take(&mut self) -> bool {
        let Some(mut batch) = self.debounce.take() else {
            return true;
        };
        let found = std::mem::take(&mut self.found);
        let (suspects, told) = batch.paths.into_iter().partition(|it| found.contains(it));
        (batch.paths, batch.suspects) = (told, suspects);
        self.events.send(Event::Changed(batch)).is_ok()
    }

    /// Looks where the kernel does not.
    fn look(&mut self) {
        let mut turned = false;
        for path in self.poll.look(&self.watched) {
            tracing::trace!(path = %path.display(), "found");
            turned |= path.is_symlink();
            if path.is_dir() {
                self.new_folder(&path);
                continue;
            }
            let touch = if path.exists() {
                // Whoever writes it may not be done.
                Touch::Writing
            } else {
                self.watched.forget(&path);
                Touch::Done
            };
            self.found.insert(path.clone());
            self.touched(path, touch);
        }
        if turned {
            self.links_turned();
        }
    }

    fn happened(&mut self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.complain(&error.to_string()),
        };
        if event.need_rescan() {
            tracing::info!("the kernel dropped events: all files are looked at");
            self.suspect_all();
            return;
        }
        let touch = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => Touch::Done,
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Data(_)) => Touch::Writing,
            // Reading, and changes of permissions or times alone.
            _ => return,
        };
        let may_be_folder = matches!(
            event.kind,
            EventKind::Create(CreateKind::Folder) | EventKind::Modify(ModifyKind::Name(_))
        );
        let may_be_link = matches!(
            event.kind,
            EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in event.paths {
            tracing::trace!(path = %path.display(), kind = ?event.kind, "seen");
            self.poll.told(&path, &self.watched, Instant::now());
            self.found.remove(&path);
            let is_link = may_be_link && path.is_symlink();
            let folder_moved = (may_be_folder || is_link) && path.is_dir();
            if folder_moved || !path.exists() {
                // A watch does not follow a folder to its next name, nor wait for the next of its name.
                self.watched.forget(&path);
            }
            if folder_moved {
                self.new_folder(&path);
            } else if !path.is_dir() {
                let is_link = is_link && self.watched.kind(&path) != Kind::Ignored;
                self.touched(path, touch);
                if is_link {
                    self.links_turned();
                }
            }
        }
    }

    /// Watches a folder and those in it. What is in them already counts as just written.
    fn new_folder(&mut self, path: &Path) {
        let mut all = Vec::new();
        loop {
            // Again, until none came to be between the look and the watch.
            let folders = self.watched.new_folders(path);
            if folders.is_empty() {
                break;
            }
            all.extend(folders.iter().cloned());
            self.add(folders);
        }
        for folder in &all {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if !path.is_dir() {
                    self.touched(path, Touch::Done);
                }
            }
        }
        self.links_turned();
    }

    /// A link may have been turned: the sources behind it are others now.
    fn links_turned(&mut self) {
        let folders = self.watched.resolve_again();
        self.add(folders);
        self.suspect_all();
    }

    fn touched(&mut self, path: PathBuf, touch: Touch) {
        match self.watched.kind(&path) {
            Kind::Matters => self.debounce.matters(path, touch, Instant::now()),
            Kind::Other => self.debounce.other(path, Instant::now()),
            Kind::Ignored => {}
        }
    }

    /// Sends all files to be compared with what was compiled.
    fn suspect_all(&mut self) -> bool {
        let mut batch = Batch::new(Default::default(), SystemTime::now());
        batch.suspects = self.watched.files().cloned().collect();
        // What is suspected does not stop a compilation: it may well have done what is to be done.
        batch.urgent = false;
        self.events.send(Event::Changed(batch)).is_ok()
    }

    fn add(&mut self, folders: Vec<PathBuf>) {
        for folder in folders {
            let watch =
                |kernel: &mut INotifyWatcher| kernel.watch(&folder, RecursiveMode::NonRecursive);
            match self.kernel.as_mut().map(watch) {
                Some(Ok(())) => {
                    tracing::debug!(folder = %folder.display(), "watched");
                    let Some(name) = poll::deaf_file_system(&folder) else {
                        continue;
                    };
                    self.deaf(&folder, name);
                }
                Some(Err(error)) if folder.is_dir() => self.complain(&error.to_string()),
                Some(Err(_)) => {
                    // It is gone already.
                    self.watched.forget(&folder);
                    continue;
                }
                None => {}
            }
            tracing::debug!(folder = %folder.display(), "polled");
            self.poll.add(folder, &self.watched, Instant::now());
        }
    }

    /// Others may write to a file system, and the kernel does not tell.
    fn deaf(&mut self, folder: &Path, name: &str) {
        if !std::mem::replace(&mut self.is_deaf, true) {
            let (folder, ms) = (folder.display(), self.every.as_millis());
            self.tell(format!(
                "{folder} is on a file system ({name}) whose saves may come without an event: files there are also looked at every {ms} ms"
            ));
        }
    }

    fn complain(&mut self, error: &str) {
        tracing::warn!(error, "watching failed");
        if !std::mem::replace(&mut self.complained, true) {
            let ms = self.every.as_millis();
            self.tell(format!(
                "some files are not watched by the kernel ({error}): they are looked at every {ms} ms; `cargo liveswap doctor` says what to do"
            ));
        }
    }

    fn tell(&self, problem: String) {
        // A receiver that is gone means that the session ends.
        let _ = self.events.send(Event::Problem(problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Project {
        _dir: tempfile::TempDir,
        _watcher: Watcher,
        root: PathBuf,
        events: Receiver<Event<()>>,
    }

    impl Project {
        fn new(files: &[&str]) -> Project {
            Project::watched(files, None)
        }

        /// Without the kernel's help.
        fn polled(files: &[&str]) -> Project {
            Project::watched(files, Some(Duration::from_millis(10)))
        }

        fn watched(files: &[&str], every: Option<Duration>) -> Project {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().canonicalize().unwrap();
            fs::create_dir(root.join("src")).unwrap();
            for file in files {
                fs::write(root.join(file), "1").unwrap();
            }
            let (sender, events) = channel();
            let watcher = Watcher::start(sender, every).unwrap();
            let sources = files.iter().map(|file| root.join(file)).collect();
            watcher.watch(sources, vec![root.clone()]);
            let project = Project {
                _dir: dir,
                _watcher: watcher,
                root,
                events,
            };
            // It comes when the watches stand.
            let first = project.batch();
            assert!(first.paths.is_empty() && !first.suspects.is_empty());
            project
        }

        fn batch(&self) -> Batch {
            match self.events.recv_timeout(Duration::from_secs(10)) {
                Ok(Event::Changed(batch)) => batch,
                other => panic!("{other:?}"),
            }
        }

        fn changed(&self) -> Vec<String> {
            let batch = self.batch();
            let name =
                |path: &PathBuf| path.strip_prefix(&self.root).unwrap().display().to_string();
            // What was found by looking is to be compared first.
            batch
                .paths
                .iter()
                .chain(&batch.suspects)
                .map(name)
                .collect()
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.join(name)
        }
    }

    #[test]
    fn each_way_to_save_is_one_batch() {
        let project = Project::new(&["src/main.rs"]);
        let main = project.path("src/main.rs");
        fs::write(&main, "2").unwrap();
        assert_eq!(project.changed(), ["src/main.rs"]);
        fs::write(project.path(".tmp"), "3").unwrap();
        fs::rename(project.path(".tmp"), &main).unwrap();
        assert_eq!(project.changed(), ["src/main.rs"]);
        fs::rename(&main, project.path("src/main.rs~")).unwrap();
        fs::write(&main, "4").unwrap();
        assert_eq!(project.changed(), ["src/main.rs"]);
    }

    #[test]
    fn of_many_files_at_once_none_is_lost() {
        for start in [Project::new, Project::polled] {
            none_is_lost(start);
        }
    }

    fn none_is_lost(start: fn(&[&str]) -> Project) {
        let names: Vec<String> = (0..30).map(|n| format!("src/f{n:02}.rs")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let project = start(&names);
        for name in &names {
            fs::write(project.path(name), "2").unwrap();
        }
        // One batch, unless the machine stood still in between.
        let mut seen = std::collections::BTreeSet::new();
        while seen.len() < names.len() {
            seen.extend(project.changed());
        }
        assert!(seen.iter().eq(&names));
    }

    /// On NFS, 9p and their like saves were not seen at all.
    #[test]
    fn saves_are_seen_without_events() {
        let project = Project::polled(&["src/main.rs"]);
        let main = project.path("src/main.rs");
        // A folder that no one asked for comes with what is in it.
        fs::create_dir(project.path("src/a")).unwrap();
        for text in ["2", "3", "44"] {
            fs::write(&main, text).unwrap();
            assert_eq!(project.changed(), ["src/main.rs"]);
            fs::write(project.path(".tmp"), format!("{text}5")).unwrap();
            fs::rename(project.path(".tmp"), &main).unwrap();
            assert_eq!(project.changed(), ["src/main.rs"]);
        }
        fs::remove_file(&main).unwrap();
        assert_eq!(project.changed(), ["src/main.rs"]);
    }

    #[test]
    fn a_file_in_a_new_folder_is_seen() {
        for start in [Project::new, Project::polled] {
            in_a_new_folder(&start(&["src/main.rs"]));
        }
    }

    fn in_a_new_folder(project: &Project) {
        fs::create_dir_all(project.path("src/a/b")).unwrap();
        fs::write(project.path("src/a/b/c.rs"), "1").unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while !project
            .batch()
            .paths
            .contains(&project.path("src/a/b/c.rs"))
        {
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn a_source_behind_a_link_is_seen() {
        let elsewhere = tempfile::tempdir().unwrap();
        let real = elsewhere.path().canonicalize().unwrap().join("real.rs");
        fs::write(&real, "1").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link.rs");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let (sender, events) = channel::<Event<()>>();
        let watcher = Watcher::start(sender, None).unwrap();
        watcher.watch(vec![link], Vec::new());
        events.recv_timeout(Duration::from_secs(10)).unwrap();
        fs::write(&real, "2").unwrap();
        let Ok(Event::Changed(batch)) = events.recv_timeout(Duration::from_secs(10)) else {
            panic!("nothing was seen");
        };
        assert!(batch.paths.contains(Path::new(&real)), "{batch:?}");
    }
}
