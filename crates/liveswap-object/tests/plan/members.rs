//! What new code needs and only archives have.

use std::process::Command;
use std::sync::Arc;

use liveswap_object::elf::Elf;
use liveswap_object::patch::{LiveBytes, Member, Supply};

use crate::compiler::{Level, LiveCrate, run};

/// An archive of C files.
struct Archive(Vec<Member>);

impl Archive {
    fn of(sources: &[&str]) -> Archive {
        let dir = tempfile::tempdir().unwrap();
        let members = sources.iter().enumerate().map(|(number, source)| {
            let (file, out) = (dir.path().join("a.c"), dir.path().join("a.o"));
            std::fs::write(&file, source).unwrap();
            run(Command::new("cc")
                .args(["-c", "-O1", "-fPIC", "-o"])
                .args([&out, &file]));
            Member {
                archive: "library.a".into(),
                name: format!("{number}.o").into(),
                bytes: Arc::from(std::fs::read(out).unwrap()),
            }
        });
        Archive(members.collect())
    }
}

impl Supply for Archive {
    fn member_defining(&self, symbol: &str) -> Option<Member> {
        let defines = |member: &&Member| {
            let object = Elf::parse(&member.bytes).unwrap();
            let mut symbols = object.symbols.iter();
            symbols.any(|it| it.name == symbol && it.section.is_some() && !it.is_local())
        };
        self.0.iter().find(defines).cloned()
    }

    fn live_object(&self, _cgu: &str) -> Option<LiveBytes> {
        None
    }
}

const SOURCE: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn exported(x: usize) -> usize { x + 1 }
"#;

/// The same, with a call of each of these functions.
fn calling(functions: &[&str]) -> String {
    let each = |with: fn(&str) -> String| -> String {
        functions.iter().map(|function| with(function)).collect()
    };
    format!(
        "unsafe extern \"C\" {{ {} }} {}",
        each(|function| format!("fn {function}() -> usize;")),
        SOURCE.replace(
            "x + 1",
            &format!(
                "x + 2 {}",
                each(|function| format!("+ unsafe {{ {function}() }}"))
            )
        )
    )
}

#[test]
fn members_are_pulled_with_those_that_they_need_in_turn() {
    let archive = Archive::of(&[
        "long third(void); long middle(void) { return third() + 1; }",
        "long middle(void); long outer(void) { return middle() + 1; }",
        "long fourth(void) { return 4; }",
        "static long kept = 3; long third(void) { return kept++; }",
    ]);
    for level in Level::ALL {
        let live = LiveCrate::new(SOURCE, level);
        let planned = live.plan_with(&calling(&["outer"]), &archive).unwrap();
        let names = planned.symbols.iter().map(|it| it.0.as_str());
        let mut names: Vec<_> = names.filter(|it| !it.ends_with(".first")).collect();
        names.sort_unstable();
        assert_eq!(names, ["exported", "middle", "outer", "third"], "{level:?}");
        // Same inputs, same image.
        let again = live.plan_with(&calling(&["outer"]), &archive).unwrap();
        assert_eq!(planned.patch, again.patch);
    }
}

#[test]
fn an_import_was_weak_because_a_weak_reference_came_first() {
    let weak = |name: &str| {
        format!(
            "extern long shared(void) __attribute__((weak));
             long {name}(void) {{ return shared ? shared() : 0; }}"
        )
    };
    let strong = |name: &str| {
        format!("extern long shared(void); long {name}(void) {{ return shared() + 1; }}")
    };
    let live = LiveCrate::new(SOURCE, Level::Most);
    for (first, second, is_weak) in [
        (weak("outer"), strong("middle"), false),
        (strong("outer"), weak("middle"), false),
        (weak("outer"), weak("middle"), true),
    ] {
        let archive = Archive::of(&[&first, &second]);
        let edited = calling(&["outer", "middle"]);
        let planned = live.plan_with(&edited, &archive).unwrap();
        let mut imports = planned.patch.imports.iter();
        let shared = imports.find(|import| import.name == "shared").unwrap();
        assert_eq!(shared.weak, is_weak, "{first}\n{second}");
    }
}
