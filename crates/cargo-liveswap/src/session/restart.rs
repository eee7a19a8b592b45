//! What is said of restarts on the command line, and what one life of the program leaves to the next.

use std::sync::mpsc::Sender;
use std::time::Duration;

use liveswap_protocol::crash::Kind;
use liveswap_protocol::message::Hello;

use super::batch::Batch;
use super::control::Answer;
use super::crash::Place;
use super::listeners::Listener;
use super::machine::About;
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
    /// The session outlives a program that crashes, and waits for a save that mends it.
    pub stay: bool,
    /// When.
    pub mode: Mode,
    /// Listening sockets stay open, and are left to the next process.
    pub keep_sockets: bool,
    /// So long the program may take to end before it is killed.
    pub grace: Duration,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            mode: Mode::Ask,
            stay: false,
            keep_sockets: true,
            grace: Duration::from_secs(2),
        }
    }
}

/// What a machine does to the world, other than to tell.
pub trait Hands {
    /// Sends the program a signal.
    fn signal(&self, number: i32);
    /// Puts the terminal back into order, after the program is gone.
    fn restore_terminal(&self);
    /// Where a program that is gone was when it panicked or gave up. `hello`: what its run-time said.
    fn crash_place(&self, kind: Kind, about: &About, hello: &Hello) -> Option<Place>;
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
    /// The sockets that the program listened at.
    pub listeners: Vec<Listener>,
}

impl Heritage {
    /// Of nobody.
    pub fn first(reports: Reports) -> Heritage {
        Heritage {
            reports,
            restarts: 0,
            waiting: Vec::new(),
            queue: None,
            listeners: Vec::new(),
        }
    }
}
