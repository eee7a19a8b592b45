//! `cargo liveswap status`, `swap` and `restart`: questions to the sessions of a project.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::build::project::Project;
use crate::cli::WhereArgs;
use crate::log::stderr_line;
use crate::model::RunOptions;
use crate::session::calls::Called;
use crate::session::control::{Answer, Request, ask};
use crate::session::run_dir::base;
use crate::session::session_file::SessionFile;

/// More functions than this are counted, not listed.
const FUNCTIONS_LISTED: usize = 8;

/// A session that answers.
struct Living {
    pid: u32,
    control: PathBuf,
    status: Answer,
}

/// `cargo liveswap status`.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub fn status(place: &WhereArgs) -> ExitCode {
    let (root, sessions) = match sessions(place) {
        Ok(found) => found,
        Err(code) => return code,
    };
    if sessions.is_empty() {
        stderr_line(&format!("liveswap: no session runs in {}", root.display()));
        return ExitCode::FAILURE;
    }
    for session in sessions {
        print!("{}", text(session.pid, &session.status));
    }
    ExitCode::SUCCESS
}

/// `cargo liveswap swap` and `restart`: what becomes of it is printed.
#[expect(clippy::print_stdout, reason = "it is what was asked for")]
pub fn request(request: Request, place: &WhereArgs, pid: Option<u32>) -> ExitCode {
    let (root, mut sessions) = match sessions(place) {
        Ok(found) => found,
        Err(code) => return code,
    };
    if let Some(pid) = pid {
        sessions.retain(|session| session.pid == pid || program(&session.status) == Some(pid));
    }
    let session = match sessions.as_slice() {
        [one] => one,
        [] => {
            let which = pid.map_or_else(String::new, |pid| format!(" with the id {pid}"));
            let root = root.display();
            stderr_line(&format!("liveswap: no session{which} runs in {root}"));
            return ExitCode::FAILURE;
        }
        several => {
            let pids: Vec<String> = several.iter().map(|it| it.pid.to_string()).collect();
            stderr_line(&format!(
                "liveswap: several sessions run: say which one with --pid ({})",
                pids.join(", ")
            ));
            return ExitCode::from(2);
        }
    };
    match ask(&session.control, request) {
        Ok(Answer::Swapped { success, outcome } | Answer::Restarted { success, outcome }) => {
            println!("{outcome}");
            ExitCode::from(u8::from(!success))
        }
        Ok(other) => {
            stderr_line(&format!(
                "liveswap: the session answers something else: {other:?}"
            ));
            ExitCode::FAILURE
        }
        Err(error) => {
            stderr_line(&format!("liveswap: the session ended: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The project's folder, and its sessions that live; the files of dead ones are removed.
fn sessions(place: &WhereArgs) -> Result<(PathBuf, Vec<Living>), ExitCode> {
    let flag = |name: &str, value: &Option<PathBuf>| {
        value.as_ref().map(|value| {
            let mut flag = OsString::from(name);
            flag.push(value);
            flag
        })
    };
    let flags = [
        flag("--manifest-path=", &place.manifest_path),
        flag("--target-dir=", &place.target_dir),
    ];
    let options = RunOptions {
        cargo_args: flags.into_iter().flatten().collect(),
        ..RunOptions::default()
    };
    let project = Project::of(&options).map_err(|error| {
        stderr_line(&format!("liveswap: {error}"));
        ExitCode::FAILURE
    })?;
    let mut living = Vec::new();
    for (path, file) in SessionFile::find(&project.target_dir, base().as_deref()) {
        match ask(&file.control, Request::Status) {
            Ok(status) => living.push(Living {
                pid: file.pid,
                control: file.control,
                status,
            }),
            Err(error) => {
                tracing::debug!(%error, file = %path.display(), "a session's file");
                // Of a dead session; one that is only slow to answer keeps its file.
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionRefused | ErrorKind::NotFound
                ) {
                    // It may be gone already, or be removed next time.
                    let _ = std::fs::remove_file(path);
                }
            }
        }
    }
    Ok((project.workspace_root, living))
}

fn program(status: &Answer) -> Option<u32> {
    match status {
        Answer::Status { pid, .. } => Some(*pid),
        Answer::Swapped { .. } | Answer::Restarted { .. } => None,
    }
}

fn text(session: u32, status: &Answer) -> String {
    let Answer::Status {
        pid,
        exe,
        generation,
        functions,
        calls,
        restarts,
        waits,
        crashed,
        outcome,
        seconds,
    } = status
    else {
        return String::new();
    };
    let ago = match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    };
    let last = match outcome {
        Some(outcome) => format!("last change ({ago} ago): {outcome}"),
        None => format!("no change since the start {ago} ago"),
    };
    let again = match restarts {
        0 => String::new(),
        1 => ", started again once".to_owned(),
        times => format!(", started again {times} times"),
    };
    let waits = if *crashed {
        "  the program has crashed: the next save starts it again\n"
    } else if *waits {
        "  something waits: `cargo liveswap restart` applies it\n"
    } else {
        ""
    };
    format!(
        "{}\n  program {pid}, session {session}{again}\n  generation {generation}, {functions} functions swapped\n{}  {last}\n{waits}",
        exe.display(),
        calls_text(calls)
    )
}

/// A line for each of the first functions of the generation.
fn calls_text(calls: &[Called]) -> String {
    let mut text = String::new();
    let (shown, others) = calls.split_at(calls.len().min(FUNCTIONS_LISTED));
    for Called { function, called } in shown {
        let called = if *called {
            "called since"
        } else {
            "not called yet"
        };
        text.push_str(&format!("    {function}: {called}\n"));
    }
    if !others.is_empty() {
        let called = others.iter().filter(|it| it.called).count();
        let not = others.len() - called;
        text.push_str(&format!(
            "    and {} more: {called} called since, {not} not called yet\n",
            others.len()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_runs_and_what_happened_last() {
        let mut status = Answer::Status {
            pid: 12,
            exe: "app".into(),
            generation: 3,
            functions: 5,
            calls: Vec::new(),
            restarts: 0,
            waits: false,
            crashed: false,
            outcome: None,
            seconds: 70,
        };
        assert_eq!(
            text(11, &status),
            "app\n  program 12, session 11\n  generation 3, 5 functions swapped\n  no change since the start 1 min ago\n"
        );
        if let Answer::Status { outcome, calls, .. } = &mut status {
            let called = |function: &str, called| Called {
                function: function.into(),
                called,
            };
            calls.push(called("app::b", false));
            calls.push(called("app::a", true));
            calls.extend((0..10).map(|n| called("app::c", n > 0)));
            *outcome = Some("unchanged".into());
        }
        let text = text(11, &status);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[3..5],
            ["    app::b: not called yet", "    app::a: called since"]
        );
        assert_eq!(
            lines[11],
            "    and 4 more: 4 called since, 0 not called yet"
        );
        assert!(text.contains("last change (1 min ago): unchanged"));
    }
}
