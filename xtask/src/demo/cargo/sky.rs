//! What the orrery prints, and what must be true of it.

use crate::Result;

/// Planets with their distance from the sun, as the example makes them.
const PLANETS: [(&str, f64); 4] = [
    ("Mercury", 0.25),
    ("Venus", 0.45),
    ("Earth", 0.65),
    ("Mars", 0.90),
];
/// What the comet flies of its round in a line's time.
const COMET: f64 = 1.0 / 12.0;
/// Two numbers with two digits behind the point differ by so much more or less than they should.
const ROUNDING: f64 = 0.0101;

/// One line of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    sun: char,
    /// One sign for each body.
    signs: String,
    /// How often each body went round.
    rounds: Vec<(String, f64)>,
    /// Counted by a thread-local.
    pub picture: u64,
    /// Counted by another thread in a private static.
    twinkles: u64,
    /// Counted by a static that an edit brings.
    ago: Option<u64>,
}

/// The part of the program's code that the edits change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Code {
    pub sun: char,
    pub planet: char,
    /// Rounds in a second, for a planet at distance 1.
    pub speed: f64,
    /// Whether lines are counted from 0 since the edit.
    pub counts: bool,
}

impl Line {
    /// Reads `# oooo* | Mercury 0.40, Venus 0.22, … | picture 1, 18 twinkles[, edited 3 ago]`.
    pub fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split(" | ");
        let (sun, signs) = parts.next()?.split_once(' ')?;
        let rounds = parts.next()?.split(", ").map(|body| {
            let (name, rounds) = body.split_once(' ')?;
            Some((name.to_owned(), rounds.parse().ok()?))
        });
        let rounds = rounds.collect::<Option<Vec<_>>>()?;
        let mut caption = parts.next()?.split(", ");
        let picture = caption.next()?.strip_prefix("picture ")?.parse().ok()?;
        let twinkles = caption.next()?.strip_suffix(" twinkles")?.parse().ok()?;
        let ago = match caption.next() {
            Some(text) => {
                let number = text.strip_prefix("edited ")?.strip_suffix(" ago")?;
                Some(number.parse().ok()?)
            }
            None => None,
        };
        Some(Self {
            sun: sun.parse().ok()?,
            signs: signs.to_owned(),
            rounds,
            picture,
            twinkles,
            ago,
        })
    }
}

impl Code {
    /// The example as it stands in the repository.
    pub const FIRST: Self = Self {
        sun: '#',
        planet: 'o',
        speed: 0.1,
        counts: false,
    };

    /// The first line of a new program.
    pub fn check_start(self, line: &Line) -> Result<()> {
        let before = Line {
            rounds: bodies().map(|(name, _)| (name.to_owned(), 0.0)).collect(),
            picture: 0,
            twinkles: 0,
            ..line.clone()
        };
        self.check_step(&before, line)
    }

    /// `next` follows `line` under this code.
    pub fn check_step(self, line: &Line, next: &Line) -> Result<()> {
        follows(line, next, (self, self))?;
        let wrong = |what: &str| Err(format!("{what}\n  {line:?}\n  {next:?}"));
        let mut signs = self.planet.to_string().repeat(PLANETS.len());
        signs.push('*');
        if (next.sun, &next.signs) != (self.sun, &signs) {
            return wrong("the signs are not those of the code");
        }
        match (self.counts, line.ago, next.ago) {
            (false, _, None) | (true, None, Some(_)) => Ok(()),
            (true, Some(before), Some(now)) if now == before + 1 => Ok(()),
            _ => wrong("the new static counted wrong"),
        }
    }

    /// The code changed at some time between the two lines: everything in memory must have gone on all
    /// the same.
    pub fn check_change(self, new: Self, line: &Line, next: &Line) -> Result<()> {
        follows(line, next, (self, new))
    }
}

