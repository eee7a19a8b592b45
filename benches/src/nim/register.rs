//! Registration of many procs.

use std::fmt::Write as _;

use anyhow::{Result, bail};

use super::reload::FEW;
use super::stage::Stage;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP, ratio};

const PROCS: usize = 100_000;

pub fn measure(stage: &Stage) -> Result<String> {
    let mut first = [Samples::default(), Samples::default()];
    let mut again = [Samples::default(), Samples::default()];
    for round in 0..WARM_UP + ROUNDS {
        for runtime in stage.runtimes.in_turn(round) {
            let which = usize::from(runtime.name == stage.runtimes.nim.name);
            // A new process each time: the first registration happens once in the life of one.
            let mut session = stage.start(runtime, FEW)?;
            let [new, update] = session.times(&format!("register {PROCS}"))?[..] else {
                bail!("{} does not answer with two times", runtime.name);
            };
            if round >= WARM_UP {
                first[which].add(new / PROCS as f64);
                again[which].add(update / PROCS as f64);
            }
        }
    }
    let mut table = format!(
        "| registration of {PROCS} procs, for each | Liveswap, ns | Nim's own, ns | Liveswap is faster by |\n|---|---|---|---|\n"
    );
    for (what, [ours, theirs]) in [
        ("for the first time", &first),
        ("again, as at a reload", &again),
    ] {
        let _ = writeln!(
            table,
            "| {what} | {} | {} | {} |",
            ours.told(Unit::Nanoseconds),
            theirs.told(Unit::Nanoseconds),
            ratio(ours, theirs)
        );
    }
    Ok(table)
}
