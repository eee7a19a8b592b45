//! The stable codes of refusals, and what `cargo liveswap explain` says of each.
//!
//! Codes are never used again for something else: they stand in scripts, searches and bug reports.

/// A reason for which a change was not taken into the running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The layout of a type changed.
    Layout,
    /// The vtable of a trait changed.
    Vtable,
    /// The type of a static changed.
    StaticType,
    /// A symbol that the program lacks and no archive has.
    MissingSymbol,
    /// A local symbol that cannot be told from others.
    AmbiguousSymbol,
    /// An object that cannot be understood.
    UnknownObject,
    /// The room for thread-locals is used up.
    ThreadLocalRoom,
    /// The range for images is used up.
    ImageRange,
    /// The executable cannot be changed while it runs.
    Executable,
    /// The change needs a restart.
    NeedsRestart,
    /// The program does not answer.
    NoAnswer,
    /// The signature of a function changed that living data may hold.
    Signature,
    /// Code that is reached without a slot.
    NotReplaceable,
    /// Liveswap itself broke down.
    Internal,
    /// The patch is damaged.
    AgentDamaged,
    /// The patch is for another executable.
    AgentExecutable,
    /// The patch is for another generation.
    AgentGeneration,
    /// The patch does not fit the process.
    AgentDoesNotFit,
    /// A relocation overflows or is unknown.
    AgentRelocation,
    /// A symbol of a shared library is missing.
    AgentSymbol,
    /// The system refused memory.
    AgentMemory,
    /// There is no room for a thread-local.
    AgentThreadLocal,
    /// An initialiser of the new code failed.
    AgentInitialiser,
    /// The run-time failed between two functions.
    AgentPartlyApplied,
}

