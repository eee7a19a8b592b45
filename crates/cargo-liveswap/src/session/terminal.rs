//! The terminal that the program has: put back into order when the program is gone and another one comes.
//!
//! A program that is ended by a signal leaves it as it was: without echo, on the alternate screen, with the mouse
//! reported and the cursor hidden. Streams can also be left non-blocking: that belongs to the open file, not to
//! the process.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::OFlags;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

/// How it was before the program started.
pub struct Terminal {
    streams: [Stream; 3],
}

struct Stream {
    /// 0, 1, 2.
    number: u8,
    modes: Option<Termios>,
    flags: Option<OFlags>,
}

/// Leaves what full-screen programs switch on: mouse, focus and bracketed paste reports, enhanced keyboard, the alternate
/// screen, a hidden cursor, colours. On the main screen the cursor stays where it is.
const BACK_TO_LINES: &[u8] = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1015l\
    \x1b[?1004l\x1b[?2004l\x1b[<u\x1b[?1l\x1b>\x1b7\x1b[?1049l\x1b[?25h\x1b[?7h\x1b[0m";
/// The same as far as it does nothing where nothing of it was switched on.
const HARMLESS: &[u8] = b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\
    \x1b[?1047l\x1b[?25h\x1b[0m";

impl Terminal {
    /// How it is now.
    pub fn now() -> Terminal {
        let stream = |number: u8| {
            let fd = of(number);
            Stream {
                number,
                modes: tcgetattr(fd).ok(),
                flags: rustix::fs::fcntl_getfl(fd).ok(),
            }
        };
        Terminal {
            streams: [stream(0), stream(1), stream(2)],
        }
    }

    /// Puts it back, after the program has ended.
    pub fn restore(&self) {
        let mut was_raw = false;
        for stream in &self.streams {
            let fd = of(stream.number);
            stream.restore_flags(fd);
            let (Some(before), Ok(now)) = (&stream.modes, tcgetattr(fd)) else {
                continue;
            };
            let is_raw = |modes: &Termios| !modes.local_modes.contains(LocalModes::ICANON);
            was_raw |= is_raw(&now) && !is_raw(before);
            if !is_same(before, &now) && is_in_foreground(fd) {
                set(fd, before);
            }
        }
        // Of the two, standard output is what programs draw on.
        let out = [
            std::io::stdout().is_terminal(),
            std::io::stderr().is_terminal(),
        ];
        let text = if was_raw { BACK_TO_LINES } else { HARMLESS };
        match out {
            [true, _] => write(std::io::stdout(), text),
            [false, true] => write(std::io::stderr(), text),
            [false, false] => {}
        }
    }
}

impl Stream {
    fn restore_flags(&self, fd: BorrowedFd<'_>) {
        let (Some(before), Ok(now)) = (self.flags, rustix::fs::fcntl_getfl(fd)) else {
            return;
        };
        let wanted = (now - OFlags::NONBLOCK) | (before & OFlags::NONBLOCK);
        if wanted != now
            && let Err(error) = rustix::fs::fcntl_setfl(fd, wanted)
        {
            tracing::debug!(%error, stream = self.number, "flags stay as they are");
        }
    }
}

fn of(number: u8) -> BorrowedFd<'static> {
    match number {
        0 => rustix::stdio::stdin(),
        1 => rustix::stdio::stdout(),
        _ => rustix::stdio::stderr(),
    }
}

fn is_same(one: &Termios, other: &Termios) -> bool {
    one.input_modes == other.input_modes
        && one.output_modes == other.output_modes
        && one.control_modes == other.control_modes
        && one.local_modes == other.local_modes
}

/// Whoever sets the modes from the background is stopped.
fn is_in_foreground(fd: BorrowedFd<'_>) -> bool {
    tcgetpgrp(fd).is_ok_and(|group| group == getpgrp())
}

fn set(fd: BorrowedFd<'_>, modes: &Termios) {
    if let Err(error) = tcsetattr(fd.as_fd(), OptionalActions::Now, modes) {
        tracing::debug!(%error, "the terminal stays as it is");
    }
}

fn write(mut to: impl Write, text: &[u8]) {
    // Nobody is left to be told.
    let _ = to.write_all(text).and_then(|()| to.flush());
}
