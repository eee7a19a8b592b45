//! Liveswap beside Nim's own run-time: the same modules, the same host program, the same machine, in
//! one run, in changing order. See README.md of this folder.

#![expect(clippy::print_stdout, reason = "the report goes to stdout")]

mod calls;
mod growth;
mod modules;
mod nim_program;
mod readme;
mod register;
mod reload;
mod runtimes;
mod samples;
mod session;
mod stage;

use anyhow::{Result, bail};

use stage::Stage;

const USAGE: &str = "\
usage: cargo run --release -p liveswap-benches [-- [--write] [all|reload|nim|growth|register|calls] ...]
  --write   put the tables into benches/README.md as well";

const ALL: [&str; 5] = ["reload", "nim", "growth", "register", "calls"];

fn main() -> Result<()> {
    let (options, mut wanted): (Vec<String>, Vec<String>) = std::env::args()
        .skip(1)
        .partition(|arg| arg.starts_with('-'));
    if let Some(unknown) = options.iter().find(|option| *option != "--write") {
        bail!("unknown: {unknown}\n{USAGE}");
    }
    if wanted.is_empty() || wanted.iter().any(|what| what == "all") {
        wanted = ALL.map(str::to_owned).to_vec();
    }
    if let Some(unknown) = wanted.iter().find(|what| !ALL.contains(&what.as_str())) {
        bail!("unknown: {unknown}\n{USAGE}");
    }
    let stage = Stage::set(&wanted)?;
    let mut report = format!(
        "Nim {}, medians of {} (min–max):\n",
        stage.runtimes.nim_version,
        samples::ROUNDS
    );
    println!("{report}");
    for what in &wanted {
        eprintln!("measuring: {what}");
        let table = match what.as_str() {
            "reload" => reload::measure(&stage)?,
            "nim" => nim_program::measure(&stage)?,
            "growth" => growth::measure(&stage)?,
            "register" => register::measure(&stage)?,
            _ => calls::measure(&stage)?,
        };
        println!("{table}");
        report.push('\n');
        report.push_str(&table);
    }
    if options.is_empty() {
        Ok(())
    } else {
        readme::write(&report)
    }
}
