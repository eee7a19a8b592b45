//! The programs, one a file.

use super::script::Program;

mod bottom;
mod chat;
mod dufs;
mod game;
mod mdbook;
mod mini_redis;
mod miniserve;
mod rumqttd;

/// All of them, in the order in which they are run.
pub fn all() -> Vec<Program> {
    vec![
        mini_redis::program(),
        dufs::program(),
        chat::program(),
        rumqttd::program(),
        miniserve::program(),
        bottom::program(),
        mdbook::program(),
        game::program(),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::load::pattern;
    use super::super::script::Promise;
    use super::*;

    #[test]
    fn scripts_are_of_a_size_that_somebody_waits_for_and_their_patterns_are_patterns() {
        for program in all() {
            let edits = (program.edits)();
            assert!((8..=20).contains(&edits.len()), "{}", program.name);
            let looks = edits.iter().flat_map(|edit| &edit.looks);
            let of_load = program.load.iter().map(|(_, answer)| *answer);
            for text in looks.flat_map(|look| [look.old, look.new]).chain(of_load) {
                pattern(text).unwrap_or_else(|why| panic!("{}: {why}", program.name));
            }
        }
    }

    #[test]
    fn an_edit_is_looked_at_and_takes_back_only_what_there_is() {
        for program in all() {
            let mut done = 0;
            for edit in (program.edits)() {
                let name = format!("{}: {}", program.name, edit.about);
                if edit.promise == Promise::TakesBack {
                    assert!(done > 0 && edit.replacements.is_empty(), "{name}");
                    done -= 1;
                } else {
                    assert!(!edit.looks.is_empty(), "{name}: who sees it?");
                    assert!(!edit.replacements.is_empty(), "{name}: it changes nothing");
                    let waits = edit.promise == Promise::Waits;
                    assert!(!waits || !edit.names.is_empty(), "{name}: what is named?");
                    done += 1;
                }
            }
        }
    }
}
