//! What Nim adds to the module protocol.

use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use liveswap_runtime::{
    Build, ChangedModule, CodeAddress, Dialect, Examined, Name, Note, Removed, RemovedProc,
    SymbolKind, SymbolPlan,
};

use crate::c_name::{self, CName};
use crate::collector;
use crate::facts::Facts;
use crate::nim::Nim;
use crate::{door, layouts, matching, type_infos};

/// Where type infos are kept: they belong to the program. The compiler gives each to the module that
/// happens to use its type first, and that may be another one after an edit.
const PROGRAM: &[u8] = b"";

const NOT_REFC: &str = "it is compiled with --mm:arc or --mm:orc (the default of Nim 2), for which the compiler's own code \
    for reloadable programs crashes or does not compile once something is edited; compile program and libnimrtl with --mm:refc";

pub(crate) struct NimDialect {
    nim: Arc<Nim>,
}

impl NimDialect {
    pub(crate) fn new(nim: Arc<Nim>) -> NimDialect {
        NimDialect { nim }
    }
}

impl Dialect for NimDialect {
    fn examine(&self, module: &mut Examined<'_>) -> Option<Note> {
        let facts = Facts::gather(module, &self.nim.thread_vars);
        if facts.version_two {
            self.nim.version_two.store(true, Ordering::Relaxed);
        }
        if let Some(symbols) = &facts.symbols {
            self.nim.add_constants(&symbols.constants);
        }
        Some(Arc::new(facts))
    }

    fn loaded(&self, note: &Note, base: usize) -> Result<(), String> {
        let Some(facts) = Facts::of(Some(note)) else {
            return Ok(());
        };
        if facts.arc_or_orc {
            return Err(NOT_REFC.to_owned());
        }
        if let Some(emulated) = &facts.emulated {
            self.nim.emulated.admits(emulated)?;
        }
        let thread_vars = facts.thread_vars.as_ref();
        thread_vars.map_or(Ok(()), |thread_vars| thread_vars.loaded(base))
    }

    fn link(&self, new: &[Option<Note>], loaded: &[Note]) -> Result<(), (usize, String)> {
        let vars = |note| Facts::of(note).and_then(|facts| facts.thread_vars.as_ref());
        let new: Vec<_> = new.iter().map(|note| vars(note.as_ref())).collect();
        let loaded: Vec<_> = loaded.iter().filter_map(|note| vars(Some(note))).collect();
        self.nim.thread_vars.link(&new, &loaded)
    }

    fn committed(&self, module: &Name, note: &Note) {
        self.nim.thread_vars.committed(module);
        if let Some(emulated) = Facts::of(Some(note)).and_then(|facts| facts.emulated.as_ref()) {
            self.nim.emulated.committed(emulated);
        }
    }

    fn build(&self, modules: &[(Name, Option<Note>)]) -> Build {
        let mut build = Build::Unknown;
        for (module, note) in modules {
            match Facts::of(note.as_ref()).and_then(|facts| facts.is_behind_its_source(module)) {
                Some(true) => return Build::Unfinished(module.clone()),
                Some(false) => build = Build::Complete,
                None => {}
            }
        }
        build
    }

    fn match_symbols(
        &self,
        changed: &[ChangedModule],
        added: &[Note],
        loaded: &[Note],
    ) -> SymbolPlan {
        let (mut plan, closures_in_flight) = matching::plan(changed, added, loaded);
        if closures_in_flight {
            self.nim.closures_in_flight.store(true, Ordering::Relaxed);
        }
        let mut types = BTreeSet::new();
        for module in changed {
            let (old, new) = (
                Facts::of(module.old.as_ref()),
                Facts::of(module.new.as_ref()),
            );
            if let Some(new) = new.and_then(|new| new.thread_vars.as_ref()) {
                let old = old.and_then(|old| old.thread_vars.as_ref());
                plan.notices.extend(new.notices(&module.module, old));
            }
            if let (Some(old), Some(new)) = (old, new) {
                types.extend(layouts::changed(&old.layouts, &new.layouts));
            }
        }
        if !types.is_empty() {
            let types = types.into_iter().collect::<Vec<_>>().join(", ");
            plan.notices.push(format!(
                "changed layout of {types}: objects on the heap that were made before keep the old one"
            ));
        }
        plan
    }

    fn identity(&self, name: &[u8], kind: SymbolKind) -> Vec<u8> {
        match kind {
            SymbolKind::Proc => c_name::identity(name),
            SymbolKind::Global => c_name::identity_of_variable(name),
        }
    }

    fn home(&self, name: &[u8]) -> Option<&'static [u8]> {
        type_infos::is_type_info(name).then_some(PROGRAM)
    }

    fn removed_proc(&self, proc: &Removed<'_>) -> RemovedProc {
        let closures = Facts::of(proc.note).and_then(|facts| facts.closures.as_ref());
        // Objects of a removed type may live on, and the collector goes through their markers.
        let needed = proc.name.starts_with(b"Marker_ty")
            // Functions of other libraries, which do not go away.
            || proc.name.starts_with(b"Dl_")
            // The compiler leaves out what nobody uses any more, but the main program and old closures
            // may: the standard library never removes anything,
            || self.nim.is_standard(proc.module)
            // and an instance of a generic proc may only have moved to another of its users.
            || (proc.on_behalf && CName::parse(proc.name).is_some())
            // Closures may be in flight, and once some are, they may call anything.
            || closures.is_some_and(|closures| closures.contains_key(&**proc.name))
            || self.nim.closures_in_flight.load(Ordering::Relaxed);
        if needed {
            RemovedProc::KeepsOldCode
        } else {
            RemovedProc::Gone
        }
    }

    fn keeps_global(&self, name: &[u8]) -> bool {
        // Type infos and their nodes: living objects and other type infos refer to them.
        type_infos::is_type_info(name)
            || (name.starts_with(b"TM__") && CName::parse(name).is_none())
    }

    fn holds_unmarked(&self, name: &[u8]) -> bool {
        // Nim 1.6 gives each global that holds references a marker, 2.x none.
        self.nim.version_two.load(Ordering::Relaxed) && !self.keeps_global(name)
    }

    fn memory_of_global(&self, name: &[u8], size: usize) -> Option<NonNull<u8>> {
        let shared = self.nim.type_infos.shared(name, size);
        shared.or_else(|| collector::heap_of_process(name, size))
    }

    fn is_global_of_system(&self, name: &[u8]) -> bool {
        // Registered under the system module, asked for under os (1.6) or cmdline (2.x).
        matches!(name, b"cmdCount" | b"cmdLine")
    }

    fn proc_registered(&self, name: &[u8], address: CodeAddress) {
        self.nim.type_infos.marker_registered(name, address);
    }

    fn global_registered(&self, name: &[u8], address: NonNull<u8>) {
        self.nim.type_infos.registered(name, address);
    }

    fn notice(&self, text: &str) {
        door::say(text);
    }

    fn handler_added(&self, environment: usize) {
        collector::hold(&self.nim, environment, true);
    }

    fn handler_dropped(&self, environment: usize) {
        collector::hold(&self.nim, environment, false);
    }
}
