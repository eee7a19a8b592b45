//! What is noted of a library when it is read: everything that a later reload wants to compare.

use std::path::PathBuf;
use std::time::SystemTime;

use hashbrown::{HashMap, HashSet};
use liveswap_runtime::{Examined, Name, Note};

use crate::c_file::{CFile, Definitions, functions, words};
use crate::c_name::CName;
use crate::closures::{self, Closures};
use crate::elf_symbols;
use crate::layouts::{self, Layouts};
use crate::threadvars::{Emulated, Homes, ThreadVars};

/// What is noted of a library.
#[derive(Debug)]
pub(crate) struct Facts {
    /// `None` if the C file could not be read.
    pub(crate) closures: Option<Closures>,
    /// Fingerprints of the bodies of anonymous procs, by name.
    pub(crate) bodies: HashMap<Vec<u8>, u64>,
    pub(crate) layouts: Layouts,
    /// The compiler is 2.x, as far as can be told.
    pub(crate) version_two: bool,
    /// Objects are counted without a collector.
    pub(crate) arc_or_orc: bool,
    /// Procs by their `{.global.}` variables.
    pub(crate) globals_of_procs: HashMap<Vec<u8>, Vec<u8>>,
    /// The C file told of them.
    pub(crate) owners_are_known: bool,
    /// `None` if neither the library's symbol table nor the C file tells; empty for the first build,
    /// which is matched with nothing.
    pub(crate) symbols: Option<Symbols>,
    /// `None` if the module has none.
    pub(crate) thread_vars: Option<ThreadVars>,
    /// `None` if they are not emulated.
    pub(crate) emulated: Option<Emulated>,
    /// The C file, and when it was looked at.
    source: Option<PathBuf>,
    read_at: SystemTime,
}

/// Symbols of a library, those of other modules that it uses included.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    /// Procs that it defines, without `_actual`.
    pub(crate) procs: HashSet<Vec<u8>>,
    /// Constants that it defines, without `_const`.
    pub(crate) constants: HashSet<Vec<u8>>,
    /// Names that change from build to build.
    pub(crate) unstable: HashSet<Vec<u8>>,
    pub(crate) version_two: bool,
    /// Type infos are those of arc and orc.
    pub(crate) arc_or_orc: bool,
}

impl Facts {
    /// Looks at the library of `module`, whose content is `file`.
    /// Leads the library to the places of its thread-locals.
    pub(crate) fn gather(examined: &mut Examined<'_>, homes: &Homes) -> Facts {
        let (module, reload) = (examined.module, examined.reload);
        let old = examined.old.take();
        let old = Facts::of(old.as_ref()).and_then(|old| old.thread_vars.as_ref());
        let read_at = SystemTime::now();
        let symbols = Symbols::of_library(examined.file, reload);
        let mut facts = Facts {
            closures: None,
            bodies: HashMap::new(),
            layouts: Layouts::new(),
            arc_or_orc: symbols.as_ref().is_some_and(|symbols| symbols.arc_or_orc),
            version_two: symbols.as_ref().is_some_and(|symbols| symbols.version_two),
            globals_of_procs: HashMap::new(),
            owners_are_known: false,
            symbols,
            thread_vars: None,
            emulated: None,
            source: None,
            read_at,
        };
        if let Some(file) = CFile::of_library(module.as_path()) {
            let definitions = Definitions::new(&file.text);
            facts.version_two |= file.is_of_version_two();
            facts.arc_or_orc |= file.is_arc_or_orc();
            facts.closures = Some(closures::of_file(&file, &definitions));
            facts.bodies = definitions.anonymous_bodies(&file);
            if !file.doubtful {
                facts.globals_of_procs = file.globals_of_procs();
                facts.owners_are_known = true;
            }
            facts.layouts = layouts::of_file(&file, &definitions);
            if facts.symbols.is_none() && !file.doubtful {
                facts.symbols = Some(Symbols::of_c_file(&file, reload));
            }
            facts.emulated = Emulated::of_text(&file.text, &definitions);
            facts.thread_vars = homes.prepare(module, examined.file, &file, old);
            facts.source = Some(file.path);
        }
        facts
    }

    /// The facts in a note.
    pub(crate) fn of(note: Option<&Note>) -> Option<&Facts> {
        note?.downcast_ref()
    }

    /// Whether the compiler has written the C file of this module anew, but not yet the library; `None`
    /// without a C file.
    pub(crate) fn is_behind_its_source(&self, module: &Name) -> Option<bool> {
        let changed = |path: &std::path::Path| path.metadata().ok()?.modified().ok();
        let source = changed(self.source.as_deref()?)?;
        let behind = || changed(module.as_path()).is_some_and(|library| source > library);
        Some(source > self.read_at && behind())
    }
}

impl Symbols {
    fn of_library(file: &[u8], reload: bool) -> Option<Symbols> {
        let mut symbols = Symbols::default();
        elf_symbols::for_each(file, |name, _| {
            let proc = name.strip_suffix(b"_actual");
            let constant = name.strip_suffix(b"_const");
            let name = proc.or(constant).unwrap_or(name);
            let parsed = CName::parse(name);
            symbols.arc_or_orc |= name.starts_with(b"NTIv2");
            symbols.version_two |= parsed.as_ref().is_some_and(|name| name.version_two);
            if !reload {
                return;
            }
            if parsed.is_some() {
                symbols.unstable.insert(name.to_vec());
            }
            if proc.is_some() {
                symbols.procs.insert(name.to_vec());
            }
            if constant.is_some() {
                symbols.constants.insert(name.to_vec());
            }
        })?;
        Some(symbols)
    }

    /// A library without a symbol table was stripped: its C file has the names too.
    fn of_c_file(file: &CFile, reload: bool) -> Symbols {
        let mut symbols = Symbols::default();
        if !reload {
            return symbols;
        }
        for function in functions(&file.text) {
            symbols.procs.insert(function.name.as_bytes().to_vec());
        }
        for word in words(&file.text).filter(|word| word.contains("___")) {
            let name = word.as_bytes();
            let constant = name.strip_suffix(b"_const");
            let name = name.strip_suffix(b"_actual").or(constant).unwrap_or(name);
            if CName::parse(name).is_some() {
                symbols.unstable.insert(name.to_vec());
            }
            symbols.constants.extend(constant.map(<[u8]>::to_vec));
        }
        symbols
    }
}
