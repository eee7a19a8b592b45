//! What the first build and the start of the program cost.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::Options;
use super::contender::Session;
use super::place::{self, Place};
use super::project::{Form, Project, Size};
use super::running::Running;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP};

pub fn measure(place: &Place, options: &Options) -> Result<String> {
    let plain = Project::create(place.path("start-plain"), Form::Plain, Size::Small, 0)?;
    let live = Project::create(place.path("start-live"), Form::Plain, Size::Small, 0)?;
    let mut builds = [const { Samples::new() }; 2];
    let mut exe = String::new();
    for round in 0..=options.rounds {
        for turn in 0..2 {
            let begun = Instant::now();
            let which = (turn + round) % 2;
            if which == 0 {
                remove(&plain.target())?;
                let begun = Instant::now();
                let mut cargo = place.cargo(&plain.folder);
                let running =
                    Running::start(cargo.arg("run"), &plain.folder.with_extension("log"))?;
                let first = first_line(&running)?;
                if round > 0 {
                    builds[0].add(first.duration_since(begun).as_nanos() as f64);
                }
                continue;
            }
            remove(&live.target())?;
            remove(&live.folder.with_extension("events"))?;
            let cleaned = begun.elapsed();
            let session = Session::start(place, &live)?;
            let took = session
                .first_line
                .duration_since(begun)
                .saturating_sub(cleaned);
            exe = session.started["exe"]
                .as_str()
                .context("no exe")?
                .to_owned();
            if round > 0 {
                builds[1].add(took.as_nanos() as f64);
            }
        }
    }
    let [cargo, liveswap] = &builds;
    let mut report = format!(
        "| from nothing to the program's first line | `cargo run`, ms | `cargo liveswap run`, ms | ratio |\n\
         |---|---|---|---|\n| small project | {} | {} | **{:.2}** |\n\n",
        cargo.told(Unit::Milliseconds),
        liveswap.told(Unit::Milliseconds),
        liveswap.median() / cargo.median()
    );
    report.push_str(&starts(
        place,
        &plain,
        &plain.target().join("debug/app"),
        Path::new(&exe),
    )?);
    Ok(report)
}

/// From `exec` to the first line that `main` prints.
fn starts(place: &Place, project: &Project, plain: &Path, live: &Path) -> Result<String> {
    let socket = place.path("start.sock");
    let images = place.path("start-images");
    fs::create_dir_all(&images)?;
    if socket.exists() {
        // Of a run in the same folder.
        fs::remove_file(&socket)?;
    }
    let listener = UnixListener::bind(&socket)?;
    let kinds = [
        ("as cargo builds it", plain, false),
        ("as Liveswap builds it, started by hand", live, false),
        ("as Liveswap builds it, with the run-time awake", live, true),
    ];
    let mut times = kinds.map(|_| Samples::new());
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..kinds.len() {
            let which = (turn + round) % kinds.len();
            let (_, exe, awake) = kinds[which];
            let mut command = place::plain(Command::new(exe), &project.folder);
            if awake {
                command
                    .env("LIVESWAP_SOCKET", &socket)
                    .env("LIVESWAP_IMAGES", &images);
            }
            let begun = Instant::now();
            let running = Running::start(&mut command, &project.folder.with_extension("log"))?;
            let first = first_line(&running)?;
            if awake {
                // It connects, which shows that it is awake; nobody needs to answer.
                listener.accept()?;
            }
            if round >= WARM_UP {
                times[which].add(first.duration_since(begun).as_nanos() as f64);
            }
        }
    }
    let mut table = String::from("| start of the program, to its first line | ms |\n|---|---|\n");
    for ((told, _, _), time) in kinds.iter().zip(&times) {
        table.push_str(&format!("| {told} | {} |\n", time.told(Unit::Milliseconds)));
    }
    Ok(table)
}

fn first_line(running: &Running) -> Result<Instant> {
    let (at, _) = running
        .line_with("live bin=", Duration::from_secs(120))?
        .with_context(|| format!("the program does not begin\n{}", running.messages()))?;
    Ok(at)
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}
