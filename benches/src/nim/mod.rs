//! The Nim door: `libnimhcr.so` beside Nim's own run-time. The same modules, the same host program, the same
//! machine, in one run, in changing order.

mod calls;
mod growth;
mod modules;
mod nim_program;
mod register;
mod reload;
mod runtimes;
mod session;
mod stage;

use anyhow::Result;

use crate::samples::ROUNDS;
use stage::Stage;

/// What can be measured, by the names that the command line knows.
pub const PARTS: [&str; 5] = ["reload", "nim", "growth", "register", "calls"];

/// Measures some of the parts; `told` gets each table as soon as it is there.
pub fn measure(parts: &[String], told: &mut dyn FnMut(&str, String) -> Result<()>) -> Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let stage = Stage::set(parts)?;
    for part in parts {
        eprintln!("measuring: {part}");
        let table = match part.as_str() {
            "reload" => reload::measure(&stage)?,
            "nim" => nim_program::measure(&stage)?,
            "growth" => growth::measure(&stage)?,
            "register" => register::measure(&stage)?,
            _ => calls::measure(&stage)?,
        };
        let version = &stage.runtimes.nim_version;
        told(
            part,
            format!("Nim {version}, medians of {ROUNDS} (min–max):\n\n{table}"),
        )?;
    }
    Ok(())
}
