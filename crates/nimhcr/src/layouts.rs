//! Layouts of the programmer's object types.
//!
//! Objects on the heap keep the layout that they were made with. What the run-time can do about an edit
//! that changes it is to say so.

use hashbrown::HashMap;
use std::collections::BTreeSet;

use crate::c_file::{CFile, Definitions};

/// Fingerprints of layouts, by the C names of types.
pub(crate) type Layouts = HashMap<String, u64>;

const OBJECT: &str = "tyObject_";
/// Types that the compiler makes up; their names change with their content.
const ENVIRONMENT: &str = "tyObject_Env_";

/// The layouts of all named object types in a C file.
pub(crate) fn of_file(file: &CFile, definitions: &Definitions<'_>) -> Layouts {
    if file.doubtful {
        return Layouts::new();
    }
    let named = |name: &&str| name.starts_with(OBJECT) && !name.starts_with(ENVIRONMENT);
    let names = definitions.structs.keys().copied().filter(named);
    names
        .map(|name| (name.to_owned(), definitions.layout(name)))
        .collect()
}

/// The programmer's names of the types whose layouts differ.
pub(crate) fn changed(old: &Layouts, new: &Layouts) -> BTreeSet<String> {
    let differs = |(name, layout): &(&String, &u64)| new.get(*name).is_some_and(|n| n != *layout);
    old.iter()
        .filter(differs)
        .map(|(name, _)| nim_name(name))
        .collect()
}

/// `tyObject_ShapecolonObjectType___HASH` is `Shape` to the programmer.
fn nim_name(c_name: &str) -> String {
    let name = c_name.strip_prefix(OBJECT).unwrap_or(c_name);
    let name = name.split("__").next().unwrap_or(name);
    name.strip_suffix("colonObjectType")
        .unwrap_or(name)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layouts(text: &str) -> Layouts {
        let file = CFile {
            path: "m.nim.c".into(),
            text: text.to_owned(),
            doubtful: false,
        };
        of_file(&file, &Definitions::new(text))
    }

    const OLD: &str = "struct tyObject_ShapecolonObjectType___LB2 {\n  RootObj Sup;\nNI side;\n};\n\
        struct tyObject_Square__X9a {\n  tyObject_ShapecolonObjectType___LB2 Sup;\n};\n\
        struct tyObject_Env_f___Q1 {\nNI a;\n};\n";

    #[test]
    fn a_new_field_changes_the_type_and_those_that_contain_it() {
        let new = OLD.replace("NI side;", "NI side;\nNI colour;");
        let changed = changed(&layouts(OLD), &layouts(&new));
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["Shape", "Square"]);
    }

    #[test]
    fn structs_of_the_cpp_backend_have_bases_and_may_be_empty() {
        const CPP: &str = "struct tyObject_ValueError__Q1 : public Exception {\n};\nNI a;\n\
            struct tyObject_Shape__Q2 : public RootObj {\nNI side;\n};\n\
            struct tyObject_Square__Q3 : public tyObject_Shape__Q2 {\n};\n";
        let other_text = CPP.replace("NI a;", "NI b;");
        assert!(changed(&layouts(CPP), &layouts(&other_text)).is_empty());
        let new = CPP.replace("NI side;", "NF side;");
        let changed = changed(&layouts(CPP), &layouts(&new));
        assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["Shape", "Square"]);
    }

    #[test]
    fn environments_and_removed_types_are_no_news() {
        let new = OLD
            .replace("NI a;", "NI a;\nNI b;")
            .replace("Square", "Circle");
        assert!(changed(&layouts(OLD), &layouts(&new)).is_empty());
    }
}
