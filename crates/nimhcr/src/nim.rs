//! What this process has of Nim.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use hashbrown::HashSet;

use crate::collector::Collector;
use crate::threadvars::{CurrentStruct, Homes};
use crate::type_infos::TypeInfos;

#[derive(Debug, Default)]
pub(crate) struct Nim {
    /// Modules come from Nim 2.x, whose handlers have no environment.
    pub(crate) version_two: AtomicBool,
    pub(crate) collector: OnceLock<Collector>,
    pub(crate) type_infos: TypeInfos,
    pub(crate) thread_vars: Homes,
    pub(crate) emulated: CurrentStruct,
    /// What the names of all modules of the standard library begin with.
    standard: OnceLock<Vec<u8>>,
    /// Closures of former images may be running: from here on they may call what nobody else needs.
    pub(crate) closures_in_flight: AtomicBool,
    /// Names of constants.
    constants: Mutex<HashSet<Vec<u8>>>,
}

impl Nim {
    /// Learns from the system module where the standard library is: `…@slib@ssystem.nim.c.so` in Nim 1.6, `@s`
    /// standing for a slash of the source's path; `…@psystem.nim.c.so` in 2.x, `@p` standing for the folders in which
    /// modules are searched for, so that installed packages count as well.
    pub(crate) fn set_system(&self, system: &[u8]) {
        let file = b"system.nim.c";
        let end = system
            .windows(file.len())
            .rposition(|window| window == file);
        if let Some(folder) = end
            .map(|end| &system[..end])
            .filter(|it| it.ends_with(b"@s") || it.ends_with(b"@p"))
        {
            if folder.ends_with(b"@p") {
                self.version_two.store(true, Ordering::Relaxed);
            }
            // A second program in this process would have the same.
            let _ = self.standard.set(folder.to_vec());
        }
    }

    /// Whether a module belongs to the standard library.
    pub(crate) fn is_standard(&self, module: &[u8]) -> bool {
        self.standard
            .get()
            .is_some_and(|folder| module.starts_with(folder))
    }

    pub(crate) fn add_constants(&self, names: &HashSet<Vec<u8>>) {
        let mut constants = self
            .constants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        constants.extend(names.iter().cloned());
    }

    /// Whether a global is a constant, whose content comes anew with every image.
    pub(crate) fn is_constant(&self, name: &[u8]) -> bool {
        self.constants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_library_is_where_system_is() {
        let nim = Nim::default();
        assert!(!nim.is_standard(b"/c/lib@m..@susr@slib@snim@slib@spure@sos.nim.c.so"));
        nim.set_system(b"/c/lib@m..@susr@slib@snim@slib@ssystem.nim.c.so");
        assert!(nim.is_standard(b"/c/lib@m..@susr@slib@snim@slib@spure@sos.nim.c.so"));
        assert!(!nim.is_standard(b"/c/lib@mlogic.nim.c.so"));
    }

    #[test]
    fn the_standard_library_of_nim_2_is_found_by_search() {
        let nim = Nim::default();
        nim.set_system(b"/c/lib@psystem.nim.c.so");
        assert!(nim.is_standard(b"/c/lib@pstd@scmdline.nim.c.so"));
        assert!(!nim.is_standard(b"/c/lib@mlogic.nim.c.so"));
    }

    #[test]
    fn a_system_module_of_a_program_without_paths_makes_nothing_standard() {
        let nim = Nim::default();
        nim.set_system(b"/c/libsystem.so");
        nim.set_system(b"/c/lib@msystem.nim.c.so");
        assert!(!nim.is_standard(b"/c/lib@mlogic.nim.c.so"));
    }
}
