//! The programs that the project needs beside Rust, where they come from, and how to get them.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::{Result, project};

/// A program, the Debian packages that bring it, and what it is needed for.
pub struct Tool {
    program: &'static str,
    packages: &'static [&'static str],
    what_for: &'static str,
}

const CC: Tool = Tool {
    program: "gcc",
    packages: &["gcc", "libc6-dev"],
    what_for: "compiles C fixtures and what Nim emits",
};
const CXX: Tool = Tool {
    program: "g++",
    packages: &["g++"],
    what_for: "compiles what Nim emits for C++, and the library that fuzz targets are driven by",
};
const NIM: Tool = Tool {
    program: "nim",
    packages: &["nim"],
    what_for: "compiles the Nim programs",
};
const PIP: Tool = Tool {
    program: "pip3",
    packages: &["python3-pip"],
    what_for: "gets Nim 2, which Debian does not have",
};
const VALGRIND: Tool = Tool {
    program: "valgrind",
    packages: &["valgrind", "libc6-dbg"],
    what_for: "looks for memory errors",
};
const GDB: Tool = Tool {
    program: "gdb",
    packages: &["gdb"],
    what_for: "shows that reloaded code can be debugged",
};

const BINUTILS: Tool = Tool {
    program: "addr2line",
    packages: &["binutils"],
    what_for: "reads what was linked: GNU ld, readelf, addr2line",
};
const MOLD: Tool = Tool {
    program: "mold",
    packages: &["mold"],
    what_for: "a linker that people use",
};
const CLANG: Tool = Tool {
    program: "clang",
    packages: &["clang"],
    what_for: "drives linkers in its own way",
};
const GIT: Tool = Tool {
    program: "git",
    packages: &["git"],
    what_for: "changes many sources at once",
};
const TMUX: Tool = Tool {
    program: "tmux",
    packages: &["tmux"],
    what_for: "a terminal whose screen a test can read",
};

const XVFB: Tool = Tool {
    program: "Xvfb",
    packages: &[
        "xvfb",
        "libgl1",
        "libgl1-mesa-dri",
        "libxi6",
        "libxkbcommon0",
    ],
    what_for: "a display for a game",
};

pub const FOR_TESTS: &[Tool] = &[
    CC, CXX, NIM, PIP, VALGRIND, GDB, BINUTILS, MOLD, CLANG, GIT, TMUX,
];
/// What programs of the field need that tests do not.
pub const FOR_FIELD: &[Tool] = &[CC, TMUX, XVFB];
pub const FOR_FUZZ: &[Tool] = &[CC, CXX];
pub const FOR_DEMO: &[Tool] = &[CC];
pub const FOR_NIM_DEMO: &[Tool] = &[CC, NIM];

/// Makes sure that all of `tools` are there: installs what is missing when that is possible (root on
/// a system with apt-get), and otherwise says exactly what to install.
pub fn provide(tools: &[Tool]) -> Result<()> {
    let absent = missing(tools, &search_path());
    if absent.is_empty() {
        return Ok(());
    }
    let packages = packages_of(&absent);
    for tool in &absent {
        println!("missing: {} ({})", tool.program, tool.what_for);
    }
    if !is_root()? || find("apt-get", &search_path()).is_none() {
        return Err(format!(
            "please install what is missing; on Debian: {}",
            by_hand(&packages)
        ));
    }
    println!("installing: {}", packages.join(" "));
    project::run(apt_get().arg("update"))?;
    project::run(
        apt_get()
            .args(["install", "-y", "--no-install-recommends"])
            .args(&packages),
    )?;
    let still_absent = missing(tools, &search_path());
    if still_absent.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = still_absent.iter().map(|tool| tool.program).collect();
    Err(format!(
        "installed {}, but still there is no {}",
        packages.join(" "),
        names.join(", no ")
    ))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

fn by_hand(packages: &[&str]) -> String {
    format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

fn missing<'a>(tools: &'a [Tool], path: &[PathBuf]) -> Vec<&'a Tool> {
    tools
        .iter()
        .filter(|tool| find(tool.program, path).is_none())
        .collect()
}

fn packages_of(tools: &[&Tool]) -> Vec<&'static str> {
    tools
        .iter()
        .flat_map(|tool| tool.packages.iter().copied())
        .collect()
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn find(program: &str, path: &[PathBuf]) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    path.iter().map(|folder| folder.join(program)).find(|file| {
        file.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

fn is_root() -> Result<bool> {
    Ok(project::stdout_of(Command::new("id").arg("-u"))?.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_asked_for_by_package_name() {
        let shell = Tool {
            program: "sh",
            packages: &["dash"],
            what_for: "is on every machine",
        };
        let never = Tool {
            program: "no-such-tool",
            packages: &["one", "two"],
            what_for: "nothing",
        };
        let tools = [shell, never];
        let absent = missing(&tools, &search_path());
        assert_eq!(
            absent.iter().map(|tool| tool.program).collect::<Vec<_>>(),
            ["no-such-tool"]
        );
        let packages = packages_of(&absent);
        assert_eq!(
            by_hand(&packages),
            "apt-get install --no-install-recommends one two"
        );
    }

    #[test]
    fn a_file_that_may_not_be_executed_is_no_program() {
        let folder = std::env::temp_dir().join(format!("xtask-tools-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("gcc"), "").expect("a file");
        let found = find("gcc", std::slice::from_ref(&folder));
        std::fs::remove_dir_all(&folder).expect("the folder is removed");
        assert_eq!(found, None);
    }
}
