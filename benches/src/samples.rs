//! Times that were measured, and what is told of them.

use std::fmt;

/// How many times everything is measured.
pub const ROUNDS: usize = 40;
/// Rounds before that, which are not counted: they fill caches.
pub const WARM_UP: usize = 3;

/// Nanoseconds, or instructions.
#[derive(Default, Clone)]
pub struct Samples {
    values: Vec<f64>,
    given_up: bool,
}

impl Samples {
    pub const fn new() -> Self {
        Self {
            values: Vec::new(),
            given_up: false,
        }
    }

    /// There is nothing to measure.
    pub fn give_up(&mut self) {
        self.given_up = true;
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up
    }

    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            n if n.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    fn range(&self) -> (f64, f64) {
        self.values
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| {
                (low.min(x), high.max(x))
            })
    }

    /// `median (min–max)`, in `unit`.
    pub fn told(&self, unit: Unit) -> String {
        if self.given_up {
            return "—".to_owned();
        }
        let (low, high) = self.range();
        format!(
            "{} ({}–{})",
            unit.number(self.median()),
            unit.number(low),
            unit.number(high)
        )
    }
}

#[derive(Clone, Copy)]
pub enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    fn number(self, nanoseconds: f64) -> String {
        let value = match self {
            Self::Milliseconds => nanoseconds / 1e6,
            Self::Microseconds => nanoseconds / 1e3,
            Self::Nanoseconds => nanoseconds,
        };
        match value.abs() {
            value if value < 10.0 => format!("{value:.2}"),
            value if value < 100.0 => format!("{value:.1}"),
            value => format!("{value:.0}"),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Milliseconds => "ms",
            Self::Microseconds => "µs",
            Self::Nanoseconds => "ns",
        })
    }
}

/// How many times faster `ours` is, by medians.
pub fn ratio(ours: &Samples, theirs: &Samples) -> String {
    format!("**{:.1}×**", theirs.median() / ours.median())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_range_the_ends() {
        let mut samples = Samples::default();
        for value in [5_000_000.0, 1_000_000.0, 3_000_000.0] {
            samples.add(value);
        }
        assert_eq!(samples.told(Unit::Milliseconds), "3.00 (1.00–5.00)");
        samples.add(4_000_000.0);
        assert_eq!(samples.told(Unit::Microseconds), "3500 (1000–5000)");
        let mut twice = Samples::default();
        twice.add(7_000_000.0);
        assert_eq!(ratio(&samples, &twice), "**2.0×**");
    }
}
