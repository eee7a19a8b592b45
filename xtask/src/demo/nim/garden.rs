//! What the garden prints, and what must be true of it.

use crate::Result;

/// A plant of this height goes into the basket, and grows anew (`ripe` in the example).
const RIPE: u64 = 20;

/// One line of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct Day {
    pub number: u64,
    /// Name, and the stalk as it was drawn.
    plants: Vec<(String, String)>,
    basket: u64,
    news: String,
}

/// The part of the program's code that the edits change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Code {
    pub stalk: char,
    pub rose_pace: u64,
    /// Whether `news` counts bees, one more each day, beginning with 4.
    pub bees: bool,
}

impl Day {
    /// Reads `day   7  rose ||||   fern ||   oak |   basket 1, all quiet`.
    pub fn parse(line: &str) -> Option<Self> {
        let (front, news) = line.split_once(", ")?;
        let mut words = front.split_whitespace().peekable();
        if words.next()? != "day" {
            return None;
        }
        let number = words.next()?.parse().ok()?;
        let mut plants = Vec::new();
        loop {
            let name = words.next()?;
            if name == "basket" {
                break;
            }
            // A plant that has just been cut has no stalk.
            let stalk = words
                .next_if(|word| !word.starts_with(char::is_alphabetic))
                .unwrap_or_default();
            plants.push((name.to_owned(), stalk.to_owned()));
        }
        let basket = words.next()?.parse().ok()?;
        Some(Self {
            number,
            plants,
            basket,
            news: news.trim_end().to_owned(),
        })
    }

    /// All that has ever grown, whether it stands or lies in the basket: only true state sums up.
    fn grown(&self) -> u64 {
        let standing: usize = self
            .plants
            .iter()
            .map(|(_, stalk)| stalk.chars().count())
            .sum();
        standing as u64 + RIPE * self.basket
    }

    fn names(&self) -> Vec<&str> {
        self.plants.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn bees(&self) -> Option<u64> {
        self.news.strip_suffix(" bees")?.parse().ok()
    }
}

impl Code {
    /// The example as it stands in the repository.
    pub const FIRST: Self = Self {
        stalk: '|',
        rose_pace: 2,
        bees: false,
    };

    /// What all plants together grow in a day: the fern 3, the oak 1, and the rose.
    fn pace(self) -> u64 {
        3 + 1 + self.rose_pace
    }

    /// The first day of a new garden.
    pub fn check_start(self, day: &Day) -> Result<()> {
        if day.number == 1 && day.grown() == self.pace() && self.looks_like(day) {
            Ok(())
        } else {
            Err(format!("this is no first day: {day:?}"))
        }
    }

    /// `next` follows `today` under this code.
    pub fn check_step(self, today: &Day, next: &Day) -> Result<()> {
        let wrong = |what: String| Err(format!("{what}\n  {today:?}\n  {next:?}"));
        if next.number != today.number + 1 {
            return wrong(format!("day {} follows day {}", next.number, today.number));
        }
        if next.names() != today.names() {
            return wrong("other plants than the day before".to_owned());
        }
        if next.grown() != today.grown() + self.pace() {
            return wrong(format!(
                "grew from {} to {}, not by {}",
                today.grown(),
                next.grown(),
                self.pace()
            ));
        }
        if !self.looks_like(next) {
            return wrong(format!("does not look as the code says: {self:?}"));
        }
        if self.bees && next.bees() != Some(today.bees().unwrap_or(3) + 1) {
            return wrong("the bees were counted wrong".to_owned());
        }
        Ok(())
    }

    fn looks_like(self, day: &Day) -> bool {
        let stalks = day
            .plants
            .iter()
            .all(|(_, stalk)| stalk.chars().all(|c| c == self.stalk));
        let news = if self.bees {
            day.bees().is_some()
        } else {
            day.news == "all quiet"
        };
        stalks && news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_6: &str =
        "day   6  rose ||||||||||||   fern ||||||||||||||||||    oak ||||||   basket 0, all quiet";

    fn day(line: &str) -> Day {
        Day::parse(line).expect("a line of the garden")
    }

    #[test]
    fn a_cut_plant_counts_with_what_lies_in_the_basket() {
        let next = day("day   7  rose ||||||||||||||   fern |   oak |||||||   basket 1, all quiet");
        Code::FIRST
            .check_step(&day(DAY_6), &next)
            .expect("day 7 follows day 6");
        let cut = day("day  20  rose    fern    oak    basket 6, all quiet");
        assert_eq!(
            (cut.grown(), cut.names()),
            (120, vec!["rose", "fern", "oak"])
        );
    }

    #[test]
    fn lost_state_is_noticed() {
        let lost = [
            "day   1  rose ||   fern |||   oak |   basket 0, all quiet",
            "day   7  rose ||   fern |||   oak |   basket 0, all quiet",
            "day   7  rose ||||||||||||||   fern |   oak |||||||   basket 0, all quiet",
            "day   8  rose ||||||||||||||   fern |   oak |||||||   basket 1, all quiet",
        ];
        for line in lost {
            assert!(
                Code::FIRST.check_step(&day(DAY_6), &day(line)).is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn new_code_is_told_from_old_code() {
        let new = Code {
            stalk: '#',
            ..Code::FIRST
        };
        let next = day("day   7  rose ##############   fern #   oak #######   basket 1, all quiet");
        new.check_step(&day(DAY_6), &next)
            .expect("drawn by the new code");
        assert!(Code::FIRST.check_step(&day(DAY_6), &next).is_err());
        let bees = Code {
            stalk: '|',
            rose_pace: 2,
            bees: true,
        };
        let first = day("day   7  rose ||||||||||||||   fern |   oak |||||||   basket 1, 4 bees");
        bees.check_step(&day(DAY_6), &first)
            .expect("the first count");
        let again =
            day("day   8  rose ||||||||||||||||   fern ||||   oak ||||||||   basket 1, 4 bees");
        assert!(
            bees.check_step(&first, &again).is_err(),
            "the new global was made twice"
        );
    }

    #[test]
    fn other_lines_are_no_days() {
        for line in [
            "",
            "garden: the code has changed, 3 plants live on",
            "day x  oak | basket 1, y",
            "day 3 oak |",
        ] {
            assert_eq!(Day::parse(line), None, "{line}");
        }
    }
}
