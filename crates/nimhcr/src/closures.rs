//! Procs with an environment, read from the C file that the compiler leaves beside each library.
//!
//! A library does not tell which of its procs are closures, nor how their environments are laid out;
//! the C file in the nimcache does. It matters because an environment that was made before an edit
//! must never meet code that expects another layout, and a closure iterator must go on in the states
//! in which it was suspended.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::c_name;

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

/// Reads the closures of the module whose library is `library`. Without a C file there are none to
/// be known of, and closures are treated as other procs are.
pub(crate) fn of_library(library: &Path) -> Closures {
    let Some((path, text)) = source_of(library) else {
        tracing::debug!(library = %library.display(), "no C file beside the library");
        return Closures::new();
    };
    let changed = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    let doubtful = match (changed(&path), changed(library)) {
        (Some(source), Some(library)) => source > library,
        _ => true,
    };
    Source::new(&text).closures(doubtful)
}

/// `lib@mfoo.nim.c.so` is made from `@mfoo.nim.c` (or `.cpp`) in the same folder.
fn source_of(library: &Path) -> Option<(PathBuf, String)> {
    let name = library.file_name()?.to_str()?;
    let stem = name.strip_suffix(".so")?;
    let path = library.with_file_name(stem.strip_prefix("lib").unwrap_or(stem));
    let bytes = std::fs::read(&path).ok()?;
    Some((path, String::from_utf8_lossy(&bytes).into_owned()))
}

struct Source<'a> {
    text: &'a str,
    /// Bodies of `struct NAME {…};`.
    structs: HashMap<&'a str, &'a str>,
    /// Definitions of constants, by name.
    constants: HashMap<&'a str, &'a str>,
}

impl<'a> Source<'a> {
    fn new(text: &'a str) -> Source<'a> {
        let mut source = Source {
            text,
            structs: HashMap::new(),
            constants: HashMap::new(),
        };
        if !text.contains("N_CLOSURE(") {
            return source;
        }
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            if let Some(name) = line
                .strip_prefix("struct ")
                .and_then(|rest| rest.strip_suffix(" {\n"))
            {
                let end = text[at..].find("\n};").map_or(text.len(), |end| at + end);
                source.structs.insert(name, &text[at..end]);
            } else if let Some(rest) = line.strip_prefix("STRING_LITERAL(") {
                if let Some((name, value)) = rest.split_once(',') {
                    source.constants.insert(name, value);
                }
            } else if line.starts_with("static NIM_CONST ") || line.contains(" NIM_CONST ") {
                let name = words(line).find(|word| word.starts_with("TM__"));
                if let Some(name) = name.filter(|_| line.contains(" = ")) {
                    source.constants.insert(name, &text[start..at]);
                }
            }
        }
        source
    }

    fn closures(&self, doubtful: bool) -> Closures {
        let mut closures = Closures::new();
        let mut rest = self.text;
        while let Some(at) = rest.find("N_CLOSURE(") {
            rest = &rest[at..];
            let line = rest.lines().next().unwrap_or_default();
            // A definition, not a declaration: `N_CLOSURE(TYPE, NAME_actual)(ARGUMENTS) {`.
            let definition = line.split_once("_actual)(").filter(|_| line.ends_with('{'));
            if let Some((front, _)) = definition {
                let name = front.rsplit([' ', ',']).next().unwrap_or_default();
                let body = &rest[line.len()..];
                let body = &body[..body.find("\n}\n").unwrap_or(body.len())];
                closures.insert(name.as_bytes().to_vec(), self.closure(body, doubtful));
            }
            rest = &rest[line.len()..];
        }
        closures
    }

    fn closure(&self, body: &str, doubtful: bool) -> Closure {
        let iterator = body.contains("colonstate_");
        let mut environment = DefaultHasher::new();
        let cast = body
            .lines()
            .find_map(|line| line.trim().strip_suffix("*) ClE_0;"));
        match cast.and_then(|cast| cast.rsplit('(').next()) {
            Some(name) => self.hash_struct(name, &mut HashSet::new(), &mut environment),
            // The environment is passed on without being looked into.
            None => 0.hash(&mut environment),
        }
        let mut code = DefaultHasher::new();
        if iterator {
            for line in body
                .lines()
                .filter(|line| !line.trim_start().starts_with("nimln_("))
            {
                self.hash_code(line, 0, &mut code);
            }
        }
        Closure {
            iterator,
            environment: environment.finish(),
            body: code.finish(),
            doubtful,
        }
    }

    /// The layout of a type, with those that it contains, and with the environments of enclosing procs
    /// that it points to.
    fn hash_struct(&self, name: &'a str, seen: &mut HashSet<&'a str>, hasher: &mut DefaultHasher)
    where
        'a: 'a,
    {
        if !seen.insert(name) {
            return;
        }
        let Some(body) = self.structs.get(name) else {
            return;
        };
        for line in body.lines().map(str::trim) {
            // Names of types end in a hash of their content or are the programmer's own.
            line.hash(hasher);
            let Some(type_name) = line.split([' ', '*', '[']).next() else {
                continue;
            };
            let pointer = line.contains('*');
            if let Some((known, _)) = self.structs.get_key_value(type_name)
                && (!pointer || type_name.starts_with("tyObject_Env_"))
            {
                self.hash_struct(known, seen, hasher);
            }
        }
    }

    /// Code without what changes from build to build: numbers in names of symbols and constants.
    fn hash_code(&self, line: &str, depth: u32, hasher: &mut DefaultHasher) {
        /// Constants refer to constants, but never in a circle.
        const DEEPEST: u32 = 8;
        for piece in pieces(line.trim()) {
            if piece.starts_with("TM__") {
                match self.constants.get(piece).filter(|_| depth < DEEPEST) {
                    Some(value) => {
                        let value = value.trim_end();
                        let value = value.split_once(" = ").map_or(value, |(_, value)| value);
                        self.hash_code(value, depth + 1, hasher);
                    }
                    None => "TM__".hash(hasher),
                }
            } else if piece.contains("___") {
                c_name::identity(piece.as_bytes()).hash(hasher);
            } else {
                piece.hash(hasher);
            }
        }
    }
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_word(character))
        .filter(|word| !word.is_empty())
}

/// Words, and what is between them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let in_word = is_word(first);
        let end = rest
            .find(|character| is_word(character) != in_word)
            .unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
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

    fn read(text: &str, item: u32, proc: &str) -> Closure {
        let closures = Source::new(text).closures(false);
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
        let closures = Source::new(&text).closures(true);
        let closure = &closures[&b"it__m_10___H1"[..]];
        assert!(!closure.may_go_on_in(closure));
    }
}
