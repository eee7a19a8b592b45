//! Names that the link stage gives to slots and bodies, and how symbols are recognised by their names.

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

/// Whether a function keeps its address: it is part of how the program starts or allocates, and the
/// compiler, not the user, wrote it.
pub fn is_part_of_the_compiler(name: &str) -> bool {
    name == "main" || name.contains("7___rustc") || name.starts_with("__rust_")
}

/// A symbol's name for people: demangled, without the hash.
pub fn for_people(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
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
