//! What a relocation refers to, in terms that mean the same in the next generation.

use crate::elf::{Elf, Rela, Section, SymbolIndex};
use crate::functions::Functions;
use crate::names;
use crate::reference::{FunctionUse, function_use};

/// What a relocation refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A reloadable function of the object.
    Function {
        /// Its symbol.
        symbol: SymbolIndex,
        /// Called, or its address taken.
        how: FunctionUse,
    },
    /// A place inside of a function's body.
    Inside {
        /// The body.
        section: Section,
        /// Offset in it.
        offset: u64,
    },
    /// A static of the object.
    Static {
        /// Its name.
        name: &'a str,
        /// Its section.
        section: Section,
        /// Offset of the place from the start of the static's section.
        offset: u64,
    },
    /// Data without a name that outlives a compilation, known by its contents.
    Anonymous {
        /// Its section.
        section: Section,
        /// Offset in it.
        offset: u64,
    },
    /// Something that the object does not define.
    Elsewhere {
        /// Its name.
        name: &'a str,
        /// Whether it may be missing.
        weak: bool,
    },
    /// An absolute value.
    Absolute(u64),
}

/// Names of the statics of an object, by section.
#[derive(Debug, Default)]
pub struct Statics<'a> {
    by_section: std::collections::HashMap<Section, &'a str>,
    /// Those that `tracing`'s macros keep of the place that they stand in.
    call_sites: std::collections::HashSet<&'a str>,
}

impl<'a> Statics<'a> {
    /// Finds them. A static has a section of its own (`-fdata-sections`, rustc's default).
    pub fn of(object: &Elf<'a>) -> Statics<'a> {
        let mut by_section = std::collections::HashMap::new();
        for symbol in &object.symbols {
            if let Some(section) = symbol.section
                && is_static(object, section, symbol)
            {
                let name = by_section.entry(section).or_insert(symbol.name);
                if !symbol.is_local() {
                    *name = symbol.name;
                }
            }
        }
        let call_sites = call_sites(&by_section);
        Statics {
            by_section,
            call_sites,
        }
    }

    /// Whether a static is what `tracing`'s macros keep of the place that they stand in: the call site, or its
    /// description.
    pub fn is_call_site(&self, name: &str) -> bool {
        self.call_sites.contains(name)
    }

    /// The name of the static that a section holds.
    pub fn in_section(&self, section: Section) -> Option<&'a str> {
        self.by_section.get(&section).copied()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Section, &'a str)> + '_ {
        self.by_section
            .iter()
            .map(|(section, name)| (*section, *name))
    }
}

/// The newer macros say what they are; of the older ones the description stands in the call site.
fn call_sites<'a>(
    statics: &std::collections::HashMap<Section, &'a str>,
) -> std::collections::HashSet<&'a str> {
    let may_be = |name: &&str| name.contains("CALLSITE") || name.contains("META");
    let all = || statics.values().copied().filter(may_be);
    let pair = |name: &'a str, own: &str| names::path(name)?.strip_suffix(own).map(str::to_owned);
    let ends = [
        ("8CALLSITE", "8CALLSITE4META"),
        ("::CALLSITE", "::CALLSITE::META"),
    ];
    let mut found: std::collections::HashSet<&str> =
        all().filter(|name| names::is_call_site(name)).collect();
    for (site, description) in ends {
        let sites: std::collections::HashSet<String> =
            all().filter_map(|name| pair(name, site)).collect();
        let described: std::collections::HashSet<String> =
            all().filter_map(|name| pair(name, description)).collect();
        found.extend(all().filter(|name| {
            pair(name, site).is_some_and(|scope| described.contains(&scope))
                || pair(name, description).is_some_and(|scope| sites.contains(&scope))
        }));
    }
    found
}

fn is_static(object: &Elf<'_>, section: Section, symbol: &crate::elf::Symbol<'_>) -> bool {
    let data = &object.sections[section];
    data.is_loaded()
        && !data.is_code()
        && !data.is_unwind_information()
        && !data.is_mergeable()
        && symbol.value == 0
        && !symbol.is_section()
        && !symbol.is_function()
        && names::is_identity(symbol.name, symbol.is_local())
        && !symbol.name.starts_with("DW.ref.")
}

/// Tells what `rela` in `section` refers to.
pub fn target<'a>(
    object: &Elf<'a>,
    functions: &Functions,
    statics: &Statics<'a>,
    section: Section,
    rela: &Rela,
) -> Target<'a> {
    let symbol = &object.symbols[rela.symbol];
    let Some(defined) = symbol.section else {
        return if symbol.undefined {
            Target::Elsewhere {
                name: symbol.name,
                weak: symbol.binding == object::elf::STB_WEAK,
            }
        } else {
            Target::Absolute(symbol.value)
        };
    };
    if let Some(function) = functions.meant_by(object, rela.symbol) {
        let how = function_use(object.machine, &object.sections[section], rela);
        if how != FunctionUse::Inside {
            return Target::Function {
                symbol: function,
                how,
            };
        }
    }
    if object.sections[defined].is_code() {
        return if functions.in_section(defined).is_some() {
            Target::Inside {
                section: defined,
                offset: symbol.value,
            }
        } else if symbol.is_local() {
            // What the compiler makes in each object that needs it (`__rust_try`).
            Target::Anonymous {
                section: defined,
                offset: symbol.value,
            }
        } else {
            Target::Elsewhere {
                name: symbol.name,
                weak: false,
            }
        };
    }
    match statics.in_section(defined) {
        Some(name) => Target::Static {
            name,
            section: defined,
            offset: symbol.value,
        },
        None if symbol.name.starts_with("DW.ref.") => Target::Elsewhere {
            name: symbol.name,
            weak: false,
        },
        None => Target::Anonymous {
            section: defined,
            offset: symbol.value,
        },
    }
}
