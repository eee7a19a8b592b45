//! What modules that did not change cost: a reload, and the question whether anything changed, in
//! ever larger programs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::reload::one_changed_of;
use super::session::Session;
use super::stage::Stage;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP};

pub const SIZES: [usize; 5] = [10, 50, 200, 500, 1000];

pub fn measure(stage: &Stage) -> Result<String> {
    let mut table = String::from(
        "| modules in the program | reload of one: Liveswap, ms | Nim's own, ms | is a reload needed? Liveswap, µs | Nim's own, µs \
         | one stat() each, µs |\n|---|---|---|---|---|---|\n",
    );
    for n in SIZES {
        eprintln!("  {n} modules");
        let reload = one_changed_of(stage, n)?;
        let needed = needed(stage, n)?;
        let _ = writeln!(
            table,
            "| {n} | {} | {} | {} | {} | {} |",
            reload.liveswap.told(Unit::Milliseconds),
            reload.nim.told(Unit::Milliseconds),
            needed.liveswap.told(Unit::Microseconds),
            needed.nim.told(Unit::Microseconds),
            needed.stat.told(Unit::Microseconds)
        );
    }
    Ok(table)
}

struct Needed {
    liveswap: Samples,
    nim: Samples,
    stat: Samples,
}

/// The time of `hcrReloadNeeded` when nothing has changed, and of the system calls that it cannot do without.
fn needed(stage: &Stage, n: usize) -> Result<Needed> {
    let mut liveswap = stage.start(&stage.runtimes.liveswap, n)?;
    let mut nim = stage.start(&stage.runtimes.nim, n)?;
    let mut all = Needed {
        liveswap: Samples::default(),
        nim: Samples::default(),
        stat: Samples::default(),
    };
    // Liveswap looks more closely at a file that was written a moment ago, and one was.
    std::thread::sleep(Duration::from_millis(100));
    for round in 0..WARM_UP + ROUNDS {
        for runtime in stage.runtimes.in_turn(round) {
            let ours = runtime.name == stage.runtimes.liveswap.name;
            let time = not_needed(if ours { &mut liveswap } else { &mut nim })?;
            if round >= WARM_UP {
                if ours {
                    &mut all.liveswap
                } else {
                    &mut all.nim
                }
                .add(time);
            }
        }
        let time = liveswap.time("stat")?;
        if round >= WARM_UP {
            all.stat.add(time);
        }
    }
    Ok(all)
}

fn not_needed(session: &mut Session) -> Result<f64> {
    match session.times("needed")?[..] {
        [time, 0.0] => Ok(time),
        ref other => {
            ensure!(false, "nothing was changed, and the answer is {other:?}");
            Ok(f64::NAN)
        }
    }
}
