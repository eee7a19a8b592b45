//! How `cargo liveswap run` is started by a test.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cargo_project::LiveProject;
use crate::library::target_directory;
use crate::live::LiveRun;
use crate::live_command::{clean_environment, liveswap_command};

static EVENT_FILES: AtomicU64 = AtomicU64::new(0);

/// How a project's program is started.
pub struct LiveOptions {
    command: Command,
    events: PathBuf,
    program: Vec<String>,
}

impl LiveOptions {
    pub(crate) fn new(project: &LiveProject) -> Self {
        let mut command = Command::new(liveswap_command());
        clean_environment(&mut command);
        let number = EVENT_FILES.fetch_add(1, Ordering::Relaxed);
        let events = std::env::temp_dir().join(format!(
            "liveswap-events-{}-{number}.jsonl",
            std::process::id()
        ));
        command
            .current_dir(project.root())
            .args(["liveswap", "run", "--events"])
            .arg(&events)
            // No process of the test's own group, so that all of it can be ended as one.
            .process_group(0);
        Self {
            command,
            events,
            program: Vec::new(),
        }
    }

    /// A flag of `cargo run`.
    pub fn arg(mut self, flag: &str) -> Self {
        self.command.arg(flag);
        self
    }

    /// Flags of `cargo run`.
    pub fn args(mut self, flags: &[&str]) -> Self {
        self.command.args(flags);
        self
    }

    /// An argument for the program.
    pub fn program_arg(mut self, argument: &str) -> Self {
        self.program.push(argument.to_owned());
        self
    }

    /// A variable of the environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Where the command is started.
    pub fn cwd(mut self, folder: PathBuf) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Uses a target folder that is kept from one run of the tests to the next, so that dependencies
    /// need not be compiled again. The project itself always is: it lies somewhere else each time.
    pub fn keep_dependencies(self, name: &str) -> Self {
        let folder = target_directory().join("tmp/liveswap-cargo").join(name);
        std::fs::create_dir_all(&folder).expect("the target directory is ours to write");
        let folder = folder.to_str().expect("a path that is text").to_owned();
        self.env("CARGO_TARGET_DIR", &folder)
    }

    /// Has another program start the command: `wrap` gets it as text for a shell.
    pub fn wrapped(mut self, wrap: impl FnOnce(&str) -> Command) -> Self {
        let quoted = |word: &OsStr| {
            let word = word.to_str().expect("a path that is text");
            assert!(!word.contains('\''), "{word}");
            format!("'{word}'")
        };
        let words: Vec<String> = std::iter::once(self.command.get_program())
            .chain(self.command.get_args())
            .map(quoted)
            .collect();
        let mut outer = wrap(&words.join(" "));
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        if let Some(folder) = self.command.get_current_dir() {
            outer.current_dir(folder);
        }
        outer.process_group(0);
        self.command = outer;
        self
    }

    /// Starts the command and waits for nothing.
    #[track_caller]
    pub fn spawn(mut self) -> LiveRun {
        if !self.program.is_empty() {
            self.command.arg("--").args(&self.program);
        }
        LiveRun::begin(self.command, self.events)
    }

    /// Starts the command and waits until the program runs and can be changed.
    #[track_caller]
    pub fn start(self) -> LiveRun {
        let mut live = self.spawn();
        live.started();
        live
    }
}
