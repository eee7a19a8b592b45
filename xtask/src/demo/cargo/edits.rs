//! The edits of the demonstration, as replacements in the example's sources.

use super::sky::Code;
use crate::demo::Replacements;

pub struct Edit {
    /// What a person is told about it.
    pub told: &'static str,
    pub file: &'static str,
    pub replacements: Replacements,
    pub expected: Expected,
}

/// What must come of an edit.
pub enum Expected {
    /// It goes live, and the program behaves like this afterwards.
    Live(Code),
    /// It does not compile.
    BuildFailed,
    /// It is refused with this code.
    Refused(&'static str),
    /// The source is what it was, so there is nothing to do.
    Unchanged,
}

const TURNED: Code = Code {
    planet: '@',
    speed: -0.1,
    ..Code::FIRST
};
const COUNTING: Code = Code {
    sun: 'O',
    counts: true,
    ..TURNED
};

pub const EDITS: [Edit; 7] = [
    Edit {
        told: "a method in the library, called through a `Box<dyn Body>` made at the start: planets are `@`",
        file: "sky/src/planet.rs",
        replacements: &[("sign: 'o',", "sign: '@',")],
        expected: Expected::Live(Code {
            planet: '@',
            ..Code::FIRST
        }),
    },
    Edit {
        told: "a private function in the library: the planets turn back, from where they are",
        file: "sky/src/planet.rs",
        replacements: &[("    0.1 / distance", "    -0.1 / distance")],
        expected: Expected::Live(TURNED),
    },
    Edit {
        told: "the program itself: another sun, a new function, and a new static that counts",
        file: "orrery/src/picture.rs",
        replacements: &[
            ("sign: '#',", "sign: 'O',"),
            (
                "    format!(\"picture {drawn}, {} twinkles\", stars::twinkles())",
                "    format!(\"picture {drawn}, {} twinkles, edited {} ago\", stars::twinkles(), ago())",
            ),
            (
                "/// What is said below",
                "fn ago() -> u64 {\n    static AGO: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);\n    \
                 AGO.fetch_add(1, std::sync::atomic::Ordering::Relaxed)\n}\n\n/// What is said below",
            ),
        ],
        expected: Expected::Live(COUNTING),
    },
    Edit {
        told: "a mistake in the library: it does not compile, the program goes on",
        file: "sky/src/planet.rs",
        replacements: &[("sign: '@',", "sign: \"%\",")],
        expected: Expected::BuildFailed,
    },
    Edit {
        told: "the mistake is mended: planets are `%`",
        file: "sky/src/planet.rs",
        replacements: &[("sign: \"%\",", "sign: '%',")],
        expected: Expected::Live(Code {
            planet: '%',
            ..COUNTING
        }),
    },
    Edit {
        told: "a new field in a struct: the planets in memory do not have it, so this is refused",
        file: "sky/src/planet.rs",
        replacements: &[
            (
                "    rounds: f64,\n}",
                "    rounds: f64,\n    pub moons: u32,\n}",
            ),
            ("rounds: 0.0,", "rounds: 0.0,\n            moons: 0,"),
        ],
        expected: Expected::Refused("LS0001"),
    },
    Edit {
        told: "the new field is taken out again",
        file: "sky/src/planet.rs",
        replacements: &[
            ("    pub moons: u32,\n", ""),
            ("            moons: 0,\n", ""),
        ],
        expected: Expected::Unchanged,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::edited;

    #[test]
    fn the_edits_fit_the_example_one_after_the_other() {
        let edits = EDITS.iter().map(|edit| (edit.file, edit.replacements));
        let sources = edited("orrery", edits);
        assert!(sources["sky/src/planet.rs"].contains("sign: '%'"));
        assert!(!sources["sky/src/planet.rs"].contains("moons: 0,\n"));
        assert!(sources["orrery/src/picture.rs"].contains("ago()"));
    }
}
