//! From the save to the program's first line of the new code, side by side with the peers and with the compiler.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::Options;
use super::contender::{Contender, copy};
use super::place::Place;
use super::project::{Edit, Form, Size};
use crate::samples::{Samples, Unit};

/// Rounds that are not counted: they fill caches.
const WARM_UP: usize = 2;
/// Counted rounds in which the peers take part on the large project: an edit takes some of them a minute.
const PEERS_ROUNDS: usize = 3;
/// The parts of `total` in a `swapped` event.
const PARTS: [&str; 6] = ["detect", "compile", "diff", "apply", "pause", "total"];

/// What an aim of the project allows over rustc's own time: a factor, and milliseconds.
const AIM: (f64, f64) = (1.25, 30.0);

pub fn measure(place: &Place, options: &Options, size: Size, opt_level: u8) -> Result<String> {
    let mut contenders = contenders(place, options, size, opt_level)?;
    let mut times = vec![[const { Samples::new() }; Edit::ALL.len()]; contenders.len()];
    let mut accounts = [const { [const { Samples::new() }; PARTS.len()] }; Edit::ALL.len()];
    let mut value = 1;
    for round in 0..WARM_UP + options.rounds {
        for (which, edit) in Edit::ALL.into_iter().enumerate() {
            value += 1;
            for turn in 0..contenders.len() {
                let number = (turn + round) % contenders.len();
                // What did not go live in the warm-up will not do so later.
                if round >= WARM_UP && times[number][which].is_given_up() {
                    continue;
                }
                let contender = &mut contenders[number];
                if size == Size::Large && contender.is_peer() && round >= WARM_UP + PEERS_ROUNDS {
                    continue;
                }
                let measured = contender
                    .edit(place, edit, value)
                    .with_context(|| format!("{}: {}", contender.name, edit.told()))?;
                contender.settle();
                match measured {
                    None => times[number][which].give_up(),
                    Some(_) if round < WARM_UP => {}
                    Some(measured) => {
                        times[number][which].add(measured.time);
                        for (part, samples) in PARTS.iter().zip(&mut accounts[which]) {
                            if let Some(event) = &measured.event {
                                samples.add(event["ms"][*part].as_f64().unwrap_or(f64::NAN) * 1e6);
                            }
                        }
                    }
                }
            }
        }
    }
    let mut report = format!("{}\n{}", compared(&contenders, &times), account(&accounts));
    if size == Size::Large {
        let _ = write!(report, "\n{} packages.", packages(place, &contenders)?);
        for contender in &contenders {
            if contender.from_nothing && !contender.is_peer() {
                let seconds = contender.first.as_secs_f64();
                let _ = write!(
                    report,
                    " First build, once: {} {seconds:.0} s.",
                    contender.name
                );
            }
        }
        report.push('\n');
    }
    Ok(report)
}

fn contenders(
    place: &Place,
    options: &Options,
    size: Size,
    opt_level: u8,
) -> Result<Vec<Contender>> {
    let make = |name: &str, form, like| {
        eprintln!("preparing: {name}");
        let name = format!(
            "{name}-{}-o{opt_level}",
            if size == Size::Large {
                "large"
            } else {
                "small"
            }
        );
        // Liveswap's own first build is measured.
        let warm = size == Size::Large && !name.starts_with("liveswap");
        copy(place, &name, (form, size, opt_level), like, warm)
    };
    let cargo = Contender::cargo(place, make("cargo", Form::Plain, None)?)?;
    let like = &cargo.project;
    let rustc = Contender::rustc(place, make("rustc", Form::Plain, Some(like))?)?;
    let liveswap = Contender::liveswap(place, make("liveswap", Form::Plain, Some(like))?)?;
    let reloader = Contender::library(
        place,
        make("hot-lib-reloader", Form::HotLibReloader, Some(like))?,
        "hot-lib-reloader",
    )?;
    let hotcode = Contender::library(
        place,
        make("hotcode", Form::Hotcode, Some(like))?,
        "hotcode",
    )?;
    let dx = match &options.dx {
        Some(dx) => Some(Contender::dx(
            dx,
            make("subsecond", Form::Subsecond, Some(like))?,
        )?),
        None => None,
    };
    Ok([rustc, cargo, liveswap, reloader, hotcode]
        .into_iter()
        .chain(dx)
        .collect())
}

/// How many packages the plain project has.
fn packages(place: &Place, contenders: &[Contender]) -> Result<usize> {
    let cargo = contenders.first().context("nobody takes part")?;
    let output = place
        .cargo(&cargo.project.folder)
        .args(["tree", "--prefix", "none", "--edges", "normal,build"])
        .output()?;
    let mut lines: Vec<&[u8]> = output
        .stdout
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b" (*)").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines.len())
}

fn compared(contenders: &[Contender], times: &[[Samples; Edit::ALL.len()]]) -> String {
    let mut table =
        String::from("| ms from the save to the first new line (builds: to their end) |");
    for edit in Edit::ALL {
        let _ = write!(table, " {} |", edit.told());
    }
    table.push_str("\n|---|---|---|---|\n");
    for (contender, times) in contenders.iter().zip(times) {
        let _ = write!(table, "| {} |", contender.name);
        for time in times {
            let _ = write!(table, " {} |", time.told(Unit::Milliseconds));
        }
        table.push('\n');
    }
    let of = |name: &str| {
        contenders
            .iter()
            .position(|contender| contender.name == name)
    };
    let (Some(rustc), Some(liveswap)) = (of("rustc alone"), of("Liveswap")) else {
        return table;
    };
    let _ = write!(
        table,
        "| *Liveswap may take: {} × rustc + {} ms* |",
        AIM.0, AIM.1
    );
    for time in &times[rustc] {
        let _ = write!(table, " {:.0} |", time.median() / 1e6 * AIM.0 + AIM.1);
    }
    table.push('\n');
    for (contender, theirs) in contenders.iter().zip(times) {
        if contender.name == "Liveswap" {
            continue;
        }
        let _ = write!(table, "| {} : Liveswap |", contender.name);
        for (ours, theirs) in times[liveswap].iter().zip(theirs) {
            if theirs.is_given_up() {
                table.push_str(" |");
            } else {
                let _ = write!(table, " **{:.2}** |", theirs.median() / ours.median());
            }
        }
        table.push('\n');
    }
    table
}

fn account(accounts: &[[Samples; PARTS.len()]; Edit::ALL.len()]) -> String {
    let mut table = String::from("| Liveswap's own account, ms |");
    for part in PARTS {
        let _ = write!(table, " {part} |");
    }
    table.push_str("\n|---|---|---|---|---|---|---|\n");
    for (edit, samples) in Edit::ALL.into_iter().zip(accounts) {
        let _ = write!(table, "| {} |", edit.told());
        for sample in samples {
            let _ = write!(table, " {} |", sample.told(Unit::Milliseconds));
        }
        table.push('\n');
    }
    table
}
