//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/` for a while, with the project's own compiler.
//!
//! What `cargo fuzz` asks of a nightly compiler is a sanitizer; to count what was covered takes none.

use std::ffi::OsString;
use std::process::Command;

use crate::project::{self, Project};
use crate::{Result, tools};

/// A target, and the folder with what it begins with.
const TARGETS: [(&str, &str); 4] = [
    ("patch", "patch"),
    ("object", "object"),
    ("debug_information", "object"),
    ("frames", "frames"),
];
/// Has the compiler count the edges that a run takes, as `cargo fuzz` does.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";
/// Only what is built for a named target gets the flags; build scripts and macros do not.
const TRIPLE: &str = "x86_64-unknown-linux-gnu";
const SECONDS: u32 = 60;

/// `args`: seconds for each target, and names of targets; all of them for a minute each without.
pub fn run(project: &Project, args: &[String]) -> Result<()> {
    let mut seconds = SECONDS;
    let mut named = Vec::new();
    for arg in args {
        match arg.parse() {
            Ok(number) => seconds = number,
            Err(_) => named.push(arg.as_str()),
        }
    }
    let known = |name: &&str| TARGETS.iter().any(|(target, _)| target == name);
    if let Some(unknown) = named.iter().find(|name| !known(name)) {
        return Err(format!("there is no target {unknown}"));
    }
    tools::provide(tools::FOR_FUZZ)?;
    let manifest = project.root.join("fuzz/Cargo.toml");
    let output = project.target_folder()?.join("fuzz");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .args(["build", "--release", "--target", TRIPLE])
        .arg("--manifest-path")
        .arg(&manifest)
        .arg("--target-dir")
        .arg(&output)
        .env("RUSTFLAGS", COVERAGE);
    project::run(&mut build)?;
    for (target, seeds) in TARGETS {
        if !named.is_empty() && !named.contains(&target) {
            continue;
        }
        let corpus = output.join("corpus").join(target);
        let artifacts = output.join("artifacts").join(target).join("");
        for folder in [&corpus, &artifacts] {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let mut prefix = OsString::from("-artifact_prefix=");
        prefix.push(&artifacts);
        let program = output.join(TRIPLE).join("release").join(target);
        println!("{target}, {seconds} s");
        let mut fuzz = Command::new(program);
        fuzz.arg(format!("-max_total_time={seconds}"))
            .args(["-verbosity=0", "-print_final_stats=1", "-timeout=20"])
            .arg(prefix)
            .arg(&corpus)
            .arg(project.root.join("fuzz/seeds").join(seeds));
        project::run(&mut fuzz).map_err(|why| format!("{target}: {why}"))?;
    }
    Ok(())
}
