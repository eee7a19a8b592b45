//! The project's chores: checks, tests, the demonstration. `cargo xtask help` lists them.
//!
//! No dependencies, so that this builds first and fast on a machine that has nothing yet.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

mod demo;
mod fuzz;
mod nim;
mod project;
mod stage;
mod tidy;
mod tools;

use std::process::ExitCode;

use project::Project;
use stage::Stages;

/// Failures are told to a person and end the run: text is all that is needed.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test [ARGS]   get the tools, build the library, run all tests (ARGS go to cargo test)
  demo [nim]    edit a program while it runs and show that its state stays: a Cargo workspace, or a Nim program
  ci            lint, demo, field, test, corpus: what must pass before a change lands
  lint          format, clippy and tidy
  corpus [ARGS] run the programs with labelled edits of tests/corpus (`corpus --help` lists the options)
  field [ARGS]  edit real programs of the registry while they are used (`field --help` lists the options)
  random-edits [ARGS]  edit random programs at random while they run
  server-load [ARGS]   edit a server under load and look at each of its answers
  nim-matrix [ARGS]    edit the Nim programs of the tests in all builds: two compilers, C and C++, debug, release, …
  nim-server [ARGS]    edit Nim servers under load and look at each of their answers
  fuzz [SECONDS] [TARGET...]  feed the readers of what comes from outside of the process with anything
  tidy          the rules of the code that no compiler checks
  setup         only get the tools that the tests need
  help          this text";

/// The programs of the field that are small enough for each change; `.ci/run` names them, too.
const FIELD_IN_CI: [&str; 2] = ["mini-redis", "dufs"];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let command = args.first().map_or("help", String::as_str);
    let rest = args.get(1..).unwrap_or_default();
    let mut stages = Stages::default();
    let outcome = run(command, rest, &mut stages);
    stages.print_times();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask {command}: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, args: &[String], stages: &mut Stages) -> Result<()> {
    if !matches!(
        command,
        "test"
            | "demo"
            | "fuzz"
            | "corpus"
            | "field"
            | "random-edits"
            | "server-load"
            | "nim-matrix"
            | "nim-server"
    ) && !args.is_empty()
    {
        return Err(format!("takes no arguments\n\n{USAGE}"));
    }
    match command {
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        "setup" => tools_for_tests(&Project::find()?, stages),
        "tidy" => stages.run("tidy", || tidy::check(&Project::find()?)),
        "fuzz" => stages.run("fuzz", || fuzz::run(&Project::find()?, args)),
        "lint" => lint(&Project::find()?, stages),
        "test" => test(&Project::find()?, args, stages),
        "field" => field(&Project::find()?, args),
        "nim-matrix" | "nim-server" => {
            let project = Project::find()?;
            tools_for_tests(&project, stages)?;
            run_tool(&project, command, args)
        }
        "corpus" | "random-edits" | "server-load" => run_tool(&Project::find()?, command, args),
        "demo" => match args {
            [] => demo::cargo(&Project::find()?, stages),
            [which] if which == "nim" => demo::nim(&Project::find()?, stages),
            _ => Err(format!(
                "there is one other demonstration, `nim`\n\n{USAGE}"
            )),
        },
        "ci" => {
            let project = Project::find()?;
            lint(&project, stages)?;
            demo::cargo(&project, stages)?;
            demo::nim(&project, stages)?;
            let programs = FIELD_IN_CI.map(str::to_owned);
            stages.run("field", || field(&project, &programs))?;
            test(&project, &[], stages)?;
            let part = ["--part", "ci"].map(str::to_owned);
            stages.run("corpus", || run_tool(&project, "corpus", &part))
        }
        other => Err(format!("no such command: {other}\n\n{USAGE}")),
    }
}

fn lint(project: &Project, stages: &mut Stages) -> Result<()> {
    stages.run("format", || {
        project.cargo(&["fmt", "--all", "--check"], &[])
    })?;
    stages.run("tidy", || tidy::check(project))?;
    stages.run("clippy", || {
        let args = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        project.cargo(&args, &[])
    })
}

/// A tool out of the tests' package: it has what those need to drive `cargo liveswap`.
fn run_tool(project: &Project, name: &str, args: &[String]) -> Result<()> {
    let mut cargo_args = vec![
        "run",
        "--quiet",
        "-p",
        "liveswap-tests",
        "--bin",
        name,
        "--",
    ];
    cargo_args.extend(args.iter().map(String::as_str));
    project.cargo(&cargo_args, &[])
}

/// The programs of the field, with what they need: those of CI need only what tests need.
fn field(project: &Project, args: &[String]) -> Result<()> {
    let mut names = args.iter().filter(|it| !it.starts_with('-')).peekable();
    let all = names.peek().is_none();
    if all || !names.all(|name| FIELD_IN_CI.contains(&name.as_str())) {
        tools::provide(tools::FOR_FIELD)?;
    }
    run_tool(project, "field", args)
}

fn tools_for_tests(project: &Project, stages: &mut Stages) -> Result<()> {
    stages.run("tools", || {
        tools::provide(tools::FOR_TESTS)?;
        nim::provide_nim_2(project)
    })
}

fn test(project: &Project, args: &[String], stages: &mut Stages) -> Result<()> {
    tools_for_tests(project, stages)?;
    let library = stages.run("build libnimhcr.so", || project.build_nimhcr())?;
    let mut cargo_args = vec!["test", "--workspace"];
    cargo_args.extend(args.iter().map(String::as_str));
    stages.run("cargo test", || {
        project.cargo(&cargo_args, &[("LIVESWAP_NIMHCR", library.as_os_str())])
    })
}
