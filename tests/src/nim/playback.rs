//! Plays a case: does what its transcript says and compares every answer.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::half_linked::{OldLibraries, Waiting};
use super::project::Project;
use super::toolchain::{self, Build};
use super::transcript::{self, Action, Step};
use crate::process::{Exit, Process};

/// The line with which every program ends an answer.
const END_OF_ANSWER: &str = "~";

/// Compiles the case, runs it, edits it and compares all that it prints with `expected.txt`.
///
/// # Panics
/// When anything differs. The folder with the program is kept then, and named.
pub fn play(case: &str, build: Build) {
    let folder = tempfile::Builder::new()
        .prefix(&format!("liveswap-nim-{case}-"))
        .tempdir()
        .expect("a temporary folder");
    let played = catch_unwind(AssertUnwindSafe(|| {
        Session::new(case, build, folder.path()).play();
    }));
    if let Err(failure) = played {
        let kept = folder.keep();
        eprintln!(
            "{case}: the program and its nimcache are left in {}",
            kept.display()
        );
        resume_unwind(failure);
    }
}

struct Session {
    build: Build,
    transcript: PathBuf,
    project: Project,
    folder: PathBuf,
    process: Option<Process>,
    settings: Vec<(String, String)>,
    /// Libraries of a build that is not complete.
    waiting: Option<Waiting>,
    /// Lines of stderr that came while another one was waited for.
    stray: Vec<String>,
    /// What the program is to print before it ends.
    last_answer: Vec<String>,
    compilations: usize,
}

/// Whether the program ends, going by the steps that follow, without being asked anything more.
fn is_last_answer(following: &[Step]) -> bool {
    following
        .iter()
        .find(|step| !matches!(step.action, Action::Stderr(_)))
        .is_some_and(|step| matches!(step.action, Action::Exit(_) | Action::Signal(_)))
}

impl Session {
    fn new(case: &str, build: Build, folder: &Path) -> Self {
        let case = super::fixtures().join(case);
        Self {
            build,
            transcript: case.join("expected.txt"),
            project: Project::new(case, folder.join("src")),
            folder: folder.to_path_buf(),
            process: None,
            settings: Vec::new(),
            waiting: None,
            stray: Vec::new(),
            last_answer: Vec::new(),
            compilations: 0,
        }
    }

    fn play(mut self) {
        let steps = transcript::read(&self.transcript, self.build.compiler);
        for (index, step) in steps.iter().enumerate() {
            self.perform(step, is_last_answer(&steps[index + 1..]));
        }
        assert!(
            self.process.is_none(),
            "{}: the transcript must say how the program ends",
            self.transcript.display()
        );
    }

    /// Does one step. `last` tells that the program ends after it instead of asking for more.
    fn perform(&mut self, step: &Step, last: bool) {
        match &step.action {
            Action::Start(arguments) => {
                self.edit(step, "0");
                self.process = Some(Process::start(&mut self.command(arguments)));
                self.answer(step, last);
            }
            Action::Edit(folder) => self.edit(step, folder),
            Action::EditUnlinked(folder) => {
                let old = OldLibraries::keep(&self.nimcache(), &self.folder);
                self.edit(step, folder);
                self.waiting = Some(old.put_back(&self.folder));
            }
            Action::Linked(module) => match &self.waiting {
                Some(waiting) => waiting.let_in(module),
                None => panic!("{}: no build is under way", self.at(step)),
            },
            Action::LinkedTheRest => match self.waiting.take() {
                Some(waiting) => waiting.let_all_in(),
                None => panic!("{}: no build is under way", self.at(step)),
            },
            Action::EditFails { folder, message } => {
                self.project.apply(folder);
                match self.compile() {
                    Ok(()) => panic!("{}: it compiles", self.at(step)),
                    Err(said) => assert!(
                        said.contains(message.as_str()),
                        "{}: the compiler says something else:\n{said}",
                        self.at(step)
                    ),
                }
            }
            Action::Send(line) => {
                self.program(step).send(line);
                self.answer(step, last);
            }
            Action::Set { name, value } => self.settings.push((name.clone(), value.clone())),
            Action::Answer => self.answer(step, last),
            Action::Stderr(pattern) => self.expect_stderr(step, pattern),
            Action::Exit(_) | Action::Signal(_) => self.expect_end(step),
        }
    }

    fn edit(&mut self, step: &Step, folder: &str) {
        self.project.apply(folder);
        self.compile()
            .unwrap_or_else(|said| panic!("{}: it does not compile:\n{said}", self.at(step)));
    }

