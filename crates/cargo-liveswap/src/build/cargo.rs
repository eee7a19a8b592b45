//! Calls cargo in the place of the user.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::config::{self, Config};
use super::diagnostics::{Colours, Message, without_colours};
use super::project::{Project, value_of};
use crate::model::{BuildError, CancelToken, Diagnostic, Launch, RunOptions};
use crate::stage::env as names;
use crate::stage::layout::{self, Stage};
use crate::stage::runner::Started;

/// The folder for what cargo builds on the way, wherever the user's is.
const BUILD_DIR: &str = "CARGO_BUILD_BUILD_DIR";

/// How cargo is called.
#[derive(Clone, Debug)]
pub struct Cargo {
    program: OsString,
    args: Vec<OsString>,
    program_args: Vec<OsString>,
    /// What cargo's environment has more than this process's, or other values.
    environment: Vec<(OsString, OsString)>,
    runner: Option<Vec<OsString>>,
    stage: Stage,
    colours: Colours,
    runs: u64,
}

/// What cargo would have started, apart from the user's runner.
#[derive(Debug)]
pub struct Ready {
    /// The program that was built.
    pub exe: std::path::PathBuf,
    /// What to start.
    pub launch: Launch,
}

impl Cargo {
    /// For this project and these options.
    pub fn new(
        project: &Project,
        options: &RunOptions,
        config: &Config,
        stage: &Stage,
        target_dir: &Path,
    ) -> Cargo {
        let mut args = project.cargo_args.clone();
        args.push("--target-dir".into());
        args.push(target_dir.into());
        let runner = stage.bin().join(layout::RUNNER);
        if let Some(flag) = &config.runner_flags {
            args.extend(flag.replaced_by(&runner.to_string_lossy()));
        }
        let mut environment: Vec<(OsString, OsString)> = vec![
            (
                "RUSTC_WRAPPER".into(),
                stage.bin().join(layout::RUSTC).into(),
            ),
            ("CARGO_INCREMENTAL".into(), "1".into()),
            // Link-time optimisation would leave no objects to replace.
            (lto_variable(&options.profile).into(), "off".into()),
            (names::STAGE_DIR.into(), stage.root().into()),
            (names::LAUNCH.into(), stage.launch().into()),
            (
                names::USER_WRAPPER.into(),
                config.rustc_wrapper.clone().unwrap_or_default(),
            ),
        ];
        environment.extend(runner_setting(&runner, stage, &config.targets));
        let cwd = env::current_dir().unwrap_or_default();
        let build_dir = without_braces(target_dir, &cwd);
        environment.extend(build_dir.map(|path| (BUILD_DIR.into(), path.into())));
        Cargo {
            program: project.cargo.clone().into(),
            args,
            program_args: options.program_args.clone(),
            environment,
            runner: config.runner.clone(),
            stage: stage.clone(),
            colours: Colours::of(&project.cargo_args),
            runs: 0,
        }
    }

    /// Counts runs from that of `other` on: names of runs are unique in a session.
    pub fn count_on(&mut self, other: &Cargo) {
        self.runs = self.runs.max(other.runs);
    }

    /// Name of the run that was made last.
    pub fn run(&self) -> String {
        format!("{}-{}", std::process::id(), self.runs)
    }

    fn command(&mut self) -> Command {
        self.runs += 1;
        let mut command = Command::new(&self.program);
        command
            .arg("run")
            .env_remove(BUILD_DIR)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env(names::RUN, self.run())
            .stdin(Stdio::null());
        command
    }

    /// Builds, with cargo's output as the user knows it.
    ///
    /// # Errors
    /// If cargo fails.
    pub fn build(&mut self) -> Result<Ready, BuildError> {
        let _ = fs::remove_file(self.stage.launch());
        let mut command = self.command();
        let status = command
            .args(&self.args)
            .arg("--")
            .args(&self.program_args)
            .status()
            .map_err(|error| not_started(&self.program, &error))?;
        if !status.success() {
            return Err(BuildError::Cargo {
                status: code_of(status),
            });
        }
        self.ready()
    }

    /// Builds without linking; objects are collected in `collect`.
    ///
    /// # Errors
    /// If cargo fails or is cancelled.
    pub fn rebuild(&mut self, collect: &Path, cancel: &CancelToken) -> Result<Ready, BuildError> {
        self.build_while_it_runs((names::COLLECT, collect), true, cancel)
    }

    /// Builds and links, but puts the program into the folder `next`: another one of its name runs. `shown`: what
    /// cargo and the compiler say is shown.
    ///
    /// # Errors
    /// If cargo fails or is cancelled.
    pub fn build_next(
        &mut self,
        next: &Path,
        shown: bool,
        cancel: &CancelToken,
    ) -> Result<Ready, BuildError> {
        self.build_while_it_runs((names::NEXT, next), shown, cancel)
    }

