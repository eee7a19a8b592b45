//! Procs with an environment, and whether environments made before an edit still fit.
//!
//! A library does not tell which of its procs are closures, nor how their environments are laid out;
//! the C file in the nimcache does. It matters because an environment that was made before an edit
//! must never meet code that expects another layout, and a closure iterator must go on in the states
//! in which it was suspended.

use hashbrown::HashMap;
use std::hash::Hasher;

use crate::c_file::{CFile, Definitions, functions, new_hasher};

/// A closure of one build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closure {
    /// It is an iterator: its environment says where it is suspended.
    pub(crate) iterator: bool,
    /// Fingerprint of the environment's layout.
    environment: u64,
    /// Fingerprint of the code, for iterators.
    body: u64,
    /// The C file may be newer than the library: fingerprints mean nothing.
    doubtful: bool,
}

impl Closure {
    /// Whether environments made by the old code may be used by the new.
    pub(crate) fn environment_survives(&self, new: &Closure) -> bool {
        !self.doubtful && !new.doubtful && self.environment == new.environment
    }

    /// Whether whoever is in the middle of the old code may go on in the new.
    pub(crate) fn may_go_on_in(&self, new: &Closure) -> bool {
        self.environment_survives(new)
            && self.iterator == new.iterator
            && (!self.iterator || self.body == new.body)
    }
}

/// The closures of a module by the names of their procs.
pub(crate) type Closures = HashMap<Vec<u8>, Closure>;

/// The closures that a C file defines.
pub(crate) fn of_file(file: &CFile, definitions: &Definitions<'_>) -> Closures {
    functions(&file.text)
        .filter(|function| function.is_closure)
        .map(|function| {
            let closure = closure(function.body, definitions, file.doubtful);
            (function.name.as_bytes().to_vec(), closure)
        })
        .collect()
}

fn closure(body: &str, definitions: &Definitions<'_>, doubtful: bool) -> Closure {
    let iterator = body.contains("colonstate_");
    let environment = body
        .lines()
        .find_map(|line| line.trim().strip_suffix("*) ClE_0;"));
    let environment = environment.and_then(|cast| cast.rsplit('(').next());
    let mut code = new_hasher();
    if iterator {
        definitions.hash_code(body, &mut code);
    }
    Closure {
        iterator,
        // Without a cast the environment is passed on without being looked into.
        environment: environment.map_or(0, |name| definitions.layout(name)),
        body: code.finish(),
        doubtful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Nim 1.6 makes of a closure iterator and of a closure, shortened.
    fn file(iterator_body: &str, field: &str, items: [u32; 2], constant: &str) -> String {
        format!(
            "struct tyObject_Env_it___AAA {{\n  RootObj Sup;\nNI colonstate_;\nNI i1;\n}};\n\
             struct tyObject_Env_counter___BBB {{\n  RootObj Sup;\nNI n1;\n{field}}};\n\
             N_LIB_PRIVATE N_CLOSURE(NI, it__m_{0}___H1_actual)(void* ClE_0);\n\
             STRING_LITERAL(TM__X_{0}, \"{constant}\", 2);\n\
             N_LIB_PRIVATE N_CLOSURE(NI, it__m_{0}___H1_actual)(void* ClE_0) {{\n\
             \tcolonenvP_ = (tyObject_Env_it___AAA*) ClE_0;\n\
             \tnimln_({0}, \"m.nim\");\n\
             \tswitch ((*colonenvP_).colonstate_) {{\n\tcase 0: goto STATE0;\n\t}}\n\
             \tf__m_{1}___H3(TM__X_{0});\n{iterator_body}}}\n\
             N_LIB_PRIVATE N_CLOSURE(NI, colonanonymous__m_{1}___H2_2_actual)(NI a_0, void* ClE_0) {{\n\
             \tcolonenvP_ = (tyObject_Env_counter___BBB*) ClE_0;\n\treturn 1;\n}}\n",
            items[0], items[1],
        )
    }

    fn closures(text: &str, doubtful: bool) -> Closures {
        let file = CFile {
            path: "m.nim.c".into(),
            text: text.to_owned(),
            doubtful,
        };
        of_file(&file, &Definitions::new(text))
    }

    fn read(text: &str, item: u32, proc: &str) -> Closure {
        let closures = closures(text, false);
        assert_eq!(closures.len(), 2, "{closures:?}");
        let name = proc.replace('#', &item.to_string());
        closures[name.as_bytes()].clone()
    }

    const ITERATOR: &str = "it__m_#___H1";
    const CLOSURE: &str = "colonanonymous__m_#___H2_2";

    #[test]
    fn numbers_and_lines_do_not_make_another_iterator() {
        let old = read(&file("\tx = 1;\n", "", [10, 20], "hi"), 10, ITERATOR);
        let new = read(&file("\tx = 1;\n", "", [13, 28], "hi"), 13, ITERATOR);
        assert!(old.iterator);
        assert!(old.may_go_on_in(&new));
    }

    #[test]
    fn code_behind_a_line_number_counts() {
        let text = |number: u32, sum: &str| {
            let line = format!("\tnimln_({number});\t\tnimlf_(9, \"a b.nim\");\tx = {sum};\n");
            read(&file(&line, "", [10, 20], "hi"), 10, ITERATOR)
        };
        assert!(text(7, "a + 1").may_go_on_in(&text(8, "a + 1")));
        assert!(!text(7, "a + 1").may_go_on_in(&text(7, "a + 2")));
    }

    #[test]
    fn other_code_or_another_constant_makes_another_iterator() {
        let old = read(&file("\tx = 1;\n", "", [10, 20], "hi"), 10, ITERATOR);
        let code = read(&file("\tx = 2;\n", "", [10, 20], "hi"), 10, ITERATOR);
        let constant = read(&file("\tx = 1;\n", "", [10, 20], "ho"), 10, ITERATOR);
        assert!(!old.may_go_on_in(&code));
        assert!(!old.may_go_on_in(&constant));
        assert!(old.environment_survives(&code));
    }

    #[test]
    fn a_closure_goes_on_as_long_as_its_environment_is_the_same() {
        let old = read(&file("", "", [10, 20], "hi"), 20, CLOSURE);
        let same = read(&file("\tx = 2;\n", "", [11, 21], "ho"), 21, CLOSURE);
        let other = read(&file("", "NI more2;\n", [10, 20], "hi"), 20, CLOSURE);
        assert!(!old.iterator);
        assert!(old.may_go_on_in(&same));
        assert!(!old.may_go_on_in(&other));
    }

    #[test]
    fn a_c_file_newer_than_the_library_proves_nothing() {
        let text = file("", "", [10, 20], "hi");
        let closures = closures(&text, true);
        let closure = &closures[&b"it__m_10___H1"[..]];
        assert!(!closure.may_go_on_in(closure));
    }
}
