//! The worker with a build that compiles nothing and an engine that plans nothing.

mod panics;

use super::*;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::sync::mpsc::channel;

use crate::model::ObjectFile;
use crate::session::parts::{FromMain, Planned};

/// "Compiles" by remembering contents; a file with `error` in it does not compile.
#[derive(Default)]
struct Build {
    sources: Vec<PathBuf>,
    compiled: HashMap<PathBuf, String>,
    uncertain: Vec<PathBuf>,
    failed: bool,
    broke_down: bool,
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl Builder for Build {
    /// The texts that it was "linked" from.
    type Next = HashMap<PathBuf, String>;
    fn sources(&self) -> Vec<PathBuf> {
        self.sources.clone()
    }
    fn watch_roots(&self) -> Vec<PathBuf> {
        Vec::new()
    }
    fn uncertain_sources(&self) -> Vec<PathBuf> {
        self.uncertain.clone()
    }
    fn classify(&self, path: &Path) -> Change {
        let known = self.sources.iter().any(|it| it == path) || self.failed;
        if known {
            Change::Source
        } else {
            Change::Irrelevant
        }
    }
    fn compile(&mut self, _: &[PathBuf], cancel: &CancelToken) -> Result<Compiled, BuildError> {
        let mut texts = self.sources.iter().map(|it| read(it));
        assert!(!texts.any(|text| text == "break build"), "broken build");
        if cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let now: HashMap<PathBuf, String> = self
            .sources
            .iter()
            .map(|it| (it.clone(), read(it)))
            .collect();
        self.failed = now.values().any(|text| text.contains("error"));
        if self.failed {
            return Err(BuildError::Compile {
                diagnostics: Vec::new(),
            });
        }
        if now == self.compiled {
            return Ok(Compiled::default());
        }
        self.compiled = now;
        let rustc_runs = vec![("app".to_owned(), Duration::ZERO)];
        Ok(Compiled {
            rustc_runs,
            ..Compiled::default()
        })
    }
    fn rebuild(&mut self, cancel: &CancelToken) -> Result<Compiled, BuildError> {
        self.compiled.clear();
        self.compile(&[], cancel)
    }
    fn finish_deferred(&mut self, _: &CancelToken) -> Result<Compiled, BuildError> {
        panic!("broken dependents")
    }
    fn next(&mut self, _: bool, cancel: &CancelToken) -> Result<Self::Next, BuildError> {
        self.rebuild(cancel)?;
        Ok(self.compiled.clone())
    }
    fn put_in_place(next: &Self::Next) -> Result<(), BuildError> {
        if next.is_empty() {
            return Err(BuildError::Failed("there is no room".into()));
        }
        Ok(())
    }
    fn broke_down(&mut self) {
        self.broke_down = true;
    }
}

/// Plans the same always; breaks down where it is told to.
#[derive(Default)]
struct Planning {
    breaks_in_plan: bool,
    breaks_in_commit: bool,
}

impl Planner for Planning {
    type Plan = ();
    fn plan(&mut self, _: Compiled, hello: &Hello) -> Outcome<()> {
        assert!(!std::mem::take(&mut self.breaks_in_plan), "broken plan");
        let folder = PathBuf::from(&hello.images);
        Outcome::Patch(Box::new(Planned {
            patch: Vec::new(),
            bytes: 0,
            modules: Vec::new(),
            pending: Vec::new(),
            pending_only: false,
            old_bodies: Vec::new(),
            staying: BTreeSet::new(),
            new_bodies: Default::default(),
            debug_file: Some(DebugFile {
                path: folder.join("slice-0001.so"),
                bytes: vec![1, 2],
                for_debugger: (folder.join("slice-0001.gdb"), vec![3]),
                slice: 1,
                links: vec![folder.join("slice-0002.so")],
            }),
            plan: (),
        }))
    }
    fn commit(&mut self, (): ()) {
        assert!(!self.breaks_in_commit, "broken commit");
    }
    fn abandon(&mut self, (): ()) {}
    fn only_from_main(&mut self, _: &[Arc<str>], _: bool, _: &Hello) -> Vec<FromMain> {
        Vec::new()
    }
}

/// Files that were just written are news in any case.
fn make_old(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_millis(500))
        .unwrap();
}

struct Bench {
    dir: tempfile::TempDir,
    worker: Worker<Build, Planning>,
    events: Receiver<Event<()>>,
}

