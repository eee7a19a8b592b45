//! The versions of a server: compiled ahead, so that a reload comes when it is wanted, and put into the nimcache as
//! the compiler would.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Kind, Options};
use crate::nim;

/// What the compiler leaves for each version.
pub(super) struct Versions {
    folder: PathBuf,
    built: Vec<PathBuf>,
}

impl Versions {
    /// Compiles `count` versions in `folder`.
    pub(super) fn compile(options: &Options, folder: &Path, count: usize) -> Versions {
        let mut versions = Versions {
            folder: folder.to_path_buf(),
            built: Vec::new(),
        };
        let sources = folder.join("src");
        fs::create_dir(&sources).expect("a folder can be made");
        fs::write(sources.join("main.nim"), fixture("main")).expect("a source can be written");
        for version in 0..count {
            fs::write(sources.join("work.nim"), work(version)).expect("a source can be written");
            fs::write(sources.join("server.nim"), server(options.kind, version))
                .expect("a source can be written");
            let output = match version {
                0 => versions.program(),
                _ => folder.join("scratch"),
            };
            nim::compile(options.build, &sources, &versions.nimcache(), &output)
                .unwrap_or_else(|said| panic!("version {version} does not compile:\n{said}"));
            let kept = folder.join(format!("version-{version}"));
            fs::create_dir(&kept).expect("a folder can be made");
            for file in files(&versions.nimcache()) {
                let name = file.file_name().expect("files have names");
                fs::copy(&file, kept.join(name)).expect("a file can be copied");
            }
            versions.built.push(kept);
        }
        versions
    }

    pub(super) fn program(&self) -> PathBuf {
        self.folder.join("program")
    }

    fn nimcache(&self) -> PathBuf {
        self.folder.join("nimcache")
    }

    /// Puts the files of a version that differ from those that are there into the nimcache: sources, then objects, then
    /// libraries.
    pub(super) fn switch(&mut self, version: usize) {
        let mut files = files(&self.built[version]);
        let order = |file: &PathBuf| match file.extension().and_then(|it| it.to_str()) {
            Some("so") => 2,
            Some("o") => 1,
            _ => 0,
        };
        files.sort_by_key(order);
        for file in files {
            let name = file.file_name().expect("files have names");
            let place = self.nimcache().join(name);
            let text = fs::read(&file).expect("a file can be read");
            if fs::read(&place).is_ok_and(|there| there == text) {
                continue;
            }
            let unfinished = self.folder.join("unfinished");
            fs::write(&unfinished, text).expect("a file can be written");
            fs::rename(&unfinished, &place).expect("a file can be moved");
        }
    }
}

/// The compiler's files in a folder, without the run-time's copies of libraries.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder can be read");
    entries
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| {
            let name = path.to_string_lossy();
            let ends = [".c", ".cpp", ".o", ".so"];
            ends.iter().any(|end| name.ends_with(end)) && !name.contains(".liveswap-")
        })
        .collect()
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/nim_server")
        .join(format!("{name}.nim"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn work(version: usize) -> String {
    const EXTRAS: [(&str, &str); 4] = [
        (
            "sequtils",
            "kept[\"x\"] = @[\"a\", \"b\"].mapIt(it & text).join(\",\")",
        ),
        (
            "algorithm",
            "kept[\"x\"] = @[\"b\", text].sorted.join(\",\")",
        ),
        ("math", "ticks += binom(5, 2)"),
        ("unicode", "kept[\"x\"] = text.toUpper"),
    ];
    let (module, code) = EXTRAS[version % EXTRAS.len()];
    let (variable, mut code) = if version % 2 == 1 {
        (
            format!("var fresh{version} {{.threadvar.}}: seq[string]"),
            format!(
                "{code}\n  fresh{version}.add text\n  if fresh{version}.len > 9: fresh{version}.setLen 1"
            ),
        )
    } else {
        (String::new(), code.to_owned())
    };
    code.push('\n');
    fixture("work")
        .replace("EXTRA_MODULE]", &format!("{module}]"))
        .replace("\nNEW_VARIABLE\n", &format!("\n{variable}\n"))
        .replace("  EXTRA_CODE\n", &format!("  {code}"))
        .replace("= VERSION", &format!("= {version}"))
}

fn server(kind: Kind, version: usize) -> String {
    let text = fixture(match kind {
        Kind::Lines => "async",
        Kind::Http => "http",
    });
    if version % 3 != 2 {
        return text;
    }
    // What the dispatcher calls changes, too, and its module.
    text.replace("inc ticks", &format!("ticks += {}", version + 1))
        .replace(
            "  addTimer",
            &format!("  if ticks < 0: echo {version}\n  addTimer"),
        )
}
