//! The comet's ways, as functions. Whoever flies takes pointers to them at the start.

use std::f64::consts::TAU;

/// Where it is after this part of its way, from 0 to 1.
pub type Way = fn(part: f64) -> (f64, f64);

pub static WAYS: [Way; 2] = [rose, eight];

fn rose(part: f64) -> (f64, f64) {
    // EDIT ME 3: another number of petals, 3.0 or 5.0. The comet holds a pointer to this function.
    let petals = 2.0;
    let angle = part * TAU;
    let distance = (petals * angle).cos();
    (distance * angle.cos(), distance * angle.sin())
}

fn eight(part: f64) -> (f64, f64) {
    let angle = part * TAU;
    (angle.sin(), (2.0 * angle).sin() * 0.8)
}
