//! What the system says of a process.

use std::fs;

use anyhow::{Context as _, Result};

/// Whether a compiler runs below this process.
pub fn compiles(pid: u32) -> bool {
    children(pid).into_iter().any(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
        ["rustc", "cargo", "liveswap-rustc", "ld"].contains(&name.trim()) || compiles(child)
    })
}

/// Resident memory in MiB.
pub fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
