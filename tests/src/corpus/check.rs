//! Whether cases compile, before and after each edit, without Liveswap.

use std::process::Command;

use super::case::{Case, Files};
use super::place::{self, Place};
use crate::live_command::clean_environment;

/// Compiles a case in all its states.
///
/// # Errors
/// What the compiler says, and to which state.
pub fn check(place: &Place, case: &Case) -> Result<(), String> {
    let project = place.project(case)?;
    let mut before = place::complete(case, &case.files)?;
    let compile = |what: &str| {
        let mut cargo = Command::new("cargo");
        clean_environment(&mut cargo);
        let output = cargo
            .args(["check", "--quiet"])
            .current_dir(&project.root)
            .env("CARGO_TARGET_DIR", &project.target)
            .env("RUSTFLAGS", "-Awarnings")
            .output()
            .map_err(|error| format!("cargo does not start: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{}: {what}:\n{said}", case.name))
    };
    compile("the program")?;
    for step in &case.steps {
        let files: Files = place::complete(case, &step.files)?;
        project.save(&before, &files)?;
        before = files;
        compile(&step.about)?;
    }
    Ok(())
}
