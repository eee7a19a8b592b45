//! What it costs to find out what an edit means for values and callers that exist, by kind of edit.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::Options;
use super::contender::{Session, add_account};
use super::copies::MAIN;
use super::place::Place;
use super::project::{Form, Project, Size};
use crate::samples::{Samples, Unit};

/// Functions that are given a value of the type that changes.
const FUNCTIONS: [usize; 2] = [30, 3000];
const WARM_UP: usize = 1;
const PARTS: [&str; 3] = ["diff", "apply", "compile"];

/// What an edit changes besides a number; done and taken back in turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Body,
    Parameter,
    Capture,
    Field,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Body, Self::Parameter, Self::Capture, Self::Field];

    fn told(self) -> &'static str {
        match self {
            Self::Body => "a body",
            Self::Parameter => "a parameter more or less",
            Self::Capture => "a boxed closure captures more or less",
            Self::Field => "a field more or less in a type that all functions are given",
        }
    }
}

pub fn measure(place: &Place, options: &Options) -> Result<String> {
    let mut table = String::from("| functions of the crate | edit | patch, KiB |");
    for part in PARTS {
        let _ = write!(table, " {part}, ms |");
    }
    table.push_str("\n|---|---|---|---|---|---|\n");
    for functions in FUNCTIONS {
        let folder = place.path(&format!("kinds-{functions}"));
        let project = Project::create(folder, Form::Plain, Size::Small, 0)?;
        project.write("src/main.rs", MAIN)?;
        let mut value = 1;
        project.write("logic/src/lib.rs", &library(functions, value, None))?;
        let mut session = Session::start(place, &project)?;
        for kind in Kind::ALL {
            let mut times = [const { Samples::new() }; PARTS.len()];
            let mut bytes = 0;
            for round in 0..WARM_UP + options.rounds {
                value += 1;
                let done = (round % 2 == 0).then_some(kind);
                project.write("logic/src/lib.rs", &library(functions, value, done))?;
                let event = session.shows(&format!("last={value} "))?;
                bytes = event["bytes"].as_u64().context("no size")?;
                if round >= WARM_UP {
                    add_account(&event, &PARTS, &mut times);
                }
            }
            let (told, kib) = (kind.told(), bytes as f64 / 1024.0);
            let _ = write!(table, "| {functions} | {told} | {kib:.1} |");
            for time in times {
                let _ = write!(table, " {} |", time.told(Unit::Milliseconds));
            }
            table.push('\n');
        }
        project.stop();
    }
    Ok(table)
}

/// The library that is edited, with one of the kinds done to it.
fn library(functions: usize, value: usize, done: Option<Kind>) -> String {
    let either = |kind, with, without| if done == Some(kind) { with } else { without };
    let mut text = format!(
        "use std::hint::black_box;\n\n\
         pub struct Item {{\n    {}a: usize,\n}}\n\n\
         fn kept(n: usize) -> Box<dyn Fn(usize) -> usize> {{\n    \
         let more = black_box(1);\n    Box::new(move |x| x + n{})\n}}\n\n\
         fn one(n: usize{}) -> usize {{\n    n + {value}\n}}\n\n\
         pub fn last() -> usize {{\n    \
         let item = Item {{ {}a: 0 }};\n    \
         let sum = f0(&item) + kept(0)(0){};\n    \
         sum + one(0{})\n}}\n\n",
        either(Kind::Field, "front: usize,\n    ", ""),
        either(Kind::Capture, " + more", ""),
        either(Kind::Parameter, ", _k: u8", ""),
        either(Kind::Field, "front: 0, ", ""),
        either(Kind::Capture, " - 1", ""),
        either(Kind::Parameter, ", 1", ""),
    );
    for number in 0..functions {
        let _ = write!(
            text,
            "#[inline(never)]\npub fn f{number}(item: &Item) -> usize {{\n    \
             black_box(item.a + {number})\n}}\n\n"
        );
    }
    text
}
