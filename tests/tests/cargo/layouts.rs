//! Types whose layout changes while living data may hold them.

use liveswap_tests::{Event, LiveProject, LiveRun};

const MAIN: &str = "src/main.rs";

const PROGRAM: &str = r#"
use std::io::BufRead;
use std::sync::Mutex;

pub struct Account {
    name: String,
    balance: u64,
}

#[derive(Clone, Copy)]
pub enum Mood {
    Good,
    Bad(u8),
}

pub union Bits {
    whole: u32,
    half: [u16; 2],
}

struct Generic<T> {
    value: T,
}

trait Greet {
    fn greet(&self) -> String;
    fn mood(&self) -> Mood;
}

impl Greet for Account {
    fn greet(&self) -> String {
        format!("{} {}", self.name, self.balance)
    }

    fn mood(&self) -> Mood {
        Mood::Bad(1)
    }
}

static ACCOUNTS: Mutex<Vec<Account>> = Mutex::new(Vec::new());
static MOOD: Mutex<Mood> = Mutex::new(Mood::Good);
static BITS: Mutex<Bits> = Mutex::new(Bits { whole: 65_537 });
static GENERIC: Mutex<Option<Generic<Mood>>> = Mutex::new(None);
static GREETERS: Mutex<Vec<Box<dyn Greet + Send>>> = Mutex::new(Vec::new());

fn main() {
    ACCOUNTS.lock().unwrap().push(new_account("anna"));
    GREETERS.lock().unwrap().push(Box::new(new_account("otto")));
    *GENERIC.lock().unwrap() = Some(Generic { value: Mood::Bad(3) });
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "quit" {
            return;
        }
        println!("{}", show());
    }
}

fn new_account(name: &str) -> Account {
    Account { name: name.to_owned(), balance: 10 }
}

#[inline(never)]
fn show() -> String {
    let accounts = ACCOUNTS.lock().unwrap();
    let greeters = GREETERS.lock().unwrap();
    let half = unsafe { BITS.lock().unwrap().half };
    let generic = GENERIC.lock().unwrap().as_ref().map_or(0, |generic| level(generic.value));
    let sum: u64 = accounts.iter().map(|account| account.balance + account.name.len() as u64).sum();
    format!("{sum} {} {} {} {generic} {}", level(*MOOD.lock().unwrap()), half[0], greeters[0].greet(), level(greeters[0].mood()))
}

fn level(mood: Mood) -> u8 {
    match mood {
        Mood::Good => 0,
        Mood::Bad(level) => level,
    }
}
"#;

/// Saves another text of the program, which is refused with this name; the program goes on as it was.
#[track_caller]
fn refused_by_name(project: &LiveProject, live: &mut LiveRun, text: &str, name: &str) -> Event {
    let shown = live.ask("show");
    project.save(MAIN, text);
    let refused = live.refused();
    assert!(refused.text("message").contains(name), "{name}: {refused}");
    assert_eq!(live.ask("show"), shown, "after {refused}");
    refused
}

#[test]
fn a_changed_layout_of_a_living_type_is_refused_by_its_name() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let shown = "14 0 1 otto 10 3 1";
    assert_eq!(live.ask("show"), shown);
    let changes = [
        (
            "Account",
            vec![
                (
                    "    balance: u64,\n",
                    "    balance: u64,\n    limit: u64,\n",
                ),
                ("balance: 10 }", "balance: 10, limit: 0 }"),
            ],
        ),
        (
            "Account",
            vec![
                ("    balance: u64,\n", "    balance: u32,\n"),
                ("account.balance + ", "u64::from(account.balance) + "),
            ],
        ),
        (
            "Mood",
            vec![
                ("    Bad(u8),\n", "    Bad(u64),\n"),
                (
                    "Mood::Bad(level) => level,",
                    "Mood::Bad(level) => level as u8,",
                ),
            ],
        ),
        (
            "Mood",
            vec![
                ("    Good,\n", "    Better,\n    Good,\n"),
                ("Mood::Good => 0,", "Mood::Good | Mood::Better => 0,"),
            ],
        ),
        (
            "Bits",
            vec![("    whole: u32,\n", "    whole: u32,\n    long: u64,\n")],
        ),
        (
            "Generic",
            vec![
                ("    value: T,\n", "    more: u64,\n    value: T,\n"),
                ("Generic { value:", "Generic { more: 1, value:"),
            ],
        ),
    ];
    for (name, edits) in changes {
        let mut text = PROGRAM.to_owned();
        for (from, to) in &edits {
            text = liveswap_tests::cargo_project::replaced(&text, from, to);
        }
        let refused = refused_by_name(&project, &mut live, &text, name);
        assert_eq!(refused.text("code"), "LS0001", "{refused}");
        // A refused edit that is taken back leaves nothing behind.
        project.save(MAIN, PROGRAM);
        live.unchanged();
        assert_eq!(live.ask("show"), shown);
    }
    // What a refused edit changed besides goes live with the next good one.
    project.edit(
        MAIN,
        "Mood::Bad(level) => level,",
        "Mood::Bad(level) => level + 1,",
    );
    live.swapped();
    assert_eq!(live.ask("show"), "14 0 1 otto 10 4 2");
    live.quit();
}