/// Whether what is in memory went on from line to line, with a speed between those of two codes.
fn follows(line: &Line, next: &Line, codes: (Code, Code)) -> Result<()> {
    let wrong = |what: String| Err(format!("{what}\n  {line:?}\n  {next:?}"));
    if next.picture != line.picture + 1 {
        return wrong(format!(
            "picture {} follows picture {}",
            next.picture, line.picture
        ));
    }
    if next.twinkles < line.twinkles {
        return wrong("twinkles were forgotten".to_owned());
    }
    if next.rounds.len() != PLANETS.len() + 1 || line.rounds.len() != next.rounds.len() {
        return wrong("bodies are missing".to_owned());
    }
    for (((name, distance), was), is) in bodies().zip(&line.rounds).zip(&next.rounds) {
        let step = |code: Code| distance.map_or(COMET, |distance| code.speed / distance);
        let (one, other) = (step(codes.0), step(codes.1));
        let went = is.1 - was.1;
        let expected = one.min(other) - ROUNDING..=one.max(other) + ROUNDING;
        if was.0 != name || is.0 != name || !expected.contains(&went) {
            return wrong(format!("{name} went {went:.2} rounds, not {one:.2}"));
        }
    }
    Ok(())
}

/// Names of all bodies, with the distances of planets.
fn bodies() -> impl Iterator<Item = (&'static str, Option<f64>)> {
    PLANETS
        .into_iter()
        .map(|(name, distance)| (name, Some(distance)))
        .chain([("comet", None)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "# oooo* | Mercury 2.00, Venus 1.11, Earth 0.77, Mars 0.56, comet 0.42 | picture 5, 99 twinkles";
    const NEXT: &str = "# oooo* | Mercury 2.40, Venus 1.33, Earth 0.92, Mars 0.67, comet 0.50 | picture 6, 120 twinkles";

    fn line(text: &str) -> Line {
        Line::parse(text).expect("a line of the orrery")
    }

    #[test]
    fn lines_follow_one_another() {
        let code = Code::FIRST;
        code.check_step(&line(LINE), &line(NEXT)).expect("a step");
        assert!(code.check_step(&line(NEXT), &line(LINE)).is_err());
        assert!(code.check_start(&line(LINE)).is_err());
        let first = "# oooo* | Mercury 0.40, Venus 0.22, Earth 0.15, Mars 0.11, comet 0.08 | picture 1, 18 twinkles";
        code.check_start(&line(first)).expect("the first line");
    }

    #[test]
    fn lost_state_is_noticed() {
        for (from, to) in [
            ("picture 6", "picture 1"),
            ("120 twinkles", "3 twinkles"),
            ("Earth 0.92", "Earth 0.15"),
            ("comet 0.50", "comet 0.08"),
            (", Mars 0.67", ""),
        ] {
            let lost = line(&NEXT.replace(from, to));
            assert!(Code::FIRST.check_step(&line(LINE), &lost).is_err(), "{to}");
            let change = Code::FIRST.check_change(Code::FIRST, &line(LINE), &lost);
            assert!(change.is_err(), "{to}");
        }
    }

    #[test]
    fn new_code_is_told_from_old_code() {
        let new = Code {
            planet: '@',
            speed: -0.1,
            ..Code::FIRST
        };
        let back = line(
            "# @@@@* | Mercury 1.60, Venus 0.89, Earth 0.62, Mars 0.45, comet 0.50 | picture 6, 120 twinkles",
        );
        new.check_step(&line(LINE), &back).expect("the new code");
        assert!(Code::FIRST.check_step(&line(LINE), &back).is_err());
        let between = line(&NEXT.replace("Mercury 2.40", "Mercury 2.10"));
        let check = |code: Code| code.check_change(new, &line(LINE), &between);
        check(Code::FIRST).expect("a line in which the code changed");
        assert!(check(new).is_err(), "no speed but the new one");
    }

    #[test]
    fn a_new_static_counts_from_its_first_line_on() {
        let counting = Code {
            counts: true,
            ..Code::FIRST
        };
        let with = |ago: &str| line(&format!("{NEXT}, edited {ago} ago"));
        let check = |line: &Line, next: &Line| counting.check_step(line, next).is_ok();
        assert!(check(&line(LINE), &with("0")));
        let mut before = with("7");
        (before.picture, before.rounds) = (line(LINE).picture, line(LINE).rounds);
        assert!(check(&before, &with("8")));
        assert!(!check(&before, &with("0")), "the new static was made twice");
    }

    #[test]
    fn other_lines_are_not_understood() {
        for text in [
            "",
            "liveswap: generation 1",
            "# oooo* | Mercury x | picture 1, 2 twinkles",
        ] {
            assert_eq!(Line::parse(text), None, "{text}");
        }
    }
}
