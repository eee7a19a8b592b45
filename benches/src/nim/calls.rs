//! A call through a permanent address: instructions counted by callgrind, and time.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::reload::FEW;
use super::runtimes::Runtime;
use super::stage::Stage;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP};

/// Calls in one timed loop.
const CALLS: usize = 5_000_000;
/// Calls in the shorter and the longer loop under callgrind; start-up cancels out in the difference.
const COUNTED: [usize; 2] = [1_000_000, 3_000_000];

pub fn measure(stage: &Stage) -> Result<String> {
    let (ours, theirs) = (&stage.runtimes.liveswap, &stage.runtimes.nim);
    // The first two kinds are the host's own code and know no run-time.
    let kinds = [
        ("direct call", "direct", ours),
        ("through a pointer variable, no slot", "pointer", ours),
        (
            "through a pointer variable and Liveswap's slot",
            "slot",
            ours,
        ),
        (
            "through a pointer variable and Nim's trampoline",
            "slot",
            theirs,
        ),
    ];
    let mut sessions = [stage.start(ours, FEW)?, stage.start(theirs, FEW)?];
    let mut times = kinds.map(|_| Samples::default());
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..kinds.len() {
            let which = (turn + round) % kinds.len();
            let (_, kind, runtime) = kinds[which];
            let session = &mut sessions[usize::from(runtime.name == theirs.name)];
            let time = session.time(&format!("call {kind} {CALLS}"))?;
            if round >= WARM_UP {
                times[which].add(time / CALLS as f64);
            }
        }
    }
    let mut table =
        String::from("| one turn of a loop that calls | instructions | ns |\n|---|---|---|\n");
    for ((told, kind, runtime), time) in kinds.iter().zip(&times) {
        let instructions = instructions(stage, runtime, kind)?;
        let _ = writeln!(
            table,
            "| {told} | {instructions:.2} | {} |",
            time.told(Unit::Nanoseconds)
        );
    }
    Ok(table)
}

fn instructions(stage: &Stage, runtime: &Runtime, kind: &str) -> Result<f64> {
    let [short, long] = COUNTED;
    let difference =
        collected(stage, runtime, kind, long)? - collected(stage, runtime, kind, short)?;
    Ok(difference / (long - short) as f64)
}

/// The instructions of a whole run of the host program with one loop of `calls` calls.
fn collected(stage: &Stage, runtime: &Runtime, kind: &str, calls: usize) -> Result<f64> {
    let mut tool = Command::new("valgrind");
    tool.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let mut command = stage.start_under(tool, runtime, FEW)?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting valgrind")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    // One line fits into the pipe; dropping our end lets the program end after it.
    writeln!(stdin, "call {kind} {calls}")?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} under callgrind ended with {}\n{errors}",
        runtime.name,
        output.status
    );
    let told = errors
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .context("callgrind tells no count")?;
    Ok(told.1.trim().parse()?)
}
