//! Where sources make one type of another: raw pointers, `transmute`, unions, functions of other languages. Values may get
//! there that no type tells of.

use std::collections::BTreeSet;

use crate::interface::source::{Kind, Source};

/// What one file has of that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untyped {
    /// All names in the file: those of types that pointers to anything may lead to are among them.
    pub names: BTreeSet<String>,
    /// Whether it could be about any type: generic, inferred, or in a macro.
    pub any: bool,
}

impl Untyped {
    /// What is not understood could be about anything.
    pub(super) fn unknown() -> Untyped {
        Untyped {
            names: BTreeSet::new(),
            any: true,
        }
    }

    /// Adds what another file has of it.
    pub(super) fn add(&mut self, other: &Untyped) {
        self.names.extend(other.names.iter().cloned());
        self.any |= other.any;
    }
}

/// Another name of a type, with all names in it.
pub type Alias = (String, BTreeSet<String>);

pub(super) fn find(source: &Source<'_>) -> Option<Untyped> {
    let all = source.all();
    let raw: Vec<usize> = all.clone().filter(|at| is_raw(source, *at)).collect();
    if raw.is_empty() {
        return None;
    }
    let names = all.clone().filter(|at| is_name(source, *at));
    let names = names.map(|at| source.text(at).to_owned()).collect();
    let open = all.filter_map(|at| generic_item(source, at));
    let any = raw.iter().any(|at| is_inferred(source, *at))
        || open
            .into_iter()
            .any(|(start, end)| raw.iter().any(|at| (start..end).contains(at)));
    Some(Untyped { names, any })
}

/// The alias that is declared here: `type Name = …;`, or `use Type as Name` (which looks like `value as Type`).
pub(super) fn alias(source: &Source<'_>, at: usize) -> Option<Alias> {
    if source.word(at) == "as" && at > 0 && is_name(source, at - 1) && is_name(source, at + 1) {
        let of = BTreeSet::from([source.text(at - 1).to_owned()]);
        return Some((source.text(at + 1).to_owned(), of));
    }
    let is_alias = source.word(at) == "type" && is_name(source, at + 1);
    if !is_alias {
        return None;
    }
    let mut names = BTreeSet::new();
    let mut end = at + 2;
    while source.kind(end).is_some() && !source.is(end, b';') {
        if is_name(source, end) {
            names.insert(source.text(end).to_owned());
        }
        end += 1;
    }
    Some((source.text(at + 1).to_owned(), names))
}

fn is_name(source: &Source<'_>, at: usize) -> bool {
    matches!(source.kind(at), Some(Kind::Ident | Kind::RawIdent))
}

fn is_raw(source: &Source<'_>, at: usize) -> bool {
    match source.word(at) {
        "const" | "mut" => at > 0 && source.is(at - 1, b'*'),
        "_" => at > 0 && source.word(at - 1) == "as",
        // What is in there nobody looks at.
        "include" => source.macro_call(at).is_some(),
        // Other languages know it under types of their own.
        "extern" => source.word(at + 1) != "crate",
        // A keyword only in front of a name.
        "union" => is_name(source, at + 1),
        "cast" => at > 0 && source.is(at - 1, b'.'),
        word => WORDS.contains(&word),
    }
}

/// Functions and types that lead from one type to another, or from a number.
const WORDS: [&str; 13] = [
    "NonNull",
    "AtomicPtr",
    "transmute",
    "transmute_copy",
    "from_raw",
    "from_raw_parts",
    "from_raw_parts_mut",
    "with_exposed_provenance",
    "with_exposed_provenance_mut",
    "without_provenance",
    "without_provenance_mut",
    "from_exposed_addr",
    "from_exposed_addr_mut",
];

/// The compiler finds out what the pointer leads to, from what stands elsewhere.
fn is_inferred(source: &Source<'_>, at: usize) -> bool {
    let arguments_are_told = || {
        source.is_path_separator(at + 1)
            && source.is(at + 3, b'<')
            && !has_inferred_part(source, at + 4, true)
    };
    match source.word(at) {
        // `*const _`, `*mut HashMap<u32, _>`
        "const" | "mut" => has_inferred_part(source, at + 1, false),
        "_" | "include" => true,
        "transmute" | "transmute_copy" | "cast" => !arguments_are_told(),
        word if word.contains("provenance") || word.contains("exposed") => !arguments_are_told(),
        _ => false,
    }
}

