//! The root program of the C fixtures, run and obeyed: see `fixtures/c/host.c`.

use std::ffi::OsString;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::c_module::sig_hash;
use crate::c_project::{CProject, SYSTEM, module_path};
use crate::compiler::host_program;
use crate::library::nimhcr_library;
use crate::process::{Exit, Process};

/// How a root program is started.
#[derive(Clone, Debug)]
pub struct HostOptions {
    imports: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<OsString>,
}

impl HostOptions {
    /// A program that imports the system module and these, in this order.
    pub fn importing<'a>(modules: impl IntoIterator<Item = &'a str>) -> Self {
        Self::importing_exactly(std::iter::once(SYSTEM).chain(modules))
    }

    /// A program with exactly these imports; the system module must be reached by one of them.
    pub fn importing_exactly<'a>(modules: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            imports: modules.into_iter().map(ToOwned::to_owned).collect(),
            environment: Vec::new(),
            wrapper: Vec::new(),
        }
    }

    /// Sets an environment variable. Without a call for it, `LIVESWAP_SETTLE_MS` is 0, so that a
    /// broken file is refused at once, and every other setting has its default.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the program under another one, given with its arguments.
    pub fn under<'a>(mut self, wrapper: impl IntoIterator<Item = &'a str>) -> Self {
        self.wrapper = wrapper.into_iter().map(OsString::from).collect();
        self
    }

    /// The command that starts the program.
    pub fn command(&self, project: &CProject) -> Command {
        let mut words = self.wrapper.clone();
        words.push(host_program().into());
        words.push(nimhcr_library().into());
        words.push(project.path("main").into());
        words.push(project.path(SYSTEM).into());
        words.extend(self.imports.iter().map(|name| project.path(name).into()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("LIVESWAP_") || text.starts_with("HOT_CODE_RELOADING_") {
                command.env_remove(&name);
            }
        }
        command.env("LIVESWAP_SETTLE_MS", "0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the program; the reply is what the first initialisation said.
    #[track_caller]
    pub fn start(&self, project: &CProject) -> (Host, Reply) {
        let process = Process::start(&mut self.command(project));
        let mut host = Host {
            process,
            modules: project.modules().to_path_buf(),
        };
        let reply = host.reply();
        assert_eq!(reply.result, "ready", "the program's first reply");
        (host, reply)
    }

    /// Starts a program that must not get as far as obeying commands.
    #[track_caller]
    pub fn start_in_vain(&self, project: &CProject) -> Exit {
        Process::start(&mut self.command(project)).wait()
    }
}

/// What a command made the program say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The log: what modules printed.
    pub lines: Vec<String>,
    /// The command's result.
    pub result: String,
    /// What was said on standard error meanwhile.
    pub stderr: Vec<String>,
}

impl Reply {
    /// The log without the initialisation passes of the system module.
    pub fn lines_without_system(&self) -> Vec<&str> {
        self.lines
            .iter()
            .map(String::as_str)
            .filter(|line| !line.ends_with(&format!(" {SYSTEM}")))
            .collect()
    }

    /// The result as a number.
    #[track_caller]
    pub fn number(&self) -> i64 {
        self.result
            .parse()
            .unwrap_or_else(|_| panic!("{:?} is no number", self.result))
    }

    /// The result as an address.
    #[track_caller]
    pub fn address(&self) -> u64 {
        let digits = self.result.strip_prefix("0x");
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .unwrap_or_else(|| panic!("{:?} is no address", self.result))
    }

    /// Requires that nothing was said on standard error, and gives the reply back.
    #[track_caller]
    pub fn quiet(self) -> Self {
        assert_eq!(self.stderr, [""; 0], "nothing to complain about");
        self
    }
}

/// A running root program.
pub struct Host {
    process: Process,
    modules: PathBuf,
}

impl Host {
    /// Sends a command and waits for its reply.
    #[track_caller]
    pub fn command(&mut self, command: &str) -> Reply {
        self.process.send(command);
        self.reply()
    }

    /// Waits for the reply to a command that was sent.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let mut lines = self.process.lines_until(|line| line.starts_with("= "));
        let last = lines.pop().expect("the line that ended the wait");
        let mut stderr = self.process.stderr_until(|line| line == "=");
        stderr.pop();
        Reply {
            lines,
            result: last["= ".len()..].to_owned(),
            stderr,
        }
    }

    /// Sends a command that ends with a module's path.
    #[track_caller]
    pub fn about(&mut self, command: &str, module: &str) -> Reply {
        let path = self.path(module);
        self.command(&format!("{command} {}", path.display()))
    }

    /// Reloads.
    #[track_caller]
    pub fn reload(&mut self) -> Reply {
        self.command("reload")
    }

    /// Calls `long NAME(long)` of a module through its slot; nothing else may be printed.
    #[track_caller]
    pub fn call(&mut self, module: &str, name: &str, argument: i64) -> i64 {
        let reply = self.about(&format!("call {argument} {name}"), module);
        assert_eq!(reply.lines, [""; 0], "a silent proc");
        reply.quiet().number()
    }

    /// The permanent address of a proc.
    #[track_caller]
    pub fn address(&mut self, module: &str, name: &str) -> u64 {
        self.about(&format!("address {name}"), module)
            .quiet()
            .address()
    }

    /// The value of a global of type `long`.
    #[track_caller]
    pub fn get(&mut self, module: &str, name: &str) -> i64 {
        self.about(&format!("get {name}"), module).quiet().number()
    }

    /// Sets a global of type `long`.
    #[track_caller]
    pub fn set(&mut self, module: &str, name: &str, value: i64) {
        self.about(&format!("set {value} {name}"), module).quiet();
    }

    /// Whether the module's file differs from what is loaded.
    #[track_caller]
    pub fn has_changed(&mut self, module: &str) -> bool {
        self.command(&format!("changed {}", sig_hash(module)))
            .quiet()
            .number()
            == 1
    }

    /// Whether any module's file differs from what is loaded.
    #[track_caller]
    pub fn reload_needed(&mut self) -> bool {
        self.command("needed").quiet().number() == 1
    }

    /// The current generation.
    #[track_caller]
    pub fn generation(&mut self) -> i64 {
        self.command("generation").quiet().number()
    }

    /// Ends the program in the normal way; it must exit with status 0 and say nothing more.
    #[track_caller]
    pub fn quit(mut self) -> Exit {
        self.process.send("quit");
        let exit = self.process.wait();
        assert_eq!(exit.code(), Some(0), "{exit:?}");
        exit
    }

    /// Sends a command that ends the program, and waits for the end.
    #[track_caller]
    pub fn fatal_command(mut self, command: &str) -> Exit {
        self.process.send(command);
        self.process.wait()
    }

    /// As [`Host::fatal_command`], with a module's path at the end.
    #[track_caller]
    pub fn fatal_about(self, command: &str, module: &str) -> Exit {
        let path = self.path(module);
        self.fatal_command(&format!("{command} {}", path.display()))
    }

    /// Gives the process up, for waits and signals that need it whole.
    pub fn into_process(self) -> Process {
        self.process
    }

    fn path(&self, module: &str) -> PathBuf {
        module_path(Path::new(&self.modules), module)
    }
}

impl Deref for Host {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Host {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}
