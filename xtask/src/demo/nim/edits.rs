//! The three edits of the demonstration, as replacements in the example's sources.

use super::garden::Code;
use crate::demo::Replacements;

pub struct Edit {
    /// What a person is told about it.
    pub told: &'static str,
    pub file: &'static str,
    pub replacements: Replacements,
    /// How the garden behaves afterwards; `None` when the compiler must refuse the edit.
    pub expected: Option<Code>,
}

pub const EDITS: [Edit; 3] = [
    Edit {
        told: "edit 1, painter.nim: a stalk is drawn with `#` instead of `|`",
        file: "painter.nim",
        replacements: &[("'|'.repeat", "'#'.repeat")],
        expected: Some(Code {
            stalk: '#',
            rose_pace: 2,
            bees: false,
        }),
    },
    Edit {
        told: "edit 2, garden.nim: a mistake, the rose's pace becomes the word `five`",
        file: "garden.nim",
        replacements: &[("of \"rose\": 2", "of \"rose\": five")],
        expected: None,
    },
    Edit {
        told: "edit 3, garden.nim: the pace is 5 now; a new global counts bees, and a new proc tells of them",
        file: "garden.nim",
        replacements: &[
            ("of \"rose\": five", "of \"rose\": 5"),
            (
                "proc news*",
                "var bees = 3\n\nproc buzz(): string =\n  inc bees\n  $bees & \" bees\"\n\nproc news*",
            ),
            ("  \"all quiet\"", "  buzz()"),
        ],
        expected: Some(Code {
            stalk: '#',
            rose_pace: 5,
            bees: true,
        }),
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::edited;

    #[test]
    fn the_edits_fit_the_example_one_after_the_other() {
        let edits = EDITS.iter().map(|edit| (edit.file, edit.replacements));
        let sources = edited("nim-garden", edits);
        assert!(sources["garden.nim"].contains("$bees"));
        assert!(!sources["garden.nim"].contains("five"));
    }
}
