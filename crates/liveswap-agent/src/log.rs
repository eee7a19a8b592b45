//! Lines for whoever set `LIVESWAP_LOG`; silence otherwise: stderr is the program's.

use std::ffi::OsStr;
use std::sync::OnceLock;

/// Whether `LIVESWAP_LOG` asked for lines when this was first asked: at the start, before there are
/// threads that could change the environment.
pub fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var_os("LIVESWAP_LOG").is_some_and(|value| asks(&value)))
}

/// Whether this value of the variable asks for lines: it names a level, in the words and numbers that the
/// command takes. Of what it does not understand, the command complains; here is silence.
fn asks(value: &OsStr) -> bool {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let Some(text) = value.to_str() else {
        return false;
    };
    LEVELS.iter().any(|level| text.eq_ignore_ascii_case(level))
        || text
            .parse()
            .is_ok_and(|number: usize| (1..=LEVELS.len()).contains(&number))
}

/// One line on stderr, if wanted. A closed stderr is no reason to fail.
pub fn line(what: std::fmt::Arguments<'_>) {
    use std::io::Write;
    if wanted() {
        let text = format!("liveswap agent: {what}\n");
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_switched_off_was_on() {
        for off in ["off", "OFF", "Off", "0", "", "loud", "6", "-1"] {
            assert!(!asks(off.as_ref()), "{off:?}");
        }
        for on in ["error", "warn", "info", "debug", "trace", "DEBUG", "1", "5"] {
            assert!(asks(on.as_ref()), "{on:?}");
        }
    }
}
