//! Random programs, randomly edited while they run, against a plain model of the rules.
//!
//! A sequence begins with a random graph of two to six modules. Each of its steps edits some of
//! them, or breaks one, and reloads; the model says beforehand what every module prints, what each
//! proc returns and what is said on standard error, and the process has to say exactly that.
//!
//! `LIVESWAP_MODEL_SEQUENCES` sets the number of sequences, `LIVESWAP_MODEL_SEED` the seed of the
//! first one; a failure prints the seed that replays it.

mod edits;
mod rules;
mod session;
mod spec;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

const SEQUENCES: u64 = 200;

#[test]
fn random_programs_behave_as_the_model_says() {
    let first = number_from_environment("LIVESWAP_MODEL_SEED");
    let default_count = if first.is_some() { 1 } else { SEQUENCES };
    let count = number_from_environment("LIVESWAP_MODEL_SEQUENCES").unwrap_or(default_count);
    let first = first.unwrap_or(1);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicU64::new(0);
    let totals = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|_| scope.spawn(|| work(first, count, &next)))
            .collect();
        let mut totals = session::Totals::default();
        for worker in workers {
            match worker.join() {
                Ok(part) => totals.add(&part),
                Err(panic) => resume_unwind(panic),
            }
        }
        totals
    });
    eprintln!("{count} sequences: {totals}");
    if count >= SEQUENCES {
        totals.require_that_everything_happened();
    }
}

/// Runs sequences until none is left.
fn work(first: u64, count: u64, next: &AtomicU64) -> session::Totals {
    let mut totals = session::Totals::default();
    loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return totals;
        }
        let seed = first + index;
        match catch_unwind(AssertUnwindSafe(|| session::run(seed))) {
            Ok(part) => totals.add(&part),
            Err(panic) => {
                eprintln!("to replay this sequence alone: LIVESWAP_MODEL_SEED={seed}");
                next.store(count, Ordering::Relaxed);
                resume_unwind(panic);
            }
        }
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{name}={text} is no number"),
    }
}
