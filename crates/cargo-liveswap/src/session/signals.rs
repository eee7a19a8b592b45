//! Signals that come to the command, as events.

use std::io;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use super::event::Event;
use super::inbox::Inbox;

/// From now on these signals do not end the command: it ends when the program does.
///
/// # Errors
/// If the system refuses.
pub fn listen<P: Send + 'static>(events: Inbox<P>) -> io::Result<()> {
    let mut signals = SignalsInfo::<WithOrigin>::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            for origin in signals.forever() {
                let event = Event::Signal {
                    number: origin.signal,
                    // The terminal's come from the kernel and reach the whole process group.
                    to_us_alone: matches!(origin.cause, Cause::Sent(_)),
                };
                if events.send(event).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
}
