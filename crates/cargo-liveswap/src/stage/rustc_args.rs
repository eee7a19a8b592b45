//! What the arguments that cargo gives rustc say.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The arguments of one run of rustc that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RustcArgs {
    /// How many of the arguments are programs: wrappers and rustc itself.
    pub programs: usize,
    /// `--crate-name`.
    pub crate_name: String,
    /// `--crate-type`, all of them.
    pub crate_types: Vec<String>,
    /// `--out-dir`.
    pub out_dir: PathBuf,
    /// `--extern`: name and file, if one is given.
    pub externs: Vec<(String, Option<PathBuf>)>,
    /// `--emit`, all of its parts.
    pub emit: Vec<String>,
    /// `--cfg`, all of them.
    pub cfgs: Vec<String>,
    /// `--target`.
    pub target: Option<String>,
    /// `-C`: name and value.
    pub codegen: Vec<(String, Option<OsString>)>,
    /// `-Z`, all of them.
    pub unstable: Vec<String>,
    /// `--test`.
    pub test: bool,
    /// `--error-format`: cargo gives it.
    pub error_format: Option<String>,
    /// The second form of `--cap-lints`, in two arguments: cargo's own.
    pub caps_lints: bool,
    /// The source file.
    pub input: Option<PathBuf>,
}

impl RustcArgs {
    /// Reads them. `args` begins with rustc, or with a wrapper and rustc.
    pub fn parse(args: &[OsString]) -> RustcArgs {
        let programs = args
            .iter()
            .position(|arg| arg.as_encoded_bytes().starts_with(b"-"))
            .unwrap_or(args.len());
        let mut parsed = RustcArgs {
            programs,
            ..RustcArgs::default()
        };
        let mut rest = args[programs..].iter();
        while let Some(arg) = rest.next() {
            let Some(text) = arg.to_str() else {
                if !arg.as_encoded_bytes().starts_with(b"-") {
                    parsed.input = Some(arg.into());
                }
                continue;
            };
            if let Some(name) = text.strip_prefix("--") {
                let (name, value) = match name.split_once('=') {
                    Some((name, value)) => (name, Some(OsString::from(value))),
                    None if takes_value(name) => (name, rest.next().cloned()),
                    None => (name, None),
                };
                if name == "cap-lints" {
                    parsed.caps_lints |= !text.contains('=');
                }
                parsed.long(name, &value.unwrap_or_default());
            } else if let Some(short) = text.strip_prefix('-') {
                let mut letters = short.chars();
                let letter = letters.next();
                let joined = letters.as_str();
                if matches!(
                    letter,
                    Some('C' | 'Z' | 'L' | 'l' | 'o' | 'A' | 'W' | 'D' | 'F')
                ) {
                    let value = if joined.is_empty() {
                        rest.next().cloned().unwrap_or_default()
                    } else {
                        joined.into()
                    };
                    match letter {
                        Some('C') => parsed.codegen(&value),
                        Some('Z') => parsed.unstable.push(value.to_string_lossy().into_owned()),
                        _ => {}
                    }
                } else if short == "O" {
                    parsed.codegen(OsStr::new("opt-level=3"));
                } else if short.is_empty() {
                    parsed.input = Some("-".into());
                }
            } else {
                parsed.input = Some(arg.into());
            }
        }
        parsed
    }

    fn long(&mut self, name: &str, value: &OsStr) {
        let text = value.to_string_lossy();
        match name {
            "crate-name" => self.crate_name = text.into_owned(),
            "crate-type" => self.crate_types.extend(text.split(',').map(str::to_owned)),
            "out-dir" => self.out_dir = value.into(),
            "emit" => self.emit.extend(text.split(',').map(str::to_owned)),
            "cfg" => self.cfgs.push(text.into_owned()),
            "target" => self.target = Some(text.into_owned()),
            "test" => self.test = true,
            "error-format" => self.error_format = Some(text.into_owned()),
            "codegen" => self.codegen(value),
            "extern" => {
                let (name, path) = split_at_equals(value);
                let name = name.rsplit(':').next().unwrap_or_default().to_owned();
                self.externs.push((name, path.map(PathBuf::from)));
            }
            _ => {}
        }
    }

