//! The command line.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::cargo_args::CargoArgs;
use crate::codes::Code;
use crate::model::RunOptions;
use crate::session::control::Request;
use crate::session::restart::{Mode, Rules};
use crate::{doctor, log, session, status};

const EXIT_CODES: &str = "\
Exit status:
  that of the program, when it ended
  128 + n   the program was ended by signal n
  101       the first build failed (or what cargo itself returned)
  2         the command line is wrong";

const RUN_EXAMPLES: &str = "\
Examples:
  cargo liveswap run
  cargo liveswap run --release --bin server -- --port 8080
  cargo liveswap run -p app --features extra --events events.jsonl

Environment:
  LIVESWAP_LOG=debug   what liveswap does, on standard error";

/// Change a Cargo project while it runs: save a file and the running program changes, its state stays.
#[derive(Debug, Parser)]
#[command(
    name = "cargo-liveswap",
    bin_name = "cargo liveswap",
    version,
    after_help = "Examples:\n  cargo liveswap run\n  cargo liveswap explain LS0001\n\n\
                  `cargo liveswap help COMMAND` says more of each."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and run the program as `cargo run` does, and swap in its code whenever a file is saved
    #[command(after_help = format!("{EXIT_CODES}\n\n{RUN_EXAMPLES}"))]
    Run(Box<RunArgs>),
    /// Say what runs in this project, and in which generation
    #[command(
        after_help = "Exit status:\n  0  a session runs\n  1  none does\n  2  the command line is wrong\n\n\
                      Examples:\n  cargo liveswap status\n  cargo liveswap status --manifest-path app/Cargo.toml"
    )]
    Status(WhereArgs),
    /// Rebuild through cargo and swap now, whether or not a file was saved
    #[command(
        after_help = "Exit status:\n  0  swapped, or nothing had changed\n  1  refused, waiting for a restart, \
                      not compiled, or no session runs\n  2  the command line is wrong\n\n\
                      Examples:\n  cargo liveswap swap\n  cargo liveswap swap --pid 4711"
    )]
    Swap(SwapArgs),
    /// Build, and start the program anew: what could not go live takes effect, and its state is lost
    #[command(
        after_help = "Exit status:\n  0  the program runs as it is written now\n  1  it does not compile, or no session \
                      runs; the program goes on\n  2  the command line is wrong\n\n\
                      Examples:\n  cargo liveswap restart\n  cargo liveswap restart --pid 4711"
    )]
    Restart(SwapArgs),
    /// Look at this machine: what is there, what is missing, how to get it
    #[command(
        after_help = "Exit status:\n  0  everything that is needed is there\n  1  something that is needed is missing\n\n\
                      Example:\n  cargo liveswap doctor"
    )]
    Doctor,
    /// Explain the code of a refusal
    #[command(
        after_help = "Exit status:\n  0  explained\n  2  there is no such code\n\n\
                      Examples:\n  cargo liveswap explain LS0001\n  cargo liveswap explain"
    )]
    Explain {
        /// The code, such as LS0001; without it all codes are listed
        code: Option<String>,
    },
}

/// Where to look for sessions.
#[derive(Debug, Args)]
pub struct WhereArgs {
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    pub manifest_path: Option<PathBuf>,
    /// The target folder that the session was given
    #[arg(long, value_name = "DIRECTORY")]
    pub target_dir: Option<PathBuf>,
}

/// Which session is asked to do something.
#[derive(Debug, Args)]
pub struct SwapArgs {
    /// The program, or its session; needed if several run
    #[arg(long)]
    pub pid: Option<u32>,
    #[command(flatten)]
    place: WhereArgs,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Append one JSON object a line to FILE for everything that happens
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Look at the files every MS milliseconds instead of having the kernel tell of saves: for file systems that others
    /// write to (a network, the host of a container). Common ones of these are polled anyway
    #[arg(long, value_name = "MS", num_args = 0..=1, require_equals = true, default_missing_value = "500",
          value_parser = clap::value_parser!(u64).range(1..))]
    poll: Option<u64>,
    /// When to start the program anew for what cannot go live
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    restart: Mode,
    /// How long the program may take to end before it is killed for a restart
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    grace: Duration,
    /// Close listening sockets at a restart, instead of leaving them to the new process, where it binds the same address
    #[arg(long, overrides_with = "keep_sockets")]
    no_keep_sockets: bool,
    /// Leave listening sockets to the new process: so it is by itself
    #[arg(long, hide = true, overrides_with = "no_keep_sockets")]
    keep_sockets: bool,
    /// Go on when the program crashes or panics: the next save starts it again. So it is by itself if standard input and
    /// standard error are a terminal
    #[arg(long, overrides_with = "no_stay")]
    stay: bool,
    /// End with the program, however it ends
    #[arg(long, overrides_with = "stay")]
    no_stay: bool,
    #[command(flatten)]
    cargo: CargoArgs,
    /// Arguments for the program
    #[arg(value_name = "ARGS", trailing_var_arg = true, num_args = 0..)]
    args: Vec<OsString>,
}

