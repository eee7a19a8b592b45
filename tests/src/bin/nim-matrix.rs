//! `cargo xtask nim-matrix`: all Nim programs of `tests/fixtures/nim`, compiled in every way.
//!
//! The tests play each program in a few ways; this plays it in all of them: both compilers, both backends, every mode.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use liveswap_tests::nim::{self, Backend, Build, Compiler, Mode};

const USAGE: &str = "\
usage: cargo xtask nim-matrix [OPTIONS] [CASE…]

  --compiler 1|2   Debian's Nim 1.6, or Nim 2.2 (both)
  --backend c|cpp  (both)
  --mode MODE      one of debug, release, mark-and-sweep, threads, threads-release, no-threads, no-threads-release,
                   emulated-thread-vars, stripped; may be given several times (all)
  --workers N      how many programs are played at a time (2)
  --list           only say what would be played

CASE is a folder of tests/fixtures/nim. LIVESWAP_NIMHCR names another build of libnimhcr.so to test.";

struct Options {
    compilers: Vec<Compiler>,
    backends: Vec<Backend>,
    modes: Vec<Mode>,
    workers: usize,
    list: bool,
    cases: Vec<String>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(if why.is_empty() { 0 } else { 2 });
        }
    };
    let plan = plan(&options);
    if options.list {
        for (case, build) in &plan {
            println!("{case}: {}", build.name());
        }
        return ExitCode::SUCCESS;
    }
    let begin = Instant::now();
    let count = plan.len();
    let failed = play_all(plan, options.workers);
    let seconds = begin.elapsed().as_secs();
    println!(
        "{} of {count} played as expected, in {seconds} s",
        count - failed.len()
    );
    for name in &failed {
        println!("otherwise: {name}");
    }
    ExitCode::from(u8::from(!failed.is_empty() || count == 0))
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        compilers: Compiler::ALL.to_vec(),
        backends: Backend::ALL.to_vec(),
        modes: Vec::new(),
        workers: 2,
        list: false,
        cases: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        let unknown = |value: &str| format!("{argument} does not know {value}");
        match argument.as_str() {
            "--compiler" => {
                let value = value()?;
                options.compilers.retain(|it| it.name() == value);
                if options.compilers.is_empty() {
                    return Err(unknown(&value));
                }
            }
            "--backend" => {
                let value = value()?;
                options.backends.retain(|it| it.command() == value);
                if options.backends.is_empty() {
                    return Err(unknown(&value));
                }
            }
            "--mode" => {
                let value = value()?;
                let mode = Mode::ALL.into_iter().find(|it| it.name() == value);
                options.modes.push(mode.ok_or_else(|| unknown(&value))?);
            }
            "--workers" => {
                let value = value()?;
                let number = value.parse().ok().filter(|number| *number > 0);
                options.workers = number.ok_or_else(|| unknown(&value))?;
            }
            "--list" => options.list = true,
            "--help" | "-h" => return Err(String::new()),
            case if nim::fixtures().join(case).join("expected.txt").is_file() => {
                options.cases.push(case.to_owned());
            }
            other => return Err(format!("there is no case {other}")),
        }
    }
    Ok(options)
}

/// What is to be played: everything that makes sense of what was asked for.
fn plan(options: &Options) -> VecDeque<(String, Build)> {
    let mut cases = options.cases.clone();
    if cases.is_empty() {
        cases = nim::all_cases();
    }
    let mut plan = VecDeque::new();
    for compiler in &options.compilers {
        for backend in &options.backends {
            for mode in Mode::ALL {
                let asked = options.modes.is_empty() || options.modes.contains(&mode);
                let build = Build {
                    compiler: *compiler,
                    backend: *backend,
                    mode,
                };
                for case in cases
                    .iter()
                    .filter(|case| asked && nim::makes_sense(case, build))
                {
                    plan.push_back((case.clone(), build));
                }
            }
        }
    }
    plan
}

/// Plays all, and hands back what came otherwise than expected.
fn play_all(plan: VecDeque<(String, Build)>, workers: usize) -> Vec<String> {
    let plan = Mutex::new(plan);
    let failed = Mutex::new(Vec::new());
    let lock = "no worker panics with a lock held";
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some((case, build)) = plan.lock().expect(lock).pop_front() else {
                        return;
                    };
                    let begin = Instant::now();
                    let well = catch_unwind(|| nim::play(&case, build)).is_ok();
                    let name = format!("{case}: {}", build.name());
                    let seconds = begin.elapsed().as_secs_f32();
                    println!(
                        "{} {name} ({seconds:.1} s)",
                        if well { "ok" } else { "FAILED" }
                    );
                    if !well {
                        failed.lock().expect(lock).push(name);
                    }
                }
            });
        }
    });
    failed.into_inner().expect(lock)
}
