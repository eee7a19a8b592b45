//! A directory of C modules that a test writes, compiles and edits.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::c_module::CModule;
use crate::compiler;

/// The name of the system module that every project has from the start.
pub const SYSTEM: &str = "system";

/// A temporary directory with two parts: the compiled modules, where the run-time puts its private
/// copies too, and a place to compile in, so that nothing else is ever among the modules.
pub struct CProject {
    root: TempDir,
    modules: PathBuf,
    compiled: Cell<usize>,
}

impl CProject {
    /// An empty project; only the system module is there.
    #[track_caller]
    pub fn new() -> Self {
        Self::in_directory_named("modules")
    }

    /// An empty project whose modules lie in a directory of this name.
    #[track_caller]
    pub fn in_directory_named(name: &str) -> Self {
        let project = Self::without_system(name);
        project.write(&CModule::new(SYSTEM));
        project
    }

    /// A project without any module yet.
    #[track_caller]
    pub fn without_system(directory: &str) -> Self {
        let root = tempfile::Builder::new()
            .prefix("liveswap-test-")
            .tempdir()
            .expect("a temporary directory");
        let modules = root.path().join(directory);
        fs::create_dir_all(&modules).expect("a directory for modules");
        fs::create_dir(root.path().join("build")).expect("a directory to compile in");
        Self {
            root,
            modules,
            compiled: Cell::new(0),
        }
    }

    /// The directory that holds the modules.
    pub fn modules(&self) -> &Path {
        &self.modules
    }

    /// A place for files on the same file system that are no modules.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.root.path().join("build").join(name)
    }

    /// Where the library of a module lies; the protocol's name of the module.
    pub fn path(&self, module: &str) -> PathBuf {
        module_path(&self.modules, module)
    }

    /// Compiles a module and puts it in its place, by a rename as a careful build would.
    #[track_caller]
    pub fn write(&self, module: &CModule) {
        let library = self.compile(module);
        self.install(&library, module.name());
    }

    /// Compiles a module, but leaves the library outside of the modules' directory.
    #[track_caller]
    pub fn compile(&self, module: &CModule) -> PathBuf {
        let number = self.compiled.get();
        self.compiled.set(number + 1);
        let source = self.scratch(&format!("{number}.c"));
        let library = self.scratch(&format!("{number}.so"));
        fs::write(&source, module.source(|name| self.path(name))).expect("the source is written");
        compiler::shared_library(&source, &library, module.compiler_flags());
        library
    }

    /// Moves a file to a module's place.
    #[track_caller]
    pub fn install(&self, file: &Path, module: &str) {
        fs::rename(file, self.path(module)).expect("the module is put in its place");
    }

    /// Puts bytes in a module's place, by a rename.
    #[track_caller]
    pub fn install_bytes(&self, bytes: &[u8], module: &str) {
        let file = self.scratch("bytes");
        fs::write(&file, bytes).expect("the file is written");
        self.install(&file, module);
    }

    /// Deletes a module's library.
    #[track_caller]
    pub fn remove(&self, module: &str) {
        fs::remove_file(self.path(module)).expect("the module is deleted");
    }

    /// The run-time's private copies that lie in the modules' directory, in order of their names.
    #[track_caller]
    pub fn private_copies(&self) -> Vec<PathBuf> {
        let mut copies: Vec<PathBuf> = fs::read_dir(&self.modules)
            .expect("the modules' directory can be read")
            .map(|entry| entry.expect("a directory entry").path())
            .filter(|path| is_private_copy(path))
            .collect();
        copies.sort();
        copies
    }

    /// Everything in the modules' directory, in order of the names.
    #[track_caller]
    pub fn files(&self) -> Vec<String> {
        let mut files: Vec<String> = fs::read_dir(&self.modules)
            .expect("the modules' directory can be read")
            .map(|entry| entry.expect("a directory entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        files.sort();
        files
    }
}

impl Default for CProject {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the library of a module lies within a directory of modules.
pub fn module_path(modules: &Path, module: &str) -> PathBuf {
    modules.join(format!("{module}.so"))
}

/// Whether a file's name is one that the run-time gives to its private copies.
pub fn is_private_copy(path: &Path) -> bool {
    path.file_name()
        .and_then(OsStr::to_str)
        .is_some_and(|name| name.contains(".liveswap-"))
}
