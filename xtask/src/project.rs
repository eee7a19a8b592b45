//! Where the project is, and how its commands are started.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

pub struct Project {
    pub root: PathBuf,
}

impl Project {
    /// The project that this xtask was built from.
    pub fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .ok_or("xtask has no parent folder")?
            .to_path_buf();
        if !root.join("Cargo.toml").is_file() {
            return Err(format!(
                "{} is not the project any more: build xtask anew",
                root.display()
            ));
        }
        Ok(Self { root })
    }

    /// Runs cargo in the project's root; what it prints goes where ours goes.
    pub fn cargo(&self, args: &[&str], env: &[(&str, &OsStr)]) -> Result<()> {
        let mut command = self.cargo_command();
        command.args(args).envs(env.iter().copied());
        run(&mut command)
    }

    /// Builds the library that users install, and says where it is.
    pub fn build_nimhcr(&self) -> Result<PathBuf> {
        self.cargo(&["build", "--release", "-p", "nimhcr"], &[])?;
        let library = self.target_folder()?.join("release").join("libnimhcr.so");
        if !library.is_file() {
            return Err(format!("the build left no {}", library.display()));
        }
        Ok(library)
    }

    /// Builds the command that users install, and says where it is.
    pub fn build_command(&self) -> Result<PathBuf> {
        self.cargo(&["build", "--release", "-p", "cargo-liveswap"], &[])?;
        let command = self.target_folder()?.join("release/cargo-liveswap");
        if !command.is_file() {
            return Err(format!("the build left no {}", command.display()));
        }
        Ok(command)
    }

    /// Cargo's target folder, wherever environment or configuration put it.
    pub fn target_folder(&self) -> Result<PathBuf> {
        let mut command = self.cargo_command();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let metadata = stdout_of(&mut command)?;
        json_text(&metadata, "target_directory")
            .map(PathBuf::from)
            .ok_or_else(|| "cargo metadata names no target_directory".to_owned())
    }

    fn cargo_command(&self) -> Command {
        // Cargo tells its children which cargo it is: so a toolchain override holds here too.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).stdin(Stdio::null());
        command
    }
}

/// Runs a command to its end; a status other than success is an error.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|e| format!("cannot start {}: {e}", words(command)))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", words(command)))
    }
}

/// Runs a command to its end and hands back what it printed; its stderr is shown when it fails.
pub fn stdout_of(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .map_err(|e| format!("cannot start {}: {e}", words(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "{} ended with {}\n{complaint}",
            words(command),
            output.status
        ));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("{} printed bytes that are no text", words(command)))
}

fn words(command: &Command) -> String {
    let mut text = format!("`{}", command.get_program().to_string_lossy());
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text.push('`');
    text
}

/// The value of the first `"key":"value"` in a JSON text.
pub fn json_text(json: &str, key: &str) -> Option<String> {
    let start = json.find(&format!("\"{key}\":\""))? + key.len() + 4;
    let mut value = String::new();
    let mut chars = json[start..].chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                plain @ ('"' | '\\' | '/') => value.push(plain),
                _ => return None,
            },
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_value_is_found_and_its_escapes_are_undone() {
        let json = r#"{"a":"1","dir":"C:\\x \"y\"","b":"2"}"#;
        assert_eq!(json_text(json, "dir").as_deref(), Some(r#"C:\x "y""#));
        assert_eq!(json_text(json, "none"), None);
        assert_eq!(json_text(r#"{"dir":"open"#, "dir"), None);
    }

    #[test]
    fn a_command_that_fails_is_named_with_its_status() {
        let why = run(Command::new("sh").args(["-c", "exit 3"])).expect_err("exit 3 is a failure");
        assert!(why.contains("sh -c exit 3") && why.contains('3'), "{why}");
        let why =
            run(&mut Command::new("no-such-program-here")).expect_err("there is no such program");
        assert!(why.contains("cannot start `no-such-program-here`"), "{why}");
    }

    #[test]
    fn the_target_folder_is_the_one_this_test_was_built_into() {
        let project = Project::find().expect("the project");
        let target = project.target_folder().expect("cargo metadata");
        let me = std::env::current_exe().expect("the path of this test");
        assert!(
            me.starts_with(&target),
            "{} is not in {}",
            me.display(),
            target.display()
        );
    }
}