/// What is said of a code.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// `LS0001` …
    pub code: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// What happened.
    pub problem: &'static str,
    /// Why that cannot go live.
    pub why: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl Code {
    /// All of them, in order.
    pub const ALL: [Code; 24] = [
        Code::Layout,
        Code::Vtable,
        Code::StaticType,
        Code::MissingSymbol,
        Code::AmbiguousSymbol,
        Code::UnknownObject,
        Code::ThreadLocalRoom,
        Code::ImageRange,
        Code::Executable,
        Code::NeedsRestart,
        Code::NoAnswer,
        Code::Signature,
        Code::NotReplaceable,
        Code::Internal,
        Code::AgentDamaged,
        Code::AgentExecutable,
        Code::AgentGeneration,
        Code::AgentDoesNotFit,
        Code::AgentRelocation,
        Code::AgentSymbol,
        Code::AgentMemory,
        Code::AgentThreadLocal,
        Code::AgentInitialiser,
        Code::AgentPartlyApplied,
    ];

    /// The code of this text, in any case: `LS0001`, `ls1`, `1`.
    pub fn parse(text: &str) -> Option<Code> {
        let upper = text.trim().to_ascii_uppercase();
        let number: u32 = upper.strip_prefix("LS").unwrap_or(&upper).parse().ok()?;
        let wanted = format!("LS{number:04}");
        Code::ALL.into_iter().find(|code| code.as_str() == wanted)
    }

    /// `LS0001` …
    pub fn as_str(self) -> &'static str {
        self.explanation().code
    }

    /// What is said of it.
    pub fn explanation(self) -> Explanation {
        match self {
            Code::Layout => Explanation {
                code: "LS0001",
                title: "the layout of a type changed",
                problem: "A struct, enum or union that living data may hold has another size, other \
                          fields or other offsets than before the edit, or another `#[repr]`. The \
                          message names the type, the field, and the old and new offsets. Two names that \
                          changed places count: values from before would be read as each other. A new \
                          name in the same place does not. Debug information does not tell types apart \
                          that share a name: two of a function's blocks, or two crates of one name. When \
                          the declaration of one of them changes, this is refused as well.",
                why: "Values of the old layout are in memory: on the heap, in statics, on stacks. New \
                      code would read them with the new offsets and find garbage. Where old and new code \
                      cannot get at the same value, such a change goes live; the message says what \
                      stands against it: a static, a method that is given a value, a raw pointer, a \
                      frame of `main`.",
                advice: "Start the program anew, or take the change of the type back: changes of code \
                         alone go on to be taken in. A new type beside the old one is no problem.",
            },
            Code::Vtable => Explanation {
                code: "LS0002",
                title: "the methods of a trait object changed",
                problem: "A trait that is used as `dyn Trait` gained or lost a method, its methods changed \
                          their order, or one of them has other parameters or another result.",
                why: "Trait objects that exist hold a table of the old methods. New code would call the \
                      wrong entry of it, or the old method as if it were the new one.",
                advice: "Start the program anew. Bodies of the methods can be changed at any time.",
            },
            Code::StaticType => Explanation {
                code: "LS0003",
                title: "the type of a static changed",
                problem: "A `static` or `thread_local!` that can be written to has another size or type than \
                          before the edit.",
                why: "It keeps its value over a swap, and its value has the old type.",
                advice: "Start the program anew, or give the new static a new name: it is then created \
                         with its initial value.",
            },
            Code::MissingSymbol => Explanation {
                code: "LS0004",
                title: "a symbol that is nowhere to be found",
                problem: "The new code refers to a function or a static that the running program does \
                          not have, and that no library of its link line has either.",
                why: "There is nothing that the reference could lead to.",
                advice: "If the edit declares an `extern` function, the library that has it must be \
                         linked: that needs a restart. Otherwise please report it, with the symbol's name.",
            },
            Code::AmbiguousSymbol => Explanation {
                code: "LS0005",
                title: "a local symbol that cannot be told from others",
                problem: "The new code refers to private data of which the program has several of the \
                          same name, and nothing tells which one is meant.",
                why: "The wrong one would be a silent corruption of state.",
                advice: "Rename one of the statics that the message names, or start the program anew.",
            },
            Code::UnknownObject => Explanation {
                code: "LS0006",
                title: "an object file that is not understood",
                problem: "The compiler's output has a relocation or a section of a kind that liveswap \
                          does not know.",
                why: "What is not understood is not loaded into a running program.",
                advice: "Please report it with the compiler's version (`rustc -vV`) and the message. \
                         Start the program anew to go on.",
            },
            Code::ThreadLocalRoom => Explanation {
                code: "LS0007",
                title: "the room for new thread-locals is used up",
                problem: "Edits of this session added more `thread_local!` data than the room that is \
                          set aside in each thread for it.",
                why: "That room is part of every thread's memory and cannot grow while threads live.",
                advice: "Start the program anew: the thread-locals then have their usual places.",
            },
            Code::ImageRange => Explanation {
                code: "LS0008",
                title: "the range for new code is used up",
                problem: "All the address space near the program that was set aside for new code is in \
                          use.",
                why: "Code must lie within 2 GiB of the data that it refers to, and old code stays \
                      mapped because something may still refer to it.",
                advice: "Start the program anew.",
            },
            Code::Executable => Explanation {
                code: "LS0009",
                title: "the program cannot be changed while it runs",
                problem: "The program has no run-time of liveswap in it, or its executable cannot be \
                          read: it was not linked by liveswap, is statically linked, is not position \
                          independent, has no symbols, or is started by a runner that starts something \
                          else.",
                why: "Without slots for its functions there is nothing that could be set to new code.",
                advice: "Build for a target with a dynamic libc, without `-C relocation-model=static`, \
                         `-C target-feature=+crt-static` and `strip`. `cargo liveswap doctor` looks at \
                         the machine.",
            },
            Code::NeedsRestart => Explanation {
                code: "LS0010",
                title: "the change needs a restart",
                problem: "A build script, a profile, a feature set, the folder or the types of a crate, \
                          the version of a dependency, or a crate in a dynamic library (`dylib`) \
                          changed. The message names it.",
                why: "Such a change rebuilds code that is not reloadable, or all of the program, with \
                      other layouts.",
                advice: "End the program and run `cargo liveswap run` again, or take the change back.",
            },
            Code::NoAnswer => Explanation {
                code: "LS0011",
                title: "the program does not answer",
                problem: "The run-time in the program did not answer, or closed its connection.",
                why: "Whether the change was taken in is not known.",
                advice: "A program that is stopped (Ctrl-Z, a debugger) answers when it goes on. If it \
                         closed its file descriptors, or replaced itself (`exec`) and did not connect \
                         again, start it anew.",
            },
            Code::Signature => Explanation {
                code: "LS0012",
                title: "the signature of a function changed",
                problem: "A function with a name of its own for other languages (`#[no_mangle]`) takes \
                          other arguments or returns another type than before the edit.",
                why: "Callers that go on, in other languages as well, would hand over the old \
                      arguments, and new code would read them as the new ones.",
                advice: "Start the program anew, or give the function with the new signature a new \
                         name.",
            },
            Code::NotReplaceable => Explanation {
                code: "LS0013",
                title: "code that cannot be replaced",
                problem: "The edit changes code that belongs to no Rust function: global assembly \
                          (`global_asm!`), or a section that was placed by hand.",
                why: "Nothing leads the program to a new copy of it: it would go on in the old one, \
                      silently.",
                advice: "Start the program anew, or take that part of the change back.",
            },
            Code::Internal => Explanation {
                code: "LS0014",
                title: "an internal error of liveswap",
                problem: "Liveswap itself broke down (a panic) while it worked on the change. The \
                          message has its words; the lines before it name the place.",
                why: "What the work would have led to is not known. The program goes on as it was.",
                advice: "Please report it, with the message and the edit. The next save is taken in as \
                         usual, unless it fails in the same way: then start the program anew.",
            },
            Code::AgentDamaged => Explanation {
                code: "LS0101",
                title: "the patch is damaged",
                problem: "What arrived in the program is not a well-formed patch.",
                why: "A patch is checked as a whole before anything is touched.",
                advice: "Save again. If it happens again, please report it.",
            },
            Code::AgentExecutable => Explanation {
                code: "LS0102",
                title: "the patch is for another executable",
                problem: "The build id of the running program is not the one for which the patch was \
                          made.",
                why: "Addresses in it would be those of another program.",
                advice: "Was the executable replaced, by a build in liveswap's own target folder? Start \
                         the program anew.",
            },
            Code::AgentGeneration => Explanation {
                code: "LS0103",
                title: "the patch is for another generation",
                problem: "The program is not at the generation that the patch continues.",
                why: "Patches build on each other.",
                advice: "Save again. If it happens again, please report it, and start the program anew.",
            },
            Code::AgentDoesNotFit => Explanation {
                code: "LS0104",
                title: "the patch does not fit the process",
                problem: "A place that the patch names lies outside of the program, of its slots or of \
                          the range for new code.",
                why: "Nothing is written where it is not proven to belong.",
                advice: "Please report it with the message. The program goes on in its old code.",
            },
            Code::AgentRelocation => Explanation {
                code: "LS0105",
                title: "an address is out of reach",
                problem: "A reference in the new code does not reach its target, or is of a kind that \
                          the run-time does not know.",
                why: "A reference of 32 bits reaches 2 GiB; a truncated one would lead anywhere.",
                advice: "Please report it with the message. The program goes on in its old code.",
            },
            Code::AgentSymbol => Explanation {
                code: "LS0106",
                title: "a symbol of a shared library is missing",
                problem: "The new code uses a function of a shared library that the process has not \
                          loaded.",
                why: "There is nothing that the reference could lead to.",
                advice: "Start the program anew: it is then linked against that library.",
            },
            Code::AgentMemory => Explanation {
                code: "LS0107",
                title: "the system refused memory",
                problem: "Memory for the new code could not be had, or not be made executable.",
                why: "The message has the system's words: a limit (`ulimit -v`), a security policy, or \
                      no memory left.",
                advice: "Raise the limit or relax the policy for this program, and save again.",
            },
            Code::AgentThreadLocal => Explanation {
                code: "LS0108",
                title: "no room for a thread-local",
                problem: "A new thread-local does not lie in the room that the program has for them.",
                why: "Outside of that room are the thread's other data.",
                advice: "Start the program anew: the thread-local then has its usual place.",
            },
            Code::AgentInitialiser => Explanation {
                code: "LS0109",
                title: "an initialiser of the new code failed",
                problem: "A library that the new code needs has a function that is to run before all of \
                          its others (`.init_array`), and that threw an exception or panicked.",
                why: "Nothing of the library is known to work without it. What it did until then stays \
                      done; no function of the program leads to the new code.",
                advice: "The program goes on in its old code. Find out why the initialiser fails, and save \
                         again.",
            },
            Code::AgentPartlyApplied => Explanation {
                code: "LS0110",
                title: "the patch is partly applied",
                problem: "An error in the run-time itself, when some functions already led to their new \
                          code and others did not.",
                why: "The program is at no generation that a later patch could continue.",
                advice: "Start the program anew, and please report it with the output under \
                         `LIVESWAP_LOG=debug`.",
            },
        }
    }
}

