//! Liveswap beside its peers: the same edits, the same machine, in one run, in changing order. See
//! README.md of this folder.

#![expect(clippy::print_stdout, reason = "the report goes to stdout")]

mod live;
mod nim;
mod readme;
mod samples;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
usage: cargo run --release -p liveswap-benches -- [options] [all|PART|live|nimhcr]...
  parts of the main door (together: live):
    edits edits-o3 large functions copies kinds memory start slots
  parts of the Nim door (together: nimhcr):
    reload nim growth register calls
options:
  --write        put the tables into benches/README.md as well
  --rounds N     how often an edit is measured (main door; 12)
  --swaps N      how many swaps the memory is measured over (2000)
  --dx PATH      measure subsecond, too: the `dx` of dioxus-cli 0.7
  --folder PATH  where the projects of the main door are made and left: a second run compiles less";

fn main() -> Result<()> {
    let mut options = live::Options::default();
    let mut write = false;
    let mut wanted: Vec<String> = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .with_context(|| format!("{word} needs a value\n{USAGE}"))
        };
        match word.as_str() {
            "--write" => write = true,
            "--rounds" => options.rounds = value()?.parse()?,
            "--swaps" => options.swaps = value()?.parse()?,
            "--dx" => options.dx = Some(PathBuf::from(value()?).canonicalize()?),
            "--folder" => options.folder = Some(PathBuf::from(value()?)),
            "all" => wanted.extend(
                live::PARTS
                    .iter()
                    .chain(&nim::PARTS)
                    .map(|&part| part.to_owned()),
            ),
            "live" => wanted.extend(live::PARTS.map(str::to_owned)),
            "nimhcr" => wanted.extend(nim::PARTS.map(str::to_owned)),
            part if live::PARTS.contains(&part) || nim::PARTS.contains(&part) => wanted.push(word),
            "-h" | "--help" => {
                println!("{USAGE}");
                return Ok(());
            }
            _ => bail!("unknown: {word}\n{USAGE}"),
        }
    }
    if wanted.is_empty() {
        wanted.extend(
            live::PARTS
                .iter()
                .chain(&nim::PARTS)
                .map(|&part| part.to_owned()),
        );
    }
    let (main_door, nim_door): (Vec<String>, Vec<String>) = wanted
        .into_iter()
        .partition(|part| live::PARTS.contains(&part.as_str()));
    let mut told = |part: &str, table: String| {
        println!("{part}\n\n{table}");
        if write {
            readme::write(part, &table)
        } else {
            Ok(())
        }
    };
    live::measure(&options, &main_door, &mut told)?;
    nim::measure(&nim_door, &mut told)
}