impl Bench {
    fn new() -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let sources = vec![dir.path().join("a.rs"), dir.path().join("b.rs")];
        for path in &sources {
            fs::write(path, "1").unwrap();
            make_old(path);
        }
        let mut build = Build {
            sources,
            ..Build::default()
        };
        build.compile(&[], &CancelToken::new()).unwrap();
        let (sender, events) = channel();
        let worker = Worker::new(build, Engine::Open(Ok(Planning::default())), sender, None);
        Bench {
            dir,
            worker,
            events,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn batch(&self, names: &[&str]) -> Batch {
        let paths = names
            .iter()
            .map(|name| self.dir.path().join(name))
            .collect();
        Batch::new(paths, SystemTime::now())
    }

    fn hello(&self) -> Hello {
        Hello {
            version: 1,
            pid: 1,
            build_id: Vec::new(),
            bias: 0,
            range_start: 0,
            range_len: 0,
            page_size: 4096,
            generation: 0,
            images: self.dir.path().display().to_string(),
        }
    }

    fn does(&mut self, batch: &Batch) -> Done<()> {
        let hello = self.hello();
        self.worker.changed(batch, Ok(&hello), &CancelToken::new())
    }

    /// The names of the files of the last `Begun`.
    fn begun(&self) -> Option<Vec<String>> {
        match self.events.try_recv() {
            Ok(Event::Worker(Done::Begun(begun))) => {
                let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
                Some(begun.paths.iter().map(name).collect())
            }
            _ => None,
        }
    }
}

#[test]
fn a_changed_file_is_compiled_and_its_debug_file_written() {
    let mut bench = Bench::new();
    bench.write("a.rs", "2");
    let batch = bench.batch(&["a.rs", "b.rs", "note.txt"]);
    assert!(matches!(bench.does(&batch), Done::Planned { .. }));
    assert_eq!(bench.begun().unwrap(), ["a.rs"]);
    for name in ["slice-0001.so", "slice-0002.so"] {
        assert_eq!(fs::read(bench.dir.path().join(name)).unwrap(), [1, 2]);
    }
}

#[test]
fn a_touched_file_is_seen_and_not_compiled() {
    let mut bench = Bench::new();
    bench.write("a.rs", "1");
    let batch = bench.batch(&["a.rs"]);
    assert!(matches!(bench.does(&batch), Done::Same));
    assert_eq!(bench.begun().unwrap(), ["a.rs"]);
}

#[test]
fn late_news_of_what_was_compiled_is_none() {
    let mut bench = Bench::new();
    let batch = bench.batch(&["a.rs"]);
    assert!(matches!(bench.does(&batch), Done::Irrelevant));
    bench.write("a.rs", "2");
    make_old(&bench.dir.path().join("a.rs"));
    assert!(matches!(bench.does(&batch), Done::Planned { .. }));
    assert!(matches!(bench.does(&batch), Done::Irrelevant));
}

#[test]
fn a_folder_that_is_made_right_after_a_save_is_no_second_change() {
    let mut bench = Bench::new();
    bench.write("a.rs", "2");
    let path = bench.dir.path().join("a.rs");
    // A little ahead, so that it stays just written.
    let soon = SystemTime::now() + Duration::from_secs(60);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(soon).unwrap();
    let saved = bench.batch(&["a.rs"]);
    assert!(matches!(bench.does(&saved), Done::Planned { .. }));
    bench.begun();
    // All sources are suspected of being others then.
    let mut all = bench.batch(&[]);
    all.suspects = bench.worker.sources.iter().cloned().collect();
    assert!(matches!(bench.does(&all), Done::Irrelevant));
    assert_eq!(bench.begun(), None);
    // But one that is another is found, whatever its time says.
    bench.write("a.rs", "3");
    file.set_modified(soon).unwrap();
    assert!(matches!(bench.does(&all), Done::Planned { .. }));
    assert_eq!(bench.begun().unwrap(), ["a.rs"]);
}

#[test]
fn what_was_stopped_is_still_news() {
    let mut bench = Bench::new();
    bench.write("a.rs", "2");
    make_old(&bench.dir.path().join("a.rs"));
    let batch = bench.batch(&["a.rs"]);
    let cancel = CancelToken::new();
    cancel.cancel();
    let missing = NoAgent {
        code: Code::NoAnswer,
        message: "gone".into(),
    };
    let done = bench.worker.changed(&batch, Err(&missing), &cancel);
    assert!(matches!(done, Done::Failed(BuildError::Cancelled)));
    assert!(matches!(bench.does(&batch), Done::Planned { .. }));
}

#[test]
fn what_is_no_source_is_not_worth_a_word() {
    let mut bench = Bench::new();
    bench.write("note.txt", "2");
    let mut batch = bench.batch(&["note.txt"]);
    assert!(matches!(bench.does(&batch), Done::Irrelevant));
    // Nor are files that only may have changed.
    batch.suspects = bench.worker.sources.iter().cloned().collect();
    assert!(matches!(bench.does(&batch), Done::Irrelevant));
    assert_eq!(bench.begun(), None);
    bench.write("b.rs", "2");
    assert!(matches!(bench.does(&batch), Done::Planned { .. }));
    assert_eq!(bench.begun().unwrap(), ["b.rs"]);
}

#[test]
fn a_source_that_was_written_during_the_first_build_is_news() {
    let bench = Bench::new();
    let Bench {
        dir,
        mut worker,
        events,
    } = bench;
    worker.build.uncertain = vec![dir.path().join("b.rs")];
    let worker = Worker::new(worker.build, worker.engine, worker.events, None);
    let mut bench = Bench {
        dir,
        worker,
        events,
    };
    let mut batch = bench.batch(&[]);
    batch.suspects = bench.worker.sources.iter().cloned().collect();
    assert!(matches!(bench.does(&batch), Done::Same));
    assert_eq!(bench.begun().unwrap(), ["b.rs"]);
}

#[test]
fn after_an_error_another_file_may_be_the_cure() {
    let mut bench = Bench::new();
    bench.write("a.rs", "error");
    let batch = bench.batch(&["a.rs"]);
    assert!(matches!(
        bench.does(&batch),
        Done::Failed(BuildError::Compile { .. })
    ));
    bench.begun();
    // A file that nobody knew yet: a missing module.
    bench.write("new.rs", "1");
    let batch = bench.batch(&["new.rs"]);
    assert!(matches!(
        bench.does(&batch),
        Done::Failed(BuildError::Compile { .. })
    ));
    assert_eq!(bench.begun().unwrap(), ["new.rs"]);
    // What an editor left behind is none.
    let batch = bench.batch(&["gone.tmp"]);
    assert!(matches!(bench.does(&batch), Done::Irrelevant));
}

#[test]
fn refused_objects_belong_to_the_next_change() {
    let object = |cgu: &str, byte: u8| ObjectFile {
        cgu: cgu.into(),
        bytes: [byte].into(),
    };
    let krate = |unit: &str, objects: Vec<ObjectFile>, all: &[&str]| CrateObjects {
        name: unit.into(),
        unit: unit.into(),
        objects,
        all: all.iter().map(|it| (*it).to_owned()).collect(),
        sources: Vec::new(),
    };
    let mut held = Vec::new();
    let first = vec![object("x", 1), object("y", 1), object("z", 1)];
    hold(
        &mut held,
        vec![
            krate("a", first, &["x", "y", "z"]),
            krate("b", vec![object("x", 1)], &["x"]),
        ],
    );
    hold(
        &mut held,
        vec![krate("a", vec![object("x", 2)], &["x", "y"])],
    );
    let of = |unit: &str| held.iter().find(|it| it.unit == unit).unwrap();
    let objects: Vec<_> = of("a")
        .objects
        .iter()
        .map(|it| (it.cgu.as_str(), it.bytes[0]))
        .collect();
    assert_eq!(objects, [("x", 2), ("y", 1)]);
    assert_eq!(of("b").objects.len(), 1);
}

#[test]
fn a_rebuild_asks_the_compiler_in_any_case() {
    let mut bench = Bench::new();
    let mut batch = bench.batch(&[]);
    batch.rebuild = true;
    assert!(matches!(bench.does(&batch), Done::Planned { .. }));
}

#[test]
fn without_a_run_time_or_an_engine_the_change_is_refused() {
    let mut bench = Bench::new();
    let missing = NoAgent {
        code: Code::NoAnswer,
        message: "gone".into(),
    };
    let outcome = bench.worker.plan(Compiled::default(), Err(&missing));
    assert!(matches!(outcome, Outcome::Refused { code, .. } if code == "LS0011"));
    let mut engine: Engine<Planning> = Engine::Opening(channel().1);
    assert!(
        engine
            .get()
            .as_ref()
            .is_err_and(|it| it.code == Code::Internal)
    );
}

#[test]
fn a_save_counts_from_its_time_if_that_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.rs");
    let file = fs::File::create(&path).unwrap();
    let now = SystemTime::now();
    let saved_at = |time: SystemTime| {
        file.set_modified(time).unwrap();
        begun(vec![path.clone()], now).saved
    };
    let shortly = now - Duration::from_millis(30);
    assert_eq!(saved_at(shortly), shortly);
    // `git checkout` of an old file, and a clock that is ahead.
    assert_eq!(saved_at(now - Duration::from_secs(3600)), now);
    assert_eq!(saved_at(now + Duration::from_secs(3600)), now);
}

