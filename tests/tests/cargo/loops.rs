//! Programs that never wait for anybody: a loop that draws, counts, polls.

use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

/// Reads lines until one has this text; the numbers that begin the lines must have no gap.
#[track_caller]
fn until(live: &mut LiveRun, last: &mut u64, text: &str) {
    let lines = live.lines_until(|line| line.contains(text));
    for line in lines {
        let number = line.split(' ').next().and_then(|word| word.parse().ok());
        assert_eq!(number, Some(*last + 1), "{line}");
        *last += 1;
    }
}

#[test]
fn a_private_function_called_from_a_loop_in_the_same_file_goes_live() {
    let project = LiveProject::with_main(
        r#"
use std::time::Duration;

struct World {
    ticks: u64,
    history: Vec<u64>,
}

fn main() {
    let mut world = World { ticks: 0, history: Vec::new() };
    loop {
        world.ticks += 1;
        let text = tick(&mut world);
        println!("{} {text}", world.ticks);
        // The pace of this program, as of a game that draws: no test waits by it.
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn tick(world: &mut World) -> String {
    world.history.push(fibonacci(10));
    describe(world)
}

fn fibonacci(n: u64) -> u64 {
    if n < 2 { n } else { fibonacci(n - 1) + fibonacci(n - 2) }
}

fn describe(world: &World) -> String {
    format!("old {}", world.history[world.history.len() - 1])
}
"#,
    );
    let mut live = project.run();
    let mut last = 0;
    until(&mut live, &mut last, "old 55");
    project.edit(MAIN, "\"old {}\"", "\"new {}\"");
    live.swapped();
    until(&mut live, &mut last, "new 55");
    // Recursion: the calls of the function of itself are new as well.
    project.edit(MAIN, "if n < 2 { n }", "if n < 2 { n * 10 }");
    live.swapped();
    until(&mut live, &mut last, "new 550");
    project.edit(
        MAIN,
        "world.history.push(",
        "world.ticks += 0;\n    world.history.push(1 + ",
    );
    live.swapped();
    until(&mut live, &mut last, "new 551");
    project.edit(
        MAIN,
        "\"new {}\", world.history[world.history.len() - 1]",
        "\"sum {}\", world.history.iter().sum::<u64>() % 2 + 2",
    );
    live.swapped();
    until(&mut live, &mut last, "sum ");
    live.signal_all(libc::SIGINT);
    assert_eq!(live.wait().code(), Some(128 + libc::SIGINT));
}
