//! The tables in this folder's README.md, which `--write` replaces by those just measured, each part its own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const END: &str = "<!-- end of figures -->";

pub fn write(part: &str, table: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let old = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let new = with_figures(&old, part, table)
        .with_context(|| format!("README.md has no marks for the figures of {part}"))?;
    fs::write(&file, new).with_context(|| format!("writing {}", file.display()))
}

fn with_figures(readme: &str, part: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- figures: {part} -->\n");
    let (before, rest) = readme.split_once(&begin)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{begin}\n{}\n\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let marks = |text: &str| {
            format!(
                "a\n<!-- figures: y -->\n\nkept\n\n{END}\n<!-- figures: x -->\n\n{text}\n\n{END}\nb\n"
            )
        };
        let new = with_figures(&marks("old"), "x", "new\n").expect("the marks are there");
        assert_eq!(new, marks("new"));
        assert_eq!(with_figures("a\n", "x", "new\n"), None);
    }

    #[test]
    fn every_part_has_its_place() {
        for part in crate::live::PARTS.iter().chain(&crate::nim::PARTS) {
            assert!(
                with_figures(include_str!("../README.md"), part, "new\n").is_some(),
                "{part}"
            );
        }
    }
}
