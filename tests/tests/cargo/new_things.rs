//! Edits that add, remove, move and restore.

use liveswap_tests::{LiveProject, LiveRun};

const LIB: &str = "logic/src/lib.rs";

/// The program, and the library that grows.
struct Growing {
    project: LiveProject,
    live: LiveRun,
    answer: String,
}

impl Growing {
    #[track_caller]
    fn start() -> Self {
        let project = LiveProject::new("grow");
        let mut live = project.run();
        assert_eq!(live.line(), "ready");
        assert_eq!(live.ask("answer"), "start 7");
        Self {
            project,
            live,
            answer: "format!(\"start {seven}\")".to_owned(),
        }
    }

    /// Puts another expression into `answer`, and items at the end of the library: one save.
    #[track_caller]
    fn edit(&mut self, expression: &str, items: &str) {
        self.edit_with(expression, items, |text| text);
    }

    /// The same with one more change in the same save.
    #[track_caller]
    fn edit_with(&mut self, expression: &str, items: &str, more: impl Fn(String) -> String) {
        let text = self.project.edited(LIB, &self.answer, expression);
        let text = text.replacen("// items", &format!("{items}\n// items"), 1);
        self.answer = expression.to_owned();
        self.project.save(LIB, &more(text));
    }

    /// An edit that goes live, and what `answer` says then.
    #[track_caller]
    fn grows(&mut self, expression: &str, items: &str, answer: &str) {
        self.edit(expression, items);
        self.live.swapped();
        self.says(answer);
    }

    #[track_caller]
    fn says(&mut self, answer: &str) {
        let said = self.live.ask("answer");
        if said != answer {
            self.live.disappoint(&format!("`{answer}`, not `{said}`"));
        }
    }
}