    fn compile(&mut self) -> Result<(), String> {
        // The running file is busy, so every compilation after the first one writes elsewhere.
        let output = match self.compilations {
            0 => self.program_file(),
            _ => self.folder.join("scratch"),
        };
        self.compilations += 1;
        toolchain::compile(
            self.build,
            &self.folder.join("src"),
            &self.nimcache(),
            &output,
        )
    }

    fn nimcache(&self) -> PathBuf {
        self.folder.join("nimcache")
    }

    fn program_file(&self) -> PathBuf {
        self.folder.join("program")
    }

    fn command(&self, arguments: &[String]) -> Command {
        let mut command = Command::new(self.program_file());
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("LD_LIBRARY_PATH", toolchain::library_path(self.build))
            .env_remove("LIVESWAP_LOG")
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Takes the program's answer and compares it.
    fn answer(&mut self, step: &Step, last: bool) {
        if last {
            // There is no end-of-answer line to wait for: compared when the program has ended.
            self.last_answer.clone_from(&step.output);
            return;
        }
        let mut lines = self.program(step).lines_until(|line| line == END_OF_ANSWER);
        lines.pop();
        if let Some(difference) = difference(&step.output, &lines) {
            let at = self.at(step);
            let exit = self
                .process
                .take()
                .map(|process| process.kill(libc::SIGKILL));
            self.stray
                .extend(exit.into_iter().flat_map(|exit| exit.stderr));
            panic!(
                "{at}: another answer than expected\n{difference}\n--- stderr\n{}",
                self.stray.join("\n")
            );
        }
    }

    fn expect_stderr(&mut self, step: &Step, pattern: &str) {
        let known = self
            .stray
            .iter()
            .position(|line| transcript::matches(pattern, line));
        if let Some(known) = known {
            self.stray.remove(known);
            return;
        }
        let mut lines = self
            .program(step)
            .stderr_until(|line| transcript::matches(pattern, line));
        lines.pop();
        self.stray.append(&mut lines);
    }

    fn expect_end(&mut self, step: &Step) {
        let exit = match self.process.take() {
            Some(process) => process.wait(),
            None => panic!("{}: nothing is running", self.at(step)),
        };
        let right = match step.action {
            Action::Exit(code) => exit.code() == Some(code),
            Action::Signal(signal) => exit.signal() == Some(signal),
            _ => false,
        };
        self.stray.extend(exit.stderr.iter().cloned());
        assert!(
            right,
            "{}: the program ended otherwise: {}\n{}",
            self.at(step),
            exit.status,
            self.rest(&exit)
        );
        if let Some(difference) = difference(&self.last_answer, &exit.stdout) {
            panic!(
                "{}: another last answer than expected\n{difference}\n{}",
                self.at(step),
                self.rest(&exit)
            );
        }
        // Nim adds a stack trace, in debug builds, when it ends a program because of an error.
        let well = matches!(step.action, Action::Exit(0));
        let stray = self
            .stray
            .iter()
            .any(|line| well || line.starts_with("liveswap:"));
        assert!(
            !stray,
            "{}: the program said more than it should have\n{}",
            self.at(step),
            self.rest(&exit)
        );
    }

    fn rest(&self, exit: &Exit) -> String {
        format!(
            "--- stdout\n{}\n--- stderr\n{}",
            exit.stdout.join("\n"),
            self.stray.join("\n")
        )
    }

    fn program(&mut self, step: &Step) -> &mut Process {
        let at = self.at(step);
        match &mut self.process {
            Some(process) => process,
            None => panic!("{at}: nothing is running"),
        }
    }

    fn at(&self, step: &Step) -> String {
        format!(
            "{}:{} (Nim {})",
            self.transcript.display(),
            step.line,
            self.build.name()
        )
    }
}

/// Both texts side by side where they differ; nothing if they do not.
fn difference(expected: &[String], printed: &[String]) -> Option<String> {
    if expected == printed {
        return None;
    }
    let mut account = String::from("(- expected, + printed)");
    for index in 0..expected.len().max(printed.len()) {
        let (wanted, got) = (expected.get(index), printed.get(index));
        if wanted == got {
            let _ = write!(account, "\n    {}", got.map_or("", |line| line));
            continue;
        }
        if let Some(wanted) = wanted {
            let _ = write!(account, "\n  - {wanted}");
        }
        if let Some(got) = got {
            let _ = write!(account, "\n  + {got}");
        }
    }
    Some(account)
}
