//! A project of generated C modules that speak the protocol: each with so many procs and globals as a
//! middling Nim module, under names as Nim 1.6 makes them.
//!
//! The names do not change between two builds of a module. With the real compiler they often do,
//! and then Nim's own run-time loses procs; here both run-times are to do the same work.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result, bail};

const PROCS: usize = 40;
const GLOBALS: usize = 10;
const TYPE_INFOS: usize = 6;
/// Modules that each module imports beside system, and how much it takes from each.
const IMPORTS: usize = 5;
const PROCS_FROM_EACH: usize = 4;
const GLOBALS_FROM_EACH: usize = 1;

/// `COUNT` generated modules in one folder; number 0 is system. A module imports only modules with
/// smaller numbers, so the first n are a complete program for every n.
pub struct Modules {
    folder: PathBuf,
    sources: PathBuf,
    count: usize,
}

impl Modules {
    /// Generates and compiles them, and a second build of each module in `edited`.
    pub fn build(folder: &Path, count: usize, edited: &[usize]) -> Result<Self> {
        let sources = folder.join("sources");
        fs::create_dir_all(&sources)?;
        fs::write(sources.join("module.h"), include_str!("../../c/module.h"))?;
        let modules = Self {
            folder: folder.join("nimcache"),
            sources,
            count,
        };
        fs::create_dir_all(&modules.folder)?;
        let mut jobs = Vec::new();
        for number in 0..count {
            let source = modules.sources.join(format!("m{number}.c"));
            fs::write(&source, modules.source(number))?;
            jobs.push((source, modules.folder.join(Self::file(number)), 1));
        }
        for &number in edited {
            for version in [1, 2] {
                let source = modules.sources.join(format!("m{number}.c"));
                jobs.push((source, modules.build_of(number, version), version));
            }
        }
        compile_all(&jobs)?;
        Ok(modules)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File name of a module's library, in the compiler's manner.
    pub fn file(number: usize) -> String {
        if number == 0 {
            "lib@msystem.nim.c.so".to_owned()
        } else {
            format!("lib@mm{number}.nim.c.so")
        }
    }

    /// The proc that returns the version of the module's build.
    pub const VERSION: usize = 0;
    /// The proc that counts its calls in a global of the module.
    pub const COUNT: usize = 1;

    /// The C name of one of a module's procs.
    pub fn proc(number: usize, index: usize) -> String {
        proc_name(number, index)
    }

    /// Puts another build in a module's place, by rename as a linker or a build tool does.
    pub fn replace(&self, number: usize, version: usize) -> Result<()> {
        replace_file(
            &self.folder.join(Self::file(number)),
            &self.build_of(number, version),
        )
    }

    fn build_of(&self, number: usize, version: usize) -> PathBuf {
        self.sources.join(format!("m{number}.v{version}.so"))
    }

    fn path(&self, number: usize) -> String {
        self.folder.join(Self::file(number)).display().to_string()
    }

    fn source(&self, number: usize) -> String {
        let imports = imports_of(number);
        let mut c = format!(
            "#define SELF \"{}\"\n#include \"module.h\"\n\n",
            self.path(number)
        );
        // Writing into a String cannot fail.
        let mut line = |text: std::fmt::Arguments<'_>| {
            let _ = writeln!(c, "{text}");
        };
        for i in 0..PROCS {
            line(format_args!("static proc_fn {};", proc_name(number, i)));
        }
        for i in 0..GLOBALS {
            line(format_args!("static long *{};", global_name(number, i)));
        }
        line(format_args!("static char *module_initialized_;"));
        for i in 0..TYPE_INFOS {
            line(format_args!("static char *{};", type_name(number, i)));
        }
        for (module, name) in procs_taken(&imports) {
            line(format_args!("static proc_fn {name}; /* of {module} */"));
        }
        for (module, name) in globals_taken(&imports) {
            line(format_args!("static long *{name}; /* of {module} */"));
        }
        let (version, count) = (
            proc_name(number, Self::VERSION),
            proc_name(number, Self::COUNT),
        );
        let first = global_name(number, 0);
        line(format_args!(
            "\nstatic long {version}_actual(long x) {{ return x + VERSION; }}"
        ));
        line(format_args!(
            "static long {count}_actual(long x) {{ return x + ++*{first}; }}"
        ));
        for i in 2..PROCS {
            let (name, other) = (proc_name(number, i), proc_name(number, i - 1));
            let global = global_name(number, i % GLOBALS);
            line(format_args!("static long {name}_actual(long x) {{"));
            line(format_args!("    long sum = x;"));
            line(format_args!(
                "    for (long i = 0; i < *{global} % {}; i++) sum = sum * 31 + i;",
                i + 2
            ));
            line(format_args!(
                "    return sum > 1000 ? {other}(sum / 3) : *{global} + sum;\n}}"
            ));
        }
        line(format_args!("\nstatic const char *imports[] = {{"));
        for &import in &imports {
            line(format_args!("    \"{}\",", self.path(import)));
        }
        line(format_args!("    \"\"}};"));
        line(format_args!(
            "void **HcrGetImportedModules(void) {{ return (void **)imports; }}"
        ));
        line(format_args!(
            "char *HcrGetSigHash(void) {{ return \"__{}\"; }}",
            hash(number, 7000)
        ));
        line(format_args!("\nvoid HcrCreateTypeInfos(void) {{"));
        for i in 0..TYPE_INFOS {
            line(format_args!("    TYPE_INFO({})", type_name(number, i)));
        }
        line(format_args!("}}\n\nvoid DatInit000(void) {{"));
        for i in 0..PROCS {
            line(format_args!("    OWN_PROC({})", proc_name(number, i)));
        }
        for (module, name) in procs_taken(&imports) {
            line(format_args!(
                "    GET_PROC(\"{}\", {name})",
                self.path(module)
            ));
        }
        line(format_args!("}}\n\nvoid Init000(void) {{"));
        line(format_args!("    OWN_GLOBAL(module_initialized_, 1, 1)"));
        for (module, name) in globals_taken(&imports) {
            line(format_args!(
                "    GET_GLOBAL(\"{}\", {name})",
                self.path(module)
            ));
        }
        for i in 0..GLOBALS {
            line(format_args!(
                "    OWN_GLOBAL({}, sizeof(long), {i})",
                global_name(number, i)
            ));
        }
        line(format_args!("}}"));
        c
    }

