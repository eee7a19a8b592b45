//! A user who asks all the time, on one connection: none of its requests may be lost, and none answered
//! with something that no version of the code would say.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use regex_lite::Regex;

use super::script::User;

/// A pause between requests: the machine has to compile as well.
const PAUSE: Duration = Duration::from_millis(5);

/// The thread of the user. It ends when the value is dropped.
pub struct Load {
    state: Arc<Mutex<State>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    answered: usize,
    failure: Option<String>,
}

impl Load {
    /// Starts asking.
    ///
    /// # Errors
    /// When a pattern is none.
    pub fn start(
        mut user: Box<dyn User>,
        requests: &[(&'static str, &'static str)],
    ) -> Result<Self, String> {
        let patterns: Vec<(&'static str, Regex)> = requests
            .iter()
            .map(|(ask, answer)| Ok((*ask, pattern(answer)?)))
            .collect::<Result<_, String>>()?;
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = channel::<()>();
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            for (ask, answer) in patterns.iter().cycle() {
                let said = user.ask(ask);
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match said {
                    Ok(said) if answer.is_match(&said) => state.answered += 1,
                    Ok(said) => state.failure = Some(format!("{ask}: {said}")),
                    Err(why) => state.failure = Some(format!("{ask}: {why}")),
                }
                if state.failure.is_some() {
                    return;
                }
                drop(state);
                if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Ok(Self {
            state,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What went wrong, if something did.
    pub fn failure(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.clone()
    }

    /// How many requests were answered as they may be.
    pub fn answered(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answered
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the state says nothing wrong then, and nothing right.
            let _ = thread.join();
        }
    }
}

/// A pattern of a script.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("pattern {text}: {error}"))
}
