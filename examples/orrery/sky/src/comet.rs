//! One comet, which changes its way after every round.

use crate::motion::{WAYS, Way};
use crate::{Body, Look};

const SECONDS_OF_A_ROUND: f64 = 12.0;

pub struct Comet {
    name: &'static str,
    ways: Vec<Way>,
    rounds: f64,
}

impl Comet {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ways: WAYS.to_vec(),
            rounds: 0.0,
        }
    }
}

impl Body for Comet {
    fn name(&self) -> &str {
        self.name
    }

    fn advance(&mut self, seconds: f64) {
        self.rounds += seconds / SECONDS_OF_A_ROUND;
    }

    fn place(&self) -> (f64, f64) {
        let round = self.rounds as usize;
        let way = self.ways[round % self.ways.len()];
        way(self.rounds.fract())
    }

    fn look(&self) -> Look {
        Look {
            sign: '*',
            colour: 96,
        }
    }

    fn rounds(&self) -> f64 {
        self.rounds
    }
}
