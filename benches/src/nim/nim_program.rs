//! A real Nim program: generated Nim modules and the parts of the standard library that they use,
//! compiled by the installed compiler as its users do.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::modules::replace_file;
use super::runtimes::{Runtime, nim, option, run};
use super::session::Session;
use super::stage::Stage;
use crate::samples::{ROUNDS, Samples, Unit, WARM_UP, ratio};

/// Modules of the program itself; those of the standard library come on top.
const OWN_MODULES: usize = 15;
/// The one that is edited.
const EDITED: usize = 7;
const STANDARD: &str = "strutils, tables, sets, json, times, os, sequtils, algorithm, math, options, strformat, deques, heapqueue";

const MAIN: &str = r#"import std/[hotcodereloading, monotimes, times, strutils]
import ALL

echo "ready"
stdout.flushFile()
var line = ""
while stdin.readLine(line):
  case line
  of "reload":
    let start = getMonoTime()
    performCodeReload()
    echo inNanoseconds(getMonoTime() - start)
  of "version": echo version()
  of "count": echo count()
  else: quit("no such command: " & line)
  stdout.flushFile()
"#;

pub fn measure(stage: &Stage) -> Result<String> {
    let program = Program::build(&stage.new_folder("nim-program")?)?;
    let mut ours = program.start(&stage.runtimes.liveswap)?;
    let mut theirs = program.start(&stage.runtimes.nim)?;
    let (mut liveswap, mut nim) = (Samples::default(), Samples::default());
    for round in 0..WARM_UP + ROUNDS {
        let version = if round % 2 == 0 { 2 } else { 1 };
        program.replace(version)?;
        for runtime in stage.runtimes.in_turn(round) {
            let is_ours = runtime.name == stage.runtimes.liveswap.name;
            let session = if is_ours { &mut ours } else { &mut theirs };
            let time = session.time("reload")?;
            let runs = session.time("version")?;
            ensure!(
                runs == version as f64,
                "{}: version {version} was put in place, {runs} runs",
                runtime.name
            );
            let count = session.time("count")?;
            ensure!(
                count == (round + 1) as f64,
                "{}: counted to {count} in round {round}",
                runtime.name
            );
            if round >= WARM_UP {
                if is_ours { &mut liveswap } else { &mut nim }.add(time);
            }
        }
    }
    let mut table = String::from(
        "| reload of one changed module of | Liveswap, ms | Nim's own, ms | Liveswap is faster by |\n|---|---|---|---|\n",
    );
    let _ = writeln!(
        table,
        "| a Nim program of {} modules, {OWN_MODULES} its own and the standard library's | {} | {} | {} |",
        program.libraries()?,
        liveswap.told(Unit::Milliseconds),
        nim.told(Unit::Milliseconds),
        ratio(&liveswap, &nim)
    );
    Ok(table)
}

struct Program {
    folder: PathBuf,
}

impl Program {
    /// Compiles the program, and once more with the edited module's other version.
    fn build(folder: &Path) -> Result<Self> {
        let program = Self {
            folder: folder.to_path_buf(),
        };
        let names: Vec<String> = (0..OWN_MODULES).map(|i| format!("mod{i}")).collect();
        fs::write(
            folder.join("main.nim"),
            MAIN.replace("ALL", &names.join(", ")),
        )?;
        for number in 0..OWN_MODULES {
            fs::write(folder.join(format!("mod{number}.nim")), module(number, 1))?;
        }
        program.compile("main")?;
        fs::copy(program.library(), program.kept(1))?;
        fs::write(folder.join(format!("mod{EDITED}.nim")), module(EDITED, 2))?;
        program.compile("scratch")?;
        fs::copy(program.library(), program.kept(2))?;
        program.replace(1)?;
        Ok(program)
    }

    fn compile(&self, output: &str) -> Result<()> {
        let mut command = nim();
        command
            .args(["c", "--hotCodeReloading:on"])
            .arg(option("--nimcache:", &self.folder.join("nimcache")))
            .arg(option("-o:", &self.folder.join(output)))
            .arg(self.folder.join("main.nim"));
        run(&mut command)
    }

    fn library(&self) -> PathBuf {
        self.folder
            .join(format!("nimcache/lib@mmod{EDITED}.nim.c.so"))
    }

    fn kept(&self, version: usize) -> PathBuf {
        self.folder.join(format!("version{version}.so"))
    }

    fn replace(&self, version: usize) -> Result<()> {
        replace_file(&self.library(), &self.kept(version))
    }

    fn start(&self, runtime: &Runtime) -> Result<Session> {
        let mut command = Command::new(self.folder.join("main"));
        command.env("LD_LIBRARY_PATH", runtime.search_path()?);
        Session::start(&mut command, runtime.name)
    }

    /// How many reloadable modules the compiler made of it.
    fn libraries(&self) -> Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(self.folder.join("nimcache"))? {
            let name = entry?.file_name();
            let name = name.to_str().context("a file name that is no text")?;
            count += usize::from(
                name.starts_with("lib@m")
                    && name.ends_with(".nim.c.so")
                    && !name.contains("liveswap-"),
            );
        }
        Ok(count)
    }
}

/// A module with some procs, globals and types, importing a few of the others.
fn module(number: usize, version: usize) -> String {
    let mut text = format!("import std/[{STANDARD}]\n");
    for import in [number / 2, number.saturating_sub(1), number / 3] {
        if import < number {
            let _ = writeln!(text, "import mod{import}");
        }
    }
    let _ = writeln!(
        text,
        "\ntype Thing{number}* = ref object of RootObj\n  name*: string\n  parts*: seq[int]\n\
         \nvar things{number}*: seq[Thing{number}] = @[]\nvar table{number} = initTable[string, int]()\nvar total{number}* = {number}\n"
    );
    for i in 0..15 {
        let _ = writeln!(
            text,
            "proc work{number}x{i}*(a: int, s: string): string =\n  inc total{number}, a\n  table{number}[s] = a + {i}\n  \
             things{number}.add Thing{number}(name: s, parts: @[a, {i}])\n  result = s.toUpperAscii & $a & $table{number}.len\n"
        );
    }
    if number == EDITED {
        let _ = writeln!(
            text,
            "var counted = 0\nproc version*(): int = {version}\nproc count*(): int =\n  inc counted\n  counted\n"
        );
    }
    text
}
