//! The C file that the compiler leaves beside each library in the nimcache.
//!
//! A library does not tell everything that matters at a reload; the text that it was made from does.
//! Without the file nothing is known, and nothing is assumed.

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::SystemTime;

use crate::c_name::{self, CName};

/// Fingerprints are compared within this process only.
pub(crate) type FastHasher = <DefaultHashBuilder as BuildHasher>::Hasher;

/// A hasher with the keys of this process.
pub(crate) fn new_hasher() -> FastHasher {
    static KEYS: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    KEYS.build_hasher()
}

/// The C file of a library.
#[derive(Debug)]
pub(crate) struct CFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its text.
    pub(crate) text: String,
    /// It may be newer than the library: what it says may not be true yet.
    pub(crate) doubtful: bool,
}

impl CFile {
    /// Finds and reads the C file of the library at `library`.
    pub(crate) fn of_library(library: &Path) -> Option<CFile> {
        let Some((path, text)) = source_of(library) else {
            tracing::debug!(library = %library.display(), "no C file beside the library");
            return None;
        };
        let changed = |path: &Path| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
        let doubtful = match (changed(&path), changed(library)) {
            (Some(source), Some(library)) => source > library,
            _ => true,
        };
        Some(CFile {
            path,
            text,
            doubtful,
        })
    }
}

impl CFile {
    /// The thread-locals that the file declares: `N_LIB_PRIVATE [NIM_THREADVAR] TYPE NAME;`. Ordinary globals are
    /// pointers of the file's own in programs that are reloaded.
    pub(crate) fn thread_vars(&self) -> HashSet<&str> {
        let declared = self.text.lines().filter_map(|line| {
            let rest = line.strip_prefix("N_LIB_PRIVATE ")?.strip_suffix(';')?;
            let is_variable = !rest.contains(['(', '=', '[']) && !rest.contains("NIM_CONST ");
            rest.rsplit([' ', '*']).next().filter(|_| is_variable)
        });
        declared.collect()
    }

    /// The globals that belong to procs (`{.global.}`), each with the proc: the last one before it in the order of
    /// the source that uses it.
    pub(crate) fn globals_of_procs(&self) -> HashMap<Vec<u8>, Vec<u8>> {
        let mut owners: HashMap<&str, Option<(u64, &str)>> = HashMap::new();
        // They are registered ahead of the module's own code.
        let end = self.text.find("/* preInitProc end */").unwrap_or(0);
        let start = self.text[..end].rfind("Init000)(void)").unwrap_or(end);
        for line in self.text[start..end].lines() {
            if let Some(call) = line.trim_start().strip_prefix("if (hcrRegisterGlobal(")
                && let Some(name) = call.split('"').nth(3)
            {
                owners.insert(name, None);
            }
        }
        if owners.is_empty() {
            return HashMap::new();
        }
        let item = |name: &str| CName::parse(name.as_bytes()).map(|name| name.item);
        for function in functions(&self.text) {
            let Some(of_function) = item(function.name) else {
                continue;
            };
            for word in words(function.body) {
                if let Some(owner) = owners.get_mut(word)
                    && item(word).is_some_and(|of_global| of_function < of_global)
                    && owner.is_none_or(|(of_owner, _)| of_owner < of_function)
                {
                    *owner = Some((of_function, function.name));
                }
            }
        }
        let bytes = |name: &str| name.as_bytes().to_vec();
        owners
            .into_iter()
            .filter_map(|(global, owner)| Some((bytes(global), bytes(owner?.1))))
            .collect()
    }

    /// The object that the compiler made of the file.
    pub(crate) fn object_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(".o");
        path.into()
    }
}

/// `lib@mfoo.nim.c.so` is made from `@mfoo.nim.c` (or `.cpp`) in the same folder.
fn source_of(library: &Path) -> Option<(PathBuf, String)> {
    let name = library.file_name()?.to_str()?;
    let stem = name.strip_suffix(".so")?;
    let path = library.with_file_name(stem.strip_prefix("lib").unwrap_or(stem));
    let bytes = std::fs::read(&path).ok()?;
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Some((path, text))
}

/// Definitions in a C file.
pub(crate) struct Definitions<'a> {
    /// Structs by name: `struct NAME {…};`, or `struct NAME : public BASE {…};` in C++.
    pub(crate) structs: HashMap<&'a str, Struct<'a>>,
    /// Definitions of constants, by name.
    constants: HashMap<&'a str, &'a str>,
}

/// A struct that a C file defines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Struct<'a> {
    /// What it begins with, in C++; in C that is a field of its own.
    base: Option<&'a str>,
    /// Its fields, one a line.
    body: &'a str,
}