impl RunArgs {
    fn into_options(self) -> session::Options {
        session::Options {
            run: RunOptions {
                cargo_args: self.cargo.to_cargo(),
                program_args: self.args,
                profile: self.cargo.profile_name(),
            },
            events: self.events,
            poll: self.poll.map(Duration::from_millis),
            restart: Rules {
                mode: self.restart,
                grace: self.grace,
                keep_sockets: !self.no_keep_sockets,
                stay: self.stay || !self.no_stay && is_at_a_terminal(),
            },
            quiet: self.cargo.quiet,
            color: self
                .cargo
                .color
                .as_deref()
                .and_then(|when| match when.to_str()? {
                    "always" => Some(true),
                    "never" => Some(false),
                    _ => None,
                }),
        }
    }
}

/// Whether a person sits there who can mend what crashed.
fn is_at_a_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A time in seconds, which need not be whole.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// The arguments without the `liveswap` that cargo puts first when it starts a plugin.
fn own_arguments(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_some_and(|first| first == "liveswap") {
        args.remove(1);
    }
    args
}

/// Runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(own_arguments(std::env::args_os().collect())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way, too; nobody is left to be told if this fails.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if let Err(complaint) = log::init_from_env() {
        log::stderr_line(&format!("liveswap: {complaint}"));
    }
    match cli.command {
        Command::Run(args) => session::run(args.into_options()),
        Command::Status(place) => status::status(&place),
        Command::Swap(args) => status::request(Request::Swap, &args.place, args.pid),
        Command::Restart(args) => status::request(Request::Restart, &args.place, args.pid),
        Command::Doctor => doctor::main(),
        Command::Explain { code } => explain(code.as_deref()),
    }
}

