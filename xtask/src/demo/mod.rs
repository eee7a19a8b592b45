//! `cargo xtask demo`: programs are edited while they run, and watched.
//!
//! A demonstration believes nothing: every line of the program is checked, and it succeeds only when
//! new code was seen at work and no state was lost on the way.

mod cargo;
mod nim;

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::project::Project;
use crate::stage::Stages;

/// The main door: a Cargo workspace under `cargo liveswap run`.
pub fn cargo(project: &Project, stages: &mut Stages) -> Result<()> {
    cargo::run(project, stages)
}

/// A Nim program on `libnimhcr.so`.
pub fn nim(project: &Project, stages: &mut Stages) -> Result<()> {
    nim::run(project, stages)
}

/// Texts to replace in a file, each of which stands in it once.
type Replacements = &'static [(&'static str, &'static str)];

/// The source after the edit; an error when the example has moved away from under it.
fn replaced(file: &str, source: &str, replacements: Replacements) -> Result<String> {
    let mut text = source.to_owned();
    for (old, new) in replacements {
        let count = text.matches(old).count();
        if count != 1 {
            return Err(format!(
                "{file}: {old:?} stands {count} times in it, not once"
            ));
        }
        text = text.replacen(old, new, 1);
    }
    Ok(text)
}

/// Saves the edit of a file in `folder`.
fn edit(folder: &Path, file: &str, replacements: Replacements) -> Result<()> {
    let path = folder.join(file);
    let why = |e: std::io::Error| format!("{}: {e}", path.display());
    let old = fs::read_to_string(&path).map_err(why)?;
    let new = replaced(file, &old, replacements)?;
    fs::write(&path, new).map_err(why)
}

/// A copy of an example to edit, so that the repository stays as it is.
struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies what is source; what was built in the example stays behind.
    fn of(example: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("liveswap-demo-{}", std::process::id()));
        copy_sources(example, &folder)
            .map_err(|e| format!("cannot copy {}: {e}", example.display()))?;
        Ok(Self { folder })
    }

    /// Only after a success: what is left of a failure is there to be looked at.
    fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.folder)
            .map_err(|e| format!("cannot remove {}: {e}", self.folder.display()))
    }
}

fn copy_sources(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() {
            if name != "target" && name != "nimcache" {
                copy_sources(&path, &to.join(name))?;
            }
        } else if path.extension().is_some_and(|kind| {
            ["nim", "rs", "toml", "lock"]
                .iter()
                .any(|known| kind == *known)
        }) {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The sources of an example after all edits, by file: every edit fits the one before.
#[cfg(test)]
fn edited(
    example: &str,
    edits: impl IntoIterator<Item = (&'static str, Replacements)>,
) -> std::collections::HashMap<&'static str, String> {
    let folder = Project::find()
        .expect("the project")
        .root
        .join("examples")
        .join(example);
    let mut sources = std::collections::HashMap::new();
    for (file, replacements) in edits {
        let source = sources.entry(file).or_insert_with(|| {
            fs::read_to_string(folder.join(file)).expect("a source of the example")
        });
        *source = replaced(file, source, replacements).expect("the edit fits");
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_that_fits_twice_or_not_at_all_is_refused() {
        let replacements: Replacements = &[("a", "b")];
        assert!(replaced("x", "a a", replacements).is_err());
        assert!(replaced("x", "", replacements).is_err());
        assert_eq!(replaced("x", "a c", replacements).as_deref(), Ok("b c"));
    }

    #[test]
    fn a_copy_has_the_sources_and_nothing_that_was_built() {
        let place = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        let from = place.join("from");
        fs::create_dir_all(from.join("target/debug")).expect("a folder");
        fs::create_dir_all(from.join("app/src")).expect("a folder");
        for file in [
            "Cargo.toml",
            "app/src/main.rs",
            "target/debug/old.rs",
            "garden",
        ] {
            fs::write(from.join(file), "").expect("a file");
        }
        copy_sources(&from, &place.join("to")).expect("a copy");
        let copied = |file: &str| place.join("to").join(file).exists();
        let seen = (
            copied("Cargo.toml") && copied("app/src/main.rs"),
            copied("target") || copied("garden"),
        );
        fs::remove_dir_all(&place).expect("the folder is removed");
        assert_eq!(seen, (true, false));
    }
}
