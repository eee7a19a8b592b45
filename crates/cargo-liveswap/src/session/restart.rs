//! What is said of restarts on the command line, and what one life of the program leaves to the next.

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::batch::Batch;
use super::control::Answer;
use super::report::Reports;

/// When the program is started anew to apply what cannot go live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// When somebody asks for it: `cargo liveswap restart`
    #[default]
    Ask,
    /// By itself, once the outcome of a save is told
    Auto,
    /// Never
    Never,
}

/// What the command line says of it.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// When.
    pub mode: Mode,
    /// So long the program may take to end before it is killed.
    pub grace: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            mode: Mode::Ask,
            grace: Duration::from_secs(2),
        }
    }
}

/// How a life of the program ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Over {
    /// The session ends with it, with this exit code.
    Ended(i32),
    /// The program that was linked last is to be started.
    Restart,
}

/// What one life leaves to the next.
pub struct Heritage {
    /// Who is told.
    pub reports: Reports,
    /// How often the program was started before.
    pub restarts: u32,
    /// Who waits for the start.
    pub waiting: Vec<Sender<Answer>>,
    /// Saves that were not looked at.
    pub queue: Option<Batch>,
}

impl Heritage {
    /// Of nobody.
    pub fn first(reports: Reports) -> Heritage {
        Heritage {
            reports,
            restarts: 0,
            waiting: Vec::new(),
            queue: None,
        }
    }
}
