//! Lines for whoever set `LIVESWAP_LOG`; silence otherwise: stderr is the program's.

use std::sync::OnceLock;

/// Whether `LIVESWAP_LOG` was set when this was first asked: at the start, before there are threads
/// that could change the environment.
pub fn wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| std::env::var_os("LIVESWAP_LOG").is_some_and(|value| !value.is_empty()))
}

/// One line on stderr, if wanted. A closed stderr is no reason to fail.
pub fn line(what: std::fmt::Arguments<'_>) {
    use std::io::Write;
    if wanted() {
        let text = format!("liveswap agent: {what}\n");
        drop(std::io::stderr().write_all(text.as_bytes()));
    }
}
