//! Names that the link stage gives to slots and bodies, and how symbols are recognised by their names.

use std::borrow::Cow;

/// What the body of the function `name` is called once its own name means its slot.
///
/// Demanglers keep what follows a dot.
pub fn body(name: &str) -> String {
    format!("{name}.actual")
}

/// What the body of a function that only the object `cgu` sees is called.
pub fn local_body(name: &str, cgu: &str) -> String {
    format!("{name}.actual.{cgu}")
}

/// The slot by which the object `cgu` calls a function of its own.
pub fn internal_slot(name: &str, cgu: &str) -> String {
    format!("{name}.in.{cgu}")
}

/// The slot for the address of a function that only the object `cgu` sees.
pub fn address_slot(name: &str, cgu: &str) -> String {
    format!("{name}.at.{cgu}")
}

/// What the stub is called by which the first call of a new body of the function `name` goes.
pub fn first_call(name: &str) -> String {
    format!("{name}.first")
}

/// Whether a symbol's name says which item of the source it is, so that it means the same in the
/// next generation. Names of global symbols always do; names of local ones only if the compiler mangled them: `vtable.3`,
/// `GCC_except_table5`, `.Lanon.…` and `switch.table.…` are numbered anew in every compilation.
pub fn is_identity(name: &str, local: bool) -> bool {
    if local {
        name.starts_with("_ZN") || name.starts_with("_R")
    } else {
        !name.is_empty() && !is_anonymous_global(name)
    }
}

/// Data without a name in the source that the compiler shares between objects (`anon.HASH.N`, `alloc_HASH`).
fn is_anonymous_global(name: &str) -> bool {
    name.starts_with("anon.") || name.starts_with("alloc_") || name.starts_with(".L")
}

/// The static that a symbol is part of. An optimiser makes several statics of one that only its object sees, with a dot
/// and a number behind the name.
pub fn whole_static(name: &str) -> &str {
    let end = if name.starts_with("_R") {
        name.find('.')
    } else if name.starts_with("_ZN") {
        // The last part is the hash: `17h`, 16 digits, `E`.
        name.rfind("17h").map(|at| at + 20)
    } else {
        None
    };
    end.and_then(|end| name.get(..end)).unwrap_or(name)
}

/// The crate that a function's name begins with: `a` of `a::b`, `<a::B as c::D>::e` and `<&[a::B]>::c`.
pub fn root(function: &str) -> &str {
    let start = function.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let end = start
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(start.len());
    &start[..end]
}

/// Whether a path begins in a crate that comes with the language: `core::fmt::Debug`, `<std::io::Error as …>::fmt`.
pub fn is_of_std(path: &str) -> bool {
    let path = path.trim_start_matches('<');
    let mut crates = ["core::", "alloc::", "std::"].iter();
    crates.any(|name| path.starts_with(name))
}

/// Whether a function keeps its address: it is part of how the program starts or allocates, and the
/// compiler, not the user, wrote it.
pub fn is_part_of_the_compiler(name: &str) -> bool {
    name == "main" || name.contains("7___rustc") || name.starts_with("__rust_")
}

/// What a mangled name says of where an item is in the source, without what other items can change; `None` for names
/// that are not mangled.
///
/// The hash of a legacy name covers the signature with its lifetimes, and rustc numbers unnamed ones through
/// the body: a closure with a reference for a parameter gives the function around it another hash. It covers the number
/// of an `impl` block in its module, too, which names of version 0 tell: the path that people see leaves it out.
pub fn path(name: &str) -> Option<Cow<'_, str>> {
    if name.starts_with("_R") {
        return Some(for_people(name).into());
    }
    without_hash(name).map(Cow::Borrowed)
}

