//! Planets go round the sun in circles.

use std::f64::consts::TAU;

use crate::{Body, Look};

/// A field more or less in here, and the edit is refused: the planets that are in memory have the
/// fields of the day they were made. (EDIT ME 6: add `pub moons: u32,` and `moons: 0,` below.)
pub struct Planet {
    name: &'static str,
    distance: f64,
    colour: u8,
    rounds: f64,
}

impl Planet {
    pub fn new(name: &'static str, distance: f64, colour: u8) -> Self {
        Self {
            name,
            distance,
            colour,
            rounds: 0.0,
        }
    }
}

/// Rounds in a second, for a planet at this distance from the sun. The nearer, the faster.
fn speed(distance: f64) -> f64 {
    // EDIT ME 1: `-0.1 / …`, and all planets turn back from where they are.
    0.1 / distance
}

impl Body for Planet {
    fn name(&self) -> &str {
        self.name
    }

    fn advance(&mut self, seconds: f64) {
        self.rounds += speed(self.distance) * seconds;
    }

    fn place(&self) -> (f64, f64) {
        let angle = self.rounds * TAU;
        (self.distance * angle.cos(), self.distance * angle.sin())
    }

    fn look(&self) -> Look {
        Look {
            // EDIT ME 2: another sign, `'@'`. The program calls this method through a `Box<dyn Body>`
            // that it made at its start.
            sign: 'o',
            colour: self.colour,
        }
    }

    fn rounds(&self) -> f64 {
        self.rounds
    }
}
