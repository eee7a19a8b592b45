//! Where events go that come from outside of the program's life: to whoever listens now.
//!
//! Each life of the program has a channel of its own, so that what threads of an earlier one still have to say reaches
//! nobody. Sockets and signals outlive the program; they send here.

use std::sync::mpsc::{Receiver, SendError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::event::Event;

/// Clones send to the same place.
#[derive(Debug)]
pub struct Inbox<P>(Arc<Mutex<Sender<Event<P>>>>);

impl<P> Clone for Inbox<P> {
    fn clone(&self) -> Inbox<P> {
        Inbox(Arc::clone(&self.0))
    }
}

impl<P> Inbox<P> {
    /// For the first life.
    pub fn new() -> (Inbox<P>, Receiver<Event<P>>) {
        let (events, happened) = channel();
        (Inbox(Arc::new(Mutex::new(events))), happened)
    }

    /// For what belongs to this life alone.
    pub fn of_this_life(&self) -> Sender<Event<P>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Sends it to the life that is.
    ///
    /// # Errors
    /// If nobody listens any more: the session ends.
    pub fn send(&self, event: Event<P>) -> Result<(), SendError<Event<P>>> {
        // What was sent before another life begins is handed on to it: none comes between.
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.send(event)
    }

    /// Another life begins. What has come, and does not belong to the one that ends, is handed on.
    pub fn renew(&self, earlier: &Receiver<Event<P>>) -> Receiver<Event<P>> {
        let (events, happened) = channel();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = events;
        for event in earlier.try_iter() {
            if let Event::Control(..) | Event::Signal { .. } | Event::Changed(_) = &event {
                // A receiver that is gone means that the session ends.
                let _ = self.send(event);
            }
        }
        happened
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_an_earlier_life_reach_nobody_and_questions_reach_the_next() {
        let (inbox, first) = Inbox::<()>::new();
        let of_first = inbox.of_this_life();
        of_first.send(Event::AgentGone("it ended".into())).unwrap();
        inbox
            .send(Event::Signal {
                number: 2,
                to_us_alone: true,
            })
            .unwrap();
        let second = inbox.renew(&first);
        drop(first);
        assert!(of_first.send(Event::AgentGone("late".into())).is_err());
        assert!(matches!(second.try_recv(), Ok(Event::Signal { .. })));
        assert!(second.try_recv().is_err());
    }
}