/// A legacy mangled name up to the hash at its end; `None` for other names.
pub fn without_hash(name: &str) -> Option<&str> {
    let path = name.strip_suffix('E')?;
    let (path, hash) = path.split_at_checked(path.len().checked_sub(19)?)?;
    let is_hash = hash.starts_with("17h") && hash.bytes().skip(3).all(|b| b.is_ascii_hexdigit());
    (path.starts_with("_ZN") && is_hash).then_some(path)
}

/// Whether a function is a closure, or in one: its name does not tell which of those in its function.
pub fn is_closure(name: &str) -> bool {
    name.contains("$u7b$$u7b$closure") || name.starts_with("_RNC")
}

/// Whether the compiler mangled a name: other languages do not know it.
pub fn is_mangled(name: &str) -> bool {
    name.starts_with("_ZN") || name.starts_with("_R")
}

/// Whether a static is what `tracing`'s macros keep of the place that they stand in: the call site, or its
/// description.
pub fn is_call_site(name: &str) -> bool {
    name.contains("__CALLSITE")
}

/// A symbol's name for people: demangled, without the hash.
pub fn for_people(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

/// The last part of a path as people see it, without generic arguments: `eat` of `app::eat::<S>`.
pub fn last_part(path: &str) -> &str {
    let mut end = path.len();
    if path.ends_with('>') {
        let mut depth = 0_usize;
        for (at, byte) in path.bytes().enumerate().rev() {
            match byte {
                b'>' if at == 0 || path.as_bytes()[at - 1] != b'-' => depth += 1,
                b'<' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                end = at;
                break;
            }
        }
    }
    let path = path[..end].trim_end_matches(':');
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demanglers_show_the_suffix_of_a_body() {
        let name = "_ZN5logic4step17he848119b6bc77bb5E";
        assert_eq!(for_people(name), "logic::step");
        assert_eq!(for_people(&body(name)), "logic::step.actual");
    }

    #[test]
    fn paths_leave_out_what_other_items_change() {
        let name = "_ZN5logic4step17he848119b6bc77bb5E";
        assert_eq!(path(name).as_deref(), Some("_ZN5logic4step"));
        for name in ["_ZN5logic4step17hxx48119b6bc77bb5E", "step", "E", ""] {
            assert_eq!(path(name), None, "{name}");
        }
        // Two `impl` blocks of one type.
        for name in [
            "_RNvMCs1_5logicNtB2_3App2go",
            "_RNvMs_Cs1_5logicNtB4_3App2go",
        ] {
            assert_eq!(path(name).as_deref(), Some("<logic::App>::go"), "{name}");
        }
    }

    #[test]
    fn last_parts_are_names_of_functions() {
        for (path, last) in [
            ("app::f", "f"),
            ("<app::Q<u8> as app::T>::go", "go"),
            ("app::eat::<fn(u8) -> app::S>", "eat"),
            ("f", "f"),
        ] {
            assert_eq!(last_part(path), last);
        }
    }

    #[test]
    fn parts_of_statics_are_recognised() {
        for (name, whole) in [
            (
                "_ZN1a4PAIR17heaffc8501dd7b9daE.1",
                "_ZN1a4PAIR17heaffc8501dd7b9daE",
            ),
            (
                "_ZN1a4PAIR17heaffc8501dd7b9daE",
                "_ZN1a4PAIR17heaffc8501dd7b9daE",
            ),
            ("_RNvCsbX_1a4PAIR.0.b", "_RNvCsbX_1a4PAIR"),
            ("PAIR.0", "PAIR.0"),
        ] {
            assert_eq!(whole_static(name), whole);
        }
    }

    #[test]
    fn numbered_names_are_no_identities() {
        for name in [
            "vtable.3",
            "GCC_except_table5",
            ".Lanon.1.2",
            "switch.table.f",
        ] {
            assert!(!is_identity(name, true), "{name}");
        }
        assert!(!is_identity("anon.123.4", false));
        assert!(is_identity("_ZN5logic5COUNT17hbbce81d07fc481e9E", true));
        assert!(is_identity("answer", false));
    }
}
