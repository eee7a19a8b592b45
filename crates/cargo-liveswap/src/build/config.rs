//! What the user configured for cargo and a session hides by settings of its own: the wrapper around
//! rustc and the program that runs programs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_platform::{Cfg, CfgExpr, Platform};
use toml::{Table, Value};

use super::project::value_of;

/// The user's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The wrapper around rustc.
    pub rustc_wrapper: Option<OsString>,
    /// The program that runs programs, and its arguments.
    pub runner: Option<Vec<OsString>>,
    /// The platforms that the program may be built for: the host's comes first.
    pub targets: Vec<String>,
    /// Flags for cargo that put `ours` in the place of a runner given by a flag.
    pub runner_flags: Option<RunnerFlag>,
}

/// A runner that was given by `--config`, which counts more than the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerFlag {
    key: String,
    is_array: bool,
}

impl RunnerFlag {
    /// The flag that puts another runner in its place.
    pub fn replaced_by(&self, runner: &str) -> Vec<OsString> {
        let text = Value::String(runner.to_owned()).to_string();
        let value = if self.is_array {
            format!("[{text}]")
        } else {
            text
        };
        vec!["--config".into(), format!("{}={value}", self.key).into()]
    }
}

/// A table of settings and the folder that paths in it are relative to.
struct Source {
    table: Table,
    folder: PathBuf,
    is_flag: bool,
}

impl Config {
    /// Reads it as cargo does: flags, environment, files from `cwd` upwards, the home's file.
    pub fn read(cargo_args: &[OsString], cwd: &Path, host: &str) -> Config {
        let mut sources = flags(cargo_args, cwd);
        for folder in cwd.ancestors() {
            sources.extend(file_in(&folder.join(".cargo")));
        }
        if let Some(home) = cargo_home() {
            sources.extend(file_in(&home));
        }
        let mut targets = vec![host.to_owned()];
        targets.extend(target(cargo_args, &sources));
        targets.dedup();
        let (runner, runner_flags) = runner(&sources, &targets);
        Config {
            rustc_wrapper: rustc_wrapper(&sources),
            runner,
            targets,
            runner_flags,
        }
    }
}

fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// Settings by `--config`, the last one first.
fn flags(cargo_args: &[OsString], cwd: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut rest = cargo_args.iter();
    while let Some(arg) = rest.next() {
        let Some(value) = value_of(arg, "--config", &mut rest) else {
            continue;
        };
        let table = match value.to_str() {
            Some(text) if text.contains('=') => text.parse().ok(),
            _ => read(&cwd.join(&value)),
        };
        if let Some(table) = table {
            sources.push(Source {
                table,
                folder: cwd.to_owned(),
                is_flag: true,
            });
        }
    }
    sources.reverse();
    sources
}

/// The settings in a folder, with those that they include behind them.
fn file_in(folder: &Path) -> Vec<Source> {
    ["config", "config.toml"]
        .iter()
        .map(|name| folder.join(name))
        .find_map(|path| Some((read(&path)?, path)))
        .map(|(table, path)| with_included(table, &path, 0))
        .unwrap_or_default()
}

fn with_included(table: Table, path: &Path, depth: usize) -> Vec<Source> {
    const DEEPEST: usize = 8;
    let here = path.parent().unwrap_or(path);
    let included: Vec<PathBuf> = match table.get("include") {
        Some(Value::Array(items)) => items.iter().filter_map(include_path).collect(),
        Some(item) => include_path(item).into_iter().collect(),
        None => Vec::new(),
    };
    let mut sources = vec![Source {
        table,
        // `.cargo/config.toml` is relative to what `.cargo` lies in.
        folder: here.parent().unwrap_or(here).to_owned(),
        is_flag: false,
    }];
    if depth < DEEPEST {
        for file in included.iter().rev() {
            let file = here.join(file);
            if let Some(table) = read(&file) {
                sources.extend(with_included(table, &file, depth + 1));
            }
        }
    }
    sources
}