/// Whether the type that begins at `start`, or the list of types, has a part that the compiler finds out.
fn has_inferred_part(source: &Source<'_>, start: usize, is_list: bool) -> bool {
    let mut depth = 0;
    for at in start.. {
        let is_open = source.is(at, b'<');
        // `fn(u8) -> u8` is no end.
        let is_close = source.is(at, b'>') && !source.is(at - 1, b'-');
        match source.kind(at) {
            None => return false,
            Some(Kind::Open(b'{')) if depth == 0 => return false,
            Some(Kind::Open(_)) => depth += 1,
            _ if is_open => depth += 1,
            Some(Kind::Close(_)) if depth > 0 => depth -= 1,
            _ if is_close && depth > 0 => depth -= 1,
            Some(Kind::Close(_)) => return false,
            _ if is_close => return false,
            Some(Kind::Punct(b',')) if depth == 0 && !is_list => return false,
            Some(Kind::Punct(b';' | b'=')) if depth == 0 => return false,
            _ if source.text(at) == "_" => return true,
            _ => {}
        }
    }
    false
}

/// A function or block of methods that is generic, or a macro: from its beginning to its end.
fn generic_item(source: &Source<'_>, at: usize) -> Option<(usize, usize)> {
    let arguments = match source.word(at) {
        "fn" => at + 2,
        "impl" => at + 1,
        "macro_rules" => {
            let open = at + 3;
            return Some((at, source.close(open)?));
        }
        _ => return None,
    };
    let is_generic =
        source.is(arguments, b'<') && source.kind(arguments + 1) != Some(Kind::Lifetime);
    let mut open = arguments;
    let mut of_impl = false;
    loop {
        match source.kind(open)? {
            Kind::Open(b'{') => break,
            Kind::Punct(b';') | Kind::Close(_) => return None,
            // `f: impl Fn(T)`
            _ if source.word(open) == "impl" => of_impl = true,
            _ => {}
        }
        match source.close(open) {
            Some(close) => {
                let mut inside = open..close;
                of_impl |= inside.any(|at| source.word(at) == "impl");
                open = close + 1;
            }
            None => open += 1,
        }
    }
    (is_generic || of_impl).then_some((at, source.close(open)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<Untyped> {
        find(&Source::new(text).ok()?)
    }

    #[test]
    fn files_that_make_one_type_of_another_are_known() {
        assert_eq!(found("fn f(a: &T) -> Box<T> { a.cast_shadow() }"), None);
        let bytes = found("fn f(p: *mut u8) { p as usize; } fn g<T>(t: T) {}").unwrap();
        assert!(!bytes.any && !bytes.names.contains("Item"));
        let item = found("fn f(p: usize) -> u8 { unsafe { &*(p as *const Item) }.0 }").unwrap();
        assert!(!item.any && item.names.contains("Item"));
        for any in [
            "fn f<T>(p: *mut u8) -> T { read(p as *mut T) }",
            "impl<T> S<T> { fn f(&self) -> T { unsafe { NonNull::dangling() } } }",
            "fn f(p: *mut u8) { g(p.cast()) }",
            "fn f(p: usize) { g(p as *mut _) }",
            "fn f(p: usize) { g(p as *mut Vec<_>) }",
            "fn f(p: usize) { g(p as *const HashMap<_, u8>) }",
            "fn f(p: usize) { g(transmute(p)) }",
            "fn f(p: usize) { g(transmute::<usize, &_>(p)) }",
            "fn f(p: usize) { g(transmute::<_, &'static _>(p)) }",
            "fn f(p: usize) { g(&*with_exposed_provenance(p)) }",
            "fn f(p: *mut u8) { g(p.cast::<_>()) }",
            "fn f(p: usize) { g(Box::from_raw(p as _)) }",
            "fn f(p: *mut u8, g: impl Fn(u8)) { g(p) }",
            "fn f(p: usize) { g(p as *mut HashMap<u32, _>) }",
            "fn f(p: *mut u8) { g(p.cast::<(u8, Vec<_>)>()) }",
            "fn f(p: usize) { g(transmute::<fn(u8) -> u8, fn(_) -> u8>(p)) }",
            "mod a { include!(\"a.inc\"); }",
            "macro_rules! m { ($t:ty) => { p as *mut $t } }",
        ] {
            assert!(found(any).unwrap().any, "{any}");
        }
        let told = found(
            "fn f(p: *mut u8) { g(p.cast::<u8>()); transmute::<u8, fn(u8) -> u8>(1); let _ = p as *const Vec<u8>; h(_x as *mut u8, |_| 1) }",
        );
        assert!(!told.unwrap().any);
        let foreign = found("unsafe extern \"C\" { fn get() -> &'static Item; }").unwrap();
        assert!(foreign.names.contains("Item") && !foreign.any);
        let union = found("union Either { a: usize, b: &'static Item }").unwrap();
        assert!(union.names.contains("Item"));
        let source = Source::new("use a::{Item as Kept};").ok().unwrap();
        let aliases = source.all().filter_map(|at| alias(&source, at));
        let aliases: Vec<Alias> = aliases.collect();
        assert_eq!(aliases, [("Kept".into(), BTreeSet::from(["Item".into()]))]);
        let lifetime = found("impl<'a> S<'a> { fn f(p: *mut u8) {} }").unwrap();
        assert!(!lifetime.any);
    }
}
