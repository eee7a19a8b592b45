//! The one run-time of the process, and how it speaks to the user.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use liveswap_runtime::{Runtime, Settings, at_exit, stderr_line};

use crate::dialect::NimDialect;
use crate::nim::Nim;

pub(crate) struct Door {
    pub(crate) runtime: Runtime,
    pub(crate) nim: Arc<Nim>,
}

static DOOR: OnceLock<Door> = OnceLock::new();

/// The run-time of this process, made on first use.
pub(crate) fn door() -> &'static Door {
    DOOR.get_or_init(|| {
        if let Err(complaint) = liveswap_trace::init_from_env("", stderr_line) {
            say(&complaint);
        }
        let (settings, complaints) = Settings::from_env();
        for complaint in complaints {
            say(&complaint);
        }
        if settings.release_at_exit {
            at_exit(|| {
                if let Some(door) = DOOR.get() {
                    door.runtime.shutdown();
                }
            });
        }
        let nim = Arc::new(Nim::default());
        let dialect = NimDialect::new(Arc::clone(&nim));
        Door {
            runtime: Runtime::new(settings, Box::new(dialect)),
            nim,
        }
    })
}

/// One line for the user.
pub(crate) fn say(text: &str) {
    stderr_line(&format!("liveswap: {text}"));
}

/// Runs our own code for a caller that cannot take a panic: a mistake of ours is reported, and the
/// caller gets `otherwise`.
pub(crate) fn guarded<T>(what: &str, otherwise: T, action: impl FnOnce() -> T) -> T {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            say(&format!(
                "internal error in {what}: {text}; this is a bug of liveswap"
            ));
            otherwise
        }
    }
}
