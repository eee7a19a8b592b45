//! A call of a function that can be replaced: instructions counted by callgrind, and time.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::events::Events;
use super::place::{self, Place};
use super::project::{Form, Size, app_manifest, logic_manifest};
use super::rustc;
use crate::samples::{Samples, Unit, WARM_UP};

/// Calls in one timed loop.
const CALLS: u64 = 2_000_000;
/// Calls in the shorter and the longer loop under callgrind; start-up cancels out in the difference.
const COUNTED: [u64; 2] = [100_000, 300_000];
const ROUNDS: usize = 20;

/// A way to call, and what the program and the library look like then.
struct Way {
    told: &'static str,
    form: Form,
    call: &'static str,
    live: bool,
}

const WAYS: [Way; 6] = [
    Way {
        told: "no call: the loop itself",
        form: Form::Plain,
        call: "1",
        live: false,
    },
    Way {
        told: "direct call",
        form: Form::Plain,
        call: "logic::shown::callee()",
        live: false,
    },
    Way {
        told: "Liveswap",
        form: Form::Plain,
        call: "logic::shown::callee()",
        live: true,
    },
    Way {
        told: "subsecond::call, before the first patch",
        form: Form::Subsecond,
        call: "subsecond::call(logic::shown::callee)",
        live: false,
    },
    Way {
        told: "hot-lib-reloader",
        form: Form::HotLibReloader,
        call: "hot::callee()",
        live: false,
    },
    Way {
        told: "hotcode",
        form: Form::Hotcode,
        call: "logic::shown::callee()",
        live: false,
    },
];

pub fn measure(place: &Place) -> Result<String> {
    let mut programs = Vec::new();
    for (number, way) in WAYS.iter().enumerate() {
        eprintln!("preparing: {}", way.told);
        programs.push(way.build(place, &place.path(&format!("slots-{number}")))?);
    }
    let mut times = WAYS.map(|_| Samples::new());
    for round in 0..WARM_UP + ROUNDS {
        for turn in 0..programs.len() {
            let which = (turn + round) % programs.len();
            let output = programs[which].run(None, CALLS)?;
            let time: f64 = output
                .trim()
                .parse()
                .with_context(|| format!("no time: {output}"))?;
            if round >= WARM_UP {
                times[which].add(time / CALLS as f64);
            }
        }
    }
    let mut table =
        String::from("| one turn of a loop that calls | instructions | ns |\n|---|---|---|\n");
    let [short, long] = COUNTED;
    for ((way, program), time) in WAYS.iter().zip(&programs).zip(&times) {
        let instructions =
            (program.instructions(long)? - program.instructions(short)?) / (long - short) as f64;
        let _ = writeln!(
            table,
            "| {} | {instructions:.2} | {} |",
            way.told,
            time.told(Unit::Nanoseconds)
        );
    }
    Ok(table)
}

impl Way {
    /// Builds the program, optimised, but with debug assertions: without them the peers step aside.
    fn build(&self, place: &Place, folder: &Path) -> Result<Program> {
        let write = |path: &str, text: &str| -> Result<()> {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(folder))?;
            Ok(std::fs::write(path, text)?)
        };
        let attribute = match self.form {
            Form::Plain | Form::Subsecond => "#[inline(never)]",
            Form::HotLibReloader => "#[unsafe(no_mangle)]",
            Form::Hotcode => "#[hotcode::hotreload(always)]",
        };
        let hot = match self.form {
            Form::HotLibReloader => {
                "#[hot_lib_reloader::hot_module(dylib = \"logic\")]\n\
                 mod hot {\n    hot_functions_from_file!(\"logic/src/shown.rs\");\n}\n\n"
            }
            _ => "",
        };
        write("Cargo.toml", &app_manifest(self.form, Size::Small, 3))?;
        write("logic/Cargo.toml", &logic_manifest(self.form, Size::Small))?;
        write("logic/src/lib.rs", "pub mod shown;\n")?;
        write(
            "logic/src/shown.rs",
            &format!("{attribute}\npub fn callee() -> u64 {{\n    std::hint::black_box(1)\n}}\n"),
        )?;
        write(
            "src/main.rs",
            &format!("{hot}{}", MAIN.replace("@CALL@", self.call)),
        )?;
        if !self.live {
            place::run(place.cargo(folder).args(["build", "--workspace"]))?;
            return Program::new(folder, folder.join("target/debug/app"));
        }
        let path = folder.with_extension("events");
        place::run(place.liveswap(folder, &path).args(["--", "1"]))?;
        let started = Events::of(&path).next(&["started"], std::time::Duration::from_secs(1))?;
        Program::new(
            folder,
            PathBuf::from(started["exe"].as_str().context("no exe")?),
        )
    }
}

const MAIN: &str = r#"fn main() {
    let turns: u64 = std::env::args().nth(1).and_then(|turns| turns.parse().ok()).unwrap_or(1);
    let begun = std::time::Instant::now();
    for _ in 0..turns {
        std::hint::black_box(@CALL@);
    }
    println!("{}", begun.elapsed().as_nanos());
}
"#;

struct Program {
    folder: PathBuf,
    exe: PathBuf,
    libraries: std::ffi::OsString,
}

impl Program {
    fn new(folder: &Path, exe: PathBuf) -> Result<Self> {
        let target = folder.join("target/debug");
        let libraries = [
            target.clone(),
            target.join("deps"),
            rustc::sysroot()?.join("lib"),
        ];
        Ok(Self {
            folder: folder.to_owned(),
            exe,
            libraries: std::env::join_paths(libraries)?,
        })
    }

    /// Runs one loop, under a tool if there is one; stdout, or what the tool says.
    fn run(&self, tool: Option<&[&str]>, calls: u64) -> Result<String> {
        let mut command = match tool {
            Some([tool, options @ ..]) => {
                let mut command = Command::new(tool);
                command.args(options).arg(&self.exe);
                command
            }
            _ => Command::new(&self.exe),
        };
        command.arg(calls.to_string());
        let mut command = place::plain(command, &self.folder);
        let output = command
            .env("LD_LIBRARY_PATH", &self.libraries)
            .output()
            .with_context(|| format!("starting {command:?}"))?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{command:?} ended with {}\n{errors}",
            output.status
        );
        Ok(match tool {
            Some(_) => errors.into_owned(),
            None => String::from_utf8(output.stdout)?,
        })
    }

    /// The instructions of a whole run with one loop of `calls` calls.
    fn instructions(&self, calls: u64) -> Result<f64> {
        let tool = [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
        ];
        let told = self.run(Some(&tool), calls)?;
        let count = told
            .lines()
            .find_map(|line| line.split_once("Collected :"))
            .context("callgrind tells no count")?;
        Ok(count.1.trim().parse()?)
    }
}
