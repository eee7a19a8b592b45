//! How the sky is drawn.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::Mutex;

use sky::{Body, Look, stars};

const WIDTH: usize = 66;
const HEIGHT: usize = 19;
/// For so many frames a body leaves a trail behind it.
const TRAIL: u8 = 40;

thread_local! {
    /// Pictures, or lines, that this thread has drawn.
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}

/// How long every place of the picture goes on glowing.
static GLOW: Mutex<[u8; WIDTH * HEIGHT]> = Mutex::new([0; WIDTH * HEIGHT]);

fn sun() -> Look {
    // EDIT ME 5: another sun, `'O'`, or another colour.
    Look {
        sign: '#',
        colour: 33,
    }
}

/// What is said below the picture.
fn caption(drawn: u64) -> String {
    // EDIT ME: say something else.
    format!("picture {drawn}, {} twinkles", stars::twinkles())
}

/// How often each body went round since the program was started.
fn rounds(bodies: &[Box<dyn Body>]) -> String {
    let each: Vec<String> = bodies
        .iter()
        .map(|body| format!("{} {:.2}", body.name(), body.rounds()))
        .collect();
    each.join(", ")
}

/// The sky in one line, for those who have no terminal.
pub fn line(bodies: &[Box<dyn Body>]) -> String {
    let signs: String = bodies.iter().map(|body| body.look().sign).collect();
    let (sun, rounds) = (sun().sign, rounds(bodies));
    format!("{sun} {signs} | {rounds} | {}", caption(count()))
}

/// Draws the sky at the top of the terminal. Everything else that is written to the terminal (what
/// Liveswap or the compiler says) stays below.
///
/// Each row is one write that leaves the cursor where it was and the colours as they were, so the
/// program may be ended at any time.
pub fn draw(bodies: &[Box<dyn Body>]) -> io::Result<()> {
    let mut cells = [None; WIDTH * HEIGHT];
    for (place, look) in stars::visible() {
        put(&mut cells, place, look);
    }
    trails(&mut cells, bodies);
    put(&mut cells, (0.0, 0.0), sun());
    for body in bodies {
        put(&mut cells, body.place(), body.look());
    }
    for (row, cells) in cells.chunks(WIDTH).enumerate() {
        write_row(row, &painted(cells))?;
    }
    write_row(HEIGHT, &rounds(bodies))?;
    write_row(HEIGHT + 1, &caption(count()))
}

/// Makes room for the picture.
pub fn clear() -> io::Result<()> {
    let below = HEIGHT + 4;
    io::stdout().write_all(format!("\x1b[2J\x1b[{below};1H").as_bytes())?;
    io::stdout().flush()
}

fn trails(cells: &mut [Option<Look>], bodies: &[Box<dyn Body>]) {
    let Ok(mut glow) = GLOW.lock() else { return };
    for glow in glow.iter_mut() {
        *glow = glow.saturating_sub(1);
    }
    for body in bodies {
        glow[cell(body.place())] = TRAIL;
    }
    for (cell, glow) in cells.iter_mut().zip(glow.iter()) {
        if *glow > 0 {
            *cell = Some(Look {
                sign: '·',
                colour: if *glow > TRAIL / 2 { 36 } else { 34 },
            });
        }
    }
}

fn put(cells: &mut [Option<Look>], place: (f64, f64), look: Look) {
    cells[cell(place)] = Some(look);
}

fn cell((x, y): (f64, f64)) -> usize {
    let scale = |value: f64, size: usize| {
        let last = (size - 1) as f64;
        ((value + 1.0) / 2.0 * last).round().clamp(0.0, last) as usize
    };
    scale(-y, HEIGHT) * WIDTH + scale(x, WIDTH)
}

fn painted(cells: &[Option<Look>]) -> String {
    let mut text = String::new();
    let mut colour = 0;
    for cell in cells {
        let look = cell.unwrap_or(Look { sign: ' ', colour });
        if look.colour != colour {
            text.push_str(&format!("\x1b[{}m", look.colour));
            colour = look.colour;
        }
        text.push(look.sign);
    }
    text
}

/// Shows a row at its place: `ESC 7` and `ESC 8` save and restore the cursor and the colours.
fn write_row(row: usize, text: &str) -> io::Result<()> {
    let row = row + 1;
    let text = format!("\x1b7\x1b[{row};1H\x1b[0m{text}\x1b[0m\x1b[K\x1b8");
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn count() -> u64 {
    DRAWN.set(DRAWN.get() + 1);
    DRAWN.get()
}
