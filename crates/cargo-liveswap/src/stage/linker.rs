//! Between rustc and the linker: gives every function of live crates a slot.
//!
//! `liveswap-gcc arguments…` takes what rustc gives a C compiler that links. With
//! [`env::COLLECT`](super::env::COLLECT) it does not link at all: a session only wants the objects.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use xxhash_rust::xxh3::xxh3_128;

use super::layout::{self, Stage};
use super::link_args;
use super::manifest::{Crate, Hash, Identity, Inputs, Manifest, Object};
use super::objects::{self, Prepared, Source};
use super::record::{self, Record};
use super::text::Text;
use super::{archive, stubs};
use crate::files;

/// Name of the file with the [`Inputs`] in a folder of collected objects.
pub const INPUTS: &str = "inputs.json";
/// Name of the executable in the folder of a program that is linked beside the one that runs.
pub const EXECUTABLE: &str = "executable";

/// Runs it.
pub fn main() -> ExitCode {
    let args = match link_args::expand(env::args_os().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            super::complain(&format!("cannot read a response file: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let unit = env::var(super::env::UNIT).ok();
    let is_program = !args.iter().any(|arg| arg == "-shared");
    if let Some(folder) = env::var_os(super::env::COLLECT) {
        let is_live_program = is_program && unit.is_some();
        return match collect(Path::new(&folder), &args, is_live_program) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                super::complain(&format!("cannot collect objects: {error}"));
                ExitCode::FAILURE
            }
        };
    }
    let stage = Stage::of_environment();
    let outcome = match (stage, link_args::output(&args)) {
        (Some(stage), Some(output)) if is_program => {
            let next = env::var_os(super::env::NEXT).map(PathBuf::from);
            Link::new(stage, output, args, next).run()
        }
        _ => run_linker(&args).map(|output| pass_on(&output)),
    };
    match outcome {
        Ok(code) => code,
        Err(message) => {
            super::complain(&message);
            ExitCode::FAILURE
        }
    }
}

/// Keeps the program's own objects in `folder`, and what else it would be linked with.
fn collect(folder: &Path, args: &[OsString], is_live_program: bool) -> io::Result<()> {
    let (Some(output), true) = (link_args::output(args), is_live_program) else {
        return Ok(());
    };
    let stem = stem_of(&output);
    let folder = folder.join(&stem);
    files::empty_folder(&folder)?;
    let mut inputs = Inputs::default();
    for arg in args {
        let path = Path::new(arg);
        match own_object(path, &stem) {
            Some(cgu) => layout::link_or_copy(path, &folder.join(format!("{cgu}.o")))?,
            None => note_input(arg, &mut inputs),
        }
    }
    if env::var_os(super::env::RUN).is_some() {
        // Cargo may have made them anew.
        note_made(args, &mut inputs);
    }
    layout::write_atomically(&folder.join(INPUTS), &serde_json::to_vec(&inputs)?)
}

fn stem_of(output: &Path) -> String {
    output
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The codegen unit, if the file is an object of the program's own crate.
fn own_object<'a>(path: &'a Path, stem: &str) -> Option<&'a str> {
    archive::codegen_unit(path.file_name()?.to_str()?, stem)
}

/// Enters an argument in the list of inputs if it is one.
fn note_input(arg: &OsStr, inputs: &mut Inputs) {
    let path = Path::new(arg);
    let bytes = arg.as_encoded_bytes();
    if bytes.starts_with(b"-l") {
        inputs.libraries.push(arg.into());
    } else if !bytes.starts_with(b"-") {
        match path.extension().and_then(OsStr::to_str) {
            Some("rlib") => inputs.archives.push(arg.into()),
            Some("o") => inputs.objects.push(arg.into()),
            Some("a" | "so") => inputs.libraries.push(arg.into()),
            _ => {}
        }
    }
}

