//! `cargo xtask random-edits`: random programs are edited at random while they run.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use liveswap_tests::corpus::case::Case;
use liveswap_tests::corpus::place::{self, Place};
use liveswap_tests::corpus::{check, report, run};
use liveswap_tests::library::target_directory;
use liveswap_tests::live_command::liveswap_command;
use liveswap_tests::random_edits;

const USAGE: &str = "\
usage: cargo xtask random-edits [OPTIONS]

  --seed N       seed of the first program (the time)
  --programs N   how many programs, each with the next seed (1)
  --edits N      how many edits of each (20)
  --opt 0|3|both optimisation level (0)
  --check        only compile all programs in all their states

The project of a program that failed is kept, with the files of each of its states.
LIVESWAP_COMMAND names another build of the command to test.";

struct Options {
    seed: u64,
    programs: u64,
    edits: usize,
    levels: Vec<u8>,
    check: bool,
}

fn main() -> ExitCode {
    match options(std::env::args().skip(1)) {
        Ok(options) => match work(&options) {
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

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut options = Options {
        seed: now.map_or(1, |time| time.as_secs()),
        programs: 1,
        edits: 20,
        levels: vec![0],
        check: false,
    };
    while let Some(argument) = arguments.next() {
        if argument == "--check" {
            options.check = true;
            continue;
        }
        let text = arguments.next().unwrap_or_default();
        if argument == "--opt" && text == "both" {
            options.levels = vec![0, 3];
            continue;
        }
        let value = text.parse::<u64>();
        let value = value.map_err(|_| format!("{argument} needs a number"))?;
        match argument.as_str() {
            "--seed" => options.seed = value,
            "--programs" => options.programs = value,
            "--edits" => options.edits = usize::try_from(value).map_err(|e| e.to_string())?,
            "--opt" if value == 0 => options.levels = vec![0],
            "--opt" if value == 3 => options.levels = vec![3],
            _ => return Err(format!("what is {argument} {value}?")),
        }
    }
    Ok(options)
}

fn work(options: &Options) -> Result<bool, String> {
    let place = Place::of_worker(0)?;
    let begin = Instant::now();
    let mut results = Vec::new();
    let mut fine = true;
    for seed in options.seed..options.seed + options.programs {
        for &level in &options.levels {
            println!("seed {seed}, {} edits, opt {level}", options.edits);
            let case = random_edits::case(seed, options.edits, level);
            if options.check {
                if let Err(why) = check::check(&place, &case) {
                    println!("{why}");
                    fine = false;
                }
                continue;
            }
            let of_case = run::run(liveswap_command(), &place, &case, level)?;
            let short = of_case.iter().filter(|result| !result.outcome.is_ok());
            let mut is_short = false;
            for result in short {
                println!("{}", report::shortfall(result));
                is_short = true;
            }
            if is_short {
                println!("kept in {}", keep(&case)?.display());
            }
            results.extend(of_case);
        }
    }
    if options.check {
        return Ok(fine);
    }
    println!("{}", report::matrix(&results));
    println!(
        "seeds {} to {}, {} s",
        options.seed,
        options.seed + options.programs - 1,
        begin.elapsed().as_secs()
    );
    Ok(results.iter().all(|result| result.outcome.is_ok()))
}

/// Writes a folder with a project for each state of a program.
fn keep(case: &Case) -> Result<PathBuf, String> {
    let folder = target_directory()
        .join("tmp/liveswap-random")
        .join(&case.name);
    place::write(&folder.join("0"), &place::complete(case, &case.files)?)?;
    for (index, step) in case.steps.iter().enumerate() {
        let files = place::complete(case, &step.files)?;
        place::write(&folder.join((index + 1).to_string()), &files)?;
    }
    Ok(folder)
}