#[test]
fn new_items_go_live() {
    let mut growing = Growing::start();
    growing.grows(
        "format!(\"fn {}\", added(seven))",
        "fn added(x: u64) -> u64 { x * 2 }",
        "fn 14",
    );
    growing.grows(
        "format!(\"type {:?} {}\", Fresh { a: seven, b: \"new\" }, Fresh { a: 1, b: \"long\" }.method())",
        "#[derive(Debug, Clone, PartialEq)]
        pub struct Fresh { a: u64, b: &'static str }
        impl Fresh { fn method(&self) -> usize { self.b.len() } }",
        "type Fresh { a: 7, b: \"new\" } 4",
    );
    growing.grows(
        "{
            let all: Vec<Box<dyn Named>> = vec![Box::new(Fresh { a: seven, b: \"x\" }), Box::new(Kind::Second(3))];
            all.iter().map(|one| one.name()).collect::<Vec<_>>().join(\"+\")
        }",
        "trait Named { fn name(&self) -> String; }
        impl Named for Fresh { fn name(&self) -> String { format!(\"fresh{}\", self.a) } }
        #[allow(dead_code)]
        enum Kind { First, Second(u8) }
        impl Named for Kind {
            fn name(&self) -> String {
                match self { Kind::First => \"first\".into(), Kind::Second(n) => format!(\"second{n}\") }
            }
        }",
        "fresh7+second3",
    );
    growing.grows(
        "(0..9).map(|n| word(n + seven - 7)).collect::<Vec<_>>().join(\" \")",
        "fn word(n: u64) -> &'static str {
            match n { 0 => \"zero\", 1 => \"one\", 2 => \"two\", 3 => \"three\", 4 => \"four\",
                5 => \"five\", 6 => \"six\", 7 => \"seven\", _ => \"many\" }
        }",
        "zero one two three four five six seven many",
    );
    // What no code of the program needed before: maps, sorting, formats, time, sockets, threads.
    growing.grows(
        "{
            let mut map = std::collections::BTreeMap::new();
            for n in 0..100_u64 { map.insert(n.wrapping_mul(37) % 101, format!(\"{n:>5.1?}\")); }
            let set: std::collections::HashSet<u64> = map.keys().map(|n| n % 10).collect();
            let mut list: Vec<f64> = map.keys().map(|n| (*n as f64).sqrt().sin()).collect();
            list.sort_by(f64::total_cmp);
            let listener = std::net::TcpListener::bind(\"127.0.0.1:0\").unwrap();
            let local = listener.local_addr().unwrap();
            let sum: u64 = std::thread::scope(|s| {
                let threads: Vec<_> = (0..3).map(|n| s.spawn(move || n * seven)).collect();
                threads.into_iter().map(|t| t.join().unwrap()).sum()
            });
            let parsed: Result<u64, _> = \"12x\".parse::<u64>();
            let path = std::path::Path::new(\"a/b.c\").extension().unwrap().to_owned();
            format!(\"{} {} {} {} {:?} {:?} {}\", map.len(), set.len(), list.len(), local.port() > 0, parsed.is_err(), path, sum)
        }",
        "",
        "100 10 100 true true \"c\" 21",
    );
    growing.live.quit();
}

#[test]
fn new_statics_and_thread_locals_keep_their_values_over_later_edits() {
    let mut growing = Growing::start();
    growing.grows(
        "format!(\"a {}\", count())",
        "use std::sync::atomic::{AtomicU64, Ordering};
        static ADDED: AtomicU64 = AtomicU64::new(100);
        static LIST: std::sync::Mutex<Vec<u64>> = std::sync::Mutex::new(Vec::new());
        static LAZY: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| 5);
        fn count() -> u64 {
            static INSIDE: AtomicU64 = AtomicU64::new(0);
            LIST.lock().unwrap().push(*LAZY);
            let list = LIST.lock().unwrap();
            assert!(list.iter().all(|n| *n == 5));
            assert_eq!(INSIDE.fetch_add(1, Ordering::SeqCst) + 1, list.len() as u64);
            ADDED.fetch_add(1, Ordering::SeqCst) + 1
        }",
        "a 101",
    );
    growing.says("a 102");
    growing.grows("format!(\"b {} {seven}\", count())", "", "b 103 7");
    growing.project.edit(
        LIB,
        "fetch_add(1, Ordering::SeqCst) + 1\n",
        "fetch_add(2, Ordering::SeqCst) + 2\n",
    );
    growing.live.swapped();
    growing.says("b 105 7");

    growing.edit_with(
        "format!(\"c {} {}\", count(), local())",
        "use std::cell::{Cell, RefCell};
        thread_local! {
            static CONST: Cell<u64> = const { Cell::new(40) };
            static LAZY_LOCAL: RefCell<String> = RefCell::new(String::from(\"x\"));
        }
        fn local() -> u64 {
            LAZY_LOCAL.with_borrow_mut(|text| text.push('x'));
            CONST.set(CONST.get() + 1);
            assert_eq!(LAZY_LOCAL.with_borrow(|text| text.len() as u64) + 39, CONST.get());
            CONST.get()
        }",
        |text| text.replace("String::from(\"nothing\")", "local().to_string()"),
    );
    growing.live.swapped();
    growing.says("c 107 41");
    for (question, answer) in [
        ("old thread", "41"),
        ("old thread", "42"),
        ("new thread", "41"),
        ("answer", "c 109 42"),
    ] {
        assert_eq!(growing.live.ask(question), answer, "{question}");
    }
    growing.grows("format!(\"d {} {}\", count(), local())", "", "d 111 43");
    growing.project.edit(
        LIB,
        "CONST.set(CONST.get() + 1);",
        "CONST.set(CONST.get() + 1); let _again = 1;",
    );
    growing.live.outcome();
    assert_eq!(growing.live.ask("old thread"), "43");
    assert_eq!(growing.live.ask("new thread"), "41");
    growing.says("d 113 44");
    growing.live.quit();
}

#[test]
fn new_files_go_live() {
    let mut growing = Growing::start();
    // The file first, as editors do: nobody refers to it yet.
    growing.project.save(
        "logic/src/fresh.rs",
        "pub fn name() -> &'static str { \"fresh\" }\n",
    );
    growing.edit("format!(\"{} {seven}\", fresh::name())", "mod fresh;");
    growing.live.at_last_swapped();
    growing.says("fresh 7");
    growing
        .project
        .edit("logic/src/fresh.rs", "\"fresh\"", "\"fresher\"");
    growing.live.at_last_swapped();
    growing.says("fresher 7");

    growing
        .project
        .save("logic/src/deep/mod.rs", "pub mod inner;\n");
    growing.project.save(
        "logic/src/deep/inner.rs",
        "pub fn text() -> String { include_str!(\"../words.txt\").trim().to_owned() }\n",
    );
    growing.project.save("logic/src/words.txt", "some words\n");
    growing.edit("format!(\"{} {seven}\", deep::inner::text())", "mod deep;");
    growing.live.at_last_swapped();
    growing.says("some words 7");
    growing
        .project
        .save("logic/src/words.txt", "more words than before\n");
    growing.live.at_last_swapped();
    growing.says("more words than before 7");

    // The other order: the reference comes before the file.
    growing.edit("format!(\"{} {seven}\", late::name())", "mod late;");
    growing.live.build_failed();
    growing.says("more words than before 7");
    growing.project.save(
        "logic/src/late.rs",
        "pub fn name() -> &'static str { \"late\" }\n",
    );
    growing.live.at_last_swapped();
    growing.says("late 7");
    growing.live.quit();
}

#[test]
fn a_new_dependency_goes_live() {
    let mut growing = Growing::start();
    growing.grows("format!(\"before {seven}\")", "", "before 7");
    // A package of the user's own.
    growing.project.edit(
        "logic/Cargo.toml",
        "[dependencies]\n",
        "[dependencies]\nextra = { path = \"../extra\" }\n",
    );
    // Its functions may come at once, or when somebody uses them.
    let event = growing.live.outcome();
    assert!(matches!(event.name(), "swapped" | "unchanged"), "{event}");
    growing.says("before 7");
    growing.grows("extra::used(\"extra\")", "", "extra 1");
    growing.says("extra 2");
    growing.grows("extra::used(\"still extra\")", "", "still extra 3");
    growing.project.edit(
        "extra/src/lib.rs",
        "fetch_add(1, Ordering::SeqCst) + 1",
        "fetch_add(10, Ordering::SeqCst) + 10",
    );
    growing.live.swapped();
    growing.says("still extra 13");
    // One of crates.io, saved together with its use.
    growing.project.edit(
        "logic/Cargo.toml",
        "[dependencies]\n",
        "[dependencies]\nitoa = \"1\"\n",
    );
    growing.edit(
        "format!(\"{} {}\", itoa::Buffer::new().format(seven * 6), extra::used(\"both\"))",
        "",
    );
    growing.live.at_last_swapped();
    growing.says("42 both 23");
    growing.live.quit();
}

#[test]
fn removed_restored_repeated_and_reordered_functions() {
    let mut growing = Growing::start();
    let original = growing.project.read(LIB);
    growing.grows(
        "format!(\"{} {}\", one(seven), two(seven))",
        "fn one(x: u64) -> u64 { x.wrapping_add(1) }\nfn two(x: u64) -> u64 { x.wrapping_add(2) }",
        "8 9",
    );
    let with_both = growing.project.read(LIB);

    // Removed: nobody calls it any more.
    let text = with_both
        .replace(
            "format!(\"{} {}\", one(seven), two(seven))",
            "one(seven).to_string()",
        )
        .replace("fn two(x: u64) -> u64 { x.wrapping_add(2) }", "");
    growing.project.save(LIB, &text);
    let event = growing.live.swapped();
    assert!(event.functions("removed") > 0, "{event}");
    growing.says("8");

    // Back again, word for word.
    growing.project.save(LIB, &with_both);
    growing.live.swapped();
    growing.says("8 9");

    // Reordered, without a line of code that knows where it stands.
    let reordered = with_both.replace(
        "fn one(x: u64) -> u64 { x.wrapping_add(1) }\nfn two(x: u64) -> u64 { x.wrapping_add(2) }",
        "fn two(x: u64) -> u64 { x.wrapping_add(2) }\nfn one(x: u64) -> u64 { x.wrapping_add(1) }",
    );
    assert_ne!(reordered, with_both);
    growing.project.save(LIB, &reordered);
    growing.live.unchanged();
    growing.says("8 9");

    // The same edit twice.
    let edited = reordered.replace("wrapping_add(2)", "wrapping_add(3)");
    growing.project.save(LIB, &edited);
    growing.live.swapped();
    growing.says("8 10");
    growing.project.save(LIB, &edited);
    growing.live.unchanged();
    growing.says("8 10");

    // A comment changes nothing: in a line that there was, and in a new one below.
    growing
        .project
        .save(LIB, &edited.replace("// uses", "// what is used"));
    growing.live.unchanged();
    growing
        .project
        .save(LIB, &format!("{edited}\n// The end.\n"));
    growing.live.unchanged();
    growing.says("8 10");

    growing.project.save(LIB, &original);
    growing.live.swapped();
    growing.says("start 7");

    // Again and again between two texts.
    for _ in 0..5 {
        growing.project.save(LIB, &edited);
        growing.live.swapped();
        growing.says("8 10");
        growing.project.save(LIB, &original);
        growing.live.swapped();
        growing.says("start 7");
    }
    growing.live.quit();
}
