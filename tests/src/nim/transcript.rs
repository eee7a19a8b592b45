//! `expected.txt`: a session with a running program, as a person would have noted it.
//!
//! ```text
//! # a comment: why the answer is this one
//! == start                     compile `0/` and run it
//! == start one|two words       the same with arguments, separated by bars
//! == edit 1                    apply the folder `1/` and compile
//! == edit 2 fails: TEXT        apply it; the compiler refuses it with this text
//! == edit 3 unlinked           apply it and compile, but every library stays the old one for now
//! == linked NAME               the new library of module NAME takes its place
//! == linked the rest           and all the others theirs: that build is complete
//! == set NAME=VALUE            an environment variable for the program, before its start
//! == answer                    the program answers without being asked
//! == stderr: TEXT              a line with this text arrives on stderr; `...` stands for anything
//! == exit 0                    the program ends by itself, with this status
//! == signal SIGABRT            the program is ended by this signal
//! > LINE                       LINE goes to the program's standard input
//! ```
//!
//! A line of any kind that begins with `1| ` or `2| ` is there only for that compiler (1.6 or 2.2).
//!
//! Every other line is a line that the program prints. It ends each answer with a line that holds
//! only `~`, which is not noted here.

use std::path::Path;

use super::toolchain::Compiler;

/// What is done to the program, or waited for.
#[derive(Debug)]
pub enum Action {
    Start(Vec<String>),
    Edit(String),
    EditFails { folder: String, message: String },
    EditUnlinked(String),
    Linked(String),
    LinkedTheRest,
    Set { name: String, value: String },
    Answer,
    Stderr(String),
    Exit(i32),
    Signal(i32),
    Send(String),
}

/// An action and the lines that the program prints in answer to it.
#[derive(Debug)]
pub struct Step {
    pub line: usize,
    pub action: Action,
    pub output: Vec<String>,
}

/// Reads an `expected.txt`.
///
/// # Panics
/// When a line of it cannot be understood: the fixture is wrong then.
pub fn read(path: &Path, compiler: Compiler) -> Vec<Step> {
    let text = std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        if line.starts_with('#') {
            continue;
        }
        let line = match line.split_once("| ") {
            Some((name, rest)) if name == compiler.name() => rest,
            Some((name, _)) if Compiler::ALL.iter().any(|it| it.name() == name) => continue,
            _ => line,
        };
        let action = if let Some(rest) = line.strip_prefix("> ") {
            Some(Action::Send(rest.to_owned()))
        } else {
            line.strip_prefix("== ").map(|rest| {
                directive(rest)
                    .unwrap_or_else(|| panic!("{}:{line_number}: {line}", path.display()))
            })
        };
        match (action, steps.last_mut()) {
            (Some(action), _) => steps.push(Step {
                line: line_number,
                action,
                output: Vec::new(),
            }),
            (None, Some(step)) => step.output.push(line.to_owned()),
            (None, None) => panic!("{}:{line_number}: output before a start", path.display()),
        }
    }
    for step in &steps {
        let silent = !matches!(
            step.action,
            Action::Start(_) | Action::Send(_) | Action::Answer
        );
        assert!(
            !silent || step.output.is_empty(),
            "{}:{}: nothing is printed in answer to this",
            path.display(),
            step.line
        );
    }
    steps
}

fn directive(text: &str) -> Option<Action> {
    let (word, rest) = match text.split_once([' ', ':']) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    };
    Some(match word {
        "start" if rest.is_empty() => Action::Start(Vec::new()),
        "start" => Action::Start(rest.split('|').map(str::to_owned).collect()),
        "edit" => match rest.split_once(" fails: ") {
            Some((folder, message)) => Action::EditFails {
                folder: folder.to_owned(),
                message: message.to_owned(),
            },
            None => match rest.strip_suffix(" unlinked") {
                Some(folder) => Action::EditUnlinked(folder.to_owned()),
                None => Action::Edit(rest.to_owned()),
            },
        },
        "linked" if rest == "the rest" => Action::LinkedTheRest,
        "linked" => Action::Linked(rest.to_owned()),
        "set" => {
            let (name, value) = rest.split_once('=')?;
            Action::Set {
                name: name.to_owned(),
                value: value.to_owned(),
            }
        }
        "answer" if rest.is_empty() => Action::Answer,
        "stderr" => Action::Stderr(rest.to_owned()),
        "exit" => Action::Exit(rest.parse().ok()?),
        "signal" => Action::Signal(match rest {
            "SIGABRT" => libc::SIGABRT,
            _ => return None,
        }),
        _ => return None,
    })
}

/// Whether a line holds the pattern's pieces, which `...` separates, in this order.
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut rest = line;
    pattern
        .split("...")
        .all(|piece| match rest.find(piece.trim()) {
            Some(at) => {
                rest = &rest[at + piece.trim().len()..];
                true
            }
            None => false,
        })
}
