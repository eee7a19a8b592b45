//! What thousands of swaps of one function leave in memory.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Options;
use super::contender::Session;
use super::place::Place;
use super::process::resident;
use super::project::{Edit, Form, Project, Size};

/// Swaps before the first look: what is loaded once is loaded then.
const WARM_UP: usize = 10;
/// Looks after that.
const LOOKS: usize = 4;

pub fn measure(place: &Place, options: &Options) -> Result<String> {
    let project = Project::create(place.path("memory"), Form::Plain, Size::Small, 0)?;
    let mut session = Session::start(place, &project)?;
    let command = session.running.pid();
    let program = session.started["pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .context("no pid")?;
    let mut table = String::from(
        "| swaps of one function | program, MiB | grown by | command, MiB | grown by |\n|---|---|---|---|---|\n",
    );
    let mut first = None;
    let mut value = 1;
    for look in 0..=LOOKS {
        let until = WARM_UP + options.swaps * look / LOOKS;
        while value <= until {
            value += 1;
            project.save(Edit::Library, value as u64)?;
            let event = session
                .events
                .swapped(Duration::from_secs(60))
                .with_context(|| session.running.messages())?;
            let mark = Edit::Library.mark(value as u64);
            ensure!(
                session
                    .running
                    .line_with(&mark, Duration::from_secs(5))?
                    .is_some(),
                "{event}, but the program does not show {mark}"
            );
        }
        let now = [resident(program)?, resident(command)?];
        let before = *first.get_or_insert(now);
        let _ = writeln!(
            table,
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            until - WARM_UP,
            now[0],
            now[0] - before[0],
            now[1],
            now[1] - before[1]
        );
    }
    project.stop();
    Ok(table)
}