    fn codegen(&mut self, value: &OsStr) {
        let (name, value) = split_at_equals(value);
        // rustc takes `opt_level` for `opt-level`.
        self.codegen.push((name.replace('_', "-"), value));
    }

    /// The last value of this `-C` option.
    pub fn codegen_value(&self, name: &str) -> Option<&OsStr> {
        self.codegen
            .iter()
            .rev()
            .find(|(given, _)| given == name)
            .and_then(|(_, value)| value.as_deref())
    }

    /// Whether cargo wants this crate compiled, rather than a build script wanting to know whether
    /// rustc can do something.
    pub fn is_cargos_compilation(&self) -> bool {
        !self.crate_name.is_empty()
            && self.error_format.as_deref() == Some("json")
            && self.codegen_value("metadata").is_some()
            && !self.out_dir.as_os_str().is_empty()
            && self
                .emit
                .iter()
                .any(|kind| kind == "link" || kind == "metadata")
            && self.input.as_deref() != Some(Path::new("-"))
    }

    /// Whether this crate type is asked for.
    pub fn is_type(&self, name: &str) -> bool {
        self.crate_types.iter().any(|given| given == name)
    }

    /// The name that the output files have before their extension: crate and `-C extra-filename`.
    pub fn stem(&self) -> String {
        let extra = self.codegen_value("extra-filename").unwrap_or_default();
        format!("{}{}", self.crate_name, extra.to_string_lossy())
    }

    /// `0` to `3`, `s` or `z`.
    pub fn opt_level(&self) -> String {
        self.codegen_value("opt-level").map_or_else(
            || "0".to_owned(),
            |value| value.to_string_lossy().into_owned(),
        )
    }

    /// The enabled features.
    pub fn features(&self) -> Vec<String> {
        let mut features: Vec<String> = self
            .cfgs
            .iter()
            .filter_map(|cfg| cfg.strip_prefix("feature=\"")?.strip_suffix('"'))
            .map(str::to_owned)
            .collect();
        features.sort_unstable();
        features
    }

    /// Whether rustc would add arguments for the linker that comes with it, if no linker is configured.
    pub fn takes_default_linker(&self) -> bool {
        let value = |name: &str| {
            self.codegen_value(name)
                .map(OsStr::to_string_lossy)
                .unwrap_or_default()
                .into_owned()
        };
        let is_native = self
            .target
            .as_deref()
            .is_none_or(|target| target == "x86_64-unknown-linux-gnu");
        is_native
            && value("linker-flavor").is_empty()
            && !value("linker-features").contains("-lld")
            && !value("link-self-contained").contains("-linker")
            && !self.unstable.iter().any(|option| option.contains("-lld"))
    }

    /// How code is made: what must stay the same while a program runs. File names, and what this
    /// command sets itself, are left out.
    pub fn code_options(&self) -> Vec<String> {
        const OTHERS: [&str; 9] = [
            "metadata",
            "extra-filename",
            "incremental",
            "linker",
            "debuginfo",
            "split-debuginfo",
            "strip",
            "lto",
            "embed-bitcode",
        ];
        let codegen = self
            .codegen
            .iter()
            .filter(|(name, _)| !OTHERS.contains(&name.as_str()))
            .map(|(name, value)| match value {
                Some(value) => format!("-C {name}={}", value.to_string_lossy()),
                None => format!("-C {name}"),
            });
        let unstable = self.unstable.iter().map(|value| format!("-Z {value}"));
        let target = self
            .target
            .iter()
            .map(|target| format!("--target {target}"));
        codegen.chain(unstable).chain(target).collect()
    }
}

