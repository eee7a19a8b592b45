//! What an edit costs for which many functions of an optimised crate are copied: all those between two that changed.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::Options;
use super::contender::{Session, add_account};
use super::place::Place;
use super::project::{Form, Project, Size};
use crate::samples::{Samples, Unit};

/// Lengths of the chains of calls.
const LENGTHS: [usize; 3] = [100, 1000, 3000];
const WARM_UP: usize = 1;
const PARTS: [&str; 4] = ["detect", "diff", "apply", "compile"];

/// Prints what `logic::last` gives when it is another number than before.
pub const MAIN: &str = r#"use std::path::Path;
use std::time::Duration;

fn main() {
    let stop = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/stop"));
    let mut last = 0;
    while !stop.exists() {
        let now = logic::last();
        if now != last {
            println!("live bin=0 last={now} .");
            last = now;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
"#;

pub fn measure(place: &Place, options: &Options) -> Result<String> {
    let mut table = String::from("| functions copied | patch, KiB |");
    for part in PARTS {
        let _ = write!(table, " {part}, ms |");
    }
    table.push_str("\n|---|---|---|---|---|---|\n");
    for length in LENGTHS {
        let folder = place.path(&format!("copies-{length}"));
        let project = Project::create(folder, Form::Plain, Size::Small, 2)?;
        project.write("src/main.rs", MAIN)?;
        project.write("logic/src/lib.rs", &chain(length, 1))?;
        let mut session = Session::start(place, &project)?;
        let mut times = [const { Samples::new() }; PARTS.len()];
        let mut bytes = 0;
        for round in 0..WARM_UP + options.rounds {
            let value = 2 + round;
            project.write("logic/src/lib.rs", &chain(length, value))?;
            let event = session.shows(&format!("last={} ", expected(length, value)))?;
            bytes = event["bytes"].as_u64().context("no size")?;
            if round >= WARM_UP {
                add_account(&event, &PARTS, &mut times);
            }
        }
        project.stop();
        let _ = write!(table, "| {length} | {:.1} |", bytes as f64 / 1024.0);
        for time in times {
            let _ = write!(table, " {} |", time.told(Unit::Milliseconds));
        }
        table.push('\n');
    }
    Ok(table)
}

/// Functions that call each other in a row; an edit changes the first and the last.
fn chain(length: usize, value: usize) -> String {
    let mut text = format!(
        "use std::hint::black_box;\n\n#[inline(never)]\nfn f0() -> usize {{\n    black_box({value})\n}}\n\n"
    );
    for number in 1..=length {
        let _ = write!(
            text,
            "#[inline(never)]\nfn f{number}() -> usize {{\n    \
             let all = vec![f{}(); 3];\n    black_box(all[1]) + 1\n}}\n\n",
            number - 1
        );
    }
    let _ = write!(
        text,
        "#[inline(never)]\npub fn last() -> usize {{\n    black_box(f{length}()) + {value}\n}}\n"
    );
    text
}

fn expected(length: usize, value: usize) -> usize {
    length + 2 * value
}