    /// The modules that a root imports to have the first `n` of them: system, then all others.
    pub fn root_imports(&self, n: usize) -> Vec<String> {
        assert!(n <= self.count, "only {} modules were built", self.count);
        (0..n).map(Self::file).collect()
    }
}

/// Puts `build` in the place of `file` by rename, with a modification time of its own.
///
/// The file that was there stays on disk under another name: a file system such as ext4 looks at each
/// lately deleted file when it makes a new one, and that would be measured with the reload.
pub fn replace_file(file: &Path, build: &Path) -> Result<()> {
    static REPLACED: AtomicUsize = AtomicUsize::new(0);
    let beside = |what: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(what);
        PathBuf::from(name)
    };
    let new = beside(".new");
    fs::copy(build, &new).with_context(|| format!("copying {}", build.display()))?;
    let number = REPLACED.fetch_add(1, Ordering::Relaxed);
    fs::hard_link(file, beside(&format!(".was{number}")))?;
    fs::rename(&new, file).with_context(|| format!("replacing {}", file.display()))
}

/// system, and some modules with smaller numbers, near and far.
fn imports_of(number: usize) -> Vec<usize> {
    let mut imports = Vec::new();
    for candidate in [
        0,
        number / 2,
        number / 3,
        number.saturating_sub(1),
        number / 5,
        number.saturating_sub(7),
    ] {
        if candidate < number && !imports.contains(&candidate) {
            imports.push(candidate);
        }
    }
    imports.truncate(IMPORTS + 1);
    imports
}

fn procs_taken(imports: &[usize]) -> Vec<(usize, String)> {
    let from =
        |&module: &usize| (0..PROCS_FROM_EACH).map(move |i| (module, proc_name(module, 2 + i)));
    imports.iter().flat_map(from).collect()
}

fn globals_taken(imports: &[usize]) -> Vec<(usize, String)> {
    let from =
        |&module: &usize| (0..GLOBALS_FROM_EACH).map(move |i| (module, global_name(module, i)));
    imports.iter().flat_map(from).collect()
}

fn proc_name(module: usize, index: usize) -> String {
    format!(
        "work{index}__m{module}_{}___{}",
        3 + 5 * index,
        hash(module, index)
    )
}

fn global_name(module: usize, index: usize) -> String {
    format!(
        "state{index}__m{module}_{}___{}",
        300 + index,
        hash(module, 1000 + index)
    )
}

fn type_name(module: usize, index: usize) -> String {
    format!("NTIthing{index}__{}_", hash(module, 2000 + index))
}

/// 22 letters and digits that look like the compiler's hash of a signature.
fn hash(module: usize, index: usize) -> String {
    let digits = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut state = (module as u64 + 1) << 20 | (index as u64 + 1);
    (0..22)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(digits[(state >> 33) as usize % digits.len()])
        })
        .collect()
}

/// Compiles all jobs (source, library, version), as many at once as there are processors.
fn compile_all(jobs: &[(PathBuf, PathBuf, usize)]) -> Result<()> {
    let at_once = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) else {
                return Ok(());
            };
            compile(job)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a compiling thread panicked"),
            }
        }
        Ok(())
    })
}

fn compile((source, library, version): &(PathBuf, PathBuf, usize)) -> Result<()> {
    let status = Command::new("gcc")
        .args([
            "-shared",
            "-fPIC",
            "-O1",
            "-fvisibility=hidden",
            "-Wall",
            "-Wno-unused",
        ])
        .arg(format!("-DVERSION={version}"))
        .arg("-o")
        .args([library, source])
        .stdin(Stdio::null())
        .status()
        .context("starting gcc")?;
    if !status.success() {
        bail!("gcc {} ended with {status}", source.display());
    }
    Ok(())
}