/// Long options of rustc that have a value in the argument behind them.
fn takes_value(name: &str) -> bool {
    matches!(
        name,
        "crate-name"
            | "crate-type"
            | "out-dir"
            | "extern"
            | "emit"
            | "cfg"
            | "check-cfg"
            | "target"
            | "edition"
            | "print"
            | "explain"
            | "allow"
            | "warn"
            | "force-warn"
            | "deny"
            | "forbid"
            | "cap-lints"
            | "codegen"
            | "sysroot"
            | "error-format"
            | "json"
            | "color"
            | "diagnostic-width"
            | "remap-path-prefix"
            | "remap-path-scope"
            | "env-set"
    )
}

fn split_at_equals(value: &OsStr) -> (String, Option<OsString>) {
    let bytes = value.as_encoded_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            use std::os::unix::ffi::OsStrExt;
            (
                String::from_utf8_lossy(&bytes[..at]).into_owned(),
                Some(OsStr::from_bytes(&bytes[at + 1..]).to_owned()),
            )
        }
        None => (value.to_string_lossy().into_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> RustcArgs {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        RustcArgs::parse(&args)
    }

    const LIBRARY: &str = "/t/bin/rustc --crate-name logic --edition=2024 logic/src/lib.rs \
        --error-format=json --json=diagnostic-rendered-ansi,artifacts,future-incompat --crate-type lib \
        --emit=dep-info,metadata,link -C embed-bitcode=no -C debuginfo=2 --cfg feature=\"b\" --cfg feature=\"a\" \
        --check-cfg cfg(docsrs,test) -C metadata=6bc7 -C extra-filename=-f2e1 --out-dir /p/target/debug/deps \
        -C incremental=/p/target/debug/incremental -L dependency=/p/target/debug/deps \
        --extern base=/p/target/debug/deps/libbase-1454.rmeta --extern priv:other=/x/libother-1.rlib \
        --extern proc_macro -Copt_level=2";

    #[test]
    fn a_library_as_cargo_compiles_it() {
        let args = parse(LIBRARY);
        assert_eq!(args.programs, 1);
        assert_eq!(args.crate_name, "logic");
        assert_eq!(args.crate_types, ["lib"]);
        assert_eq!(args.emit, ["dep-info", "metadata", "link"]);
        assert_eq!(args.out_dir, Path::new("/p/target/debug/deps"));
        assert_eq!(args.input.as_deref(), Some(Path::new("logic/src/lib.rs")));
        assert_eq!(args.stem(), "logic-f2e1");
        assert_eq!(args.features(), ["a", "b"]);
        assert_eq!(args.opt_level(), "2");
        assert_eq!(args.externs.len(), 3);
        assert_eq!(args.externs[1].0, "other");
        assert_eq!(
            args.externs[1].1.as_deref(),
            Some(Path::new("/x/libother-1.rlib"))
        );
        assert_eq!(args.externs[2], ("proc_macro".to_owned(), None));
        assert_eq!(args.code_options(), ["-C opt-level=2"]);
        assert!(args.is_cargos_compilation());
        assert!(!args.caps_lints);
    }

    #[test]
    fn wrappers_stand_before_rustc() {
        let args = parse("clippy-driver /t/bin/rustc --crate-name x src/lib.rs");
        assert_eq!(args.programs, 2);
    }

    #[test]
    fn a_probe_of_a_build_script_is_not_cargos() {
        let args = parse(
            "rustc --cfg=probe --crate-name=probe --crate-type=lib --cap-lints=allow \
             --emit=dep-info,metadata --out-dir /p/out src/probe.rs",
        );
        assert!(!args.is_cargos_compilation());
        assert!(!parse("rustc - --crate-name ___ --print=file-names").is_cargos_compilation());
        assert!(!parse("rustc -vV").is_cargos_compilation());
    }

    #[test]
    fn lints_are_capped_for_packages_of_others() {
        assert!(parse("rustc --crate-name x --cap-lints allow x.rs").caps_lints);
        assert!(!parse("rustc --crate-name x --cap-lints=warn x.rs").caps_lints);
    }
}
