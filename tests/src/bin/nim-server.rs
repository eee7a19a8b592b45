//! `cargo xtask nim-server`: servers of std's asyncdispatch are edited under load.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::panic::catch_unwind;
use std::process::ExitCode;

use liveswap_tests::nim::{Backend, Build, Compiler, Mode};
use liveswap_tests::nim_server::{Kind, Options, run};

const USAGE: &str = "\
usage: cargo xtask nim-server [OPTIONS]

  --requests N     how many requests each server gets (60000)
  --reloads N      how many reloads are spread over them (50)
  --compiler 1|2   Nim 1.6, or Nim 2.2 (both)
  --backend c|cpp  (c)
  --mode MODE      as of nim-matrix (debug and release; of Nim 1.6 threads-release, too)

LIVESWAP_NIMHCR names another build of libnimhcr.so to test.";

struct Arguments {
    requests: usize,
    reloads: usize,
    compilers: Vec<Compiler>,
    backend: Backend,
    modes: Vec<Mode>,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(if why.is_empty() { 0 } else { 2 });
        }
    };
    let mut well = true;
    for compiler in &arguments.compilers {
        let default: &[Mode] = match compiler {
            Compiler::One => &[Mode::Debug, Mode::Release, Mode::ThreadsRelease],
            Compiler::Two => &[Mode::Debug, Mode::Release],
        };
        let modes = match &*arguments.modes {
            [] => default,
            modes => modes,
        };
        for mode in modes {
            for kind in [Kind::Lines, Kind::Http] {
                let build = Build {
                    compiler: *compiler,
                    backend: arguments.backend,
                    mode: *mode,
                };
                well &= runs_well(&Options {
                    kind,
                    build,
                    requests: arguments.requests,
                    reloads: arguments.reloads,
                });
            }
        }
    }
    ExitCode::from(u8::from(!well))
}

/// Runs one server. What goes wrong is told by the panic itself.
fn runs_well(options: &Options) -> bool {
    let name = format!("{:?}, Nim {}", options.kind, options.build.name());
    match catch_unwind(|| run(options)) {
        Ok((answers, took)) => {
            let seconds = took.as_secs_f32();
            println!("ok {name}: {answers} answers in {seconds:.1} s");
            true
        }
        Err(_) => {
            println!("FAILED {name}");
            false
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        requests: 60_000,
        reloads: 50,
        compilers: Compiler::ALL.to_vec(),
        backend: Backend::C,
        modes: Vec::new(),
    };
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Err(String::new());
        }
        let value = words.next().ok_or_else(|| format!("what is {word}?"))?;
        let unknown = || format!("what is {word} {value}?");
        match word.as_str() {
            "--requests" => arguments.requests = value.parse().map_err(|_| unknown())?,
            "--reloads" => arguments.reloads = value.parse().map_err(|_| unknown())?,
            "--compiler" => {
                arguments.compilers.retain(|it| it.name() == value);
                if arguments.compilers.is_empty() {
                    return Err(unknown());
                }
            }
            "--backend" => {
                let backend = Backend::ALL.into_iter().find(|it| it.command() == value);
                arguments.backend = backend.ok_or_else(unknown)?;
            }
            "--mode" => {
                let mode = Mode::ALL.into_iter().find(|it| it.name() == value);
                arguments.modes.push(mode.ok_or_else(unknown)?);
            }
            _ => return Err(unknown()),
        }
    }
    Ok(arguments)
}
