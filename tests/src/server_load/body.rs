//! The bodies that are edited: plain values here, from which their code and what they answer follow.

use crate::held::{locals, sum};
use crate::random::Random;

/// What one body does. All but `number` and `id` is part of the layout of its future or closure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Body {
    /// The number of the edit that brought this body. It answers it.
    pub(super) id: u64,
    number: u64,
    held: Vec<u64>,
    captured: Vec<u64>,
    awaits: u64,
}

/// What can be done to a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Another number.
    Number,
    /// A value more or less that is held over an await.
    Held,
    /// A value more or less that a closure captures.
    Captured,
    /// An await more or less.
    Awaits,
}

impl Body {
    pub(super) fn first(random: &mut Random) -> Self {
        Self {
            id: 0,
            number: number(random),
            held: vec![kind(random)],
            captured: vec![kind(random)],
            awaits: 0,
        }
    }

    /// The body after an edit with this number.
    pub(super) fn changed(&self, change: Change, id: u64, random: &mut Random) -> Self {
        let mut body = self.clone();
        body.id = id;
        body.number = number(random);
        match change {
            Change::Number => {}
            Change::Held => longer_or_shorter(&mut body.held, random),
            Change::Captured => longer_or_shorter(&mut body.captured, random),
            Change::Awaits if body.awaits > 0 && random.chance(50) => body.awaits -= 1,
            Change::Awaits => body.awaits += 1,
        }
        body
    }

    /// What it answers besides its name and id. It depends on the layout and the number alone, so that what old code
    /// has begun and new code of the same layout ends is right as well.
    pub(super) fn value(&self) -> u64 {
        let total = |kinds: &[u64]| values(kinds).iter().sum::<u64>();
        self.number + 1000 * self.awaits + total(&self.held) + total(&self.captured)
    }

    /// Two bodies with the same contract have futures of the same layout.
    pub(super) fn contract(&self) -> (Vec<u64>, Vec<u64>, u64) {
        (self.held.clone(), self.captured.clone(), self.awaits)
    }

    /// Those of what the body captures only.
    pub(super) fn captures(&self) -> (Vec<u64>, Vec<u64>, u64) {
        (Vec::new(), self.captured.clone(), 0)
    }

    /// Statements that make what is held over awaits, the awaits themselves included.
    pub(super) fn begin(&self) -> String {
        self.hold() + &self.capture("let call = move |x: u64| x") + &self.pauses()
    }

    /// The locals that are held.
    pub(super) fn hold(&self) -> String {
        locals(&values(&self.held), "h")
    }

    /// The locals that are captured, and the closure, which is begun with this text.
    pub(super) fn capture(&self, closure: &str) -> String {
        let captured = values(&self.captured);
        format!(
            "{}    {closure}{};\n",
            locals(&captured, "g"),
            sum(&captured, "g")
        )
    }

    /// The awaits.
    pub(super) fn pauses(&self) -> String {
        let pause = |index| {
            format!(
                "    {{\n        let seal = Seal::of({index});\n        tokio::task::yield_now().await;\n        \
                 ensure!(seal.is({index}), \"await {index}\");\n    }}\n"
            )
        };
        (0..self.awaits).map(pause).collect()
    }

    /// An expression: what the body answers, where `call` is what its closure gives for 0. It has to stand behind the
    /// last await, and the closure has to be held over one: what decides about it is then of one version, as the future
    /// of another closure is another one.
    pub(super) fn answer(&self, name: &str, call: &str) -> String {
        format!(
            "format!(\"{name}:{}:{{}}\", {} + {call}{})",
            self.id,
            self.number + 1000 * self.awaits,
            sum(&values(&self.held), "h")
        )
    }
}

/// What is held, by kind (0 to 2) and place: bodies of one layout hold the same.
fn values(kinds: &[u64]) -> Vec<u64> {
    let value = |(index, kind): (usize, &u64)| kind + 3 * (index as u64 + 4);
    kinds.iter().enumerate().map(value).collect()
}

fn kind(random: &mut Random) -> u64 {
    random.bits() % 3
}

fn number(random: &mut Random) -> u64 {
    random.bits() % 900 + 100
}

fn longer_or_shorter(kinds: &mut Vec<u64>, random: &mut Random) {
    const MOST: usize = 6;
    if kinds.len() >= MOST || (kinds.len() > 1 && random.chance(45)) {
        kinds.remove(random.below(kinds.len()));
    } else {
        let at = random.below(kinds.len() + 1);
        kinds.insert(at, kind(random));
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Change};
    use crate::random::Random;

    #[test]
    fn bodies_of_one_layout_differ_by_their_number_only() {
        let mut random = Random::new(5);
        let body = Body::first(&mut random);
        let number = body.changed(Change::Number, 1, &mut random);
        assert_eq!(body.contract(), number.contract());
        assert_eq!(
            body.value() - body.number,
            number.value() - number.number,
            "{body:?} {number:?}"
        );
        for change in [Change::Held, Change::Captured, Change::Awaits] {
            let other = body.changed(change, 2, &mut random);
            assert_ne!(body.contract(), other.contract(), "{change:?}");
        }
    }
}
