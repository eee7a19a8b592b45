//! The project that is edited: the same program in the form that each contender wants.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use super::large;

/// A file that makes the programs of a project end.
const STOP: &str = "stop";

/// Who the project is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An ordinary project, for Liveswap, cargo and rustc.
    Plain,
    /// The library is a `dylib` too; the binary calls wrappers that a macro makes from its source.
    HotLibReloader,
    /// The library is a `dylib` too; its functions have an attribute.
    Hotcode,
    /// The binary connects to `dx` and calls through `subsecond::call`.
    Subsecond,
}

/// What is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Some lines.
    Small,
    /// A library of 30,000 lines, 150 packages of crates.io.
    Large,
}

/// What is edited, and where: one number in the body of one function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// A function of the binary crate.
    Binary,
    /// A function of the library crate: the binary need not be compiled.
    Library,
    /// A generic function of the library crate, whose instance is in the binary crate.
    Generic,
}

impl Edit {
    pub const ALL: [Self; 3] = [Self::Binary, Self::Library, Self::Generic];

    pub fn told(self) -> &'static str {
        match self {
            Self::Binary => "function of the binary",
            Self::Library => "function of the library",
            Self::Generic => "generic function of the library, instance in the binary",
        }
    }

    /// What the program prints after the edit.
    pub fn mark(self, value: u64) -> String {
        let name = match self {
            Self::Binary => "bin",
            Self::Library => "lib",
            Self::Generic => "gen",
        };
        format!("{name}={value} ")
    }
}

/// A project on disk.
pub struct Project {
    pub folder: PathBuf,
    form: Form,
    size: Size,
}

impl Project {
    pub fn create(folder: PathBuf, form: Form, size: Size, opt_level: u8) -> Result<Self> {
        let project = Self { folder, form, size };
        let stop = project.folder.join(STOP);
        if stop.exists() {
            fs::remove_file(stop)?;
        }
        project.write("Cargo.toml", &app_manifest(form, size, opt_level))?;
        project.write("logic/Cargo.toml", &logic_manifest(form, size))?;
        project.write("logic/src/lib.rs", lib_text(size))?;
        if size == Size::Large {
            project.write("src/world.rs", large::WORLD)?;
            for (path, text) in large::modules() {
                project.write(&format!("logic/src/{path}"), &text)?;
            }
        }
        for edit in Edit::ALL {
            project.save(edit, 1)?;
        }
        Ok(project)
    }

    /// Saves the file with the edited number.
    pub fn save(&self, edit: Edit, value: u64) -> Result<()> {
        let (path, text) = match edit {
            Edit::Binary => ("src/main.rs", main_text(self.form, self.size, value)),
            Edit::Library => (
                "logic/src/shown.rs",
                shown_text(self.form, self.size, value),
            ),
            Edit::Generic => ("logic/src/generic.rs", generic_text(value)),
        };
        self.write(path, &text)
    }

    /// Makes the programs of this project end.
    pub fn stop(&self) {
        // Where it cannot be written, the folder is gone, and with it the program.
        let _ = fs::write(self.folder.join(STOP), "");
    }

    pub fn target(&self) -> PathBuf {
        self.folder.join("target")
    }

    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }
}

pub fn app_manifest(form: Form, size: Size, opt_level: u8) -> String {
    let own = match form {
        Form::Plain => "",
        Form::HotLibReloader => "hot-lib-reloader = \"0.8\"\n",
        Form::Hotcode => "hotcode = \"1.0\"\n",
        Form::Subsecond => {
            "dioxus-devtools = { version = \"0.7\", default-features = false }\nsubsecond = \"0.7\"\n"
        }
    };
    let large = if size == Size::Large {
        large::APP_DEPENDENCIES
    } else {
        ""
    };
    format!(
        "[workspace]\nmembers = [\"logic\"]\nresolver = \"3\"\n\n\
         [package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [dependencies]\nlogic = {{ path = \"logic\" }}\n{own}{large}\n\
         [profile.dev]\nopt-level = {opt_level}\n"
    )
}

pub fn logic_manifest(form: Form, size: Size) -> String {
    let (kinds, own) = match form {
        Form::Plain | Form::Subsecond => ("", ""),
        Form::HotLibReloader => ("[lib]\ncrate-type = [\"rlib\", \"dylib\"]\n\n", ""),
        Form::Hotcode => (
            "[lib]\ncrate-type = [\"rlib\", \"dylib\"]\n\n",
            "hotcode = \"1.0\"\n",
        ),
    };
    let large = if size == Size::Large {
        large::LOGIC_DEPENDENCIES
    } else {
        ""
    };
    format!(
        "[package]\nname = \"logic\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n{kinds}\
         [dependencies]\n{own}{large}"
    )
}

fn main_text(form: Form, size: Size, value: u64) -> String {
    let (logic, call, connect) = match form {
        Form::Plain | Form::Hotcode => ("use logic::shown as hot;\n", "values()", ""),
        Form::HotLibReloader => (
            "#[hot_lib_reloader::hot_module(dylib = \"logic\", file_watch_debounce = 20)]\n\
             mod hot {\n    hot_functions_from_file!(\"logic/src/shown.rs\");\n}\n",
            "values()",
            "",
        ),
        Form::Subsecond => (
            "use logic::shown as hot;\n",
            "subsecond::call(values)",
            "    dioxus_devtools::connect_subsecond();\n",
        ),
    };
    let (world, start) = match size {
        Size::Small => ("", ""),
        Size::Large => ("mod world;\n", "    world::start();\n"),
    };
    format!(
        r#"use std::path::Path;
use std::time::Duration;

{world}{logic}
#[inline(never)]
fn shown() -> u64 {{
    std::hint::black_box(1) * {value}
}}

#[inline(never)]
fn values() -> [u64; 3] {{
    [shown(), hot::shown(), logic::generic::times(1_u32)]
}}

fn main() {{
{connect}{start}    let stop = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/stop"));
    let mut last = [0; 3];
    for turn in 0_u64.. {{
        let now = {call};
        if now != last {{
            println!("live bin={{}} lib={{}} gen={{}} .", now[0], now[1], now[2]);
            last = now;
        }}
        if turn % 256 == 0 && stop.exists() {{
            return;
        }}
        std::thread::sleep(Duration::from_millis(1));
    }}
}}
"#
    )
}

fn lib_text(size: Size) -> &'static str {
    match size {
        Size::Small => "pub mod generic;\npub mod shown;\n",
        Size::Large => "pub mod generated;\npub mod generic;\npub mod shown;\n",
    }
}

fn shown_text(form: Form, size: Size, value: u64) -> String {
    let attribute = match form {
        Form::Plain | Form::Subsecond => "#[inline(never)]",
        Form::HotLibReloader => "#[unsafe(no_mangle)]",
        Form::Hotcode => "#[hotcode::hotreload(always)]",
    };
    let more = match size {
        Size::Small => "",
        Size::Large => " + crate::generated::nothing()",
    };
    format!(
        "{attribute}\npub fn shown() -> u64 {{\n    std::hint::black_box(1) * {value}{more}\n}}\n"
    )
}

fn generic_text(value: u64) -> String {
    format!("pub fn times<T: Into<u64>>(base: T) -> u64 {{\n    base.into() * {value}\n}}\n")
}
