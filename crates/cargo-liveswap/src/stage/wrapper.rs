//! Between cargo and rustc: records compilations, and adjusts those of live crates.
//!
//! `liveswap-rustc [wrapper] rustc arguments…` becomes rustc in the end, so it costs no process.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::process::{Command, ExitCode};

use xxhash_rust::xxh3::xxh3_64;

use super::layout::{self, Stage};
use super::record::{Environment, Kind, LEAVE_OUT, Record, Recorded};
use super::rustc_args::RustcArgs;
use super::text::Text;

/// Runs it: the process's arguments are the command.
pub fn main() -> ExitCode {
    let mut args: Vec<OsString> = env::args_os().skip(1).collect();
    if args.is_empty() {
        super::complain("this is a wrapper for rustc: it needs a command to run");
        return ExitCode::from(2);
    }
    let user_wrapper = env::var_os(super::env::USER_WRAPPER).filter(|value| !value.is_empty());
    args.splice(0..0, user_wrapper);
    let mut linking = None;
    if let Some(stage) = Stage::of_environment() {
        match prepare(&stage, &mut args) {
            Ok(adjusted) => linking = adjusted,
            Err(error) => {
                super::complain(&format!(
                    "cannot write to {}: {error}",
                    stage.root().display()
                ));
                return ExitCode::FAILURE;
            }
        }
    }
    let mut command = Command::new(&args[0]);
    // Cargo has made `-C incremental` of it; a wrapper such as sccache would refuse to work.
    command.args(&args[1..]).env_remove("CARGO_INCREMENTAL");
    if let Some(linking) = linking {
        linking.apply(&mut command);
    }
    super::become_command(&mut command)
}

/// What the link stage has to know.
#[derive(Debug)]
pub struct Linking {
    unit: String,
    linker: Option<OsString>,
    lld: bool,
}

impl Linking {
    /// For a unit whose user configured this linker. `lld`: whether rustc would take the one that
    /// comes with it if there is none.
    pub fn new(unit: String, linker: Option<OsString>, lld: bool) -> Linking {
        Linking { unit, linker, lld }
    }

    /// Says it to rustc, from which the link stage inherits it.
    pub fn apply(&self, command: &mut Command) {
        command.env(super::env::UNIT, &self.unit);
        match &self.linker {
            Some(linker) => command.env(super::env::LINKER, linker),
            None => command.env_remove(super::env::LINKER),
        };
        if self.lld {
            command.env_remove(super::env::NO_LLD);
        } else {
            command.env(super::env::NO_LLD, "1");
        }
    }
}

fn prepare(stage: &Stage, args: &mut Vec<OsString>) -> io::Result<Option<Linking>> {
    let parsed = RustcArgs::parse(args);
    if !parsed.is_cargos_compilation() {
        return Ok(None);
    }
    let Some(manifest_dir) = env::var_os("CARGO_MANIFEST_DIR") else {
        return Ok(None);
    };
    let kind = kind_of(stage, &parsed, &manifest_dir);
    let unit = unit_key(&parsed, &manifest_dir);
    let mut record = Record {
        kind,
        unit: unit.clone(),
        stem: parsed.stem(),
        crate_name: parsed.crate_name.clone(),
        crate_types: parsed.crate_types.clone(),
        package: variable("CARGO_PKG_NAME"),
        version: variable("CARGO_PKG_VERSION"),
        manifest_dir: manifest_dir.into(),
        out_dir: parsed.out_dir.as_path().into(),
        opt_level: parsed.opt_level(),
        incremental: parsed.codegen_value("incremental").is_some(),
        features: parsed.features(),
        code_options: parsed.code_options(),
        externs: parsed
            .externs
            .iter()
            .filter_map(|(_, path)| path.as_deref().map(Text::from))
            .collect(),
        build_out_dir: env::var_os("OUT_DIR").map(Text),
        run: variable(super::env::RUN),
        command: None,
    };
    if kind != Kind::Live {
        record.write(stage)?;
        return Ok(None);
    }
    let is_program = record.is_program();
    let linker = adjust(stage, &parsed, &unit, is_program, args)?;
    record.command = Some(recorded(stage, &parsed, args, linker.clone())?);
    record.write(stage)?;
    Ok(is_program.then(|| Linking::new(unit, linker, parsed.takes_default_linker())))
}

/// Whose crate it is, and whether it ends up in the program.
fn kind_of(stage: &Stage, args: &RustcArgs, manifest_dir: &OsStr) -> Kind {
    if !is_users(stage, args, manifest_dir) {
        return Kind::Foreign;
    }
    let is_build_script = args.is_type("bin") && args.crate_name.starts_with("build_script_");
    let is_live = ["bin", "lib", "rlib"].iter().any(|kind| args.is_type(kind));
    if is_live && !is_build_script && !args.test && args.emit.iter().any(|kind| kind == "link") {
        Kind::Live
    } else {
        Kind::Helper
    }
}

