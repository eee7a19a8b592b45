//! The limit: rustc alone, as cargo called it, with a linker that does nothing.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// Compilations of one project, to be repeated.
pub struct Compilations {
    folder: PathBuf,
    commands: Vec<Words>,
}

struct Words {
    crate_name: String,
    variables: Vec<(String, String)>,
    program: OsString,
    arguments: Vec<String>,
}

impl Compilations {
    /// Builds the project and keeps the commands for its own crates.
    pub fn record(cargo: &mut Command, folder: &Path, crates: &[&str]) -> Result<Self> {
        let output = cargo
            .args(["build", "-vv"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .context("starting cargo")?;
        let told = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cargo build failed\n{told}");
        let rustc = real_rustc()?;
        let mut commands = Vec::new();
        for line in told.lines() {
            let Some(line) = line.trim().strip_prefix("Running `") else {
                continue;
            };
            let words = split(line.trim_end_matches('`'));
            let Some(name) = words.iter().position(|word| word == "--crate-name") else {
                continue;
            };
            let Some(name) = words
                .get(name + 1)
                .filter(|name| crates.contains(&name.as_str()))
            else {
                continue;
            };
            commands.push(Words::new(name, &words, &rustc)?);
        }
        for name in crates {
            ensure!(
                commands.iter().any(|command| command.crate_name == *name),
                "cargo build -vv shows no command for {name}\n{told}"
            );
        }
        Ok(Self {
            folder: folder.to_owned(),
            commands,
        })
    }

    /// Compiles these crates again, one after the other; nanoseconds.
    pub fn repeat(&self, crates: &[&str]) -> Result<f64> {
        let begun = Instant::now();
        for name in crates {
            for command in self
                .commands
                .iter()
                .filter(|command| command.crate_name == *name)
            {
                let output = Command::new(&command.program)
                    .args(&command.arguments)
                    .args(["-C", "linker=true"])
                    .envs(command.variables.iter().map(|(name, value)| (name, value)))
                    .current_dir(&self.folder)
                    .stdin(Stdio::null())
                    .output()
                    .context("starting rustc")?;
                ensure!(
                    output.status.success(),
                    "rustc failed\n{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
        }
        Ok(begun.elapsed().as_nanos() as f64)
    }
}

impl Words {
    fn new(name: &str, words: &[String], rustc: &Path) -> Result<Self> {
        let is_variable = |word: &&String| {
            word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })
        };
        let variables: Vec<_> = words
            .iter()
            .take_while(is_variable)
            .filter_map(|word| word.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let program = words.get(variables.len()).context("no program")?;
        // rustup's stand-in costs time that is not the compiler's.
        let program = match Path::new(program).components().count() {
            1 => rustc.as_os_str().to_owned(),
            _ => program.into(),
        };
        Ok(Self {
            crate_name: name.to_owned(),
            arguments: words[variables.len() + 1..].to_vec(),
            variables,
            program,
        })
    }
}

/// The compiler itself.
pub fn real_rustc() -> Result<PathBuf> {
    Ok(sysroot()?.join("bin/rustc"))
}

pub fn sysroot() -> Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("starting rustc")?;
    ensure!(output.status.success(), "rustc --print sysroot failed");
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// The words of a command as cargo shows it: quoted for a shell where needed, with `'` only.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' if !quoted => word.get_or_insert_default().extend(letters.next()),
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_what_a_shell_would_see() {
        assert_eq!(
            split(r#"A='b c' rustc --cfg 'feature="x"' '' 'it'\''s' --x=y"#),
            [
                "A=b c",
                "rustc",
                "--cfg",
                r#"feature="x""#,
                "",
                "it's",
                "--x=y"
            ]
        );
    }
}
