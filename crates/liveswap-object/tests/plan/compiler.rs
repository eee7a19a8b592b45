//! Compiles and links a crate of one object.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use liveswap_object::elf::Elf;
use liveswap_object::names;
use liveswap_object::patch::{
    Identities, NewObject, NewUnit, NoSupply, Planned, Refusal, Room, Supply, plan,
};
use liveswap_object::program::Program;
use liveswap_object::program::executable::Executable;
use liveswap_object::rewrite::{self, Origin};
use liveswap_object::slots;
use liveswap_protocol::patch::{Image, Place};

/// How much the compiler optimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    None,
    Most,
}

impl Level {
    pub const ALL: [Level; 2] = [Level::None, Level::Most];
}

const PRELUDE: &str = r#"
#![no_std]
#![no_main]
#![allow(dead_code, unused_imports, static_mut_refs)]
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
"#;

const CGU: &str = "one";

/// A crate that was linked, and is compared with edits of it.
pub struct LiveCrate {
    program: Program,
    level: Level,
    panic: &'static str,
}

impl LiveCrate {
    pub fn new(source: &str, level: Level) -> LiveCrate {
        LiveCrate::with(source, level, "abort")
    }

    /// One with destructors that run when something panics.
    pub fn unwinding(source: &str, level: Level) -> LiveCrate {
        LiveCrate::with(source, level, "unwind")
    }

    fn with(source: &str, level: Level, panic: &'static str) -> LiveCrate {
        let dir = tempfile::tempdir().unwrap();
        let object = compile(dir.path(), source, level, panic);
        let origin = Origin {
            cgu: CGU,
            optimised: level != Level::None,
        };
        let rewritten = rewrite::for_linking(&object, &origin).unwrap();
        let machine = Elf::parse(&object).unwrap().machine;
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("crate.o"), rewritten.bytes).unwrap();
        std::fs::write(
            path("slots.o"),
            slots::object(machine, &rewritten.slots).unwrap(),
        )
        .unwrap();
        std::fs::write(
            path("agent.c"),
            "void liveswap_start(void *descriptor) {} \
             int main(void) { extern long exported(long); return (int)exported(1); } \
             void rust_eh_personality(void) {} void _Unwind_Resume(void) {} \
             void first(void) {} void second(void) {} void dropped(void) {}",
        )
        .unwrap();
        let exe = path("program");
        run(Command::new("cc")
            .args(["-pie", "-Wl,--build-id=sha1", "-o"])
            .arg(&exe)
            .args([path("agent.c"), path("slots.o"), path("crate.o")])
            .args(library("core"))
            .args(library("compiler_builtins")));
        let executable = Executable::parse(&std::fs::read(&exe).unwrap()).unwrap();
        let mut program = Program::new(executable);
        program
            .add_object("unit", CGU, level != Level::None, &object)
            .unwrap();
        LiveCrate {
            program,
            level,
            panic,
        }
    }

    /// What an edit makes necessary.
    pub fn plan(&self, source: &str) -> Result<Planned, Refusal> {
        self.plan_with(source, &NoSupply)
    }

    /// The same, with archives.
    pub fn plan_with(&self, source: &str, supply: &dyn Supply) -> Result<Planned, Refusal> {
        let dir = tempfile::tempdir().unwrap();
        let object: Arc<[u8]> = compile(dir.path(), source, self.level, self.panic).into();
        let unit = NewUnit {
            unit: "unit".into(),
            name: "live".into(),
            optimised: self.level != Level::None,
            changed: vec![NewObject {
                cgu: CGU.into(),
                bytes: object,
            }],
            all: vec![CGU.into()],
        };
        let room = Room {
            slices: 64,
            page_size: 4096,
        };
        plan(
            &self.program,
            &[unit],
            &Identities::default(),
            supply,
            &room,
        )
    }

    /// Makes an edit live; returns its image.
    pub fn swap(&mut self, source: &str) -> Result<Image, Refusal> {
        let planned = self.plan(source)?;
        let image = planned.patch.image.clone().unwrap();
        self.program.commit(planned);
        Ok(image)
    }

    /// An edit that the process refuses; returns its image.
    pub fn refused(&mut self, source: &str) -> Image {
        let planned = self.plan(source).unwrap();
        self.program.abandon(&planned);
        planned.patch.image.unwrap()
    }

    /// Address in the executable of a static that people call so.
    pub fn address_of(&self, path: &str) -> u64 {
        let (name, _) = self
            .program
            .statics
            .iter()
            .find(|(name, _)| names::for_people(name) == path)
            .unwrap();
        self.program.executable.symbol(name).unwrap().value
    }

    /// The words of all slots of a function.
    pub fn slots(&self, path: &str) -> Vec<Place> {
        let functions = self.program.functions.iter();
        functions
            .filter(|(key, _)| names::for_people(&key.name) == path)
            .flat_map(|(_, function)| function.slots.iter().map(|slot| slot.word))
            .collect()
    }

    /// The word of the slot by which its own object calls a function.
    pub fn internal_slot(&self, path: &str) -> Option<Place> {
        let (_, function) = self
            .program
            .functions
            .iter()
            .find(|(key, _)| names::for_people(&key.name) == path)
            .unwrap();
        function.slots.internal.map(|slot| slot.word)
    }
}

fn compile(dir: &Path, source: &str, level: Level, panic: &str) -> Vec<u8> {
    let file = dir.join("live.rs");
    std::fs::write(&file, format!("{PRELUDE}{source}")).unwrap();
    let out = dir.join("live.o");
    let level = match level {
        Level::None => "opt-level=0",
        Level::Most => "opt-level=3",
    };
    run(Command::new("rustc")
        .args(["--edition=2024", "--crate-type=lib", "--crate-name=live"])
        .args(["--emit=obj", "-C", "codegen-units=1"])
        .arg(format!("-Cpanic={panic}"))
        .args(["-C", level, "-C", "debuginfo=2"])
        .arg("--remap-path-prefix")
        .arg(format!("{}=src", dir.display()))
        .arg("-o")
        .arg(&out)
        .arg(&file));
    std::fs::read(out).unwrap()
}

/// A library of the toolchain.
fn library(name: &str) -> Option<std::path::PathBuf> {
    let sysroot = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .unwrap();
    let dir = String::from_utf8(sysroot.stdout).unwrap();
    std::fs::read_dir(dir.trim())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| {
            path.file_name().is_some_and(|file| {
                let file = file.to_string_lossy();
                file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
            })
        })
}

pub fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
