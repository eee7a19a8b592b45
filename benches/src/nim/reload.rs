//! Reload of one changed module.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::modules::Modules;
use super::runtimes::Runtime;
use super::session::Session;
use super::stage::Stage;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP, ratio};

/// Sizes of the program that the aims are set for.
pub const SIZES: [usize; 2] = [50, 500];
/// Enough modules for what does not depend on their number.
pub const FEW: usize = 10;

/// The module that is edited in a program of `n` modules: one in the middle of the graph.
pub fn edited_of(n: usize) -> usize {
    n / 2
}

pub struct Pair {
    pub liveswap: Samples,
    pub nim: Samples,
}

pub fn measure(stage: &Stage) -> Result<String> {
    let mut table = String::from(
        "| reload of one changed module of | Liveswap, ms | Nim's own, ms | Liveswap is faster by |\n|---|---|---|---|\n",
    );
    for n in SIZES {
        let pair = one_changed_of(stage, n)?;
        let _ = writeln!(
            table,
            "| {n} generated modules | {} | {} | {} |",
            pair.liveswap.told(Unit::Milliseconds),
            pair.nim.told(Unit::Milliseconds),
            ratio(&pair.liveswap, &pair.nim)
        );
    }
    Ok(table)
}

/// Replaces one module's file again and again; both run-times reload the very same file.
pub fn one_changed_of(stage: &Stage, n: usize) -> Result<Pair> {
    let edited = edited_of(n);
    let mut liveswap = Program::start(stage, &stage.runtimes.liveswap, n, edited)?;
    let mut nim = Program::start(stage, &stage.runtimes.nim, n, edited)?;
    let mut pair = Pair {
        liveswap: Samples::default(),
        nim: Samples::default(),
    };
    for round in 0..WARM_UP + ROUNDS {
        let version = if round % 2 == 0 { 2 } else { 1 };
        stage.modules.replace(edited, version)?;
        for runtime in stage.runtimes.in_turn(round) {
            let ours = runtime.name == stage.runtimes.liveswap.name;
            let program = if ours { &mut liveswap } else { &mut nim };
            let time = program.reload(version)?;
            if round >= WARM_UP {
                if ours {
                    &mut pair.liveswap
                } else {
                    &mut pair.nim
                }
                .add(time);
            }
        }
    }
    stage.modules.replace(edited, 1)?;
    Ok(pair)
}

struct Program {
    session: Session,
    name: &'static str,
    ask_version: String,
    ask_count: String,
    count: f64,
}

impl Program {
    fn start(stage: &Stage, runtime: &Runtime, n: usize, edited: usize) -> Result<Self> {
        let ask = |proc: usize| {
            format!(
                "value {} {}",
                Modules::file(edited),
                Modules::proc(edited, proc)
            )
        };
        let mut program = Self {
            session: stage.start(runtime, n)?,
            name: runtime.name,
            ask_version: ask(Modules::VERSION),
            ask_count: ask(Modules::COUNT),
            count: 0.0,
        };
        program.check(1)?;
        Ok(program)
    }

    /// The time of a reload that really brought in the new build and kept the module's state.
    fn reload(&mut self, version: usize) -> Result<f64> {
        let time = self.session.time("reload")?;
        self.check(version)?;
        Ok(time)
    }

    fn check(&mut self, version: usize) -> Result<()> {
        let runs = self.session.time(&self.ask_version)?;
        ensure!(
            runs == version as f64,
            "{}: version {version} was put in place, {runs} runs",
            self.name
        );
        self.count += 1.0;
        let count = self.session.time(&self.ask_count)?;
        ensure!(
            count == self.count,
            "{}: the module counted to {count}, not to {}",
            self.name,
            self.count
        );
        Ok(())
    }
}