/// Enters the static libraries that lie in folders of build scripts.
fn note_made(args: &[OsString], inputs: &mut Inputs) {
    let mut folders: Vec<PathBuf> = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_bytes().strip_prefix(b"-L") {
            Some(b"") => folders.extend(rest.next().map(PathBuf::from)),
            Some(path) => folders.push(OsStr::from_bytes(path).into()),
            None => {}
        }
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for library in &inputs.libraries {
        match library.0.as_bytes().strip_prefix(b"-l") {
            Some(name) => {
                let file = [b"lib", name, b".a"].concat();
                paths.extend(
                    folders
                        .iter()
                        .map(|folder| folder.join(OsStr::from_bytes(&file))),
                );
            }
            None => paths.push(library.path().to_owned()),
        }
    }
    for path in paths {
        if let Ok(bytes) = fs::read(&path) {
            inputs.made.push((path.into(), Hash(xxh3_128(&bytes))));
        }
    }
}

struct Link {
    stage: Stage,
    /// The executable, where rustc wants it.
    output: PathBuf,
    /// The file that is written: the same, unless another program of this name runs.
    written: PathBuf,
    /// Its file name.
    stem: String,
    /// The key of its record.
    key: String,
    /// The folder for what is kept.
    folder: PathBuf,
    /// Where that folder will be when the program is started.
    place: PathBuf,
    args: Vec<OsString>,
}

/// A place in the arguments where objects come.
enum Piece {
    Argument(OsString),
    Object(usize),
}

/// The arguments, taken apart.
struct Pieces {
    pieces: Vec<Piece>,
    sources: Vec<Source>,
    /// Of the live crates.
    records: Vec<Record>,
    /// Hashes of the native code in the live crates' libraries.
    natives: Vec<Hash>,
    inputs: Inputs,
}

impl Link {
    /// `next`: another program of this name runs, and this one belongs into that folder for the time being.
    fn new(stage: Stage, output: PathBuf, mut args: Vec<OsString>, next: Option<PathBuf>) -> Link {
        let key = record::key_of_program(&output).unwrap_or_default();
        let place = stage.link(&key);
        let (folder, written) = match next {
            None => (place.clone(), output.clone()),
            Some(next) => {
                let folder = next.join(&key);
                let written = folder.join(EXECUTABLE);
                link_args::set_output(&mut args, &written);
                (folder, written)
            }
        };
        Link {
            folder,
            place,
            stem: stem_of(&output),
            key,
            stage,
            output,
            written,
            args,
        }
    }

    fn run(mut self) -> Result<ExitCode, String> {
        self.clear()?;
        let linked = match link_args::obstacle(&self.args) {
            Some(obstacle) => Err(obstacle),
            None => self.live(),
        };
        match linked {
            Ok(code) => Ok(code),
            Err(obstacle) => self.plain(obstacle),
        }
    }

    /// Removes what is left of an earlier program of this name. Others may still read those files, so
    /// they are not written again.
    fn clear(&self) -> Result<(), String> {
        files::empty_folder(&self.folder)
            .map_err(|error| format!("{}: {error}", self.folder.display()))
    }

    /// Links as rustc asked for, and says why.
    fn plain(&mut self, obstacle: String) -> Result<ExitCode, String> {
        let output = run_linker(&self.args)?;
        if output.status.success() {
            let manifest = Manifest {
                obstacle: Some(obstacle),
                ..Manifest::default()
            };
            self.write(manifest)?;
        }
        Ok(pass_on(&output))
    }

