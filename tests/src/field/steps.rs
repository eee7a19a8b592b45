//! The edits of a script as texts of files, worked out before the program is started: so a script that does
//! not fit its program fails at once.

use std::collections::BTreeMap;

use super::place::Site;
use super::script::{Edit, Promise};

/// What is saved in one go.
pub(super) struct Step {
    /// The edit; of one that takes back, what it amounts to.
    pub(super) edit: Edit,
    /// Files and their new texts.
    pub(super) texts: Texts,
}

/// Files and texts.
type Texts = Vec<(&'static str, String)>;

/// Works out all edits.
pub(super) fn work_out(edits: Vec<Edit>, site: &Site) -> Result<Vec<Step>, String> {
    let mut files = BTreeMap::new();
    let mut done: Vec<(Edit, Texts)> = Vec::new();
    let mut steps = Vec::new();
    for edit in edits {
        let step = if edit.promise == Promise::TakesBack {
            let (undone, texts) = done
                .pop()
                .ok_or_else(|| format!("{}: nothing to take back", edit.about))?;
            Step {
                edit: reversed(edit.about, undone),
                texts,
            }
        } else {
            let (before, texts) = replaced(&edit, &mut files, site)?;
            done.push((edit.clone(), before));
            Step { edit, texts }
        };
        for (file, text) in &step.texts {
            files.insert(*file, text.clone());
        }
        steps.push(step);
    }
    Ok(steps)
}

/// The edit that takes this one back.
fn reversed(about: &'static str, mut edit: Edit) -> Edit {
    edit.about = about;
    edit.promise = match edit.promise {
        Promise::Refused(_) | Promise::Broken => Promise::TakesBack,
        live => live,
    };
    for look in &mut edit.looks {
        std::mem::swap(&mut look.old, &mut look.new);
    }
    edit
}

/// The texts of an edit's files before and after.
fn replaced(
    edit: &Edit,
    files: &mut BTreeMap<&'static str, String>,
    site: &Site,
) -> Result<(Texts, Texts), String> {
    let (mut before, mut after) = (Texts::new(), BTreeMap::new());
    for (file, from, to) in &edit.replacements {
        if !files.contains_key(file) {
            files.insert(file, site.read(file)?);
        }
        let text = after.entry(*file).or_insert_with(|| {
            before.push((*file, files[file].clone()));
            files[file].clone()
        });
        let times = text.matches(from).count();
        if times != 1 {
            return Err(format!(
                "{}: this stands {times} times in {file}:\n{from}",
                edit.about
            ));
        }
        *text = text.replacen(from, to, 1);
    }
    Ok((before, after.into_iter().collect()))
}
