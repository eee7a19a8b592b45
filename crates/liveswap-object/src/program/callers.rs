//! Who refers to functions: asked for when it matters whether anybody can call one again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use object::elf;

use crate::Error;
use crate::elf::{Elf, Section};
use crate::functions::Functions;
use crate::names;
use crate::reference::{FunctionUse, function_use};

/// More functions than these between one and `main` are not followed.
const MOST: usize = 1000;

/// References to functions.
#[derive(Debug, Default)]
pub struct References {
    /// Functions with those that call them.
    callers: HashMap<Arc<str>, HashSet<Arc<str>>>,
    /// Functions whose address somebody takes, or that code without a function refers to.
    otherwise: HashSet<Arc<str>>,
}

impl References {
    /// Adds what the functions of an object refer to for which `counts` says so; of the rest of the object, data and
    /// code that is no function's, it is asked for `None`.
    ///
    /// # Errors
    /// If the object is not understood.
    pub fn add(
        &mut self,
        bytes: &[u8],
        counts: &dyn Fn(Option<&str>) -> bool,
    ) -> Result<(), Error> {
        let object = Elf::parse(bytes)?;
        let functions = Functions::of(&object);
        for (section, data) in object.sections.iter().enumerate() {
            if !data.is_loaded() || data.is_unwind_information() {
                continue;
            }
            let caller = functions.in_section(section);
            let caller = caller.map(|function| object.symbols[function].name);
            if !counts(caller) {
                continue;
            }
            let caller: Option<Arc<str>> = caller.map(Into::into);
            for rela in object.relocations(section)? {
                let symbol = &object.symbols[rela.symbol];
                let how = function_use(object.machine, data, &rela);
                let name = match functions.meant_by(&object, rela.symbol) {
                    Some(function) if how != FunctionUse::Inside => object.symbols[function].name,
                    None if symbol.undefined && !symbol.name.is_empty() => symbol.name,
                    _ => continue,
                };
                match &caller {
                    Some(caller) if how == FunctionUse::Call => {
                        let callers = self.callers.entry(name.into()).or_default();
                        callers.insert(Arc::clone(caller));
                    }
                    _ => drop(self.otherwise.insert(name.into())),
                }
            }
        }
        Ok(())
    }

    /// The functions that call one.
    pub fn callers(&self, function: &str) -> impl Iterator<Item = &Arc<str>> {
        self.callers.get(function).into_iter().flatten()
    }

    /// Whether somebody takes a function's address, or code without a function refers to it.
    pub fn is_taken(&self, function: &str) -> bool {
        self.otherwise.contains(function)
    }

    /// The functions that each function calls.
    pub fn callees(&self) -> HashMap<Arc<str>, HashSet<Arc<str>>> {
        let mut callees: HashMap<Arc<str>, HashSet<Arc<str>>> = HashMap::new();
        for (callee, callers) in &self.callers {
            for caller in callers {
                let calls = callees.entry(Arc::clone(caller)).or_default();
                calls.insert(Arc::clone(callee));
            }
        }
        callees
    }

    /// Adds others, under the names that functions have now.
    pub fn take_over(&mut self, others: &References, now: &dyn Fn(&str) -> Arc<str>) {
        for (callee, callers) in &others.callers {
            let known = self.callers.entry(now(callee)).or_default();
            known.extend(callers.iter().map(|caller| now(caller)));
        }
        let otherwise = others.otherwise.iter();
        self.otherwise.extend(otherwise.map(|name| now(name)));
    }
}

/// All functions from which a function can be reached, itself included, if only `main` leads to them, and only by calls.
/// `complete` adds to the references what there is to a function; it gives `None` where that cannot be read.
pub fn only_from_main(
    function: &Arc<str>,
    main: &Arc<str>,
    references: &mut References,
    complete: &mut dyn FnMut(&str, &mut References) -> Option<()>,
) -> Option<HashSet<Arc<str>>> {
    let mut found = HashSet::from([Arc::clone(function)]);
    let mut open = vec![Arc::clone(function)];
    let mut comes_from_main = false;
    while let Some(one) = open.pop() {
        complete(&one, references)?;
        // Other languages may know a plain name.
        let is_known = references.is_taken(&one) || !names::is_mangled(&one);
        if is_known || found.len() > MOST {
            return None;
        }
        for caller in references.callers(&one) {
            if caller == main {
                comes_from_main = true;
            } else if found.insert(Arc::clone(caller)) {
                open.push(Arc::clone(caller));
            }
        }
    }
    // The program's start takes the address of `main`; who calls it begins anew.
    complete(main, references)?;
    let once = !references.callers.contains_key(main);
    (comes_from_main && once).then_some(found)
}

/// The code of `main` as the program started with it.
#[derive(Debug)]
pub struct Main {
    code: Vec<u8>,
    /// Where calls return to, and what they call.
    calls: Vec<(u64, Arc<str>)>,
}

impl Main {
    /// Out of the object that defines it.
    ///
    /// # Errors
    /// If the object is not understood.
    pub fn read(bytes: &[u8], name: &str) -> Result<Option<Main>, Error> {
        let object = Elf::parse(bytes)?;
        let functions = Functions::of(&object);
        let is_it = |section: &Section| {
            let function = functions.in_section(*section);
            function.is_some_and(|function| object.symbols[function].name == name)
        };
        let Some(section) = (0..object.sections.len()).find(is_it) else {
            return Ok(None);
        };
        if object.machine != elf::EM_X86_64 {
            return Ok(None);
        }
        let data = &object.sections[section];
        let mut calls = Vec::new();
        for rela in object.relocations(section)? {
            let symbol = functions
                .meant_by(&object, rela.symbol)
                .unwrap_or(rela.symbol);
            if function_use(object.machine, data, &rela) == FunctionUse::Call {
                calls.push((rela.offset + 4, object.symbols[symbol].name.into()));
            }
        }
        Ok(Some(Main {
            code: data.data.to_vec(),
            calls,
        }))
    }