    /// Links with slots. The error is the reason why that cannot be done.
    fn live(&mut self) -> Result<ExitCode, String> {
        let own = Record::read(&self.stage.unit(&self.key))
            .map_err(|error| format!("the record of {}: {error}", self.stem))?;
        let Pieces {
            pieces,
            sources,
            records,
            natives,
            mut inputs,
        } = self.pieces(own)?;
        if let Some(record) = records.iter().find(|one| !one.keeps_functions_apart()) {
            return Err(format!(
                "`{}` is optimised by a compiler that merges equal functions; Rust 1.95 can be told not to, and optimisation level 0 does not",
                record.crate_name
            ));
        }
        let references: Vec<&Record> = records.iter().collect();
        let rewritten = self.folder.join("rewritten");
        let prepared = objects::prepare(
            &sources,
            &references,
            &self.folder.join("objects"),
            &rewritten,
        )?;
        let slots_file = rewritten.join("slots.o");
        fs::write(&slots_file, slots(&prepared)?)
            .map_err(|error| format!("{}: {error}", slots_file.display()))?;

        let mut args: Vec<OsString> = vec!["-Wl,--no-as-needed".into(), self.stage.agent().into()];
        // An edit may be the first to need a sine. Everything else that std imports is in libraries
        // that every program has anyway.
        if pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Argument(arg) if arg == "-lm"))
        {
            args.push("-lm".into());
        }
        args.extend(["-Wl,--as-needed".into(), slots_file.into()]);
        args.extend(pieces.into_iter().map(|piece| match piece {
            Piece::Argument(arg) => arg,
            Piece::Object(n) => prepared[n].rewritten.clone().into(),
        }));
        link_args::keep_everything(&mut args);
        args.push("-Wl,--build-id=sha1".into());
        let (output, missing) = self.link(args)?;
        if output.status.success() {
            self.keep_others(&mut inputs)?;
            let manifest = Manifest {
                crates: crates(&records, &natives, &prepared, &|kept| self.in_place(kept)),
                inputs,
                missing,
                ..Manifest::default()
            };
            self.write(manifest)?;
        }
        let _ = fs::remove_dir_all(&rewritten);
        Ok(pass_on(&output))
    }

    /// Sorts the arguments: what stays as it is, and where the objects of live crates come.
    fn pieces(&self, own: Record) -> Result<Pieces, String> {
        let mut pieces = Vec::new();
        let mut sources = Vec::new();
        let mut inputs = Inputs::default();
        let mut records = vec![own];
        let mut natives = vec![Hash(0)];
        for arg in &self.args {
            let path = Path::new(arg);
            if let Some(cgu) = own_object(path, &self.stem) {
                pieces.push(Piece::Object(sources.len()));
                sources.push(objects::in_file(0, cgu, path.to_owned()));
                continue;
            }
            if let Some(record) = self.live_library(path) {
                let (found, native) = objects::in_library(records.len(), &record, path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let first = sources.len();
                sources.extend(found);
                pieces.extend((first..sources.len()).map(Piece::Object));
                natives.push(native);
                if native != Hash(0) {
                    // Native code. The Rust members are not taken again: all that they define is
                    // defined by now.
                    pieces.push(Piece::Argument(arg.clone()));
                }
                records.push(record);
                continue;
            }
            note_input(arg, &mut inputs);
            pieces.push(Piece::Argument(arg.clone()));
        }
        note_made(&self.args, &mut inputs);
        Ok(Pieces {
            pieces,
            sources,
            records,
            natives,
            inputs,
        })
    }

    fn live_library(&self, path: &Path) -> Option<Record> {
        if path.extension() != Some(OsStr::new("rlib")) {
            return None;
        }
        let record = Record::read(&self.stage.unit(&record::key_of_library(path)?)).ok()?;
        (record.kind == record::Kind::Live && path == record.output()).then_some(record)
    }

    /// Runs the linker. What it misses may be in code that it would have left out of an ordinary
    /// program: then an ordinary link works, and stubs take the place of what is missing.
    fn link(&self, args: Vec<OsString>) -> Result<(Output, Vec<String>), String> {
        const ATTEMPTS: usize = 50;
        let first = run_linker(&args)?;
        if first.status.success()
            || link_args::missing_symbols(&messages(&first)).is_empty()
            || !self.links_without()?
        {
            return Ok((first, Vec::new()));
        }
        let mut missing: Vec<String> = Vec::new();
        let file = self.folder.join("rewritten").join("stubs.o");
        let mut args = args;
        args.push("-Wl,--no-demangle".into());
        args.push(file.clone().into());
        for _ in 0..ATTEMPTS {
            let stubs = stubs::object(&missing)?;
            fs::write(&file, stubs).map_err(|error| format!("{}: {error}", file.display()))?;
            let output = run_linker(&args)?;
            let new = link_args::missing_symbols(&messages(&output));
            let known = missing.len();
            missing.extend(new);
            missing.sort_unstable();
            missing.dedup();
            if output.status.success() || missing.len() == known {
                return Ok((output, missing));
            }
        }
        Ok((first, Vec::new()))
    }

    /// Whether the program can be linked as rustc asked for.
    fn links_without(&self) -> Result<bool, String> {
        let trial = self.folder.join("trial");
        let mut args = self.args.clone();
        link_args::set_output(&mut args, &trial);
        let success = run_linker(&args)?.status.success();
        let _ = fs::remove_file(trial);
        Ok(success)
    }

    /// Keeps objects that rustc removes after the link.
    fn keep_others(&self, inputs: &mut Inputs) -> Result<(), String> {
        let folder = self.folder.join("objects");
        for (n, object) in inputs.objects.iter_mut().enumerate() {
            let kept = folder.join(format!("{n}.o"));
            layout::link_or_copy(object.path(), &kept)
                .map_err(|error| format!("{}: {error}", object.path().display()))?;
            *object = self.in_place(&kept).into();
        }
        Ok(())
    }

    /// Where a file of the folder will be when the program is started.
    fn in_place(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.folder) {
            Ok(inside) => self.place.join(inside),
            Err(_) => path.to_owned(),
        }
    }

    fn write(&self, mut manifest: Manifest) -> Result<(), String> {
        let result = Identity::of(&self.written).and_then(|identity| {
            manifest.exe = Text::from(self.output.as_path());
            manifest.identity = identity;
            manifest.write(&self.folder)
        });
        result.map_err(|error| format!("cannot write the manifest: {error}"))
    }
}

