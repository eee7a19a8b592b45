//! A terminal or a display of its own for a program, and those who look at it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::place::Site;
use super::script::{Surroundings, User};

/// How long a program may take to draw.
const DRAWN: Duration = Duration::from_secs(20);
/// The size of the display, in pixels.
const SIZE: &str = "320x240x24";

/// What a program runs in. It ends when the value is dropped.
pub(super) enum Place {
    Nothing,
    Terminal(PathBuf),
    Display(Child),
}

impl Place {
    /// Makes it, and the command that starts the program in it.
    pub(super) fn make(
        surroundings: Surroundings,
        site: &Site,
        mut run: Command,
    ) -> Result<(Self, Command), String> {
        match surroundings {
            Surroundings::Nothing => {
                run.stdin(Stdio::null());
                Ok((Self::Nothing, run))
            }
            Surroundings::Terminal => {
                let socket = site.data.join("tmux.sock");
                let run = in_terminal(&run, site, &socket)?;
                Ok((Self::Terminal(socket), run))
            }
            Surroundings::Display => {
                let (server, display) = start_display(site)?;
                run.stdin(Stdio::null()).env("DISPLAY", display);
                Ok((Self::Display(server), run))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        match self {
            Self::Nothing => {}
            // They may be gone already, with the program.
            Self::Terminal(socket) => {
                let _ = tmux(socket, &["kill-server"]);
            }
            Self::Display(server) => {
                let _ = server.kill();
                let _ = server.wait();
            }
        }
    }
}

/// A terminal of 160 by 50 characters, which `tmux` keeps. It speaks of changes line by line.
fn in_terminal(run: &Command, site: &Site, socket: &Path) -> Result<Command, String> {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.display());
    let words: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(quoted)
        .collect();
    // What the command says would be written across the program's picture.
    let log = site.data.join("stderr.log");
    let inside = format!("exec {} 2> '{}'", words.join(" "), log.display());
    let mut outer = Command::new("tmux");
    outer
        .args(["-C", "-S"])
        .arg(socket)
        // tmux 3.3a falls over `window-size manual` in its settings.
        .args(["-f", "/dev/null", "new-session", "-x", "160", "-y", "50"])
        .arg(&inside)
        // Its end would be the client's.
        .stdin(Stdio::piped());
    for (name, value) in run.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = run.get_current_dir() {
        outer.current_dir(folder);
    }
    Ok(outer)
}

fn tmux(socket: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("tmux")
        .arg("-S")
        .arg(socket)
        .args(arguments)
        .output()
        .map_err(|error| format!("tmux is needed: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Starts a server of displays that keeps its picture in a file.
fn start_display(site: &Site) -> Result<(Child, String), String> {
    let mut server = Command::new("Xvfb")
        .args(["-displayfd", "1", "-screen", "0", SIZE, "-fbdir"])
        .arg(&site.data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("Xvfb is needed: {error}"))?;
    let mut number = String::new();
    if let Some(said) = server.stdout.take() {
        // It says its number as soon as it can be used, or ends.
        BufReader::new(said)
            .read_line(&mut number)
            .map_err(|error| format!("what Xvfb says: {error}"))?;
    }
    match number.trim() {
        "" => {
            let _ = server.kill();
            let _ = server.wait();
            Err("Xvfb does not start".to_owned())
        }
        number => Ok((server, format!(":{number}"))),
    }
}

/// Who sits at the terminal: presses keys, and looks.
pub(super) struct Sitter(PathBuf);

impl Sitter {
    /// Waits until the screen shows this.
    pub(super) fn sit_down(site: &Site, shows: &str) -> Result<Self, String> {
        let sitter = Self(site.data.join("tmux.sock"));
        let deadline = Instant::now() + DRAWN;
        loop {
            let screen = tmux(&sitter.0, &["capture-pane", "-p"])?;
            if screen.contains(shows) {
                return Ok(sitter);
            }
            if Instant::now() > deadline {
                return Err(format!("`{shows}` is not on the screen:\n{screen}"));
            }
        }
    }
}

impl User for Sitter {
    /// `look`, or a key to press.
    fn ask(&mut self, key: &str) -> Result<String, String> {
        if key != "look" {
            tmux(&self.0, &["send-keys", key])?;
        }
        tmux(&self.0, &["capture-pane", "-p"])
    }
}

/// Who looks at the display.
pub(super) struct Looker(PathBuf);

impl Looker {
    /// Waits until there is this colour.
    pub(super) fn at(site: &Site, place: &str, colour: &str) -> Result<Self, String> {
        let mut looker = Self(site.data.join("Xvfb_screen0"));
        let deadline = Instant::now() + DRAWN;
        loop {
            let seen = looker.ask(place)?;
            if seen == colour {
                return Ok(looker);
            }
            if Instant::now() > deadline {
                return Err(format!("{seen} at {place} instead of {colour}"));
            }
        }
    }
}

impl User for Looker {
    /// `X Y`: the colour there, as `rrggbb`.
    fn ask(&mut self, at: &str) -> Result<String, String> {
        let picture =
            fs::read(&self.0).map_err(|error| format!("{}: {error}", self.0.display()))?;
        let (x, y) = at
            .split_once(' ')
            .and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)))
            .ok_or_else(|| format!("no place: {at}"))?;
        pixel(&picture, x, y).ok_or_else(|| format!("no pixel at {at}"))
    }
}

/// The colour of a pixel of a file in the format of `xwd`: a head of numbers of four bytes, most significant
/// first, a table of colours of twelve bytes each, and lines of pixels of four bytes.
fn pixel(picture: &[u8], x: usize, y: usize) -> Option<String> {
    const COLOUR: usize = 12;
    let number = |index: usize| -> Option<usize> {
        let bytes = picture.get(index * 4..index * 4 + 4)?;
        usize::try_from(u32::from_be_bytes(bytes.try_into().ok()?)).ok()
    };
    let (head, line, colours) = (number(0)?, number(12)?, number(19)?);
    let is_little = number(7)? == 0;
    let start = head + colours * COLOUR + y * line + x * 4;
    let bytes: [u8; 4] = picture.get(start..start + 4)?.try_into().ok()?;
    let value = if is_little {
        u32::from_le_bytes(bytes)
    } else {
        u32::from_be_bytes(bytes)
    };
    Some(format!("{:06x}", value & 0x00ff_ffff))
}