#[test]
fn what_was_linked_for_a_restart_is_out_of_date_after_the_next_save() {
    let mut bench = Bench::new();
    let never = CancelToken::new();
    assert!(matches!(
        bench.worker.put_in_place(),
        Done::Failed(BuildError::Internal(_))
    ));
    assert!(matches!(
        bench.worker.link(None, false, &never),
        Done::Linked
    ));
    assert!(matches!(bench.worker.put_in_place(), Done::InPlace));
    // A file that is no source changes nothing.
    let other = bench.batch(&["c.txt"]);
    assert!(matches!(bench.does(&other), Done::Irrelevant));
    assert!(matches!(bench.worker.put_in_place(), Done::InPlace));
    bench.write("a.rs", "2");
    let save = bench.batch(&["a.rs"]);
    bench.does(&save);
    assert!(matches!(bench.worker.put_in_place(), Done::Failed(_)));
    let stopped = CancelToken::new();
    stopped.cancel();
    assert!(matches!(
        bench.worker.link(None, false, &stopped),
        Done::Failed(BuildError::Cancelled)
    ));
    // What was stopped is still news.
    bench.write("b.rs", "2");
    let save = bench.batch(&["b.rs"]);
    bench.worker.link(Some(&save), true, &stopped);
    assert!(matches!(
        bench.worker.link(Some(&save), true, &never),
        Done::Linked
    ));
    assert_eq!(bench.worker.next.as_ref().map(|next| next.len()), Some(2));
}