    fn build_while_it_runs(
        &mut self,
        (variable, folder): (&str, &Path),
        shown: bool,
        cancel: &CancelToken,
    ) -> Result<Ready, BuildError> {
        let _ = fs::remove_file(self.stage.launch());
        let args = without_message_format(&self.args);
        let mut command = self.command();
        command
            .args(args)
            .arg("--message-format=json-diagnostic-rendered-ansi")
            .arg("--")
            .args(&self.program_args)
            .env(variable, folder)
            // Its bar would mix with the messages that are shown here.
            .env("CARGO_TERM_PROGRESS_WHEN", "never")
            .env("CARGO_TERM_COLOR", self.colours.as_cargo_says())
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| not_started(&self.program, &error))?;
        let (mut diagnostics, errors) = self.listen(&mut child, shown, cancel)?;
        let status = child
            .wait()
            .map_err(|error| BuildError::Failed(format!("cargo: {error}")))?;
        if status.success() {
            return self.ready();
        }
        // The compiler's errors say it; a broken manifest or build script only cargo speaks of.
        if !diagnostics.iter().any(|message| message.level == "error") {
            if errors.is_empty() {
                return Err(BuildError::Cargo {
                    status: code_of(status),
                });
            }
            diagnostics.push(Diagnostic {
                level: "error".to_owned(),
                rendered: errors,
            });
        }
        Err(BuildError::Compile { diagnostics })
    }

    /// Takes in the messages of compiler and cargo until cargo closes its output. Returns those of the
    /// compiler, and what cargo said from its first error on.
    fn listen(
        &self,
        child: &mut Child,
        shown: bool,
        cancel: &CancelToken,
    ) -> Result<(Vec<Diagnostic>, String), BuildError> {
        const LOOK: Duration = Duration::from_millis(2);
        let show = |text: &str| {
            if shown {
                self.colours.show(text);
            }
        };
        let (to_here, lines) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            send_lines(stdout, to_here.clone(), Said::Stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            send_lines(stderr, to_here, Said::Stderr);
        }
        let mut diagnostics = Vec::new();
        let mut errors = String::new();
        loop {
            match lines.recv_timeout(LOOK) {
                Ok(Said::Stdout(line)) => {
                    if let Some(Message::Diagnostic(diagnostic)) = Message::of_cargo(&line) {
                        show(&diagnostic.rendered);
                        diagnostics.push(diagnostic);
                    }
                }
                Ok(Said::Stderr(line)) => {
                    let plain = without_colours(&line);
                    // Nothing is run.
                    if !plain.trim_start().starts_with("Running `") {
                        show(&format!("{line}\n"));
                    }
                    if !errors.is_empty() || plain.starts_with("error") {
                        errors.push_str(&line);
                        errors.push('\n');
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok((diagnostics, errors)),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            if cancel.is_cancelled() {
                end(child);
                return Err(BuildError::Cancelled);
            }
        }
    }

    /// What the runner wrote.
    fn ready(&self) -> Result<Ready, BuildError> {
        let started = Started::read(&self.stage.launch()).map_err(|error| {
            BuildError::Failed(format!(
                "cargo did not hand over the program that it built ({error}); \
                 is another runner configured?"
            ))
        })?;
        // Cargo names it relative to where it ran.
        let exe = started.cwd.path().join(started.exe.path());
        let args = started.args.into_iter().map(|arg| arg.0);
        let (program, args) = match self.runner.as_deref() {
            Some([runner, runner_args @ ..]) => {
                let mut all = runner_args.to_vec();
                all.push(exe.clone().into());
                all.extend(args);
                (runner.clone().into(), all)
            }
            _ => (exe.clone(), args.collect()),
        };
        let env = started
            .env
            .into_iter()
            .map(|(name, value)| (name.0, value.0))
            .collect();
        Ok(Ready {
            exe,
            launch: Launch {
                exe: program,
                args,
                env: self.users_environment(env),
                cwd: started.cwd.0.into(),
            },
        })
    }

    /// The environment that cargo would have given the program by itself.
    fn users_environment(&self, env: Vec<(OsString, OsString)>) -> Vec<(OsString, OsString)> {
        let is_ours = |name: &OsStr| {
            name.as_encoded_bytes()
                .starts_with(names::PREFIX.as_bytes())
                || name == "CARGO_TERM_PROGRESS_WHEN"
                || name == BUILD_DIR
                || self.environment.iter().any(|(ours, _)| ours == name)
        };
        let mut users: Vec<_> = env.into_iter().filter(|(name, _)| !is_ours(name)).collect();
        users.extend(env::vars_os().filter(|(name, _)| is_ours(name) && !is_of_a_session(name)));
        users
    }
}

/// A line that cargo said.
enum Said {
    Stdout(String),
    Stderr(String),
}

fn send_lines(
    from: impl io::Read + Send + 'static,
    to: mpsc::Sender<Said>,
    wrap: fn(String) -> Said,
) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if to.send(wrap(line)).is_err() {
                return;
            }
        }
    });
}

