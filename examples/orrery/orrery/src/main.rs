//! An orrery in the terminal: planets, a comet, stars. Made to be edited while it runs.
//!
//! Look for `EDIT ME` in `picture.rs` here and in the crate `sky`. What the program has in memory
//! (where everything stands, what was counted, the trails) stays when the code changes.
//!
//! When its output is no terminal it prints a line a second; an argument gives another number of
//! milliseconds.

mod picture;

use std::io::{self, IsTerminal as _, Write as _};
use std::thread;
use std::time::Duration;

use sky::{Body, stars};

/// The picture changes 20 times a second, and each time the sky moves on by as much.
const FRAMES_A_SECOND: u32 = 20;

fn main() {
    let line_ms = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let frame = Duration::from_millis(line_ms.unwrap_or(1000)) / FRAMES_A_SECOND;
    let mut bodies = sky::bodies();
    stars::shine(frame);
    let terminal = io::stdout().is_terminal();
    if terminal && picture::clear().is_err() {
        return;
    }
    // This loop never ends, so an edit of `main` waits for the next start. Whatever is called from here
    // is new at the next call.
    for number in 1_u64.. {
        advance(&mut bodies);
        let shown = if terminal {
            picture::draw(&bodies)
        } else if number.is_multiple_of(u64::from(FRAMES_A_SECOND)) {
            writeln!(io::stdout(), "{}", picture::line(&bodies))
        } else {
            Ok(())
        };
        if shown.is_err() {
            return; // nobody looks any more
        }
        thread::sleep(frame);
    }
}

fn advance(bodies: &mut [Box<dyn Body>]) {
    for body in bodies {
        body.advance(1.0 / f64::from(FRAMES_A_SECOND));
    }
}
