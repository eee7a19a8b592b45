//! Nim servers under load: the short form of `cargo xtask nim-server`.

use liveswap_tests::nim::Build;
use liveswap_tests::nim_server::{Kind, Options, run};

/// A program whose thread-locals were freed died after some 1,500 requests, and one whose references on the stack were
/// counted after a hundred.
fn answers_all(kind: Kind, build: Build) {
    let options = Options {
        kind,
        build,
        requests: 3000,
        reloads: 8,
    };
    let (answers, _) = run(&options);
    assert!(answers >= options.requests, "only {answers} answers");
}

#[test]
fn lines_over_asyncnet() {
    answers_all(Kind::Lines, Build::DEBUG);
}

#[test]
fn asynchttpserver_of_nim_2() {
    answers_all(Kind::Http, Build::TWO_RELEASE);
}
