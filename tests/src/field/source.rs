//! How a program's source is got: cargo fetches it from the registry, and it is copied to be edited.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cargo_project::{copy_folder, fixtures};
use crate::live_command::clean_environment;

use super::script::Origin;

/// Puts the source into this folder, which it clears first. `scratch` is a folder for cargo.
pub(super) fn provide(origin: Origin, scratch: &Path, to: &Path) -> Result<(), String> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    match origin {
        Origin::Fixture(name) => copy_folder(&fixtures().join(name), to),
        Origin::Registry {
            package,
            version,
            with,
            newer,
        } => {
            let all: Vec<_> = [(package, version)].iter().chain(with).copied().collect();
            let registry = fetched(&all, scratch)?;
            let unpacked = |(package, version): (&str, &str)| {
                let folder = registry.join(format!("{package}-{version}"));
                let is_there = folder.join("Cargo.toml").is_file();
                is_there
                    .then_some(folder)
                    .ok_or_else(|| format!("no {package} {version} in {}", registry.display()))
            };
            copy_folder(&unpacked((package, version))?, to);
            // It lies inside of our target folder: it is no member of our workspace.
            let mut more = "\n[workspace]\n".to_owned();
            if !with.is_empty() {
                more.push_str("\n[patch.crates-io]\n");
            }
            for &(package, version) in with {
                copy_folder(&unpacked((package, version))?, &to.join(package));
                more.push_str(&format!("{package} = {{ path = \"{package}\" }}\n"));
            }
            let manifest = to.join("Cargo.toml");
            let text = fs::read_to_string(&manifest)
                .and_then(|text| fs::write(&manifest, format!("{text}{more}")));
            text.map_err(|error| format!("{}: {error}", manifest.display()))?;
            for (package, version) in newer {
                cargo(to, &["update", "--quiet", package, "--precise", version])?;
            }
        }
    }
    Ok(())
}

/// A library that every machine has, or gets in no time.
const NEIGHBOUR: &str = "cfg-if";

/// What programs run on here: nothing needs to be fetched for others.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Has cargo fetch packages, and returns the folder where it has unpacked all of their registry: a project
/// that depends on them is all that cargo needs. Of packages without a library `cargo metadata` says nothing;
/// but the folders of all packages lie side by side.
fn fetched(packages: &[(&str, &str)], scratch: &Path) -> Result<PathBuf, String> {
    let mut manifest = format!(
        "[package]\nname = \"fetches\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\n{NEIGHBOUR} = \"1\"\n"
    );
    for (package, version) in packages {
        manifest.push_str(&format!("{package} = \"={version}\"\n"));
    }
    let write = || {
        fs::create_dir_all(scratch.join("src"))?;
        fs::write(scratch.join("src/lib.rs"), "")?;
        fs::write(scratch.join("Cargo.toml"), manifest)
    };
    write().map_err(|error| format!("{}: {error}", scratch.display()))?;
    cargo(scratch, &["fetch", "--quiet", "--target", PLATFORM])?;
    let described = cargo(
        scratch,
        &[
            "metadata",
            "--format-version=1",
            "--filter-platform",
            PLATFORM,
        ],
    )?;
    let described: Value = serde_json::from_str(&described)
        .map_err(|error| format!("what cargo metadata says: {error}"))?;
    described["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|found| found["name"] == NEIGHBOUR)
        .and_then(|found| {
            Path::new(found["manifest_path"].as_str()?)
                .ancestors()
                .nth(2)
        })
        .map(Path::to_path_buf)
        .ok_or_else(|| format!("cargo metadata does not know {NEIGHBOUR}"))
}

fn cargo(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("cargo");
    clean_environment(&mut command);
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo {}:\n{}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
