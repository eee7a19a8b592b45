//! This process and others.

use std::sync::{Mutex, PoisonError};

/// Identity of a process that survives the reuse of process ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub started: u64,
}

/// This process. A forked child does not take itself for its parent.
pub fn current() -> ProcessId {
    static KNOWN: Mutex<Option<ProcessId>> = Mutex::new(None);
    let pid = std::process::id();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match *known {
        Some(process) if process.pid == pid => process,
        _ => *known.insert(ProcessId {
            pid,
            started: start_time(pid).unwrap_or(0),
        }),
    }
}

/// Whether the process still runs.
pub fn is_running(process: ProcessId) -> bool {
    start_time(process.pid) == Some(process.started)
}

fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses, which may itself contain any character.
    let rest = &stat[stat.rfind(')')? + 1..];
    // Field 22, counted from 1; the third is the first of `rest`.
    rest.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

/// Something that differs between any two threads that exist at one time.
pub fn thread_id() -> usize {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::pthread_self() as usize }
}

/// This thread, as the system names it.
pub fn task_id() -> u32 {
    // SAFETY: no arguments, cannot fail.
    unsafe { libc::gettid() as u32 }
}

/// Whether the thread of this process still runs.
pub fn task_runs(task: u32) -> bool {
    std::path::Path::new(&format!("/proc/self/task/{task}")).exists()
}

static AT_EXIT: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Runs `action` when this process ends normally (return from main, `exit`), the latest first.
pub fn at_exit(action: fn()) {
    extern "C" fn run() {
        let actions = std::mem::take(&mut *AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner));
        for action in actions.into_iter().rev() {
            // A panic must not leave an exit handler: what is left undone is cleaned by the next start.
            let _ = std::panic::catch_unwind(action);
        }
    }
    let mut actions = AT_EXIT.lock().unwrap_or_else(PoisonError::into_inner);
    if actions.is_empty() {
        // SAFETY: `run` lives as long as this code; a library that is closed runs its handlers first.
        unsafe { libc::atexit(run) };
    }
    actions.push(action);
}

/// Writes one line to standard error in one piece; what cannot be written is dropped.
pub fn stderr_line(line: &str) {
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // SAFETY: pointer and length of a live slice.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => rest = &rest[written..],
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return,
        }
    }
}
