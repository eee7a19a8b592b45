//! What moves above: planets, a comet, stars.
//!
//! Look for `EDIT ME` while the program runs.

mod comet;
mod motion;
mod planet;
pub mod stars;

/// Something that is drawn and moves. The program makes its bodies once, at the start.
pub trait Body {
    fn name(&self) -> &str;

    /// Moves on by so many seconds.
    fn advance(&mut self, seconds: f64);

    /// Where it is; the picture goes from -1 to 1 in both directions.
    fn place(&self) -> (f64, f64);

    fn look(&self) -> Look;

    /// How often it went round since the program was started.
    fn rounds(&self) -> f64;
}

/// A sign and the number of its colour in the terminal (30 to 37, 90 to 97).
#[derive(Clone, Copy, PartialEq)]
pub struct Look {
    pub sign: char,
    pub colour: u8,
}

/// All bodies, each where it begins.
pub fn bodies() -> Vec<Box<dyn Body>> {
    vec![
        Box::new(planet::Planet::new("Mercury", 0.25, 37)),
        Box::new(planet::Planet::new("Venus", 0.45, 93)),
        Box::new(planet::Planet::new("Earth", 0.65, 94)),
        Box::new(planet::Planet::new("Mars", 0.90, 91)),
        Box::new(comet::Comet::new("comet")),
    ]
}
