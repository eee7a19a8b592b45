//! Where a program of the field is built and edited: a folder that is kept from run to run, so that
//! dependencies are compiled once.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;

use crate::library::target_directory;

use super::script::Program;
use super::source;

/// A program's folders and its port.
pub struct Site {
    /// The project.
    pub root: PathBuf,
    /// What the program works on.
    pub data: PathBuf,
    /// Where it is built.
    pub target: PathBuf,
    /// A port of this machine that nobody listened on.
    pub port: u16,
    /// Another one.
    pub other_port: u16,
    _lock: File,
}

impl Site {
    /// The place of a program, with its source as it is before any edit. Another run of it waits until the
    /// place is free.
    ///
    /// # Errors
    /// What cargo or the file system says.
    pub fn of(program: &Program) -> Result<Self, String> {
        let folder = target_directory()
            .join("tmp/liveswap-field")
            .join(program.name);
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let [port, other_port] = free_ports().map_err(failed)?;
        let site = Self {
            root: folder.join("source"),
            data: folder.join("data"),
            target: folder.join("target"),
            port,
            other_port,
            _lock: lock,
        };
        source::provide(program.origin, &folder.join("fetch"), &site.root)?;
        let prepare = || {
            if site.data.exists() {
                fs::remove_dir_all(&site.data)?;
            }
            fs::create_dir_all(&site.data)?;
            fs::create_dir_all(&site.target)?;
            (program.prepare)(&site)
        };
        prepare().map_err(failed)?;
        Ok(site)
    }

    /// The text of a file of the project.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, file: &str) -> Result<String, String> {
        let path = self.root.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Saves a file of the project as editors do: a new one takes the place of the old one.
    ///
    /// # Errors
    /// What the file system says.
    pub fn save(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.root.join(file);
        let fresh = path.with_extension("swp");
        fs::write(&fresh, text)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// Somebody else may take them before the program does; it says so then.
fn free_ports() -> io::Result<[u16; 2]> {
    let listen = || TcpListener::bind(("127.0.0.1", 0));
    let (one, other) = (listen()?, listen()?);
    Ok([one.local_addr()?.port(), other.local_addr()?.port()])
}
