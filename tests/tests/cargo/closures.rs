//! Closures and futures that are alive while the code that makes them is edited.

use liveswap_tests::LiveProject;

const PROGRAM: &str = r#"
use std::future::Future;
use std::io::BufRead;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

fn main() {
    let mut stored = Vec::new();
    let mut tasks = Vec::new();
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        match line.unwrap().as_str() {
            "quit" => return,
            "make" => {
                make(&mut stored);
                tasks.push(task());
                poll(&mut tasks);
                println!("made");
            }
            "call" => println!("{}", call(&mut stored)),
            _ => println!("{}", poll(&mut tasks)),
        }
    }
}

type Stored = Vec<Box<dyn FnMut(i32) -> String>>;

#[inline(never)]
fn make(stored: &mut Stored) {
    let add = stored.len() as i32 + 10;
    let text = String::from("text");
    let mut calls = vec![0u64; 3];
    // before
    stored.push(Box::new(move |x| format!("plus {}", x + add)));
    stored.push(Box::new(move |x| {
        calls[1] += 1;
        format!("{text} {x} {}", calls[1])
    }));
}

#[inline(never)]
fn call(stored: &mut Stored) -> String {
    stored.iter_mut().map(|one| one(1)).collect::<Vec<_>>().join(", ")
}

#[inline(never)]
fn task() -> Pin<Box<dyn Future<Output = String>>> {
    Box::pin(work(vec![1, 2, 3]))
}

async fn work(list: Vec<u32>) -> String {
    let sum: u32 = list.iter().sum();
    Turn(false).await;
    format!("sum {sum} of {}", list.len())
}

struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[inline(never)]
fn poll(tasks: &mut Vec<Pin<Box<dyn Future<Output = String>>>>) -> String {
    let mut done = Vec::new();
    tasks.retain_mut(|task| match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(text) => {
            done.push(text);
            false
        }
        Poll::Pending => true,
    });
    done.join(", ")
}
"#;

const MAIN: &str = "src/main.rs";

/// Those from before hold what the old code put into them: new code read it as something else.
fn what_is_alive_goes_on_as_it_was(flags: &str) {
    let project = LiveProject::with_main(PROGRAM);
    let mut live = project.live().env("RUSTFLAGS", flags).start();
    assert_eq!(live.line(), "ready");
    assert_eq!(live.ask("make"), "made");
    assert_eq!(live.ask("call"), "plus 11, text 1 1");
    // Other captures: more, fewer, of other types.
    let text = project
        .read(MAIN)
        .replace("format!(\"plus {}\", x + add)", "format!(\"{} plus {}\", more[1], x + add)")
        .replace("    // before\n", "    let more = [String::from(\"a\"), String::from(\"b\")];\n    // before\n")
        .replace("format!(\"{text} {x} {}\", calls[1])", "format!(\"{x} {}\", calls[1] * 10)")
        .replace(
            "    Turn(false).await;\n",
            "    let kept = [String::from(\"kept\"), String::from(\"too\")];\n    Turn(false).await;\n    println!(\"{}\", kept.join(\" \"));\n",
        );
    project.save(MAIN, &text);
    live.swapped();
    assert_eq!(live.ask("call"), "plus 11, text 1 2");
    assert_eq!(live.ask("poll"), "sum 6 of 3");
    // Made by the new code.
    assert_eq!(live.ask("make"), "made");
    assert_eq!(live.ask("call"), "plus 11, text 1 3, b plus 13, 1 10");
    assert_eq!(live.ask("poll"), "kept too");
    assert_eq!(live.line(), "sum 6 of 3");
    // A body alone goes live in both that are alive and both that are not.
    project.edit(MAIN, "\"{} plus {}\"", "\"{} PLUS {}\"");
    live.swapped();
    assert_eq!(live.ask("call"), "plus 11, text 1 4, b PLUS 13, 1 20");
    // One more above the others: they get other numbers.
    project.edit(
        MAIN,
        "    // before\n",
        "    let odd = [1, add].iter().map(|n| n % 2).sum::<i32>();\n    stored.push(Box::new(move |x| format!(\"odd {}\", x + odd)));\n",
    );
    live.swapped();
    let called = live.ask("call");
    let called: Vec<&str> = called.split(", ").collect();
    assert_eq!(called.len(), 4, "{called:?}");
    assert_eq!(
        (called[0], called[1]),
        ("plus 11", "text 1 5"),
        "{called:?}"
    );
    assert_eq!((called[2], called[3]), ("b PLUS 13", "1 30"), "{called:?}");
    assert_eq!(live.ask("make"), "made");
    assert!(live.ask("call").ends_with("odd 2, b PLUS 15, 1 10"));
    live.quit();
}

#[test]
fn closures_and_futures_that_are_alive_go_on_as_they_were() {
    what_is_alive_goes_on_as_it_was("");
}

#[test]
fn closures_and_futures_that_are_alive_go_on_as_they_were_under_names_of_version_0() {
    what_is_alive_goes_on_as_it_was("-C symbol-mangling-version=v0");
}

#[test]
fn closures_and_futures_that_are_alive_go_on_as_they_were_in_optimised_code() {
    what_is_alive_goes_on_as_it_was("-C opt-level=2");
}
