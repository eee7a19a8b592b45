//! The conversation with the command.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use liveswap_protocol::frame;
use liveswap_protocol::message::{FromAgent, ToAgent};

use crate::apply::Agent;
use crate::log;
use crate::refusal::{Code, Refusal};
use crate::sys::connection::Connection;

/// Serves requests until the command closes the connection.
pub fn serve(agent: &mut Agent, mut connection: Connection) {
    match converse(agent, &mut connection) {
        Ok(()) => log::line(format_args!("the command has gone")),
        Err(error) => log::line(format_args!("the connection broke: {error}")),
    }
}

fn converse(agent: &mut Agent, connection: &mut Connection) -> io::Result<()> {
    frame::write(connection, &FromAgent::Hello(agent.hello()))?;
    while let Some(request) = frame::read::<ToAgent>(connection)? {
        let answer = catch_unwind(AssertUnwindSafe(|| answer(agent, request)))
            .unwrap_or_else(|_| refused(&Refusal::new(Code::Malformed, "an error in the agent")));
        frame::write(connection, &answer)?;
    }
    Ok(())
}

fn answer(agent: &mut Agent, request: ToAgent) -> FromAgent {
    match request {
        ToAgent::Apply(bytes) => match agent.apply(&bytes) {
            Ok(applied) => {
                let answer = agent.answer(&applied);
                applied.initialise();
                log::line(format_args!("{answer:?}"));
                answer
            }
            Err(refusal) => {
                log::line(format_args!("refused: {refusal}"));
                refused(&refusal)
            }
        },
        ToAgent::Frames(ranges) => FromAgent::Frames(agent.frames(&ranges)),
        ToAgent::Announce(slice) => {
            if let Err(error) = agent.announce(slice) {
                log::line(format_args!("gdb is not told of slice {slice}: {error}"));
            }
            FromAgent::Announced
        }
    }
}

fn refused(refusal: &Refusal) -> FromAgent {
    FromAgent::Refused {
        code: refusal.code.as_str().to_owned(),
        message: refusal.message.clone(),
    }
}
