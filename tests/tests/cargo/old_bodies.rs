//! Which functions go on in their old bodies after an edit is said, and of no others.

use liveswap_tests::{LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

/// Its main loop reads, another thread sleeps between two calls, and two threads never leave their loops.
const PROGRAM: &str = r#"
use std::io::BufRead;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static TICKS: AtomicU64 = AtomicU64::new(0);

fn main() {
    std::thread::spawn(pulse);
    std::thread::spawn(spin);
    std::thread::spawn(drowse);
    println!("ready");
    run(std::io::stdin().lock());
}

fn run(input: impl BufRead) {
    for line in input.lines() {
        let line = line.expect("a line of text");
        if line == "quit" {
            break;
        }
        println!("{}", answer(&line));
    }
}

#[inline(never)]
fn answer(line: &str) -> String {
    let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    words.sort_by_key(|word| word.len());
    format!("old {} {}", words.join(" "), TICKS.load(Ordering::SeqCst) > 10)
}

fn pulse() {
    loop {
        tick(3);
        wait();
    }
}

/// Leaves on the stack what others have left there.
#[inline(never)]
fn wait() {
    let mut room = MaybeUninit::<[u8; 4096]>::uninit();
    std::hint::black_box(room.as_mut_ptr());
    std::thread::sleep(Duration::from_millis(2));
    std::hint::black_box(room.as_mut_ptr());
}

#[inline(never)]
fn tick(depth: u64) {
    if depth > 0 {
        tick(depth - 1);
    }
    TICKS.fetch_add(1 + format!("{depth}").len() as u64 / 2, Ordering::SeqCst);
}

#[inline(never)]
fn spin() {
    let mut round = 0_u64;
    loop {
        round += 1;
        TICKS.fetch_add(round % 2, Ordering::SeqCst);
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[inline(never)]
fn drowse() {
    loop {
        std::thread::sleep(Duration::from_secs(3600));
        TICKS.fetch_add(1, Ordering::SeqCst);
    }
}
"#;

/// The next event `pending` is about this function, and certain.
#[track_caller]
fn assert_goes_on(live: &mut LiveRun, function: &str) {
    let pending = live.event_named("pending");
    let message = pending.text("message");
    assert!(
        message.contains(&format!("{function}` goes on in its old body on thread ")),
        "`{function}` and nothing else: {message}"
    );
}

fn loops(arguments: &[&str]) {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.live().args(arguments).start();
    assert_eq!(live.line(), "ready");
    // Their words are on the stacks now.
    while live.ask("b aa") != "old b aa true" {}
    // What loops call before they wait is not running while they wait. The new calls return at once, so the words of
    // the old ones stay on the stack.
    let text = project.edited(
        MAIN,
        "    if depth > 0 {",
        "    if depth == 3 {\n        return;\n    }\n    if depth > 0 {",
    );
    let text = text.replace("\"old {} {}\"", "\"new {} {}\"");
    project.save(MAIN, &text);
    live.swapped();
    assert_eq!(live.ask("b aa"), "new b aa true");
    // Looks are taken in the order of the saves, the second of the first save before the first of the third.
    project.edit(MAIN, "round % 2", "round % 3");
    live.swapped();
    assert_goes_on(&mut live, "spin");
    project.edit(MAIN, "from_secs(3600)", "from_secs(3601)");
    live.swapped();
    assert_goes_on(&mut live, "drowse");
    assert_eq!(live.ask("b aa"), "new b aa true");
    live.quit();
}

#[test]
fn what_a_loop_has_called_before_it_waits_is_not_said_to_go_on() {
    loops(&[]);
}

#[test]
fn what_an_optimised_loop_has_called_before_it_waits_is_not_said_to_go_on() {
    loops(&["--release"]);
}
