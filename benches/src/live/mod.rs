//! The main door: `cargo liveswap run` beside its peers and beside the compiler, on projects that are made
//! here, in each one's own form.

mod contender;
mod copies;
mod edits;
mod events;
mod functions;
mod kinds;
mod large;
mod memory;
mod place;
mod process;
mod project;
mod running;
mod rustc;
mod slots;
mod start;

use std::path::PathBuf;

use anyhow::Result;

use place::Place;
use project::Size;

/// What can be measured, by the names that the command line knows.
pub const PARTS: [&str; 9] = [
    "edits",
    "edits-o3",
    "large",
    "functions",
    "copies",
    "kinds",
    "memory",
    "start",
    "slots",
];

/// What the command line says.
pub struct Options {
    /// How often an edit is measured.
    pub rounds: usize,
    /// Swaps over which memory is measured.
    pub swaps: usize,
    /// `dx` of dioxus-cli.
    pub dx: Option<PathBuf>,
    /// A folder for the projects that is kept.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rounds: 12,
            swaps: 2000,
            dx: None,
            folder: None,
        }
    }
}

/// Measures some of the parts; `told` gets each table as soon as it is there.
pub fn measure(
    options: &Options,
    parts: &[String],
    told: &mut dyn FnMut(&str, String) -> Result<()>,
) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let place = Place::set(options.folder.as_deref())?;
    for part in parts {
        eprintln!("measuring: {part}");
        let table = match part.as_str() {
            "edits" => edits::measure(&place, options, Size::Small, 0)?,
            "edits-o3" => edits::measure(&place, options, Size::Small, 3)?,
            "large" => edits::measure(&place, options, Size::Large, 0)?,
            "functions" => functions::measure(&place, options)?,
            "copies" => copies::measure(&place, options)?,
            "kinds" => kinds::measure(&place, options)?,
            "memory" => memory::measure(&place, options)?,
            "start" => start::measure(&place, options)?,
            _ => slots::measure(&place)?,
        };
        told(part, table)?;
    }
    Ok(())
}
