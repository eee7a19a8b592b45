//! The server as a program: the texts of its files, from the bodies that its parts have.

use std::collections::BTreeMap;

use super::body::Body;
use super::part::Part;
use crate::corpus::case::Files;

/// How the server's futures are executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// tokio's executor with two threads.
    MultiThread,
    /// tokio's executor on the main thread.
    CurrentThread,
}

impl Flavour {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::MultiThread => "multi-thread",
            Self::CurrentThread => "current-thread",
        }
    }

    fn attribute(self) -> &'static str {
        match self {
            Self::MultiThread => "worker_threads = 2",
            Self::CurrentThread => "flavor = \"current_thread\"",
        }
    }
}

/// All files of the server.
pub(super) fn files(flavour: Flavour, bodies: &BTreeMap<Part, Body>) -> Files {
    let mut files: Files = bodies
        .iter()
        .map(|(part, body)| (path(*part), file(*part, body)))
        .collect();
    let modules: String = bodies
        .keys()
        .map(|part| format!("mod {};\n", part.name()))
        .collect();
    let main = include_str!("../../fixtures/server_load/main.rs")
        .replace("mod parts;\n", &modules)
        .replace("FLAVOUR", flavour.attribute());
    files.insert("src/main.rs".to_owned(), main);
    files
}

/// The file of a part.
pub(super) fn path(part: Part) -> String {
    format!("src/{}.rs", part.name())
}

/// The text of a part's file.
pub(super) fn file(part: Part, body: &Body) -> String {
    let answer = |call| body.answer(part.name(), call);
    let text = match part {
        Part::Plain => include_str!("../../fixtures/server_load/plain.rs"),
        Part::Shared => include_str!("../../fixtures/server_load/shared.rs"),
        Part::Blocking => include_str!("../../fixtures/server_load/blocking.rs"),
        Part::Inner => include_str!("../../fixtures/server_load/inner.rs"),
        Part::Layer => include_str!("../../fixtures/server_load/layer.rs"),
        Part::Service => include_str!("../../fixtures/server_load/service.rs"),
        Part::Entry => include_str!("../../fixtures/server_load/entry.rs"),
        Part::Closure => include_str!("../../fixtures/server_load/closure.rs"),
        Part::Connection => include_str!("../../fixtures/server_load/connection.rs"),
        Part::Reply => include_str!("../../fixtures/server_load/reply.rs"),
        Part::Boxed => include_str!("../../fixtures/server_load/boxed.rs"),
        Part::Word => include_str!("../../fixtures/server_load/word.rs"),
        Part::Direct => include_str!("../../fixtures/server_load/direct.rs"),
        Part::Stream => include_str!("../../fixtures/server_load/stream.rs"),
        Part::Chunk => include_str!("../../fixtures/server_load/chunk.rs"),
        Part::Ticker => include_str!("../../fixtures/server_load/ticker.rs"),
        Part::Forever => include_str!("../../fixtures/server_load/forever.rs"),
        Part::Beat => include_str!("../../fixtures/server_load/beat.rs"),
    };
    // A body is put together where its parts are far from each other, too.
    text.replace("    BEGIN;\n", &body.begin())
        .replace("    HOLD;\n", &body.hold())
        .replace("    PAUSES;\n", &body.pauses())
        .replace("    CALL;\n", &body.capture("let call = move |x: u64| x"))
        .replace("    JOB;\n", &body.capture("let job = move || 0u64"))
        .replace("ANSWER_WITH_JOB", &answer("job"))
        .replace("ANSWER", &answer("call(0)"))
}
