//! A server under load whose handlers, connections and background tasks are edited: the short form of
//! `cargo xtask server-load`.

use liveswap_tests::live_command::liveswap_command;
use liveswap_tests::server_load::{Flavour, Options, run};

#[test]
fn a_server_under_load_loses_no_request_and_answers_with_what_was_live() {
    let options = Options {
        edits: 12,
        level: 0,
        flavour: Flavour::MultiThread,
        seed: 1,
        verbose: false,
    };
    let report = run(liveswap_command(), &options).expect("a folder to build in");
    assert!(report.failures.is_empty(), "{report:#?}");
    assert_eq!(report.edits, options.edits, "{report:#?}");
    // The seed's edits and the clients are at work indeed.
    assert!(report.layouts >= 4 && report.pending >= 4, "{report:#?}");
    assert!(report.volume.requests > 500, "{report:#?}");
}
