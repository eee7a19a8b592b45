//! The flags of `cargo run`, which are handed on.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

/// The flags of `cargo run`, as cargo 1.95 lists them. They are handed on in cargo's own words.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Options of cargo run")]
pub struct CargoArgs {
    /// Package with the program to run
    #[arg(short, long, value_name = "SPEC", num_args = 0..=1, action = ArgAction::Append)]
    package: Option<Vec<OsString>>,
    /// Name of the bin target to run
    #[arg(long, value_name = "NAME", num_args = 0..=1, action = ArgAction::Append)]
    bin: Option<Vec<OsString>>,
    /// Name of the example target to run
    #[arg(long, value_name = "NAME", num_args = 0..=1, action = ArgAction::Append)]
    example: Option<Vec<OsString>>,
    /// Features to activate, separated by spaces or commas
    #[arg(short = 'F', long, value_name = "FEATURES", action = ArgAction::Append)]
    features: Vec<OsString>,
    /// Activate all available features
    #[arg(long)]
    all_features: bool,
    /// Do not activate the `default` feature
    #[arg(long)]
    no_default_features: bool,
    /// Build in release mode, with optimizations
    #[arg(short, long, conflicts_with = "profile")]
    release: bool,
    /// Build with this profile
    #[arg(long, value_name = "PROFILE-NAME")]
    profile: Option<String>,
    /// Build for the target triple
    #[arg(long, value_name = "TRIPLE", num_args = 0..=1, action = ArgAction::Append)]
    target: Option<Vec<OsString>>,
    /// Target folder; liveswap builds in a folder of its own within it
    #[arg(long, value_name = "DIRECTORY")]
    target_dir: Option<PathBuf>,
    /// Path to Cargo.toml
    #[arg(long, value_name = "PATH")]
    manifest_path: Option<PathBuf>,
    /// Path to Cargo.lock (unstable)
    #[arg(long, value_name = "PATH")]
    lockfile_path: Option<OsString>,
    /// Number of parallel jobs
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    jobs: Option<OsString>,
    /// Do not abort the build as soon as there is an error
    #[arg(long)]
    keep_going: bool,
    /// Ignore `rust-version` in packages
    #[arg(long)]
    ignore_rust_version: bool,
    /// Assert that Cargo.lock will remain unchanged
    #[arg(long)]
    locked: bool,
    /// Run without accessing the network
    #[arg(long)]
    offline: bool,
    /// The same as --locked and --offline
    #[arg(long)]
    frozen: bool,
    /// Override a configuration value
    #[arg(long, value_name = "KEY=VALUE|PATH", action = ArgAction::Append)]
    config: Vec<OsString>,
    /// Unstable flags of cargo
    #[arg(short = 'Z', value_name = "FLAG", action = ArgAction::Append)]
    unstable: Vec<OsString>,
    /// Format of cargo's messages
    #[arg(long, value_name = "FMT", action = ArgAction::Append)]
    message_format: Vec<OsString>,
    /// Output a build timing report at the end of the first build
    #[arg(long, value_name = "FMTS", num_args = 0..=1, require_equals = true, action = ArgAction::Append)]
    timings: Option<Vec<OsString>>,
    /// More output of cargo
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Less output, of cargo and of liveswap
    #[arg(short, long)]
    pub quiet: bool,
    /// Coloring: auto, always, never
    #[arg(long, value_name = "WHEN")]
    pub color: Option<OsString>,
}

impl CargoArgs {
    /// The flags in cargo's own words.
    pub fn to_cargo(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        let mut value = |flag: &str, value: &std::ffi::OsStr| {
            let mut word = OsString::from(flag);
            word.push("=");
            word.push(value);
            words.push(word);
        };
        for (flag, values) in [
            ("--features", &self.features),
            ("--config", &self.config),
            ("--message-format", &self.message_format),
        ] {
            values.iter().for_each(|it| value(flag, it));
        }
        for (flag, one) in [
            ("--profile", self.profile.as_deref().map(AsRef::as_ref)),
            (
                "--manifest-path",
                self.manifest_path.as_deref().map(AsRef::as_ref),
            ),
            (
                "--target-dir",
                self.target_dir.as_deref().map(AsRef::as_ref),
            ),
            ("--lockfile-path", self.lockfile_path.as_deref()),
            ("--jobs", self.jobs.as_deref()),
            ("--color", self.color.as_deref()),
        ] {
            if let Some(one) = one {
                value(flag, one);
            }
        }
        for (flag, values) in [
            ("--package", &self.package),
            ("--bin", &self.bin),
            ("--example", &self.example),
            ("--target", &self.target),
            ("--timings", &self.timings),
        ] {
            match values.as_deref() {
                None => {}
                // Without a value cargo lists what there is.
                Some([]) => words.push(flag.into()),
                Some(values) => {
                    for one in values {
                        let mut word = OsString::from(flag);
                        word.push("=");
                        word.push(one);
                        words.push(word);
                    }
                }
            }
        }
        for one in &self.unstable {
            words.push("-Z".into());
            words.push(one.clone());
        }
        for (flag, given) in [
            ("--all-features", self.all_features),
            ("--no-default-features", self.no_default_features),
            ("--release", self.release),
            ("--keep-going", self.keep_going),
            ("--ignore-rust-version", self.ignore_rust_version),
            ("--locked", self.locked),
            ("--offline", self.offline),
            ("--frozen", self.frozen),
            ("--quiet", self.quiet),
        ] {
            if given {
                words.push(flag.into());
            }
        }
        words.extend((0..self.verbose).map(|_| OsString::from("--verbose")));
        words
    }

    /// The profile that they choose.
    pub fn profile_name(&self) -> String {
        match &self.profile {
            Some(name) => name.clone(),
            None if self.release => "release".to_owned(),
            None => "dev".to_owned(),
        }
    }
}
