//! Stars, which a thread of their own makes twinkle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::Look;

/// How many stars there are.
const COUNT: usize = 60;

/// How often a star has changed, since the program was started.
static TWINKLES: AtomicU64 = AtomicU64::new(0);
static CHANGED: Mutex<[bool; COUNT]> = Mutex::new([false; COUNT]);

/// Starts the thread. It never ends; what it calls can change.
pub fn shine(pause: Duration) {
    thread::spawn(move || {
        loop {
            thread::sleep(pause);
            twinkle();
        }
    });
}

fn twinkle() {
    let number = TWINKLES.fetch_add(1, Ordering::Relaxed);
    if let Ok(mut changed) = CHANGED.lock() {
        let star = number as usize * 7 % COUNT;
        changed[star] = !changed[star];
    }
}

/// How often a star has changed.
pub fn twinkles() -> u64 {
    TWINKLES.load(Ordering::Relaxed)
}

/// All that can be seen, and where.
pub fn visible() -> Vec<((f64, f64), Look)> {
    let changed = CHANGED.lock().map_or([false; COUNT], |changed| *changed);
    (0..COUNT)
        .filter(|&star| changed[star] != star.is_multiple_of(2))
        .map(|star| (place(star), look(star)))
        .collect()
}

fn look(star: usize) -> Look {
    Look {
        // EDIT ME 4: `if star % 2 == 0 { '+' } else { '.' }`
        sign: if star.is_multiple_of(5) { '+' } else { '.' },
        colour: 90,
    }
}

/// Scattered, and always the same.
fn place(star: usize) -> (f64, f64) {
    let across = (star as f64 * 0.754_877_666).fract();
    let down = (star as f64 * 0.569_840_291).fract();
    (across * 2.0 - 1.0, down * 2.0 - 1.0)
}