#[expect(clippy::print_stdout, reason = "it is what was asked for")]
fn explain(code: Option<&str>) -> ExitCode {
    let Some(text) = code else {
        for code in Code::ALL {
            println!("{}  {}", code.as_str(), code.explanation().title);
        }
        return ExitCode::SUCCESS;
    };
    match Code::parse(text) {
        Some(code) => {
            print!("{}", code.explanation().text());
            ExitCode::SUCCESS
        }
        None => {
            log::stderr_line(&format!(
                "liveswap: there is no code {text}; `cargo liveswap explain` lists them"
            ));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn options(words: &[&str]) -> Result<session::Options, clap::Error> {
        let words = ["cargo-liveswap"].iter().chain(words).map(OsString::from);
        match Cli::try_parse_from(own_arguments(words.collect()))?.command {
            Command::Run(args) => Ok(args.into_options()),
            other => panic!("{other:?}"),
        }
    }

    fn cargo_args(words: &[&str]) -> Vec<String> {
        let options = options(words).unwrap();
        let words = options.run.cargo_args.into_iter();
        words.map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn both_ways_to_start_it_are_the_same() {
        assert_eq!(cargo_args(&["run", "--locked"]), ["--locked"]);
        assert_eq!(cargo_args(&["liveswap", "run", "--locked"]), ["--locked"]);
    }

    #[test]
    fn what_follows_the_dashes_is_the_programs() {
        let options =
            options(&["run", "-r", "--", "--release", "--", "-x", "--events", "f"]).unwrap();
        assert_eq!(options.run.profile, "release");
        assert_eq!(
            options.run.program_args,
            ["--release", "--", "-x", "--events", "f"]
        );
        assert_eq!(options.events, None);
    }

    #[test]
    fn a_first_free_word_begins_the_programs_arguments() {
        let options = options(&["run", "--bin", "app", "one", "--release"]).unwrap();
        assert_eq!(options.run.program_args, ["one", "--release"]);
        assert_eq!(options.run.profile, "dev");
    }

    #[test]
    fn every_flag_of_cargo_run_goes_to_cargo() {
        let given = [
            "run",
            "-p",
            "app",
            "--bin",
            "main",
            "-F",
            "a b",
            "--features",
            "c",
            "--all-features",
            "--no-default-features",
            "--profile",
            "fast",
            "--manifest-path",
            "x/Cargo.toml",
            "-j4",
            "--locked",
            "--offline",
            "--frozen",
            "--config",
            "a.b=1",
            "--config=c",
            "-q",
            "-vv",
            "--color",
            "never",
            "--target",
            "t",
            "--ignore-rust-version",
            "-Z",
            "unstable",
            "--keep-going",
            "--message-format",
            "short",
            "--timings",
            "--target-dir",
            "there",
            "--events",
            "e",
        ];
        let passed = cargo_args(&given);
        for word in [
            "--package=app",
            "--bin=main",
            "--features=a b",
            "--features=c",
            "--all-features",
            "--no-default-features",
            "--profile=fast",
            "--manifest-path=x/Cargo.toml",
            "--jobs=4",
            "--locked",
            "--offline",
            "--frozen",
            "--config=a.b=1",
            "--config=c",
            "--quiet",
            "--verbose",
            "--color=never",
            "--target=t",
            "--ignore-rust-version",
            "unstable",
            "--keep-going",
            "--message-format=short",
            "--timings",
            "--target-dir=there",
        ] {
            assert!(passed.iter().any(|it| it == word), "{word} in {passed:?}");
        }
        let options = options(&given).unwrap();
        assert_eq!(options.run.profile, "fast");
        assert_eq!(options.events, Some(PathBuf::from("e")));
    }

    #[test]
    fn cargo_lists_targets_for_a_flag_without_a_name() {
        assert_eq!(cargo_args(&["run", "--bin"]), ["--bin"]);
        assert_eq!(
            cargo_args(&["run", "--example", "--locked"]),
            ["--example", "--locked"]
        );
    }

    #[test]
    fn files_are_polled_if_that_is_said() {
        let poll = |words: &[&str]| options(words).map(|options| options.poll);
        assert_eq!(poll(&["run"]).unwrap(), None);
        for (flag, ms) in [("--poll", 500), ("--poll=70", 70)] {
            let every = Duration::from_millis(ms);
            assert_eq!(poll(&["run", flag, "x"]).unwrap(), Some(every));
        }
        assert!(poll(&["run", "--poll=0"]).is_err());
    }

    #[test]
    fn restarts_are_as_they_are_asked_for() {
        let rules = |words: &[&str]| options(words).map(|options| options.restart);
        let usual = rules(&["run", "--no-stay"]).unwrap();
        assert_eq!(usual.mode, Mode::Ask);
        assert_eq!(usual.grace, Duration::from_secs(2));
        assert!(usual.keep_sockets && !usual.stay);
        let other = [
            "run",
            "--restart",
            "auto",
            "--grace",
            "0.25",
            "--no-stay",
            "--stay",
            "--no-keep-sockets",
        ];
        let other = rules(&other).unwrap();
        assert_eq!(other.mode, Mode::Auto);
        assert_eq!(other.grace, Duration::from_millis(250));
        assert!(other.stay && !other.keep_sockets);
        assert!(
            rules(&["run", "--no-keep-sockets", "--keep-sockets"])
                .unwrap()
                .keep_sockets
        );
        for wrong in [
            ["--restart", "often"],
            ["--grace", "-1"],
            ["--grace", "soon"],
        ] {
            assert!(rules(&["run", wrong[0], wrong[1]]).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_unknown_flag_is_an_error_of_use() {
        let error = options(&["run", "--relase"]).unwrap_err();
        assert!(error.use_stderr());
        assert!(error.to_string().contains("--release"), "{error}");
    }

    #[test]
    fn the_help_of_each_command_has_examples_and_exit_codes() {
        let mut cli = Cli::command();
        cli.build();
        for command in cli
            .get_subcommands_mut()
            .filter(|it| it.get_name() != "help")
        {
            let help = command.render_long_help().to_string();
            let name = command.get_name();
            assert!(help.contains("Example"), "{name}");
            assert!(help.contains("Exit status"), "{name}");
        }
    }
}
