//! `cargo xtask server-load`: a server under load is edited while it works.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::process::ExitCode;

use liveswap_tests::live_command::liveswap_command;
use liveswap_tests::server_load::{self, Flavour, Options, Report};

const USAGE: &str = "\
usage: cargo xtask server-load [OPTIONS]

  --edits N                                    how many edits of each server (200)
  --opt 0|3|both                               optimisation level (both)
  --flavour multi-thread|current-thread|both   tokio's executor (both)
  --seed N                                     what determines the edits (1)
  --verbose                                    tell of each edit

LIVESWAP_COMMAND names another build of the command to test.";

struct Arguments {
    edits: usize,
    levels: Vec<u8>,
    flavours: Vec<Flavour>,
    seed: u64,
    verbose: bool,
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(arguments) => match work(&arguments) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(why) => {
                eprintln!("{why}");
                ExitCode::from(2)
            }
        },
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        edits: 200,
        levels: vec![0, 3],
        flavours: vec![Flavour::MultiThread, Flavour::CurrentThread],
        seed: 1,
        verbose: false,
    };
    while let Some(word) = words.next() {
        if word == "--verbose" {
            arguments.verbose = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("what is {word}?"))?;
        let number = || value.parse().map_err(|_| format!("{word} needs a number"));
        match (word.as_str(), value.as_str()) {
            ("--edits", _) => arguments.edits = number()? as usize,
            ("--seed", _) => arguments.seed = number()?,
            ("--opt" | "--flavour", "both") => {}
            ("--opt", "0") => arguments.levels = vec![0],
            ("--opt", "3") => arguments.levels = vec![3],
            ("--flavour", "multi-thread") => arguments.flavours = vec![Flavour::MultiThread],
            ("--flavour", "current-thread") => arguments.flavours = vec![Flavour::CurrentThread],
            _ => return Err(format!("what is {word} {value}?")),
        }
    }
    Ok(arguments)
}

fn work(arguments: &Arguments) -> Result<bool, String> {
    let mut fine = true;
    for &level in &arguments.levels {
        for &flavour in &arguments.flavours {
            let options = Options {
                edits: arguments.edits,
                level,
                flavour,
                seed: arguments.seed,
                verbose: arguments.verbose,
            };
            let report = server_load::run(liveswap_command(), &options)?;
            println!("{}", summary(&options, &report));
            for failure in &report.failures {
                println!("  {failure}");
            }
            fine &= report.failures.is_empty() && report.edits == arguments.edits;
        }
    }
    Ok(fine)
}

fn summary(options: &Options, report: &Report) -> String {
    let Report {
        edits,
        layouts,
        swapped,
        pending,
        refused,
        volume,
        took,
        failures,
    } = report;
    format!(
        "opt {} {} seed {}: {edits} edits ({layouts} of layouts): {swapped} swapped, {pending} of them with something \
         pending, {refused} refused; {} requests, {} lines of streams, {} connections in {} s; {} failures",
        options.level,
        options.flavour.name(),
        options.seed,
        volume.requests,
        volume.lines,
        volume.connections,
        took.as_secs(),
        failures.len()
    )
}
