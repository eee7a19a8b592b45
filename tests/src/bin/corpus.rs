//! `cargo xtask corpus`: the cases of `tests/corpus` are run and judged.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use liveswap_tests::corpus::case::Case;
use liveswap_tests::corpus::place::Place;
use liveswap_tests::corpus::plan::{self, Choice};
use liveswap_tests::corpus::{check, report, run};
use liveswap_tests::live_command::liveswap_command;

const USAGE: &str = "\
usage: cargo xtask corpus [OPTIONS] [FILTER…]

  --opt 0|3|both   optimisation levels (both)
  --part ci|all    what CI runs, or all (all)
  --workers 1|2    how many programs run at a time (2)
  --json FILE      one object a line for each edit
  --check          only compile all programs in all their states
  --list           only the names and edits of the cases
  --print          only the texts that the cases have

FILTER is a part of a case's name. LIVESWAP_COMMAND names another build of the command to test.";

#[derive(Default)]
struct Options {
    choice: Choice,
    workers: usize,
    json: Option<PathBuf>,
    what: What,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum What {
    #[default]
    Run,
    Check,
    List,
    Print,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            // Nothing is wrong with a call for help.
            return ExitCode::from(if why.is_empty() { 0 } else { 2 });
        }
    };
    match work(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        workers: 2,
        ..Options::default()
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--opt" => {
                options.choice.level = match value()?.as_str() {
                    "0" => Some(0),
                    "3" => Some(3),
                    "both" => None,
                    other => return Err(format!("no level {other}")),
                }
            }
            "--part" => options.choice.ci = value()? == "ci",
            "--workers" => {
                options.workers = match value()?.as_str() {
                    "1" => 1,
                    "2" => 2,
                    other => return Err(format!("{other} workers are not for this")),
                }
            }
            "--json" => options.json = Some(value()?.into()),
            "--check" => options.what = What::Check,
            "--list" => options.what = What::List,
            "--print" => options.what = What::Print,
            "--help" => return Err(String::new()),
            flag if flag.starts_with('-') => return Err(format!("what is {flag}?")),
            filter => options.choice.filters.push(filter.to_owned()),
        }
    }
    Ok(options)
}

fn work(options: Options) -> Result<bool, String> {
    let cases = plan::all()?;
    let mut choice = options.choice.clone();
    if options.what != What::Run {
        // The text of a case is one for all levels.
        choice.level = None;
    }
    let mut jobs = plan::jobs(cases, &choice);
    if options.what != What::Run {
        jobs.dedup_by(|(a, _), (b, _)| a.name == b.name);
        jobs.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        jobs.dedup_by(|(a, _), (b, _)| a.name == b.name);
    }
    if jobs.is_empty() {
        return Err("no such case".to_owned());
    }
    match options.what {
        What::Run => run_all(jobs, &options),
        What::Check => check_all(jobs, options.workers),
        What::List | What::Print => {
            for (case, _) in &jobs {
                show(case, options.what == What::Print);
            }
            let edits: usize = jobs.iter().map(|(case, _)| case.steps.len()).sum();
            println!("{} programs, {edits} edits", jobs.len());
            Ok(true)
        }
    }
}

fn show(case: &Case, with_texts: bool) {
    println!("{}: {}", case.name, case.about);
    let print = |files: &liveswap_tests::corpus::case::Files| {
        if with_texts {
            for (path, text) in files {
                println!("--- {path}\n{text}");
            }
        }
    };
    print(&case.files);
    for step in &case.steps {
        println!("  {} {}", step.label, step.about);
        print(&step.files);
    }
}

fn run_all(jobs: Vec<(Case, u8)>, options: &Options) -> Result<bool, String> {
    let command = liveswap_command();
    let begin = Instant::now();
    let mut results = Vec::new();
    let programs = jobs.len();
    let steps = jobs.iter().flat_map(|(case, _)| &case.steps);
    let edits = steps.filter(|step| !step.quick).count();
    for_all(
        jobs,
        options.workers,
        |place, case, level, answers| {
            let _ = answers.send(run::run(command, place, case, level));
        },
        |answer| {
            for result in answer? {
                if !result.outcome.is_ok() {
                    println!("{}", report::shortfall(&result));
                }
                results.push(result);
            }
            Ok(())
        },
    )?;
    if let Some(file) = &options.json {
        write(file, &report::json(&results))?;
    }
    println!("{}", report::matrix(&results));
    let unreached = edits - results.len();
    if unreached > 0 {
        println!("{unreached} edits were not reached: what they follow fell short");
    }
    println!("{programs} runs, {} s", begin.elapsed().as_secs());
    Ok(report::is_within_aims(&results))
}

fn check_all(jobs: Vec<(Case, u8)>, workers: usize) -> Result<bool, String> {
    let (mut fine, mut programs) = (true, 0);
    for_all(
        jobs,
        workers,
        |place, case, _, answers| {
            let _ = answers.send(check::check(place, case));
        },
        |answer| {
            programs += 1;
            if let Err(why) = answer {
                println!("{why}");
                fine = false;
            }
            Ok(())
        },
    )?;
    println!("{programs} programs were compiled in all their states");
    Ok(fine)
}

/// Workers take jobs from both ends: so what jobs share is seldom built by both.
fn for_all<T: Send>(
    jobs: Vec<(Case, u8)>,
    workers: usize,
    work: impl Fn(&Place, &Case, u8, &Sender<T>) + Sync,
    mut take: impl FnMut(T) -> Result<(), String>,
) -> Result<(), String> {
    let places: Vec<Place> = (0..workers)
        .map(Place::of_worker)
        .collect::<Result<_, _>>()?;
    let jobs = Mutex::new(VecDeque::from(jobs));
    let (sender, answers) = channel();
    thread::scope(|scope| {
        for (number, place) in places.iter().enumerate() {
            let (sender, jobs, work) = (sender.clone(), &jobs, &work);
            scope.spawn(move || {
                loop {
                    let job = {
                        let mut jobs = jobs.lock().expect("no worker panics with it");
                        if number == 0 {
                            jobs.pop_front()
                        } else {
                            jobs.pop_back()
                        }
                    };
                    let Some((case, level)) = job else { return };
                    work(place, &case, level, &sender);
                }
            });
        }
        drop(sender);
        let mut outcome = Ok(());
        for answer in answers {
            if let Err(why) = take(answer) {
                // No more jobs are begun; those under way come to their end.
                jobs.lock().expect("no worker panics with it").clear();
                outcome = Err(why);
            }
        }
        outcome
    })
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