#[test]
fn a_changed_trait_does_not_reach_objects_with_the_old_methods() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let text = PROGRAM
        .replace(
            "    fn greet(&self) -> String;\n",
            "    fn first(&self) -> String { String::from(\"first\") }\n    fn greet(&self) -> String;\n",
        )
        .replace("greeters[0].greet()", "greeters[0].first()");
    refused_by_name(&project, &mut live, &text, "Greet");
    project.save(MAIN, PROGRAM);
    live.unchanged();
    live.quit();
}

/// Objects from before lead to the old method: new code would have called that with the arguments of the new one.
#[test]
fn a_method_with_other_parameters_does_not_reach_objects_with_the_old_one() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let shown = live.ask("show");
    let text = PROGRAM
        .replace("fn greet(&self)", "fn greet(&self, more: &str)")
        .replace("greeters[0].greet()", "greeters[0].greet(\"more\")");
    assert_ne!(text, PROGRAM);
    project.save(MAIN, &text);
    let refused = live.refused();
    assert_eq!(refused.text("code"), "LS0002", "{refused}");
    assert!(
        refused.text("message").contains("method greet"),
        "{refused}"
    );
    assert_eq!(live.ask("show"), shown);
    live.quit();
}

#[test]
fn a_static_that_becomes_another_type_is_refused_by_its_name() {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    let text = PROGRAM
        .replace(
            "static MOOD: Mutex<Mood> = Mutex::new(Mood::Good);",
            "static MOOD: Mutex<u64> = Mutex::new(1 << 40);",
        )
        .replace(
            "level(*MOOD.lock().unwrap())",
            "(*MOOD.lock().unwrap() >> 40)",
        );
    refused_by_name(&project, &mut live, &text, "MOOD");
    live.quit();
}

#[test]
fn captures_of_closures_and_futures_may_change() {
    let project = LiveProject::with_main(
        r#"
use std::future::Future;
use std::io::BufRead;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn main() {
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        if line.unwrap() == "quit" {
            return;
        }
        println!("{}", show());
    }
}

#[inline(never)]
fn show() -> String {
    let (a, b, c) = (1, String::from("two"), 3.5);
    let closure: Box<dyn Fn(u64) -> String> = Box::new(move |x| format!("{x} {a}"));
    let _ = (&b, c);
    let boxed: Vec<Box<dyn FnOnce() -> String>> = vec![Box::new(move || closure(5)), Box::new(make(7))];
    let text: Vec<String> = boxed.into_iter().map(|f| f()).collect();
    format!("{} {}", text.join(" "), block_on(task(9)))
}

fn make(n: u64) -> impl FnOnce() -> String {
    let list = vec![n];
    move || format!("{list:?}")
}

async fn task(n: u64) -> u64 {
    let first = step(n).await;
    first + 1
}

async fn step(n: u64) -> u64 {
    std::future::ready(()).await;
    n
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}
"#,
    );
    let mut live = project.run();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("show"), "5 1 [7] 10");
    let text = project.edited(
        MAIN,
        "Box::new(move |x| format!(\"{x} {a}\"))",
        "Box::new(move |x| format!(\"{x} {a} {b} {c}\"))",
    );
    project.save(MAIN, &text.replace("let _ = (&b, c);", ""));
    live.swapped();
    assert_eq!(live.ask("show"), "5 1 two 3.5 [7] 10");
    let text = project.edited(
        MAIN,
        "move || format!(\"{list:?}\")",
        "let (more, name) = (n * 2, n.to_string());\n    move || format!(\"{list:?} {more} {name}\")",
    );
    project.save(MAIN, &text);
    live.swapped();
    assert_eq!(live.ask("show"), "5 1 two 3.5 [7] 14 7 10");
    let text = project.edited(
        MAIN,
        "    first + 1\n",
        "    let text = vec![first; 3];\n    let second = step(text[2]).await;\n    let third = step(second + text[0]).await;\n    first + third\n",
    );
    project.save(MAIN, &text);
    live.swapped();
    assert_eq!(live.ask("show"), "5 1 two 3.5 [7] 14 7 27");
    project.edit(
        MAIN,
        "    n\n}",
        "    let more = [n; 8];\n    std::future::ready(()).await;\n    more[7] + 100\n}",
    );
    live.swapped();
    assert_eq!(live.ask("show"), "5 1 two 3.5 [7] 14 7 527");
    live.quit();
}
