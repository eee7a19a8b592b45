//! The tables in this folder's README.md, which `--write` replaces by those just measured.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str =
    "<!-- figures: written by `cargo run --release -p liveswap-benches -- --write` -->\n";
const END: &str = "<!-- end of figures -->";

pub fn write(report: &str) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let old = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let new = with_figures(&old, report).context("README.md has no marks for the figures")?;
    fs::write(&file, new).with_context(|| format!("writing {}", file.display()))
}

fn with_figures(readme: &str, report: &str) -> Option<String> {
    let (before, rest) = readme.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{report}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let readme = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = with_figures(&readme, "new\n").expect("the marks are there");
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n\n{END}\nb\n"));
        assert_eq!(with_figures("a\n", "new\n"), None);
        assert!(with_figures(include_str!("../README.md"), "new\n").is_some());
    }
}
