//! What many changed functions in one edit cost.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Options;
use super::contender::{Session, add_account};
use super::place::Place;
use super::project::{Form, Project, Size};
use crate::samples::{Samples, Unit};

/// Files of the library, by the number of functions that they have.
const FILES: [(&str, usize); 3] = [("one", 1), ("ten", 10), ("thousand", 1000)];
const WARM_UP: usize = 2;
const PARTS: [&str; 5] = ["apply", "pause", "diff", "compile", "total"];

const MAIN: &str = r#"use std::path::Path;
use std::time::Duration;

fn main() {
    let stop = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/stop"));
    let mut last = [0; 3];
    while !stop.exists() {
        let now = [logic::one::sum(), logic::ten::sum(), logic::thousand::sum()];
        if now != last {
            println!("live bin=0 one={} ten={} thousand={} .", now[0], now[1], now[2]);
            last = now;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
"#;

pub fn measure(place: &Place, options: &Options) -> Result<String> {
    let project = Project::create(place.path("functions"), Form::Plain, Size::Small, 0)?;
    project.write("src/main.rs", MAIN)?;
    project.write(
        "logic/src/lib.rs",
        "pub mod one;\npub mod ten;\npub mod thousand;\n",
    )?;
    for (name, count) in FILES {
        save(&project, name, count, 1)?;
    }
    let mut session = Session::start(place, &project)?;
    let mut times = [const { [const { Samples::new() }; PARTS.len()] }; FILES.len()];
    let mut bytes = [0; FILES.len()];
    for round in 0..WARM_UP + options.rounds {
        for (number, (name, count)) in FILES.into_iter().enumerate() {
            let value = 2 + round;
            save(&project, name, count, value)?;
            let event = session.shows(&format!("{name}={} ", value * count))?;
            let changed: u64 = event["modules"]
                .as_array()
                .context("no modules")?
                .iter()
                .filter_map(|module| module["changed"].as_u64())
                .sum();
            ensure!(
                changed >= count as u64,
                "{count} functions were changed, but: {event}"
            );
            bytes[number] = event["bytes"].as_u64().unwrap_or_default();
            if round >= WARM_UP {
                add_account(&event, &PARTS, &mut times[number]);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    project.stop();
    let mut table = String::from("| changed functions | patch, KiB |");
    for part in PARTS {
        let _ = write!(table, " {part}, ms |");
    }
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for ((times, bytes), (_, count)) in times.iter().zip(bytes).zip(FILES) {
        let _ = write!(table, "| {count} | {:.1} |", bytes as f64 / 1024.0);
        for time in times {
            let _ = write!(table, " {} |", time.told(Unit::Milliseconds));
        }
        table.push('\n');
    }
    Ok(table)
}

fn save(project: &Project, name: &str, count: usize, value: usize) -> Result<()> {
    let mut text = String::new();
    let mut list = String::new();
    for number in 0..count {
        let _ = write!(
            text,
            "#[inline(never)]\nfn f{number}(base: u64) -> u64 {{\n    \
             let names = [\"a{number}\", \"b{number}\"];\n    \
             if base > 10 {{\n        println!(\"{{names:?}} {{base}}\");\n    }}\n    \
             base * {value}\n}}\n\n"
        );
        let _ = write!(list, "f{number}, ");
    }
    let _ = write!(
        text,
        "static ALL: [fn(u64) -> u64; {count}] = [{list}];\n\n\
         pub fn sum() -> u64 {{\n    ALL.iter().map(|f| f(1)).sum()\n}}\n"
    );
    project.write(&format!("logic/src/{name}.rs"), &text)
}
