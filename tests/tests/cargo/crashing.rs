//! A program that crashes while somebody sits there: the session says where, and a save starts it again.

use liveswap_tests::LiveProject;

const MAIN: &str = "src/main.rs";

const FRAGILE: &str = r#"
use std::sync::atomic::{AtomicU64, Ordering};

static CALLS: AtomicU64 = AtomicU64::new(0);

fn main() {
    println!("ready");
    for line in std::io::stdin().lines() {
        match line.unwrap().as_str() {
            "quit" => return,
            "caught" => println!("{}", std::panic::catch_unwind(|| { divide(0) }).is_err()),
            "fault" => fault(),
            "abort" => give_up(),
            "exit" => std::process::exit(7),
            number => println!("{} {}", divide(number.parse().unwrap_or(1)), CALLS.fetch_add(1, Ordering::SeqCst)),
        }
    }
}

#[inline(never)]
fn divide(by: u64) -> u64 {
    let numbers = [100_u64];
    numbers.iter().map(|number| number.checked_div(by).unwrap()).sum()
}

fn fault() {
    // SAFETY: it is not: this is the test.
    unsafe { std::ptr::write_volatile(16 as *mut u8, 1) }
}

fn give_up() {
    std::process::abort()
}
"#;

#[test]
fn a_panic_names_function_and_line_and_a_save_starts_the_program_again() {
    let project = LiveProject::with_main(FRAGILE);
    let mut live = project.live().args(&["--stay"]).start();
    assert_eq!(live.line(), "ready");
    // A panic that is caught is none.
    assert_eq!(live.ask("caught"), "true");
    assert_eq!(live.ask("5"), "20 0");
    live.send("0");
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("code"), 101);
    assert_eq!(crashed.number("generation"), 0);
    let function = crashed.text("function");
    assert!(function.starts_with("app::divide"), "{crashed}");
    let line = 1 + FRAGILE
        .lines()
        .position(|it| it.contains("checked_div"))
        .unwrap();
    assert_eq!(crashed.text("line"), format!("src/main.rs:{line}"));

    project.edit(MAIN, ".checked_div(by)", ".checked_div(by");
    live.build_failed();
    project.edit(MAIN, ".checked_div(by", ".checked_div(by + 1)");
    assert_eq!(live.started_again().number("restart"), 1);
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("0"), "100 0");
    // Edits go live again; and code that did so is found, too.
    project.edit(MAIN, "by + 1", "by");
    live.swapped();
    assert_eq!(live.ask("2"), "50 1");
    live.send("0");
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("generation"), 1, "{crashed}");
    assert!(
        crashed.text("function").starts_with("app::divide"),
        "{crashed}"
    );
    assert_eq!(crashed.text("line"), format!("src/main.rs:{line}"));
    project.edit(MAIN, "checked_div(by)", "checked_div(by.max(1))");
    assert_eq!(live.started_again().number("restart"), 2);
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("0"), "100 0");
    live.quit();
}

#[test]
fn a_fault_and_an_abort_are_told_as_far_as_is_known() {
    let project = LiveProject::with_main(FRAGILE);
    let mut live = project.live().args(&["--stay"]).start();
    live.line();
    live.send("abort");
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("signal"), i64::from(libc::SIGABRT));
    assert_eq!(crashed.text("function"), "app::give_up");
    project.edit(MAIN, "std::process::abort()", "println!(\"mended\")");
    live.started_again();
    live.line();
    assert_eq!(live.ask("abort"), "mended");
    live.send("fault");
    let crashed = live.event_named("crashed");
    assert_eq!(crashed.number("signal"), i64::from(libc::SIGSEGV));
    assert!(crashed.value().get("function").is_none(), "{crashed}");
    // An interrupt ends what only waits.
    live.signal_all(libc::SIGINT);
    assert_eq!(live.event_named("exited").number("code"), 139);
    assert_eq!(live.wait().code(), Some(139));
}

#[test]
fn without_somebody_who_sits_there_all_ends_as_the_program_does() {
    let project = LiveProject::with_main(FRAGILE);
    for (flags, line, code) in [
        (&[][..], "0", 101),
        (&["--no-stay"][..], "0", 101),
        (&["--stay"][..], "exit", 7),
    ] {
        let mut live = project.live().args(flags).start();
        live.line();
        live.send(line);
        assert_eq!(live.event_named("exited").number("code"), code);
        assert_eq!(
            live.wait().code(),
            Some(i32::try_from(code).expect("a code"))
        );
    }
}
