//! The conversation with the command.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use liveswap_protocol::frame;
use liveswap_protocol::message::{FromAgent, ToAgent};

use crate::apply::Agent;
use crate::log;
use crate::refusal::Refusal;
use crate::sys::connection::Connection;
use crate::sys::listeners;

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
        if request == ToAgent::Listeners {
            give_listeners(connection)?;
        } else {
            frame::write(connection, &respond(agent, request))?;
        }
    }
    Ok(())
}

/// The sockets that listen, with the answer that names them.
fn give_listeners(connection: &mut Connection) -> io::Result<()> {
    let given = catch_unwind(listeners::give).unwrap_or_default();
    log::line(format_args!("listeners for the next process: {given:?}"));
    let (numbers, addresses): (Vec<_>, Vec<_>) = given.into_iter().unzip();
    let mut message = Vec::new();
    frame::write(&mut message, &FromAgent::Listeners(addresses))?;
    connection.write_with(&message, &numbers)
}

fn respond(agent: &mut Agent, request: ToAgent) -> FromAgent {
    catch_unwind(AssertUnwindSafe(|| answer(agent, request)))
        .unwrap_or_else(|_| refused(&agent.after_panic()))
}

fn answer(agent: &mut Agent, request: ToAgent) -> FromAgent {
    match request {
        ToAgent::Apply(bytes) => match agent.apply(&bytes) {
            Ok(applied) => {
                let answer = agent.answer(&applied);
                log::line(format_args!("{answer:?}"));
                answer
            }
            Err(refusal) => {
                log::line(format_args!("refused: {refusal}"));
                refused(&refusal)
            }
        },
        ToAgent::Frames(ranges) => FromAgent::Frames(agent.frames(&ranges)),
        ToAgent::Hold(words) => match agent.hold(&words) {
            Ok(hold) => FromAgent::Hold(hold),
            Err(refusal) => refused(&refusal),
        },
        ToAgent::Announce(slice) => {
            if let Err(error) = agent.announce(slice) {
                log::line(format_args!("gdb is not told of slice {slice}: {error}"));
            }
            FromAgent::Announced
        }
        ToAgent::Release => {
            listeners::release_all();
            FromAgent::Released
        }
        // They come beside their answer.
        ToAgent::Listeners => FromAgent::Listeners(Vec::new()),
    }
}

fn refused(refusal: &Refusal) -> FromAgent {
    FromAgent::Refused {
        code: refusal.code.as_str().to_owned(),
        message: refusal.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    use liveswap_protocol::patch::{Patch, Place, SlotWrite};

    use super::*;
    use crate::check::{Checker, Process, Span};
    use crate::relocation::Machine;
    use crate::sys::memory::{self, Range};

    type Words = [AtomicU64; 4];
    const NEW_CODE: u64 = 0x1234;

    thread_local!(static STORES: Cell<u32> = const { Cell::new(0) });

    /// A process of which only the words of slots are there.
    fn agent(words: &Words, store: fn(u64, u64)) -> Agent {
        let range = Range::reserve(Span {
            start: respond as fn(&mut Agent, ToAgent) -> FromAgent as usize as u64,
            len: 1,
        })
        .unwrap();
        let everything = Span {
            start: 0,
            len: u64::MAX,
        };
        let process = Process {
            machine: Machine::host(),
            build_id: vec![1],
            bias: 0,
            page_size: 4096,
            range: range.span(),
            executable: everything,
            code: vec![everything],
            words: Span {
                start: words.as_ptr() as u64,
                len: 32,
            },
            tls_len: 0,
        };
        Agent::new(Checker::new(process), range, None, "".into()).with_store(store)
    }

    /// Leads all slots to new code; gives the code of the refusal.
    fn flip(agent: &mut Agent, words: &Words) -> Result<u64, String> {
        let slots = words.iter().map(|word| SlotWrite {
            word: Place::Executable(word.as_ptr() as u64),
            target: Place::Executable(NEW_CODE),
        });
        let patch = Patch {
            build_id: vec![1],
            generation: agent.hello().generation + 1,
            slots: slots.collect(),
            ..Patch::default()
        };
        match respond(agent, ToAgent::Apply(patch.encode().unwrap())) {
            FromAgent::Applied { generation, .. } => Ok(generation),
            FromAgent::Refused { code, .. } => Err(code),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_panic_between_two_stores_was_told_as_if_nothing_had_happened() {
        let third_fails = |word, target| {
            STORES.set(STORES.get() + 1);
            if STORES.get() == 3 {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
            memory::store_word(word, target);
        };
        let words = Words::default();
        let mut agent = agent(&words, third_fails);
        assert_eq!(flip(&mut agent, &words), Err("LS0110".to_owned()));
        let now = words.each_ref().map(|word| word.load(Ordering::Relaxed));
        assert_eq!(now, [NEW_CODE, NEW_CODE, 0, 0]);
        assert_eq!(agent.hello().generation, 0);
        // The command believes in one generation or the other; there is none.
        assert_eq!(flip(&mut agent, &words), Err("LS0110".to_owned()));
        assert_eq!(STORES.get(), 3);
    }

    #[test]
    fn only_words_of_slots_are_looked_at() {
        let words = Words::default();
        let mut agent = agent(&words, memory::store_word);
        words[1].store(7, Ordering::Relaxed);
        let at = |n: usize| words[n].as_ptr() as u64;
        let ask = vec![(at(0), 0), (at(1), 7), (at(1), 0)];
        assert_eq!(
            respond(&mut agent, ToAgent::Hold(ask)),
            FromAgent::Hold(vec![true, true, false])
        );
        for elsewhere in [at(0) + 1, at(3) + 8, at(0) - 8, 0, u64::MAX] {
            let answer = respond(&mut agent, ToAgent::Hold(vec![(at(0), 0), (elsewhere, 0)]));
            assert!(
                matches!(&answer, FromAgent::Refused { code, .. } if code == "LS0104"),
                "{elsewhere:x}: {answer:?}"
            );
        }
    }

    #[test]
    fn a_panic_before_the_first_store_leaves_the_agent_able_to_go_on() {
        let words = Words::default();
        let mut agent = agent(&words, memory::store_word);
        assert_eq!(agent.after_panic().code.as_str(), "LS0101");
        assert_eq!(flip(&mut agent, &words), Ok(1));
        assert_eq!(agent.after_panic().code.as_str(), "LS0101");
        assert_eq!(flip(&mut agent, &words), Ok(2));
    }
}
