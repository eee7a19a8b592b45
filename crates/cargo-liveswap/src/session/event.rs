//! Everything that can happen to a session.

use std::process::ExitStatus;
use std::sync::mpsc::Sender;

use liveswap_protocol::message::FromAgent;

use super::batch::Batch;
use super::control::{Answer, Request};
use super::listeners::Listener;
use super::parts::{Done, FromMain};

/// One thing that happened. Threads send it, one loop handles it.
#[derive(Debug)]
pub enum Event<P> {
    /// Files changed.
    Changed(Batch),
    /// Something does not work, and the session goes on without it.
    Problem(String),
    /// The worker says.
    Worker(Done<P>),
    /// The worker says which functions only `main` leads to.
    OnlyFromMain(Vec<FromMain>),
    /// The run-time in the program connected; requests to it go here.
    AgentConnected(Sender<liveswap_protocol::message::ToAgent>),
    /// It says.
    Agent(FromAgent),
    /// It has handed over its listening sockets.
    Listeners(Vec<Listener>),
    /// The connection ended. Another may come: a program can execute itself anew.
    AgentGone(String),
    /// The run-time in another process of the program connected, one that it started; it was turned away.
    Copy(u32),
    /// Somebody asks.
    Control(Request, Sender<Answer>),
    /// A signal came to us.
    Signal {
        /// Its number, as of `SIGINT`.
        number: i32,
        /// Whether a process sent it to us: then the program did not get it. A terminal sends to both.
        to_us_alone: bool,
    },
    /// The program ended.
    Ended(ExitStatus),
}
