//! Threads that call the function that is being edited, without pause.

use std::time::{Duration, Instant};

use liveswap_tests::LiveProject;

const SWAPS: u64 = 300;

#[test]
fn eight_threads_call_a_function_over_300_swaps() {
    let project = LiveProject::new("threads");
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let original = project.read("src/work.rs");
    for version in 2..=SWAPS + 1 {
        let text = original.replace("/*version*/ 1", &format!("/*version*/ {version}"));
        project.save("src/work.rs", &text);
        live.swapped();
        // The answer shows that the program goes on. Now and then all threads must have come to the
        // new code: not always, as they leave the machine to the compiler.
        let newest: u64 = live.ask("newest").parse().expect("a version");
        assert!(newest <= version, "{newest} before {version}");
        let deadline = Instant::now() + Duration::from_secs(60);
        while version % 20 == 1 && live.ask("newest") != version.to_string() {
            if Instant::now() > deadline {
                live.disappoint(&format!("version {version} on all threads"));
            }
        }
    }
    live.send("quit");
    assert_eq!(live.line(), "true");
    live.quit();
}