/// The object with the slots that the others need.
fn slots(prepared: &[Prepared]) -> Result<Vec<u8>, String> {
    let machine = prepared.first().map_or(0, |object| object.machine);
    let slots: Vec<_> = prepared
        .iter()
        .flat_map(|object| object.slots.iter().cloned())
        .collect();
    liveswap_object::slots::object(object::elf::Machine(machine), &slots)
        .map_err(|error| format!("the slots cannot be made: {error}"))
}

fn crates(
    records: &[Record],
    natives: &[Hash],
    prepared: &[Prepared],
    in_place: &dyn Fn(&Path) -> PathBuf,
) -> Vec<Crate> {
    let mut crates: Vec<Crate> = records
        .iter()
        .zip(natives)
        .map(|(record, &native)| Crate {
            name: record.crate_name.clone(),
            unit: record.unit.clone(),
            opt_level: record.opt_level.clone(),
            objects: Vec::new(),
            native,
        })
        .collect();
    for object in prepared {
        crates[object.krate].objects.push(Object {
            cgu: object.cgu.clone(),
            path: in_place(&object.kept).into(),
            hash: object.hash,
        });
    }
    crates
}

/// Runs the linker that this stands for.
fn run_linker(args: &[OsString]) -> Result<Output, String> {
    /// The kernel takes 2 MiB; the environment is part of that.
    const LONG: usize = 512 * 1024;
    let configured = env::var_os(super::env::LINKER);
    let mut command = Command::new(configured.as_deref().unwrap_or(OsStr::new("cc")));
    let mut all = Vec::new();
    if configured.is_none()
        && env::var_os(super::env::NO_LLD).is_none()
        && !link_args::chooses_linker(args)
    {
        all = link_args::default_linker(args);
    }
    all.extend_from_slice(args);
    let mut response = None;
    if all.iter().map(|arg| arg.len() + 9).sum::<usize>() > LONG {
        let file = tempfile::NamedTempFile::new()
            .and_then(|mut file| file.write_all(&link_args::join(&all)).map(|()| file))
            .map_err(|error| format!("cannot write a response file: {error}"))?;
        let mut arg = OsString::from("@");
        arg.push(file.path());
        command.arg(arg);
        response = Some(file);
    } else {
        command.args(&all);
    }
    let output = command.output().map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        format!("cannot run the linker {program}: {error}")
    });
    drop(response);
    output
}

fn messages(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    text
}

/// Says what the linker said and ends as it did.
fn pass_on(output: &Output) -> ExitCode {
    let _ = io::stdout().write_all(&output.stdout);
    let _ = io::stderr().write_all(&output.stderr);
    match output.status.code() {
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}
