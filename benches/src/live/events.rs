//! What `cargo liveswap run --events` says.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// Events that end what one save began; `pending` may also stand beside `swapped`.
const ENDS: [&str; 6] = [
    "swapped",
    "unchanged",
    "refused",
    "pending",
    "build_failed",
    "exited",
];

pub struct Events {
    path: PathBuf,
    read: u64,
    rest: String,
}

impl Events {
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            read: 0,
            rest: String::new(),
        }
    }

    /// The next event whose name is one of these.
    pub fn next(&mut self, names: &[&str], patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            while let Some((line, rest)) = self.rest.split_once('\n') {
                let event: Value = serde_json::from_str(line)
                    .with_context(|| format!("this is no event: {line}"))?;
                self.rest = rest.to_owned();
                if event["event"]
                    .as_str()
                    .is_some_and(|name| names.contains(&name))
                {
                    return Ok(event);
                }
            }
            if Instant::now() > deadline {
                bail!("none of the events {names:?} came within {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(2));
            self.fill()?;
        }
    }

    /// The next `swapped`; any other end of a save is an error.
    pub fn swapped(&mut self, patience: Duration) -> Result<Value> {
        let mut event = self.next(&ENDS, patience)?;
        while event["event"] == "pending" {
            let waits = event.clone();
            event = self
                .next(&ENDS, patience)
                .with_context(|| format!("the edit did not go live: {waits}"))?;
        }
        if event["event"] == "swapped" {
            Ok(event)
        } else {
            bail!("the edit did not go live: {event}")
        }
    }

    fn fill(&mut self) -> Result<()> {
        // It is not there before the first event.
        let Ok(mut file) = File::open(&self.path) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut more = String::new();
        self.read += file.read_to_string(&mut more)? as u64;
        self.rest.push_str(&more);
        Ok(())
    }
}
