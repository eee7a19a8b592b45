//! `cargo xtask demo nim`: a Nim program is edited while it runs.
//!
//! It succeeds only when the new code was seen at work and every day follows the day before, heights
//! included.

mod edits;
mod garden;
mod running;

use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::Copy;
use crate::nim;
use crate::project::Project;
use crate::stage::Stages;
use crate::{Result, project, tools};
use edits::EDITS;
use garden::{Code, Day};
use running::Running;

/// Days that are watched before the first edit and after each one.
const DAYS_WATCHED: usize = 3;
/// So much time may pass between the end of a build and the first line from new code.
const TIME_TO_CHANGE: Duration = Duration::from_secs(20);

pub fn run(project: &Project, stages: &mut Stages) -> Result<()> {
    stages.run("tools", || tools::provide(tools::FOR_NIM_DEMO))?;
    let library = stages.run("build libnimhcr.so", || project.build_nimhcr())?;
    let copy = Copy::of(&project.root.join("examples/nim-garden"))?;
    stages.run("build libnimrtl.so and the program", || {
        nim::build_nimrtl(&copy.folder)?;
        project::run(&mut nim::compile_reloadable(&copy.folder, "garden"))
    })?;
    stages.run("demonstration", || {
        show(&copy.folder, &library)
            .map_err(|why| format!("{why}\nthe program is in {}", copy.folder.display()))
    })?;
    copy.remove()
}

fn show(folder: &Path, library: &Path) -> Result<()> {
    let library_folder = library.parent().ok_or("libnimhcr.so has no folder")?;
    let mut garden = Running::start(folder, library_folder)?;
    println!(
        "The garden grows, process {}. Three edits follow; it is never stopped.",
        garden.id()
    );
    let mut today = garden.next_day()?;
    Code::FIRST.check_start(&today)?;
    let mut code = Code::FIRST;
    today = watch(&mut garden, today, code)?;

    for edit in &EDITS {
        println!("\n-- {}", edit.told);
        super::edit(folder, edit.file, edit.replacements)?;
        let start = Instant::now();
        let (built, day, running) = rebuild(folder, &mut garden, today, code, edit.expected)?;
        let took = start.elapsed().as_secs_f64();
        today = match (edit.expected, built.success()) {
            (None, false) => {
                println!(
                    "   the compiler refused the edit ({took:.1} s): the garden keeps the code that it has"
                );
                day
            }
            (Some(new_code), true) => {
                let day = if running == new_code {
                    day
                } else {
                    change(&mut garden, day, code, new_code)?
                };
                println!(
                    "   new code since day {} ({took:.1} s to compile), no plant lost a leaf",
                    day.number
                );
                code = new_code;
                day
            }
            (None, true) => return Err("the compiler took code that should be wrong".to_owned()),
            (Some(_), false) => return Err(format!("the compiler ended with {built}")),
        };
        today = watch(&mut garden, today, code)?;
    }
    garden.check_alive()?;
    println!(
        "\nThree edits, one process, {} days without a gap: new code, old state.",
        today.number
    );
    Ok(())
}

/// Some days on which nothing about the code changes.
fn watch(garden: &mut Running, mut today: Day, code: Code) -> Result<Day> {
    for _ in 0..DAYS_WATCHED {
        let next = garden.next_day()?;
        code.check_step(&today, &next)?;
        today = next;
    }
    Ok(today)
}

/// Waits for the first day under the new code. Until then, the old code's rules hold.
fn change(garden: &mut Running, mut today: Day, old: Code, new: Code) -> Result<Day> {
    let deadline = Instant::now() + TIME_TO_CHANGE;
    while Instant::now() < deadline {
        let next = garden.next_day()?;
        if new.check_step(&today, &next).is_ok() {
            return Ok(next);
        }
        old.check_step(&today, &next)?;
        today = next;
    }
    Err(format!(
        "{} s after the build the program still runs its old code",
        TIME_TO_CHANGE.as_secs()
    ))
}

/// Compiles the edited program, and watches the days that pass meanwhile. The last of them may be the
/// first under the new code already.
fn rebuild(
    folder: &Path,
    garden: &mut Running,
    mut today: Day,
    mut code: Code,
    new: Option<Code>,
) -> Result<(ExitStatus, Day, Code)> {
    let mut compiler = nim::compile_reloadable(folder, "scratch")
        .spawn()
        .map_err(|e| format!("cannot start nim: {e}"))?;
    loop {
        let next = garden.next_day()?;
        match (code.check_step(&today, &next), new) {
            (Err(_), Some(new)) if new.check_step(&today, &next).is_ok() => code = new,
            (checked, _) => checked?,
        }
        today = next;
        if let Some(status) = compiler
            .try_wait()
            .map_err(|e| format!("cannot wait for nim: {e}"))?
        {
            return Ok((status, today, code));
        }
    }
}
