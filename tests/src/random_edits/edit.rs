//! What can be done to a unit, and what must become of it.

use super::unit::Unit;
use crate::corpus::case::Label;
use crate::random::Random;

/// An edit of one unit.
#[derive(Clone, Debug)]
pub(super) enum Edit {
    /// The number in a body; where a unit has two, the second.
    Number { second: bool, value: u64 },
    /// A parameter more or less of a function whose callers are all called anew.
    Parameters(Vec<u64>),
    /// Text instead of a number, or the other way round.
    Result,
    /// A closure that is called at once.
    Closure,
    /// A static that nobody had.
    Static,
    /// What a closure captures, a future holds over an await, or values have as fields.
    Held(Vec<u64>),
    /// Two closures, or two fields, change places.
    Swap,
    /// A closure of the same captures above the others.
    Above,
    /// A parameter of a function that a loop in old code goes on calling.
    Contract(Vec<u64>),
}

impl Edit {
    pub(super) fn random(unit: &Unit, random: &mut Random) -> Self {
        let value = random.bits() % 900 + 100;
        let second = random.chance(50);
        let number = Self::Number { second, value };
        let choices: Vec<Self> = match unit {
            Unit::Function { parameters, .. } => vec![
                number,
                Self::Parameters(longer_or_shorter(parameters, random)),
                Self::Result,
                Self::Closure,
                Self::Static,
            ],
            Unit::Closures { held, .. } => vec![
                number.clone(),
                number,
                Self::Held(longer_or_shorter(held, random)),
                Self::Swap,
                Self::Above,
            ],
            Unit::Task { held, .. } | Unit::Queue { held, .. } => {
                vec![number, Self::Held(longer_or_shorter(held, random))]
            }
            Unit::Thread { parameters, .. } => vec![
                number.clone(),
                number,
                Self::Contract(longer_or_shorter(parameters, random)),
            ],
            Unit::Values { held, .. } => vec![
                number.clone(),
                number,
                Self::Held(longer_or_shorter(held, random)),
                Self::Swap,
            ],
        };
        random.pick(&choices).clone()
    }

    pub(super) fn label(&self) -> Label {
        match self {
            Self::Number { .. }
            | Self::Parameters(_)
            | Self::Result
            | Self::Closure
            | Self::Static => Label::Safe,
            Self::Held(_) | Self::Swap | Self::Above | Self::Contract(_) => Label::Unsafe,
        }
    }

    /// The label in a save that also takes another edit of the same unit back.
    pub(super) fn label_after(&self, taken_back: &Self, unit: &Unit) -> Label {
        match (taken_back, self, unit) {
            // Closures move and one is edited: nothing tells it from another one any more.
            (Self::Swap | Self::Above, Self::Number { .. }, Unit::Closures { .. }) => Label::Unsafe,
            _ => self.label(),
        }
    }
}

fn longer_or_shorter(list: &[u64], random: &mut Random) -> Vec<u64> {
    let mut list = list.to_vec();
    if list.len() > 1 && random.chance(40) {
        list.remove(random.below(list.len()));
    } else {
        let at = random.below(list.len() + 1);
        list.insert(at, random.bits() % 90 + 10);
    }
    list
}