fn is_of_a_session(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| {
        [
            names::STAGE_DIR,
            names::USER_WRAPPER,
            names::RUN,
            names::LAUNCH,
            names::LINKER,
            names::NO_LLD,
            names::UNIT,
            names::COLLECT,
            names::NEXT,
        ]
        .contains(&name)
    })
}

/// How cargo is told of the runner. Cargo splits the variable at spaces, so a path with spaces is
/// replaced by a name to be looked for.
fn runner_setting(runner: &Path, stage: &Stage, targets: &[String]) -> Vec<(OsString, OsString)> {
    let has_space = runner
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(u8::is_ascii_whitespace);
    let mut settings = Vec::new();
    let mut value = runner.as_os_str().to_owned();
    if has_space {
        value = layout::RUNNER.into();
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(stage.bin()).chain(env::split_paths(&path));
        if let Ok(path) = env::join_paths(folders) {
            settings.push(("PATH".into(), path));
        }
    }
    settings.extend(
        targets
            .iter()
            .map(|target| (config::runner_variable(target).into(), value.clone())),
    );
    settings
}

/// A name for a folder that cargo does not take for a template: it replaces what stands in braces and
/// has no way to write one. A folder that has braces above `cwd` only is named from there. `None`: there is no such
/// name; without one, cargo takes the target folder.
fn without_braces(folder: &Path, cwd: &Path) -> Option<PathBuf> {
    let is_plain = |path: &Path| {
        let bytes = path.as_os_str().as_encoded_bytes();
        !bytes.iter().any(|byte| matches!(byte, b'{' | b'}'))
    };
    if is_plain(folder) {
        return Some(folder.to_owned());
    }
    let common = folder.ancestors().find(|above| cwd.starts_with(above))?;
    let up = cwd.strip_prefix(common).ok()?.components();
    let down = folder.strip_prefix(common).ok()?;
    let relative = up.map(|_| Path::new("..")).chain([down]).collect();
    Some(relative).filter(|path: &PathBuf| is_plain(path))
}

fn lto_variable(profile: &str) -> String {
    let profile = if profile.is_empty() { "dev" } else { profile };
    format!(
        "CARGO_PROFILE_{}_LTO",
        profile.to_uppercase().replace('-', "_")
    )
}

fn without_message_format(args: &[OsString]) -> Vec<OsString> {
    let mut others = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if value_of(arg, "--message-format", &mut rest).is_none() {
            others.push(arg.clone());
        }
    }
    others
}

/// Ends cargo and its compilers, which would go on without it.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
    }
    let _ = child.wait();
}

fn not_started(program: &OsStr, error: &io::Error) -> BuildError {
    BuildError::Failed(format!("cannot run {}: {error}", program.display()))
}

/// The exit code, or 128 and the signal, as shells count.
fn code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(101)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_message_format_makes_room_for_ours() {
        let args: Vec<OsString> = [
            "-p",
            "a",
            "--message-format",
            "short",
            "--message-format=json",
        ]
        .map(OsString::from)
        .to_vec();
        assert_eq!(without_message_format(&args), ["-p", "a"]);
    }

    #[test]
    fn profiles_have_variables() {
        assert_eq!(lto_variable("my-fast"), "CARGO_PROFILE_MY_FAST_LTO");
        assert_eq!(lto_variable(""), "CARGO_PROFILE_DEV_LTO");
    }

    #[test]
    fn a_folder_with_braces_is_named_without_them() {
        let name = |folder: &str, cwd: &str| without_braces(folder.as_ref(), cwd.as_ref());
        assert_eq!(name("/p/t", "/p"), Some("/p/t".into()));
        assert_eq!(name("/a{b/t/l", "/a{b"), Some("t/l".into()));
        assert_eq!(name("/a}b/t/l", "/a}b/c/d"), Some("../../t/l".into()));
        assert_eq!(name("/a{b}/t", "/c"), None);
        assert_eq!(name("/p/a{b}/t", "/p"), None);
    }

    #[test]
    fn a_runner_in_a_folder_with_spaces_is_looked_for() {
        let stage = Stage::new("/a b/stage".into());
        let runner = stage.bin().join(layout::RUNNER);
        let settings = runner_setting(&runner, &stage, &["x-y".to_owned()]);
        assert_eq!(settings[0].0, "PATH");
        assert_eq!(
            settings[1],
            ("CARGO_TARGET_X_Y_RUNNER".into(), "liveswap-runner".into())
        );
    }
}
