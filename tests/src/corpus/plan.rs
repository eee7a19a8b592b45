//! Which cases are run, at which levels, and in which order.

use std::fs;
use std::path::{Path, PathBuf};

use super::case::Case;
use super::{family, folder, read};

/// What the user chose.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Only this level.
    pub level: Option<u8>,
    /// Only what CI runs.
    pub ci: bool,
    /// Only cases whose name has one of these in it.
    pub filters: Vec<String>,
}

/// Every case of the corpus, in the order of the names of their files.
///
/// # Errors
/// What is wrong with which file.
pub fn all() -> Result<Vec<Case>, String> {
    let root = folder();
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let place = |error: String| format!("{}: {error}", file.display());
        let text = fs::read_to_string(&file).map_err(|error| place(error.to_string()))?;
        let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("");
        for (variant, text) in family::expand(&text).map_err(place)? {
            let name = format!("{}{variant}", name.display());
            let case = read::case(&name, &text);
            cases.push(case.map_err(|error| place(format!("{variant}: {error}")))?);
        }
    }
    Ok(cases)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let place = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(place)? {
        let path = entry.map_err(place)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
    Ok(())
}

/// The cases that were chosen, each with a level. Neighbours share what is built.
pub fn jobs(cases: Vec<Case>, choice: &Choice) -> Vec<(Case, u8)> {
    let is_chosen = |case: &Case| {
        let filters = &choice.filters;
        (!choice.ci || case.in_ci)
            && (filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter)))
    };
    let mut jobs: Vec<(Case, u8)> = cases
        .into_iter()
        .filter(is_chosen)
        .flat_map(|case| {
            let levels = case.levels.clone();
            levels.into_iter().map(move |level| (case.clone(), level))
        })
        .filter(|(_, level)| choice.level.is_none_or(|wanted| wanted == *level))
        .collect();
    jobs.sort_by(|(a, at), (b, bt)| (&a.needs, at, &a.name).cmp(&(&b.needs, bt, &b.name)));
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_a_case_or_a_family_and_no_name_stands_for_two() {
        let cases = all().unwrap_or_else(|error| panic!("{error}"));
        let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
        names.dedup();
        assert_eq!(names.len(), cases.len());
        for case in &cases {
            assert!(!case.about.is_empty(), "{}: what is it about?", case.name);
            let needs = super::super::place::manifest(case);
            assert!(needs.is_ok(), "{}: {needs:?}", case.name);
        }
    }

    #[test]
    fn an_edit_changes_something_and_its_old_line_is_not_its_new_one() {
        for case in all().unwrap_or_else(|error| panic!("{error}")) {
            let mut before = &case.files;
            for step in &case.steps {
                let name = format!("{}: {}", case.name, step.about);
                assert_ne!(&step.files, before, "{name}");
                assert!(step.quick || step.new.is_some(), "{name}: what is new?");
                let patterns = [&step.new, &step.old].map(|p| p.as_ref().map(|p| p.as_str()));
                assert!(step.quick || patterns[0] != patterns[1], "{name}");
                before = &step.files;
            }
        }
    }
}
