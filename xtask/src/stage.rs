//! Stages of a run: their names are announced, their times told at the end.

use std::time::{Duration, Instant};

use crate::Result;

#[derive(Default)]
pub struct Stages {
    done: Vec<(&'static str, Duration)>,
}

impl Stages {
    /// Runs one stage. Its time counts also when it fails.
    pub fn run<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let outcome = work();
        self.done.push((name, start.elapsed()));
        outcome.map_err(|why| format!("{name}: {why}"))
    }

    /// One line with the time of every stage, so that a slow run shows where it was slow.
    pub fn print_times(&self) {
        if !self.done.is_empty() {
            println!("== {}", self.times());
        }
    }

    fn times(&self) -> String {
        let times: Vec<String> = self
            .done
            .iter()
            .map(|(name, took)| format!("{name} {:.1} s", took.as_secs_f64()))
            .collect();
        times.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_stage_is_named_and_its_time_is_kept() {
        let mut stages = Stages::default();
        stages.run("first", || Ok(())).expect("the first stage");
        let why = stages
            .run("second", || Err::<(), _>("broken".to_owned()))
            .expect_err("the second stage");
        assert_eq!(why, "second: broken");
        let times = stages.times();
        assert!(
            times.starts_with("first ") && times.contains(", second "),
            "{times}"
        );
    }
}