impl Explanation {
    /// All of it, for a terminal.
    pub fn text(&self) -> String {
        let mut out = format!("{}: {}\n", self.code, self.title);
        for (heading, body) in [
            ("What happened", self.problem),
            ("Why it is refused", self.why),
            ("What to do", self.advice),
        ] {
            out.push_str(&format!("\n{heading}:\n"));
            for line in wrapped(body, 76) {
                out.push_str(&format!("  {line}\n"));
            }
        }
        out
    }
}

/// `text` in lines of at most `width` characters, unless a word is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_explained_once_and_found_by_its_text() {
        let mut seen = BTreeSet::new();
        for code in Code::ALL {
            let explanation = code.explanation();
            assert!(seen.insert(explanation.code), "{} twice", explanation.code);
            assert_eq!(Code::parse(explanation.code), Some(code));
            for text in [
                explanation.title,
                explanation.problem,
                explanation.why,
                explanation.advice,
            ] {
                assert!(text.len() > 10, "{}: too little is said", explanation.code);
            }
            assert!(explanation.text().contains(explanation.code));
        }
    }

    /// The page is made of the table: `LIVESWAP_BLESS=1 cargo test` writes it.
    #[test]
    fn the_page_of_refusals_is_that_of_the_table() {
        let mut page = String::from(
            "# Refusals\n\nWhat `cargo liveswap explain` says of each code. Codes are stable.\n",
        );
        for code in Code::ALL {
            let it = code.explanation();
            page.push_str(&format!(
                "\n## {}: {}\n\n{}\n\n*Why it is refused:* {}\n\n*What to do:* {}\n",
                it.code, it.title, it.problem, it.why, it.advice
            ));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/REFUSALS.md");
        if std::env::var_os("LIVESWAP_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap_or_default() == page,
            "{path} is out of date"
        );
    }

    #[test]
    fn all_lists_the_codes_in_order() {
        let texts: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        let mut sorted = texts.clone();
        sorted.sort_unstable();
        assert_eq!(texts, sorted);
    }

    #[test]
    fn a_code_may_be_written_short() {
        assert_eq!(Code::parse("ls0001"), Some(Code::Layout));
        assert_eq!(Code::parse("1"), Some(Code::Layout));
        assert_eq!(Code::parse("LS9999"), None);
        assert_eq!(Code::parse("layout"), None);
    }
}
