//! `cargo xtask field`: real programs are edited while they are used.

#![expect(clippy::print_stdout, reason = "a command-line tool speaks on stdout")]

use std::process::ExitCode;
use std::time::Instant;

use liveswap_tests::field::script::Program;
use liveswap_tests::field::{programs, report, run};
use liveswap_tests::live_command::liveswap_command;

const USAGE: &str = "\
usage: cargo xtask field [OPTIONS] [PROGRAM…]

  --list      only the names and edits of the programs
  --check     only fetch the programs and see that the edits fit
  --messages  also what the command said was pending or refused

Without PROGRAM all are run, one after the other.
LIVESWAP_COMMAND names another build of the command to test.";

fn main() -> ExitCode {
    match work(std::env::args().skip(1).collect()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::from(2)
        }
    }
}

fn work(mut names: Vec<String>) -> Result<bool, String> {
    if names.iter().any(|name| name == "--help") {
        println!("{USAGE}");
        return Ok(true);
    }
    let all = programs::all();
    let mut has = |flag: &str| {
        let before = names.len();
        names.retain(|name| name != flag);
        names.len() < before
    };
    let (is_list, is_check) = (has("--list"), has("--check"));
    let with_messages = has("--messages");
    if let Some(unknown) = names
        .iter()
        .find(|&name| all.iter().all(|it| it.name != name))
    {
        return Err(format!("no program {unknown}\n\n{USAGE}"));
    }
    let chosen = all
        .iter()
        .filter(|it| names.is_empty() || names.iter().any(|name| name == it.name));
    if is_list {
        chosen.for_each(list);
        return Ok(true);
    }
    if is_check {
        return chosen
            .map(run::check)
            .collect::<Result<Vec<()>, String>>()
            .map(|_| true);
    }
    println!("{}", report::head());
    let mut fine = true;
    for program in chosen {
        let begin = Instant::now();
        let tell = |row: &report::Row| {
            println!("{}", row.line());
            if with_messages {
                row.heard
                    .messages
                    .iter()
                    .for_each(|it| println!("    {it}"));
            }
        };
        match run::run(liveswap_command(), program, tell) {
            Ok(is_fine) => fine &= is_fine,
            Err(why) => {
                println!("{}: {why}", program.name);
                fine = false;
            }
        }
        eprintln!("{}: {} s", program.name, begin.elapsed().as_secs());
    }
    Ok(fine)
}

fn list(program: &Program) {
    println!("{}", program.name);
    for (index, edit) in (program.edits)().iter().enumerate() {
        println!("  {:2} {}", index + 1, edit.about);
    }
}