fn include_path(item: &Value) -> Option<PathBuf> {
    item.as_str()
        .or_else(|| item.get("path")?.as_str())
        .map(PathBuf::from)
}

fn read(path: &Path) -> Option<Table> {
    fs::read_to_string(path).ok()?.parse().ok()
}

fn get<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(table.get(*first)?, |value, key| value.get(key))
}

fn rustc_wrapper(sources: &[Source]) -> Option<OsString> {
    // An empty variable means: no wrapper, whatever the files say.
    let set = ["RUSTC_WRAPPER", "CARGO_BUILD_RUSTC_WRAPPER"]
        .iter()
        .find_map(env::var_os);
    if let Some(value) = set {
        return Some(value).filter(|value| !value.is_empty());
    }
    sources.iter().find_map(|source| {
        let value = get(&source.table, &["build", "rustc-wrapper"])?.as_str()?;
        Some(program(value, &source.folder))
    })
}

/// A program in a setting: a name to look for, or a path relative to the file's place.
fn program(value: &str, folder: &Path) -> OsString {
    if value.contains('/') {
        folder.join(value).into_os_string()
    } else {
        value.into()
    }
}

fn target(cargo_args: &[OsString], sources: &[Source]) -> Vec<String> {
    let mut rest = cargo_args.iter();
    let mut given = Vec::new();
    while let Some(arg) = rest.next() {
        given.extend(value_of(arg, "--target", &mut rest));
    }
    if given.is_empty() {
        given.extend(env::var_os("CARGO_BUILD_TARGET"));
    }
    if !given.is_empty() {
        return given
            .iter()
            .map(|value| value.to_string_lossy().into_owned())
            .collect();
    }
    match sources
        .iter()
        .find_map(|source| get(&source.table, &["build", "target"]))
    {
        Some(Value::String(target)) => vec![target.clone()],
        Some(Value::Array(targets)) => targets
            .iter()
            .filter_map(|target| target.as_str().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// The runner of the last of the targets, which is the one that is built for.
fn runner(sources: &[Source], targets: &[String]) -> (Option<Vec<OsString>>, Option<RunnerFlag>) {
    let Some(target) = targets.last() else {
        return (None, None);
    };
    let from_flag = |source: &&Source| source.is_flag;
    let exact = |source: &Source| {
        let value = get(&source.table, &["target", target, "runner"])?;
        Some((command(value, &source.folder)?, value.is_array()))
    };
    if let Some((runner, is_array)) = sources.iter().filter(from_flag).find_map(exact) {
        let flag = RunnerFlag {
            key: format!("target.{target}.runner"),
            is_array,
        };
        return (Some(runner), Some(flag));
    }
    if let Some(value) = env::var_os(runner_variable(target)) {
        let words = value.to_string_lossy();
        let runner: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        return (Some(runner).filter(|runner| !runner.is_empty()), None);
    }
    if let Some((runner, _)) = sources.iter().find_map(exact) {
        return (Some(runner), None);
    }
    (runner_by_condition(sources, target), None)
}

/// The runner of `target.'cfg(…)'`.
fn runner_by_condition(sources: &[Source], target: &str) -> Option<Vec<OsString>> {
    let mut facts = None;
    for source in sources {
        let Some(tables) = source.table.get("target").and_then(Value::as_table) else {
            continue;
        };
        for (key, settings) in tables {
            let (Some(runner), true) = (settings.get("runner"), key.starts_with("cfg(")) else {
                continue;
            };
            let Ok(Platform::Cfg(condition)) = key.parse::<Platform>() else {
                continue;
            };
            let facts = facts.get_or_insert_with(|| facts_of(target));
            if CfgExpr::matches(&condition, facts) {
                return command(runner, &source.folder);
            }
        }
    }
    None
}

fn facts_of(target: &str) -> Vec<Cfg> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "cfg", "--target", target])
        .output();
    let Ok(output) = output else {
        return Vec::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect()
}

fn command(value: &Value, folder: &Path) -> Option<Vec<OsString>> {
    let words: Vec<&str> = match value {
        Value::String(text) => text.split_whitespace().collect(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let (first, rest) = words.split_first()?;
    let mut command = vec![program(first, folder)];
    command.extend(rest.iter().map(OsString::from));
    Some(command)
}

/// `CARGO_TARGET_<TRIPLE>_RUNNER`.
pub fn runner_variable(target: &str) -> String {
    let triple = target.to_uppercase().replace(['-', '.'], "_");
    format!("CARGO_TARGET_{triple}_RUNNER")
}

/// The platform that the compiler runs on, as cargo sees it. Cargo itself takes longer to say so: it also asks which
/// system this is.
pub fn host(cargo: &OsStr) -> Option<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    host_of(&rustc).or_else(|| host_of(cargo))
}

fn host_of(program: &OsStr) -> Option<String> {
    let output = Command::new(program).arg("-vV").output().ok()?;
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    #[test]
    fn rustc_and_cargo_name_the_same_host() {
        let host = host_of("rustc".as_ref());
        assert!(host.is_some());
        assert_eq!(host, host_of(super::super::project::cargo().as_os_str()));
        assert_eq!(host_of("true".as_ref()), None);
    }

    fn read_at(folder: &Path, args: &[&str]) -> Config {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Config::read(&args, folder, HOST)
    }

    fn words(text: &str) -> Option<Vec<OsString>> {
        Some(text.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn settings_of_an_inner_folder_count_more() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("inner");
        for (folder, text) in [
            (
                root.path(),
                "[build]\nrustc-wrapper = 'tools/wrap'\n[target.x86_64-unknown-linux-gnu]\nrunner = 'outer'",
            ),
            (
                inner.as_path(),
                "include = 'more.toml'\n[target.x86_64-unknown-linux-gnu]\nrunner = ['./run', 'a b']",
            ),
        ] {
            fs::create_dir_all(folder.join(".cargo")).unwrap();
            fs::write(folder.join(".cargo/config.toml"), text).unwrap();
        }
        let config = read_at(&inner, &[]);
        let wrapper = root.path().join("tools/wrap");
        assert_eq!(config.rustc_wrapper, Some(wrapper.into_os_string()));
        let runner = config.runner.unwrap();
        assert_eq!(runner[0], inner.join("./run").into_os_string());
        assert_eq!(runner[1], "a b");
        assert_eq!(config.runner_flags, None);
    }

    #[test]
    fn a_runner_by_condition_or_by_flag() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".cargo")).unwrap();
        fs::write(
            root.path().join(".cargo/config.toml"),
            "[target.'cfg(windows)']\nrunner = 'no'\n[target.'cfg(all(unix, not(windows)))']\nrunner = 'nice -n 1'",
        )
        .unwrap();
        assert_eq!(read_at(root.path(), &[]).runner, words("nice -n 1"));
        let config = read_at(
            root.path(),
            &["--config", "target.x86_64-unknown-linux-gnu.runner='x y'"],
        );
        assert_eq!(config.runner, words("x y"));
        assert_eq!(
            config.runner_flags.unwrap().replaced_by("/r"),
            ["--config", "target.x86_64-unknown-linux-gnu.runner=\"/r\""]
        );
    }

    #[test]
    fn the_target_is_the_flag_or_the_setting() {
        let root = tempfile::tempdir().unwrap();
        let config = read_at(root.path(), &["--target", "aarch64-unknown-linux-gnu"]);
        assert_eq!(config.targets, [HOST, "aarch64-unknown-linux-gnu"]);
        assert_eq!(
            runner_variable("thumbv7em-none-eabi"),
            "CARGO_TARGET_THUMBV7EM_NONE_EABI_RUNNER"
        );
    }
}
