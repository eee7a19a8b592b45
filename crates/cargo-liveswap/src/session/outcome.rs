//! What came of a save, put into reports.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::parts::Begun;
use super::report::{Ms, Report, without_colours};
use crate::build::CHOSEN_AT_START;
use crate::model::BuildError;

/// When the steps of a swap happened.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    saved: SystemTime,
    began: SystemTime,
    compile: Duration,
    diff: Duration,
    /// When the patch went out.
    pub sent: SystemTime,
}

impl Clock {
    /// The patch goes out now. Without a save the time counts from the compilation's start.
    pub fn new(begun: Option<&Begun>, compile: Duration, diff: Duration) -> Clock {
        let sent = SystemTime::now();
        let start = sent.checked_sub(compile + diff).unwrap_or(sent);
        Clock {
            saved: begun.map_or(start, |begun| begun.saved),
            began: begun.map_or(start, |begun| begun.at),
            compile,
            diff,
            sent,
        }
    }

    /// The breakdown, with what the run-time in the program measured.
    pub fn ms(&self, apply_us: u64, pause_us: u64, flipped_at_ns: u64) -> Ms {
        let flipped = UNIX_EPOCH + Duration::from_nanos(flipped_at_ns);
        let own = Duration::from_micros(apply_us);
        // Unless somebody sets the clock, the way through the socket is in it, too.
        let apply = flipped.duration_since(self.sent).unwrap_or(own).max(own);
        let detect = self.began.duration_since(self.saved).unwrap_or_default();
        let total = flipped.duration_since(self.saved);
        Ms {
            detect: ms(detect),
            compile: ms(self.compile),
            diff: ms(self.diff),
            apply: ms(apply),
            pause: ms(Duration::from_micros(pause_us)),
            total: ms(total.unwrap_or(detect + self.compile + self.diff + apply)),
        }
    }
}

/// With three decimals.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// All that waits as one report: one save has one outcome.
pub fn pending(messages: &[String]) -> Option<Report> {
    let message = messages.join("; ");
    // A restart in the same session does not choose it anew.
    let restart = messages.iter().any(|it| !it.ends_with(CHOSEN_AT_START));
    (!messages.is_empty()).then_some(Report::Pending { message, restart })
}

/// What is said of a failed build, without colours.
pub fn diagnostics(error: &BuildError) -> Vec<String> {
    match error {
        BuildError::Compile { diagnostics } => {
            let texts = diagnostics.iter().map(|it| without_colours(&it.rendered));
            texts.collect()
        }
        BuildError::Cargo { status } => vec![format!("cargo ended with exit status {status}")],
        other => vec![other.to_string()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_in_the_session_chooses_no_other_toolchain() {
        let toolchain = format!("`rust-toolchain` changed: {CHOSEN_AT_START}");
        let applies = |messages: &[String]| pending(messages).map(|it| it.restart_applies());
        assert_eq!(applies(&[]), None);
        assert_eq!(applies(std::slice::from_ref(&toolchain)), Some(false));
        assert_eq!(applies(&[toolchain, "static `N`".into()]), Some(true));
    }

    #[test]
    fn the_total_is_from_save_to_flip() {
        let saved = UNIX_EPOCH + Duration::from_secs(1000);
        let at = |ms: u64| saved + Duration::from_millis(ms);
        let clock = Clock {
            saved,
            began: at(6),
            compile: Duration::from_millis(100),
            diff: Duration::from_millis(10),
            sent: at(117),
        };
        let flipped = at(119).duration_since(UNIX_EPOCH).unwrap().as_nanos();
        let ms = clock.ms(1500, 20, u64::try_from(flipped).unwrap());
        assert_eq!(
            ms,
            Ms {
                detect: 6.0,
                compile: 100.0,
                diff: 10.0,
                apply: 2.0,
                pause: 0.02,
                total: 119.0
            }
        );
        // A clock that was set back leaves what was measured.
        assert_eq!(clock.ms(1500, 0, 0).total, 117.5);
    }
}