/// Cargo silences the lints of packages that come from anywhere but a path. That tells them apart
/// unless the user's own flags do the same to all; the workspace's members are known by name.
fn is_users(stage: &Stage, args: &RustcArgs, manifest_dir: &OsStr) -> bool {
    if !args.caps_lints || env::var_os("CARGO_PRIMARY_PACKAGE").is_some() {
        return true;
    }
    let Some(manifest_dir) = manifest_dir.to_str() else {
        return false;
    };
    fs::read_to_string(stage.members())
        .unwrap_or_default()
        .lines()
        .any(|member| member == manifest_dir)
}

/// The same for what is the same crate to the user, whatever its dependencies are.
fn unit_key(args: &RustcArgs, manifest_dir: &OsStr) -> String {
    let facts = [
        manifest_dir.as_encoded_bytes(),
        args.crate_types.join(",").as_bytes(),
        args.target.as_deref().unwrap_or_default().as_bytes(),
        args.opt_level().as_bytes(),
        value(args, "panic"),
        value(args, "debuginfo"),
        args.out_dir.as_os_str().as_encoded_bytes(),
    ]
    .join(&0);
    format!("{}-{:016x}", args.crate_name, xxh3_64(&facts))
}

fn value<'a>(args: &'a RustcArgs, name: &str) -> &'a [u8] {
    args.codegen_value(name)
        .unwrap_or_default()
        .as_encoded_bytes()
}

/// Makes the command fit for replacing code later. Returns the linker that the user configured.
fn adjust(
    stage: &Stage,
    parsed: &RustcArgs,
    unit: &str,
    is_program: bool,
    args: &mut Vec<OsString>,
) -> io::Result<Option<OsString>> {
    let given = parsed
        .codegen_value("metadata")
        .unwrap_or_default()
        .to_string_lossy();
    let pinned = pin(stage, unit, &given)?;
    if pinned != given {
        // rustc joins all that are given, so the old one has to go.
        replace_metadata(args, &pinned);
    }
    // The last one counts, so these need not look for what they replace.
    for option in [
        // The layouts of types are compared by debug information.
        "debuginfo=2",
        "split-debuginfo=off",
        "strip=none",
        // Else the optimiser moves code between the objects of a crate.
        "lto=off",
    ] {
        args.push("-C".into());
        args.push(option.into());
    }
    if parsed.opt_level() != "0" && rustc_of(args).and_then(llvm_version) >= Some(OPT_DISABLE_SINCE)
    {
        args.push("-C".into());
        args.push(format!("{LEAVE_OUT}{}", ACROSS_FUNCTIONS.join(",")).into());
    }
    let linker = parsed.codegen_value("linker").map(OsStr::to_owned);
    if is_program {
        let mut option = OsString::from("linker=");
        option.push(stage.bin().join(layout::LINKER));
        args.push("-C".into());
        args.push(option);
    }
    Ok(linker)
}

/// What LLVM must leave undone in code that is replaced function by function. It merges functions with
/// equal bodies (one slot for two functions), splits and folds private statics (live values would be
/// lost), and fits callers to what it sees of callees (which a caller on a stack would not survive).
const ACROSS_FUNCTIONS: [&str; 8] = [
    "globalopt",
    "mergefunc",
    "ipsccp",
    "deadargelim",
    "argpromotion",
    "function-attrs",
    "rpo-function-attrs",
    "called-value-propagation",
];

/// The first version of LLVM that has `-opt-disable`.
const OPT_DISABLE_SINCE: u32 = 22;

/// The compiler in a command line: cargo writes `--crate-name` right behind it.
fn rustc_of(args: &[OsString]) -> Option<&OsStr> {
    let at = args.iter().position(|arg| arg == "--crate-name")?;
    Some(args[..at].last()?)
}

/// The major version of the LLVM that a compiler was built with.
fn llvm_version(rustc: &OsStr) -> Option<u32> {
    let output = Command::new(rustc).arg("-vV").output().ok()?;
    parse_llvm_version(&String::from_utf8_lossy(&output.stdout))
}

fn parse_llvm_version(text: &str) -> Option<u32> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    line.split('.').next()?.trim().parse().ok()
}

/// The value of `-C metadata` that the unit had when it was first seen.
///
/// Cargo's value changes when a dependency is added, and with it the name of every symbol.
fn pin(stage: &Stage, unit: &str, given: &str) -> io::Result<String> {
    let path = stage.pins().join(unit);
    match fs::read_to_string(&path) {
        Ok(pinned) if !pinned.is_empty() => Ok(pinned),
        Ok(_) => Ok(given.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            layout::write_atomically(&path, given.as_bytes())?;
            Ok(given.to_owned())
        }
        Err(error) => Err(error),
    }
}

fn replace_metadata(args: &mut [OsString], pinned: &str) {
    for at in 0..args.len() {
        let Some(text) = args[at].to_str() else {
            continue;
        };
        if text.starts_with("-Cmetadata=") {
            args[at] = format!("-Cmetadata={pinned}").into();
        } else if text.starts_with("metadata=") && at > 0 && args[at - 1] == "-C" {
            args[at] = format!("metadata={pinned}").into();
        }
    }
}

