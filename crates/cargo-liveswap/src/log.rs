//! Lines on standard error: what the user is told, and with `LIVESWAP_LOG=debug` the command's steps.

use std::io::Write as _;

/// Shows the command's steps if `LIVESWAP_LOG` asks for them; those of libraries are not shown.
///
/// # Errors
/// If the level is unknown. The text is for the user.
pub fn init_from_env() -> Result<(), String> {
    liveswap_trace::init_from_env("cargo_liveswap", stderr_line)
}

/// A line on standard error, in one write. Nobody is left to be told if it is closed.
pub fn stderr_line(line: &str) {
    stderr_text(&format!("{line}\n"));
}

/// Text of whole lines on standard error. A program that has the whole screen has switched off that the
/// terminal returns to the first column at a line's end.
pub fn stderr_text(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let raw = rustix::termios::tcgetattr(&stderr).is_ok_and(|modes| {
        !modes
            .output_modes
            .contains(rustix::termios::OutputModes::OPOST)
    });
    let _ = if raw {
        stderr.write_all(text.replace('\n', "\r\n").as_bytes())
    } else {
        stderr.write_all(text.as_bytes())
    };
}
