//! The program while it runs: its lines are shown as they come and handed over as days.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use super::garden::Day;
use crate::Result;

/// How long a day lasts, in milliseconds: slow enough to be read along.
const DAY_MS: &str = "250";
/// A garden that is silent for so long hangs.
const SILENCE: Duration = Duration::from_secs(20);

pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(folder: &Path, library_folder: &Path) -> Result<Self> {
        let search = std::env::join_paths([library_folder, folder])
            .map_err(|e| format!("a folder that no search path can name: {e}"))?;
        let mut child = Command::new(folder.join("garden"))
            .arg(DAY_MS)
            .current_dir(folder)
            .env("LD_LIBRARY_PATH", search)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("cannot start the garden: {e}"))?;
        let stdout = child.stdout.take().ok_or("the garden has no stdout")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout)
                .lines()
                .map_while(std::io::Result::ok)
            {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next day that the program tells of; other lines are only shown.
    pub fn next_day(&mut self) -> Result<Day> {
        loop {
            let line = match self.lines.recv_timeout(SILENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return Err("the garden is silent".to_owned()),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().map_err(|e| e.to_string())?;
                    return Err(format!("the garden ended with {status}"));
                }
            };
            println!("   {line}");
            if let Some(day) = Day::parse(&line) {
                return Ok(day);
            }
        }
    }

    /// The program must not have ended by itself.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
            return Err(format!("the garden ended with {status}"));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and that was reported already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