fn recorded(
    stage: &Stage,
    parsed: &RustcArgs,
    args: &[OsString],
    linker: Option<OsString>,
) -> io::Result<Recorded> {
    let known = Environment::read(stage);
    let env = env::vars_os()
        .filter(|(name, value)| !is_of_this_run(name) && !known.has(name, value))
        .map(|(name, value)| (Text(name), Text(value)))
        .collect();
    let text = |args: &[OsString]| args.iter().cloned().map(Text).collect();
    Ok(Recorded {
        programs: text(&args[..parsed.programs]),
        args: text(&args[parsed.programs..]),
        cwd: env::current_dir()?.into(),
        env,
        linker: linker.map(Text),
        lld: parsed.takes_default_linker(),
    })
}

/// Variables that mean nothing later: this command's own, and cargo's job server, whose files are
/// closed when cargo ends.
fn is_of_this_run(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(super::env::PREFIX)
        || matches!(
            &*name,
            "CARGO_MAKEFLAGS" | "MAKEFLAGS" | "MFLAGS" | "CARGO_INCREMENTAL"
        )
}

fn variable(name: &str) -> String {
    env::var_os(name)
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn metadata_stays_what_it_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::new(folder.path().to_owned());
        fs::create_dir(stage.pins()).unwrap();
        assert_eq!(pin(&stage, "logic-1", "first").unwrap(), "first");
        assert_eq!(pin(&stage, "logic-1", "second").unwrap(), "first");
        assert_eq!(pin(&stage, "other-1", "second").unwrap(), "second");
        let mut command = args("rustc --crate-name logic -C metadata=second -C opt-level=0");
        replace_metadata(&mut command, "first");
        assert_eq!(
            command,
            args("rustc --crate-name logic -C metadata=first -C opt-level=0")
        );
    }

    #[test]
    fn optimised_code_is_not_optimised_across_functions() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::new(folder.path().to_owned());
        fs::create_dir(stage.pins()).unwrap();
        for (level, expected) in [("0", false), ("1", true), ("3", true), ("s", true)] {
            let line = format!("rustc --crate-name app -C metadata=1 -C opt-level={level}");
            let mut command = args(&line);
            let parsed = RustcArgs::parse(&command);
            adjust(&stage, &parsed, "app-1", false, &mut command).unwrap();
            let told = command
                .iter()
                .any(|arg| arg.to_string_lossy().starts_with(LEAVE_OUT));
            // With an older LLVM there is no such option.
            let can = llvm_version(OsStr::new("rustc")) >= Some(OPT_DISABLE_SINCE);
            assert_eq!(told, expected && can, "opt-level {level}");
        }
    }

    /// With an older LLVM, functions with equal bodies were one, and the edit of one changed the other.
    #[test]
    fn an_optimised_crate_that_was_not_told_so_is_not_replaceable() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::new(folder.path().to_owned());
        let start = "rustc --crate-name app --out-dir /t -C opt-level=1";
        for (flags, expected) in [
            ("", false),
            ("-C llvm-args=-opt-disable=globalopt", false),
            ("-C llvm-args=-opt-disable=globalopt,mergefunc", true),
        ] {
            let args = args(&format!("{start} {flags}"));
            let parsed = RustcArgs::parse(&args);
            let command = recorded(&stage, &parsed, &args, None).unwrap();
            assert_eq!(command.leaves_out("mergefunc"), expected, "{flags}");
        }
    }

    #[test]
    fn the_version_of_llvm_is_read() {
        let text = "rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2\n";
        assert_eq!(parse_llvm_version(text), Some(22));
        assert_eq!(parse_llvm_version("rustc 1.0\n"), None);
    }

    #[test]
    fn a_program_gets_the_link_stage_and_a_library_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::new(folder.path().to_owned());
        fs::create_dir(stage.pins()).unwrap();
        let line = "rustc --crate-name app -C metadata=1 -C linker=clang -Cdebuginfo=0";
        for (is_program, expected) in [
            (true, stage.bin().join(layout::LINKER)),
            (false, "clang".into()),
        ] {
            let mut command = args(line);
            let parsed = RustcArgs::parse(&command);
            let linker = adjust(&stage, &parsed, "app-1", is_program, &mut command).unwrap();
            assert_eq!(linker.as_deref(), Some(OsStr::new("clang")));
            let adjusted = RustcArgs::parse(&command);
            assert_eq!(adjusted.codegen_value("linker"), Some(expected.as_os_str()));
            assert_eq!(adjusted.codegen_value("debuginfo"), Some(OsStr::new("2")));
        }
    }

    #[test]
    fn another_version_of_a_dependency_is_no_other_unit() {
        let line = "rustc --crate-name app --crate-type bin --out-dir /t -C opt-level=1";
        let key = |extra: &str| {
            unit_key(
                &RustcArgs::parse(&args(&format!("{line} {extra}"))),
                OsStr::new("/p"),
            )
        };
        assert_eq!(key("-C metadata=1"), key("-C metadata=2 --cfg x"));
        assert_ne!(key("-C metadata=1"), key("-C metadata=1 -C opt-level=2"));
    }
}