impl<'a> Definitions<'a> {
    pub(crate) fn new(text: &'a str) -> Definitions<'a> {
        let mut found = Definitions {
            structs: HashMap::new(),
            constants: HashMap::new(),
        };
        let mut at = 0;
        for line in text.split_inclusive('\n') {
            let start = at;
            at += line.len();
            if let Some(name) = line
                .strip_prefix("struct ")
                .and_then(|rest| rest.strip_suffix(" {\n"))
            {
                // The line's own end counts: in C++ a struct may have no field.
                let end = text[at - 1..].find("\n};");
                let end = end.map_or(text.len(), |end| at + end);
                let body = text.get(at..end - 1).unwrap_or_default();
                let (name, base) = match name.split_once(" : public ") {
                    Some((name, base)) => (name, Some(base)),
                    None => (name, None),
                };
                found.structs.insert(name, Struct { base, body });
            } else if let Some(rest) = line.strip_prefix("STRING_LITERAL(") {
                if let Some((name, value)) = rest.split_once(',') {
                    found.constants.insert(name, value);
                }
            } else if line.contains("NIM_CONST ") && line.contains(" = ") {
                let name = words(line).find(|word| word.starts_with("TM__"));
                if let Some(name) = name {
                    found.constants.insert(name, &text[start..at]);
                }
            }
        }
        found
    }

    /// Fingerprint of the layout of a type, with those that it contains, and with the environments of
    /// enclosing procs that it points to.
    pub(crate) fn layout(&self, name: &str) -> u64 {
        let mut hasher = new_hasher();
        self.hash_layout(name, &mut HashSet::new(), &mut hasher);
        hasher.finish()
    }

    /// Fingerprints of the bodies of anonymous procs, by the names of the procs.
    pub(crate) fn anonymous_bodies(&self, file: &CFile) -> HashMap<Vec<u8>, u64> {
        if file.doubtful {
            return HashMap::new();
        }
        functions(&file.text)
            .filter(|function| function.name.starts_with("colonanonymous"))
            .map(|function| {
                let mut hasher = new_hasher();
                self.hash_code(function.body, &mut hasher);
                (function.name.as_bytes().to_vec(), hasher.finish())
            })
            .collect()
    }

    fn hash_layout<'b>(&'b self, name: &str, seen: &mut HashSet<&'b str>, hasher: &mut FastHasher) {
        let Some((name, Struct { base, body })) = self.structs.get_key_value(name) else {
            return;
        };
        if !seen.insert(name) {
            return;
        }
        if let Some(base) = base {
            base.hash(hasher);
            self.hash_layout(base, seen, hasher);
        }
        for line in body.lines().map(str::trim) {
            // Names of types end in a hash of their content, or are the programmer's own.
            line.hash(hasher);
            let type_name = line.split([' ', '*', '[']).next().unwrap_or_default();
            if !line.contains('*') || type_name.starts_with("tyObject_Env_") {
                self.hash_layout(type_name, seen, hasher);
            }
        }
    }

    /// Adds code without what changes from build to build: line numbers, and numbers in names of
    /// symbols and constants.
    pub(crate) fn hash_code(&self, code: &str, hasher: &mut FastHasher) {
        const LINE_NUMBERS: [&str; 3] = ["nimln_(", "nimlf_(", "#line "];
        for line in code.lines().map(str::trim) {
            if !LINE_NUMBERS.iter().any(|prefix| line.starts_with(prefix)) {
                self.hash_line(line, 0, hasher);
            }
        }
    }

    fn hash_line(&self, line: &str, depth: u32, hasher: &mut FastHasher) {
        /// Constants refer to constants, but never in a circle.
        const DEEPEST: u32 = 8;
        for piece in pieces(line) {
            if piece.starts_with("TM__") {
                match self.constants.get(piece).filter(|_| depth < DEEPEST) {
                    Some(value) => {
                        let value = value.trim_end();
                        let value = value.split_once(" = ").map_or(value, |(_, value)| value);
                        self.hash_line(value, depth + 1, hasher);
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

/// A function that a C file defines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'a> {
    /// The proc's name, without `_actual`.
    pub(crate) name: &'a str,
    /// It has an environment.
    pub(crate) is_closure: bool,
    pub(crate) body: &'a str,
}

/// The reloadable procs that a C file defines: `N_LIB_PRIVATE N_CLOSURE(TYPE, NAME_actual)(…) {`.
pub(crate) fn functions(text: &str) -> impl Iterator<Item = Function<'_>> {
    const ACTUAL: &str = "_actual)(";
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let found = at + text[at..].find(ACTUAL)?;
            let line_start = text[..found].rfind('\n').map_or(0, |end| end + 1);
            let line_end = text[found..]
                .find('\n')
                .map_or(text.len(), |end| found + end);
            at = line_end;
            let line = &text[line_start..line_end];
            // Others are declarations, and calls in bodies.
            if !line.ends_with('{') || line.starts_with(['\t', ' ']) {
                continue;
            }
            let front = &text[line_start..found];
            let body = &text[line_end..];
            return Some(Function {
                name: front.rsplit([' ', ',']).next().unwrap_or_default(),
                is_closure: front.contains("N_CLOSURE("),
                body: &body[..body.find("\n}\n").unwrap_or(body.len())],
            });
        }
    })
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The words of C code.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
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
