//! A Cargo project of a user: copied from a fixture, edited while its program runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use crate::live::LiveRun;
use crate::live_command;
use crate::live_options::LiveOptions;

/// A folder of its own, outside of any workspace. It is removed at the end, unless the test fails.
pub struct LiveProject {
    folder: Option<TempDir>,
    root: PathBuf,
    saves: AtomicU64,
}

impl LiveProject {
    /// A copy of `tests/fixtures/cargo/<fixture>`.
    ///
    /// # Panics
    /// When there is no such fixture.
    #[track_caller]
    pub fn new(fixture: &str) -> Self {
        let project = Self::empty();
        let source = fixtures().join(fixture);
        assert!(source.is_dir(), "no fixture {}", source.display());
        copy_folder(&source, &project.root);
        project
    }

    /// A folder without any file.
    #[track_caller]
    pub fn empty() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("liveswap-cargo-")
            .tempdir()
            .expect("a temporary directory");
        // Tools speak of the real path, also where the temporary folder is a link.
        let root = folder.path().canonicalize().expect("it was just made");
        Self {
            folder: Some(folder),
            root,
            saves: AtomicU64::new(0),
        }
    }

    /// A package `app` with this `src/main.rs` and nothing else.
    #[track_caller]
    pub fn with_main(main: &str) -> Self {
        let project = Self::empty();
        project.write("Cargo.toml", &package("app", ""));
        project.write("src/main.rs", main);
        project
    }

    /// A package `app` that answers each line with the text of its function `show`, until it is told to quit. `shows` is
    /// what that gives to `format!`.
    #[track_caller]
    pub fn answering(shows: &str) -> Self {
        Self::with_main(&format!(
            r#"
fn main() {{
    println!("ready");
    for line in std::io::stdin().lines() {{
        if line.unwrap() == "quit" {{ return; }}
        println!("{{}}", show());
    }}
}}

#[inline(never)]
fn show() -> String {{
    format!({shows})
}}
"#
        ))
    }

    /// Adds a library in a folder of its name, which the package uses. `manifest` is what its own says besides its
    /// package.
    #[track_caller]
    pub fn with_library(self, name: &str, manifest: &str, source: &str) -> Self {
        let dependency = format!("[dependencies]\n{name} = {{ path = \"{name}\" }}\n");
        self.write("Cargo.toml", &package("app", &dependency));
        self.write(&format!("{name}/Cargo.toml"), &package(name, manifest));
        self.write(&format!("{name}/src/lib.rs"), source);
        self
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The path of a file of the project.
    pub fn path(&self, file: &str) -> PathBuf {
        self.root.join(file)
    }

    /// The text of a file.
    #[track_caller]
    pub fn read(&self, file: &str) -> String {
        let path = self.path(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Creates a file or overwrites it, with its folders: for what happens before the program runs.
    #[track_caller]
    pub fn write(&self, file: &str, text: &str) {
        self.save_in_place(file, text);
    }

    /// Adds lines at the end of a file that nobody watches yet.
    #[track_caller]
    pub fn append(&self, file: &str, text: &str) {
        let old = self.read(file);
        self.write(file, &format!("{old}{text}"));
    }

    /// Saves as most editors do: a new file takes the place of the old one by a rename.
    #[track_caller]
    pub fn save(&self, file: &str, text: &str) {
        let path = self.path(file);
        make_parent(&path);
        let number = self.saves.fetch_add(1, Ordering::Relaxed);
        let name = path.file_name().expect("a file has a name");
        let fresh = path.with_file_name(format!(".{}.{number}.swp", name.display()));
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Saves as the others do: the file is truncated and written.
    #[track_caller]
    pub fn save_in_place(&self, file: &str, text: &str) {
        let path = self.path(file);
        make_parent(&path);
        fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Replaces the one place where `from` stands, and saves.
    ///
    /// # Panics
    /// When `from` stands there more than once or not at all.
    #[track_caller]
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let edited = self.edited(file, from, to);
        self.save(file, &edited);
    }

    /// The text that [`LiveProject::edit`] would save.
    #[track_caller]
    pub fn edited(&self, file: &str, from: &str, to: &str) -> String {
        replaced(&self.read(file), from, to)
    }

    /// `cargo liveswap run` for this project.
    pub fn live(&self) -> LiveOptions {
        LiveOptions::new(self)
    }

    /// `cargo liveswap run` without further flags.
    #[track_caller]
    pub fn run(&self) -> LiveRun {
        self.live().start()
    }

    /// Runs plain cargo in the project's folder.
    #[track_caller]
    pub fn cargo(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("cargo");
        live_command::clean_environment(&mut command);
        command.args(arguments).current_dir(&self.root);
        let output = command.output().expect("cargo starts");
        assert!(
            output.status.success(),
            "cargo {arguments:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Runs any program in the project's folder, for example `git`.
    #[track_caller]
    pub fn tool(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.root)
            .output()
            .unwrap_or_else(|error| panic!("{program} is needed: {error}"));
        assert!(
            output.status.success(),
            "{program} {arguments:?}:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for LiveProject {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(folder) = self.folder.take()
        {
            let kept = folder.keep();
            eprintln!("the project is kept: {}", kept.display());
        }
    }
}

/// `text` with the one place where `from` stands replaced.
///
/// # Panics
/// When `from` stands there more than once or not at all.
#[track_caller]
pub fn replaced(text: &str, from: &str, to: &str) -> String {
    assert_eq!(
        text.matches(from).count(),
        1,
        "`{from}` must stand exactly once in:\n{text}"
    );
    text.replacen(from, to, 1)
}

pub(crate) fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/cargo"))
}

#[track_caller]
fn make_parent(path: &Path) {
    let parent = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
}

#[track_caller]
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the fixture can be listed") {
        let entry = entry.expect("the fixture can be listed");
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("a type of file").is_dir() {
            // Somebody may have built it in place.
            if entry.file_name() != "target" {
                copy_folder(&source, &target);
            }
        } else {
            // Not `fs::copy`: a fixture without write permission must be editable as a copy.
            let bytes = fs::read(&source).expect("the fixture can be read");
            fs::write(&target, bytes).expect("the copy can be written");
        }
    }
}

fn package(name: &str, rest: &str) -> String {
    format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{rest}")
}
