//! Random programs and random edits, labelled by construction.
//!
//! A program consists of units. Each unit is a plain value here, from which its code, its output and
//! the label of every edit follow. The program prints one line a beat with the output of all units,
//! so a value that an edit of one unit spoils in another shows as well. What comes out is a case like
//! those of the corpus, and is run and judged as they are.

mod edit;
mod unit;

use crate::corpus::case::{Case, Files, Label, Step};
use crate::random::Random;
use edit::Edit;
use regex_lite::Regex;
use unit::Unit;

const UNITS: usize = 5;

/// The case that a seed stands for.
///
/// # Panics
/// When an expected line is no pattern, which it always is.
pub fn case(seed: u64, edits: usize, level: u8) -> Case {
    let mut random = Random::new(seed);
    let mut program = Program {
        units: (0..UNITS).map(|_| Unit::random(&mut random)).collect(),
        number: 0,
    };
    let files = program.files();
    let mut steps = Vec::new();
    let mut last: Option<(usize, Edit)> = None;
    for number in 1..=edits {
        let before = program.clone();
        let at = random.below(UNITS);
        let edit = Edit::random(&program.units[at], &mut random);
        program.number = number;
        program.units[at].apply(&edit);
        let label = match &last {
            // One save takes the edit before it back and is this one.
            Some((unit, last)) if *unit == at => edit.label_after(last, &program.units[at]),
            _ => edit.label(),
        };
        let (new, mut old) = (program.line(), before.line());
        if label == Label::Unsafe {
            // Old values may go on in old code, while all others are as the program has them now.
            let mut mixed = program.clone();
            mixed.units[at] = before.units[at].clone();
            old = mixed.line();
        }
        steps.push(Step {
            label,
            about: format!("unit {at}: {edit:?}"),
            files: program.files(),
            anew: number == 1,
            quick: false,
            old: (old != new).then(|| pattern(&old)),
            new: Some(pattern(&new)),
        });
        last = None;
        if label == Label::Unsafe {
            // The next edit takes this one back: it may have been refused or not.
            program = before;
            last = Some((at, edit));
        }
    }
    Case {
        name: format!("random-{seed}"),
        about: "random".to_owned(),
        needs: if program.units.iter().any(Unit::needs_tokio) {
            vec!["tokio".to_owned()]
        } else {
            Vec::new()
        },
        levels: vec![level],
        in_ci: false,
        start: pattern(&before_all(&files)),
        panics: false,
        files,
        steps,
    }
}

/// The line that tells that all units of the first program are at work.
fn before_all(files: &Files) -> String {
    let line = files["src/main.rs"]
        .lines()
        .find_map(|line| line.strip_prefix("// begins with: "));
    line.unwrap_or("v0").to_owned()
}

fn pattern(line: &str) -> Regex {
    Regex::new(&format!("^{line}$")).expect("letters, digits and signs that mean themselves")
}

#[derive(Clone)]
struct Program {
    units: Vec<Unit>,
    /// Number of the edit, which the program prints.
    number: usize,
}

impl Program {
    /// What a beat prints.
    fn line(&self) -> String {
        let mut line = format!("v{}", self.number);
        for (index, unit) in self.units.iter().enumerate() {
            line.push_str(&format!(" {index}:{}", unit.output()));
        }
        line
    }

    fn files(&self) -> Files {
        let mut text = format!(
            "// begins with: {}\nmod guard;\nuse guard::prelude::*;\n\n",
            self.line()
        );
        for (index, unit) in self.units.iter().enumerate() {
            text.push_str(&format!(
                "mod unit{index} {{\nuse super::*;\n{}}}\n\n",
                unit.code()
            ));
        }
        let each = |what: &str| -> String {
            (0..self.units.len())
                .map(|index| what.replace('#', &index.to_string()))
                .collect()
        };
        text.push_str(&format!(
            "fn main() {{\n{}    loop {{\n        step();\n        nap();\n    }}\n}}\n\n",
            each("    unit#::start();\n")
        ));
        text.push_str(&format!(
            "#[inline(never)]\nfn step() {{\n    println!(\"v{}{}\"{});\n}}\n",
            self.number,
            each(" #:{}"),
            each(", unit#::read()")
        ));
        Files::from([("src/main.rs".to_owned(), text)])
    }
}

#[cfg(test)]
mod tests {
    use super::case;
    use crate::corpus::case::Label;

    #[test]
    fn a_seed_stands_for_one_case_and_an_unsafe_edit_is_taken_back_by_the_next() {
        let one = case(7, 12, 0);
        let again = case(7, 12, 0);
        assert_eq!(one.files, again.files);
        assert_eq!(one.steps.len(), 12);
        assert_ne!(one.files, case(8, 12, 0).files);
        for (step, same) in one.steps.iter().zip(&again.steps) {
            assert_eq!((step.label, &step.files), (same.label, &same.files));
        }
        let labels: Vec<Label> = (0..20)
            .flat_map(|seed| case(seed, 12, 0).steps)
            .map(|step| step.label)
            .collect();
        let safe = labels.iter().filter(|label| **label == Label::Safe).count();
        assert!(safe > 60 && safe < 200, "{safe} of {}", labels.len());
    }
}
