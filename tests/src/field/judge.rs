//! Whether what was heard and seen of an edit is what must come of it.

use super::script::{Edit, Promise};

/// What the command said about a save.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// `swapped`, `refused`, `build_failed` or `unchanged`; none when the save is only pending so far.
    pub outcome: Option<String>,
    /// The code of a refusal.
    pub code: String,
    /// The messages of `pending` and `refused`.
    pub messages: Vec<String>,
    /// What the compiler said, if it failed.
    pub diagnostics: String,
    /// Milliseconds from the save to the new code.
    pub total: Option<f64>,
    /// How many of them the compiler took.
    pub compile: Option<f64>,
}

impl Heard {
    /// The outcome in a word or two.
    pub fn words(&self) -> String {
        let waits = self.outcome.as_deref() != Some("refused") && !self.messages.is_empty();
        match (&self.outcome, waits) {
            (None, false) => "nothing".to_owned(),
            (None, true) => "pending".to_owned(),
            (Some(outcome), true) => format!("{outcome}, pending"),
            (Some(outcome), false) if outcome == "refused" => format!("refused {}", self.code),
            (Some(outcome), false) => outcome.clone(),
        }
    }

    fn names_one_of(&self, names: &[&str]) -> bool {
        let is_named = |name: &&str| self.messages.iter().any(|message| message.contains(*name));
        names.iter().any(is_named)
    }
}

/// What one look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who asked for what.
    pub what: String,
    /// Whether that is one who was there before the edit.
    pub held: bool,
    /// What came.
    pub sight: Sight,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// What the code before the edit would answer.
    Old,
    /// What the code after the edit would answer.
    New,
    /// What both would answer.
    Both,
    /// Something else.
    Neither(String),
    /// No answer.
    Lost(String),
}

/// Whether an edit is as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Fine,
    /// It may still be: old code was seen, and nothing was said that allows it.
    NotYet(String),
    /// It is not.
    Short(String),
}

/// Judges an edit that takes nothing back: of one that does, its equal that replaces.
pub fn judge(edit: &Edit, heard: &Heard, seen: &[Seen]) -> Verdict {
    let lost = seen.iter().find_map(|seen| match &seen.sight {
        Sight::Neither(said) => Some(format!("{}: wrong: {said}", seen.what)),
        Sight::Lost(why) => Some(format!("{}: lost: {why}", seen.what)),
        Sight::Old | Sight::New | Sight::Both => None,
    });
    if let Some(why) = lost.or_else(|| broken_promise(edit, heard)) {
        return Verdict::Short(why);
    }
    let is_old = |seen: &&Seen| seen.sight == Sight::Old;
    let is_new = |seen: &&Seen| seen.sight == Sight::New;
    match edit.promise {
        Promise::Live | Promise::Waits | Promise::TakesBack => {
            let may_be_old = |seen: &Seen| {
                (seen.held || edit.promise == Promise::Waits) && heard.names_one_of(&edit.names)
            };
            match seen.iter().filter(is_old).find(|seen| !may_be_old(seen)) {
                None => Verdict::Fine,
                Some(seen) => Verdict::NotYet(format!("{}: still old, not named", seen.what)),
            }
        }
        Promise::Refused(_) | Promise::Broken => match seen.iter().find(is_new) {
            None => Verdict::Fine,
            Some(seen) => Verdict::Short(format!("{}: new all the same", seen.what)),
        },
    }
}

fn broken_promise(edit: &Edit, heard: &Heard) -> Option<String> {
    let outcome = heard.outcome.as_deref();
    let kept = match edit.promise {
        Promise::Live => outcome == Some("swapped"),
        Promise::Waits => match outcome {
            Some(outcome) => outcome == "swapped",
            None => heard.names_one_of(&edit.names),
        },
        Promise::Refused(code) => {
            let named = edit.names.is_empty() || heard.names_one_of(&edit.names);
            outcome == Some("refused") && heard.code == code && named
        }
        Promise::Broken => outcome == Some("build_failed"),
        Promise::TakesBack => outcome == Some("unchanged"),
    };
    (!kept).then(|| {
        format!(
            "{:?} was promised: {}{}",
            edit.promise,
            heard.messages.join("; "),
            heard.diagnostics
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::script::edit;
    use super::*;

    fn heard(outcome: &str, message: &str) -> Heard {
        Heard {
            outcome: (!outcome.is_empty()).then(|| outcome.to_owned()),
            code: "LS0001".to_owned(),
            messages: vec![message.to_owned()],
            ..Heard::default()
        }
    }

    fn sees(held: bool, sight: Sight) -> [Seen; 1] {
        let what = "GET a".to_owned();
        [Seen { what, held, sight }]
    }

    #[test]
    fn old_code_is_fine_only_for_those_who_were_there_and_if_it_is_named() {
        let edit = edit("an edit").names("app::serve");
        let named = heard("swapped", "futures of app::serve made before");
        let other = heard("swapped", "futures of app::other made before");
        assert_eq!(judge(&edit, &named, &sees(true, Sight::Old)), Verdict::Fine);
        for (heard, held) in [(&named, false), (&other, true)] {
            let verdict = judge(&edit, heard, &sees(held, Sight::Old));
            assert!(matches!(verdict, Verdict::NotYet(_)), "{verdict:?}");
        }
        let waits = edit.promise(Promise::Waits);
        for outcome in ["swapped", ""] {
            let heard = heard(outcome, "futures of app::serve made before");
            assert_eq!(
                judge(&waits, &heard, &sees(false, Sight::Old)),
                Verdict::Fine
            );
        }
    }

    #[test]
    fn what_no_version_would_say_is_never_fine() {
        for promise in [Promise::Live, Promise::Waits, Promise::Broken] {
            let edit = edit("an edit").names("app::serve").promise(promise);
            let heard = heard("swapped", "app::serve");
            for sight in [Sight::Neither("?".to_owned()), Sight::Lost("?".to_owned())] {
                let verdict = judge(&edit, &heard, &sees(true, sight));
                assert!(matches!(verdict, Verdict::Short(_)), "{verdict:?}");
            }
        }
    }

    #[test]
    fn a_refusal_has_its_code_and_leaves_the_old_code() {
        let edit = edit("an edit").promise(Promise::Refused("LS0001"));
        let refused = heard("refused", "layout");
        assert_eq!(
            judge(&edit, &refused, &sees(false, Sight::Old)),
            Verdict::Fine
        );
        let new = judge(&edit, &refused, &sees(false, Sight::New));
        assert!(matches!(new, Verdict::Short(_)), "{new:?}");
        let other = edit.promise(Promise::Refused("LS0002"));
        let verdict = judge(&other, &refused, &sees(false, Sight::Old));
        assert!(matches!(verdict, Verdict::Short(_)), "{verdict:?}");
    }
}