    /// Whether it calls one of these functions.
    pub fn calls(&self, of: &dyn Fn(&str) -> bool) -> bool {
        self.calls.iter().any(|(_, name)| of(name))
    }

    /// Where the last of the calls of these functions returns to, counted from the beginning of `main`; `None` if
    /// there is none, or if one may be in a loop.
    pub fn last_call(&self, of: &dyn Fn(&str) -> bool) -> Option<u64> {
        let returns = self.calls.iter().filter(|(_, name)| of(name));
        let returns: Vec<u64> = returns.map(|(at, _)| *at).collect();
        let first = *returns.iter().min()?;
        // A loop around one of them jumps back from behind it.
        let last = *returns.iter().max()?;
        let in_loop = returns.iter().any(|at| may_be_in_loop(&self.code, *at));
        (first > 0 && !in_loop).then_some(last)
    }
}

/// Whether there is something behind `at` that can be read as a jump to before it. The bytes are not taken apart into
/// instructions, so some of what is found is none.
fn may_be_in_loop(code: &[u8], at: u64) -> bool {
    let at = at as usize;
    (at..code.len()).any(|from| {
        let target = match code[from..] {
            [0xeb | 0x70..=0x7f | 0xe0..=0xe3, by, ..] => from as i64 + 2 + i64::from(by as i8),
            [0xe9, a, b, c, d, ..] => from as i64 + 5 + i64::from(i32::from_le_bytes([a, b, c, d])),
            [0x0f, 0x80..=0x8f, a, b, c, d, ..] => {
                from as i64 + 6 + i64::from(i32::from_le_bytes([a, b, c, d]))
            }
            // By a table.
            [0xff, operand, ..] if operand >> 3 & 7 == 4 => 0,
            _ => return false,
        };
        (0..at as i64).contains(&target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        format!("_R{text}").into()
    }

    /// Pairs of callee and caller.
    fn calls(pairs: &[(&str, &str)]) -> References {
        let mut references = References::default();
        for (callee, caller) in pairs {
            let callers = references.callers.entry(name(callee)).or_default();
            callers.insert(name(caller));
        }
        references
    }

    fn found(
        function: &str,
        now: &[(&str, &str)],
        taken: &[&str],
        retired: &[(&str, &str)],
    ) -> bool {
        let mut references = References::default();
        references.take_over(&calls(retired), &|name| name.into());
        let mut complete = |_: &str, references: &mut References| {
            references.take_over(&calls(now), &|name| name.into());
            references.otherwise = taken.iter().map(|it| name(it)).collect();
            Some(())
        };
        let (function, main) = (name(function), name("main"));
        only_from_main(&function, &main, &mut references, &mut complete).is_some()
    }

    #[test]
    fn only_what_main_alone_leads_to_is_found() {
        let chain = [("init", "setup"), ("setup", "main"), ("setup", "setup")];
        assert!(found("init", &chain, &[], &[]));
        assert!(found("init", &[("init", "main")], &[], &[]));
        assert!(!found("init", &[], &[], &[]), "nobody calls it");
        assert!(!found("init", &chain, &["init"], &[]));
        assert!(!found("init", &chain, &["setup"], &[]));
        // Code that was replaced can still run.
        assert!(!found("init", &chain, &["tick"], &[("init", "tick")]));
        assert!(!found(
            "init",
            &[("init", "main"), ("main", "init")],
            &[],
            &[]
        ));
    }

    #[test]
    fn a_plain_name_is_known_to_other_languages() {
        let plain: Arc<str> = "on_key".into();
        let callers = HashMap::from([(Arc::clone(&plain), HashSet::from([name("main")]))]);
        let mut references = References {
            callers,
            ..References::default()
        };
        let found = only_from_main(&plain, &name("main"), &mut references, &mut |_, _| Some(()));
        assert_eq!(found, None);
    }

    fn main(code: &[u8], returns: &[u64]) -> Main {
        Main {
            code: code.to_vec(),
            calls: returns.iter().map(|at| (*at, name("init"))).collect(),
        }
    }

    #[test]
    fn calls_in_loops_are_made_again() {
        // call; nop; jmp to the nop
        let after = [0xe8, 0, 0, 0, 0, 0x90, 0xeb, 0xfd];
        assert_eq!(main(&after, &[5]).last_call(&|_| true), Some(5));
        assert_eq!(main(&after, &[5]).last_call(&|_| false), None);
        // jmp to the call, in both forms, behind a condition, and by a table
        let jumps: [&[u8]; 4] = [
            &[0xeb, 0xf9],
            &[0xe9, 0xf6, 0xff, 0xff, 0xff],
            &[0x0f, 0x85, 0xf5, 0xff, 0xff, 0xff],
            &[0xff, 0xe0],
        ];
        for jump in jumps {
            let mut code = vec![0xe8, 0, 0, 0, 0];
            code.extend(jump);
            assert_eq!(main(&code, &[5]).last_call(&|_| true), None, "{jump:x?}");
        }
        // jb forward, whose distance looks like a jump to far before.
        let forward = [0xe8, 0, 0, 0, 0, 0x0f, 0x82, 0xe9, 0, 0, 0, 0x8b, 0x44];
        assert_eq!(main(&forward, &[5]).last_call(&|_| true), Some(5));
        let straight = [0x90; 32];
        assert_eq!(main(&straight, &[5, 20, 10]).last_call(&|_| true), Some(20));
    }
}
