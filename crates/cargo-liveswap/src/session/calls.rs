//! Which functions were called since they got a new body.
//!
//! The word of a slot leads to a stub until the first call (`liveswap-object`, `patch/first_call.rs`): as long as all
//! words of a function hold the addresses of their stubs, nobody has called it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::parts::NewBodies;

/// What is known of the functions that patches changed or added.
#[derive(Debug, Default)]
pub struct Calls {
    /// Of the newest generation all, of earlier ones those that were not called and whose slots are still theirs.
    functions: Vec<Function>,
    newest: u64,
    next_id: u64,
}

#[derive(Debug)]
struct Function {
    id: u64,
    generation: u64,
    name: String,
    /// Its symbols, where there was something else before.
    replaced: Vec<Arc<str>>,
    words: Vec<(u64, u64)>,
    called: bool,
}

/// A question to the run-time.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// The words, and what each held at the swap.
    pub words: Vec<(u64, u64)>,
    /// Whose they are.
    pub owners: Owners,
}

/// The function of each word of a question.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Owners(Vec<u64>);

/// A function of the newest generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The function, as people call it.
    pub function: String,
    /// Whether it has been called since its body went live.
    pub called: bool,
}

impl Calls {
    /// A patch is live.
    pub fn swapped(&mut self, generation: u64, new: NewBodies) {
        self.newest = generation;
        let set: HashSet<u64> = new.words.into_iter().collect();
        let is_superseded = |it: &Function| it.words.iter().any(|(word, _)| set.contains(word));
        self.functions
            .retain(|it| !it.called && !is_superseded(it) && !it.words.is_empty());
        // Copies of one function in several objects are one function.
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for body in new.bodies {
            let next = self.functions.len();
            let at = *by_name.entry(body.name.clone()).or_insert(next);
            if at == next {
                self.functions.push(Function {
                    id: self.next_id,
                    generation,
                    name: body.name,
                    replaced: Vec::new(),
                    words: Vec::new(),
                    called: false,
                });
                self.next_id += 1;
            }
            let function = &mut self.functions[at];
            function.words.extend(body.words);
            function
                .replaced
                .extend(body.replaces.then_some(body.symbol));
        }
    }

    /// The process is another one, or cannot be asked any more.
    pub fn forget(&mut self) {
        self.functions.clear();
    }

    /// What to ask; `None` if there is nothing left to know.
    pub fn question(&self) -> Option<Question> {
        let open = self.functions.iter().filter(|it| !it.called);
        let (words, owners): (Vec<_>, Vec<_>) = open
            .flat_map(|it| it.words.iter().map(|word| (*word, it.id)))
            .unzip();
        let owners = Owners(owners);
        (!words.is_empty()).then_some(Question { words, owners })
    }

    /// The answer: which words hold what they held. The functions that were called for the first time, by generation.
    pub fn answered(&mut self, owners: &Owners, holds: &[bool]) -> Vec<(u64, Vec<String>)> {
        let changed = owners.0.iter().zip(holds).filter(|(_, holds)| !**holds);
        let called: HashSet<u64> = changed.map(|(owner, _)| *owner).collect();
        let mut news: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        let is_news = |it: &&mut Function| !it.called && called.contains(&it.id);
        for function in self.functions.iter_mut().filter(is_news) {
            function.called = true;
            let of_generation = news.entry(function.generation).or_default();
            of_generation.push(function.name.clone());
        }
        let newest = self.newest;
        self.functions
            .retain(|it| !it.called || it.generation == newest);
        news.into_iter().collect()
    }

    /// The functions of the newest generation: first those that were not called.
    pub fn of_newest(&self) -> Vec<Called> {
        let newest = self
            .functions
            .iter()
            .filter(|it| it.generation == self.newest);
        let mut all: Vec<Called> = newest
            .map(|it| Called {
                function: it.name.clone(),
                called: it.called,
            })
            .collect();
        all.sort_by(|a, b| (a.called, &a.function).cmp(&(b.called, &b.function)));
        all
    }

