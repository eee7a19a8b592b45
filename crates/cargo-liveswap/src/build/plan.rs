//! Which crates have to be compiled when some have changed.

use super::unit::Stale;

/// A unit, as far as this matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Its own sources changed.
    pub changed: bool,
    /// They changed in a way that other crates can see.
    pub visible: bool,
    /// It was left out before.
    pub stale: Stale,
}

/// For each unit whether it is compiled now. Units are in an order in which dependencies come first; `reach[a][b]`: a depends on b, however
/// indirectly.
///
/// A unit that depends on a changed one is compiled now only if the change is visible. If it is not,
/// its code stays right, but rustc refuses to use two crates together one of which was compiled
/// against an earlier version of the other: so it is compiled as soon as something that uses it is.
pub fn plan(states: &[State], reach: &[Vec<bool>]) -> Vec<bool> {
    let count = states.len();
    let must: Vec<bool> = (0..count)
        .map(|unit| {
            states[unit].stale == Stale::Must
                || (0..count).any(|other| reach[unit][other] && states[other].visible)
        })
        .collect();
    let mut compile: Vec<bool> = (0..count)
        .map(|unit| states[unit].changed || must[unit])
        .collect();
    loop {
        let uses_changed = |unit: usize| {
            states[unit].stale != Stale::No
                || (0..count).any(|other| compile[other] && reach[unit][other])
        };
        let more = (0..count).find(|&unit| {
            !compile[unit]
                && uses_changed(unit)
                && (0..count).any(|user| compile[user] && reach[user][unit])
        });
        match more {
            Some(unit) => compile[unit] = true,
            None => return compile,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: State = State {
        changed: false,
        visible: false,
        stale: Stale::No,
    };
    const INSIDE: State = State {
        changed: true,
        ..SAME
    };
    const VISIBLE: State = State {
        visible: true,
        ..INSIDE
    };
    const LEFT: State = State {
        stale: Stale::Deferred,
        ..SAME
    };

    /// leaf ← mid ← app
    fn chain(states: [State; 3]) -> Vec<bool> {
        let reach = [
            vec![false, false, false],
            vec![true, false, false],
            vec![true, true, false],
        ];
        plan(&states, &reach)
    }

    #[test]
    fn a_change_that_nobody_sees_costs_one_compilation() {
        assert_eq!(chain([INSIDE, SAME, SAME]), [true, false, false]);
    }

    #[test]
    fn a_visible_change_costs_all_that_depend_on_it() {
        assert_eq!(chain([SAME, VISIBLE, SAME]), [false, true, true]);
    }

    #[test]
    fn what_was_left_out_is_compiled_before_what_uses_it() {
        assert_eq!(chain([SAME, LEFT, INSIDE]), [false, true, true]);
        // Also if both ends of the chain change at once.
        assert_eq!(chain([INSIDE, SAME, INSIDE]), [true, true, true]);
        // And not, if nothing uses it.
        assert_eq!(chain([INSIDE, LEFT, LEFT]), [true, false, false]);
    }

    #[test]
    fn what_had_to_be_compiled_and_was_not_comes_next_time() {
        let missed = State {
            stale: Stale::Must,
            ..SAME
        };
        assert_eq!(chain([SAME, missed, SAME]), [false, true, false]);
    }
}