    /// Symbols of functions of later generations than `since` that replace something and were not called yet.
    pub fn not_called(&self, since: u64) -> Vec<Arc<str>> {
        let open = self.functions.iter().filter(|it| !it.called);
        open.filter(|it| it.generation > since)
            .flat_map(|it| it.replaced.iter().cloned())
            .collect()
    }

    /// Whether it is known of the function with this name that nobody has called its new body yet.
    pub fn is_not_called(&self, name: &str) -> bool {
        let mut open = self.functions.iter().filter(|it| !it.called);
        open.any(|it| it.name == name)
    }

    /// The name of a function that was not called yet, by its symbol.
    pub fn name_if_not_called(&self, symbol: &str) -> Option<&str> {
        let mut open = self.functions.iter().filter(|it| !it.called);
        let function = open.find(|it| it.replaced.iter().any(|its| **its == *symbol))?;
        Some(&function.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::parts::NewBody;

    fn body(name: &str, words: &[(u64, u64)]) -> NewBody {
        NewBody {
            name: name.into(),
            symbol: format!("_{name}").into(),
            words: words.to_vec(),
            replaces: true,
        }
    }

    fn new(bodies: Vec<NewBody>) -> NewBodies {
        let words = bodies.iter().flat_map(|it| &it.words);
        NewBodies {
            words: words.map(|(word, _)| *word).collect(),
            bodies,
        }
    }

    fn called(function: &str, called: bool) -> Called {
        Called {
            function: function.into(),
            called,
        }
    }

    #[test]
    fn a_function_is_called_as_soon_as_one_of_its_slots_was() {
        let mut calls = Calls::default();
        assert_eq!(calls.question(), None);
        calls.swapped(
            1,
            new(vec![
                body("b", &[(8, 100), (16, 132)]),
                body("a", &[(24, 164)]),
            ]),
        );
        let question = calls.question().unwrap();
        assert_eq!(question.words, [(8, 100), (16, 132), (24, 164)]);
        let news = calls.answered(&question.owners, &[true, false, true]);
        assert_eq!(news, [(1, vec!["b".to_owned()])]);
        assert_eq!(calls.of_newest(), [called("a", false), called("b", true)]);
        assert_eq!(*calls.not_called(0), ["_a".into()]);
        assert!(calls.not_called(1).is_empty());
        // Only what is open is asked for, and it is news once.
        assert_eq!(calls.question().unwrap().words, [(24, 164)]);
        assert!(
            calls
                .answered(&question.owners, &[false, false, true])
                .is_empty()
        );
    }

    #[test]
    fn a_newer_patch_takes_over_the_words_that_it_sets() {
        let mut calls = Calls::default();
        calls.swapped(
            1,
            new(vec![body("a", &[(8, 100)]), body("b", &[(16, 132)])]),
        );
        let early = calls.question().unwrap();
        // A function that only calls others than before is none of its bodies, but sets words as well.
        let mut second = new(vec![body("c", &[(24, 200)])]);
        second.words.push(8);
        calls.swapped(2, second);
        assert_eq!(calls.of_newest(), [called("c", false)]);
        // Asked before the swap, evaluated after it.
        let news = calls.answered(&early.owners, &[false, true]);
        assert!(news.is_empty(), "{news:?}");
        let question = calls.question().unwrap();
        assert_eq!(question.words, [(16, 132), (24, 200)]);
        let news = calls.answered(&question.owners, &[false, false]);
        assert_eq!(news, [(1, vec!["b".to_owned()]), (2, vec!["c".to_owned()])]);
        assert_eq!(calls.of_newest(), [called("c", true)]);
        assert_eq!(calls.question(), None);
    }

    #[test]
    fn copies_in_several_objects_are_one_function() {
        let mut calls = Calls::default();
        calls.swapped(
            1,
            new(vec![body("a", &[(8, 100)]), body("a", &[(16, 132)])]),
        );
        assert_eq!(calls.of_newest(), [called("a", false)]);
        assert_eq!(calls.name_if_not_called("_a"), Some("a"));
        let owners = calls.question().unwrap().owners;
        calls.answered(&owners, &[true, false]);
        assert_eq!(calls.of_newest(), [called("a", true)]);
        assert_eq!(calls.name_if_not_called("_a"), None);
    }
}
