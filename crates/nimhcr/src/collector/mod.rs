//! Nim's collector: it must see what only the run-time and thread-locals hold, and free nothing that lives.
//!
//! The collector that runs is the one in `libnimrtl.so`; it never asks the program's own list of
//! global markers, on which the compiler puts `hcrMarkGlobals`, and the compiler puts markers of thread-locals on no
//! list at all. So `hcrMarkGlobals` is entered into the collector's list, `globalMarkers`, a hidden symbol that
//! the library's `.symtab` tells (release builds included), and [`mark_thread_locals`] into
//! `threadLocalMarkers`. Where that is impossible, automatic mark and sweep is switched off instead: cycles are
//! then not freed, and nothing that lives is.

pub(crate) mod exceptions;
mod heap;
mod library;

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::{Once, OnceLock};

use heap::Heap;
use library::Library;

use liveswap_runtime::{Roots, Unmarked};

use crate::door::{door, guarded, say};
use crate::nim::Nim;
use crate::threadvars::room::Place;

/// What a reference count grows by for one reference (refc's `rcIncrement`).
const ONE_REFERENCE: isize = 8;

/// `waMarkGlobal` of the collector.
const MARK_GLOBAL: isize = 0;

type Visit = unsafe extern "C" fn(*mut c_void, isize);
type SetStackBottom = unsafe extern "C-unwind" fn(*mut c_void);
type Init = unsafe extern "C-unwind" fn();

/// The collector that was told of our globals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collector {
    visit: Visit,
    /// `None`: words cannot be told from references.
    heap: Option<Heap>,
}

/// How a thread of the program's gets a heap.
#[derive(Clone, Copy, Debug)]
struct Start {
    set_stack_bottom: SetStackBottom,
    init: Init,
}

/// What the name of the heap begins with that the program's copy of `system` has.
///
/// Nobody makes objects in it, but what assigns references asks it where the stack begins: a reference on the stack
/// is not counted. Nobody tells it, so nothing would be on the stack, references that were not counted when they came would be
/// given up when they go, and objects that live would be freed. It must be the collector's own heap.
const PROGRAMS_HEAP: &[u8] = b"gch__system_";

/// Where `libnimrtl.so` has a thread-local of the program's copy of `system`, if both must have the same; `None` too if
/// that is smaller than what the program takes it for. `of_threads`: each thread of the program has its own.
pub(crate) fn shared_thread_local(name: &[u8], size: usize, of_threads: bool) -> Option<Place> {
    let hidden: &[u8] = if name.starts_with(PROGRAMS_HEAP) {
        b"gch"
    } else if exceptions::is_under_way(name) {
        b"currException"
    } else {
        return None;
    };
    let library = Library::find()?;
    let variable = library.hidden(hidden)?;
    if (variable.size as usize) < size {
        return None;
    }
    if of_threads {
        let place = Place::Library(library.thread_locals, variable.address);
        return variable.thread_local.then_some(place);
    }
    let address = library.address_for_this_thread(variable);
    let place = exceptions::place_for_only_thread(address)?;
    Some(place)
}

/// Where the collector has the heap of the calling thread, the only one: the program has none (the library may be
/// compiled with threads all the same; its heap is then the same with a few things more at the end).
pub(crate) fn heap_of_process(name: &[u8], size: usize) -> Option<NonNull<u8>> {
    if !name.starts_with(PROGRAMS_HEAP) {
        return None;
    }
    let library = Library::find()?;
    let heap = library.hidden(b"gch")?;
    let address = library.address_for_this_thread(heap);
    NonNull::new(address as *mut u8).filter(|_| heap.size as usize >= size)
}

static START: OnceLock<Start> = OnceLock::new();
/// `GC_fullCollect()`, if it must not be called.
static FULL_COLLECT: OnceLock<usize> = OnceLock::new();

thread_local! {
    /// The calling thread has a heap.
    static HAS_HEAP: Cell<bool> = const { Cell::new(false) };
}

/// Enters our markers into the collector's lists, once.
pub(crate) fn adopt(nim: &Nim) {
    let Some(library) = Library::find() else {
        tracing::debug!("no libnimrtl.so in this process: nothing to tell a collector");
        return;
    };
    prepare_threads(&library);
    nim.type_infos.share_exceptions(library.type_infos());
    let visit = library.function(c"nimrtl_nimGCvisit").map(|visit| {
        // SAFETY: `nimGCvisit(d: pointer, op: int)` in every Nim with this library.
        unsafe { std::mem::transmute::<*mut c_void, Visit>(visit) }
    });
    let globals = b"globalMarkers".as_slice();
    let shown = visit
        .filter(|_| library.add_marker(globals, b"globalMarkersLen", crate::abi::hcrMarkGlobals));
    let Some(visit) = shown else {
        return stop_sweeping(&library, "our globals");
    };
    let heap = Heap::find(&library);
    // A second value would be the same.
    let _ = nim.collector.set(Collector { visit, heap });
    if heap.is_some_and(|heap| heap.is_emulated()) {
        // Library and program have a struct each in the same room, so the library's markers would take the
        // program's numbers for references. Ours looks at all of the room, the library's part included.
        library.drop_markers(b"threadLocalMarkersLen");
    }
    let thread_locals = b"threadLocalMarkers".as_slice();
    let shown = heap.is_some()
        && library.add_marker(thread_locals, b"threadLocalMarkersLen", mark_thread_locals);
    if !shown {
        stop_sweeping(&library, "thread-locals");
    }
}

fn stop_sweeping(library: &Library, what: &str) {
    if let Some(collect) = library.function(c"nimrtl_GC_fullCollect") {
        // A second value would be the same.
        let _ = FULL_COLLECT.set(collect as usize);
    }
    match library.function(c"nimrtl_GC_disableMarkAndSweep") {
        Some(stop) => {
            tracing::info!("the collector cannot be shown {what}: mark and sweep is off");
            // SAFETY: `GC_disableMarkAndSweep()` has no arguments and no result.
            unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn()>(stop)() };
        }
        None => tracing::warn!("the collector of libnimrtl.so cannot be told of {what}"),
    }
}

/// Shows the collector the environments of handlers, and what globals refer to that nobody else shows.
pub(crate) fn visit(nim: &Nim, roots: &Roots) {
    let Some(collector) = nim.collector.get() else {
        return;
    };
    for environment in &roots.environments {
        // SAFETY: environments are objects of this collector, counted by `hold` since they came.
        unsafe { (collector.visit)(*environment as *mut c_void, MARK_GLOBAL) };
    }
    let Some(heap) = &collector.heap else {
        return;
    };
    let words = roots.unmarked.iter().flat_map(Unmarked::words);
    // A variable holds the address of an object, never one inside of it.
    for word in words.filter(|word| word.is_multiple_of(align_of::<usize>())) {
        if let Some(object) = heap.object(word).filter(|object| *object == word) {
            // SAFETY: an object of the calling thread's heap.
            unsafe { (collector.visit)(object as *mut c_void, MARK_GLOBAL) };
        }
    }
}

/// Shows the collector what thread-locals of the calling thread refer to. Called by the collector.
extern "C-unwind" fn mark_thread_locals() {
    guarded("the marker of thread-locals", (), || {
        let nim = &door().nim;
        let Some(collector) = nim.collector.get() else {
            return;
        };
        let Some(heap) = &collector.heap else {
            return;
        };
        let emulated = heap.emulated();
        for word in nim.thread_vars.words().into_iter().chain(emulated) {
            if let Some(object) = heap.object(word) {
                // SAFETY: an object of the calling thread's heap.
                unsafe { (collector.visit)(object as *mut c_void, MARK_GLOBAL) };
            }
        }
    });
}

/// Counts (or no longer counts) our reference to a handler's environment.
pub(crate) fn hold(nim: &Nim, environment: usize, hold: bool) {
    if environment == 0 || nim.collector.get().is_none() {
        return;
    }
    let change = if hold { ONE_REFERENCE } else { -ONE_REFERENCE };
    // SAFETY: in front of every object of the refc collector, which was adopted, stands its header:
    // reference count and type, a word each.
    unsafe {
        let count = (environment as *mut isize).sub(2);
        *count = (*count).wrapping_add(change);
    }
}

/// Notes how a thread gets a heap. The calling thread, the main one, has one.
fn prepare_threads(library: &Library) {
    HAS_HEAP.set(true);
    let (Some(set), Some(init)) = (
        library.function(c"nimrtl_nimGC_setStackBottom"),
        library.hidden(b"initGC"),
    ) else {
        return;
    };
    let init = library.base.wrapping_add(init.address as usize);
    // SAFETY: `nimGC_setStackBottom(theStackBottom: pointer)` and `initGC()`.
    let start = unsafe {
        Start {
            set_stack_bottom: std::mem::transmute::<*mut c_void, SetStackBottom>(set),
            init: std::mem::transmute::<usize, Init>(init),
        }
    };
    // A second value would be the same.
    let _ = START.set(start);
}

/// What a proc is led to instead of `function`, if that is the collector's own and has to do more.
///
/// A new thread of the program's tells the collector where its stack begins and calls `initGC()`: the one of the
/// program's copy of `system`, which does nothing. Nobody calls that of `libnimrtl.so`, and
/// the thread's first object would be made in a heap that is not there.
#[inline]
pub(crate) fn stands_for(function: usize) -> usize {
    let is_it = |start: &Start| start.set_stack_bottom as usize == function;
    if FULL_COLLECT.get() == Some(&function) {
        let ours: extern "C-unwind" fn() = full_collect;
        return ours as usize;
    }
    if START.get().is_some_and(is_it) {
        let ours: SetStackBottom = set_stack_bottom;
        return ours as usize;
    }
    function
}

/// Mark and sweep is off because the collector cannot see everything that lives; it must not run when the program asks
/// for it, either.
extern "C-unwind" fn full_collect() {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        say("GC_fullCollect() does nothing: libnimrtl.so has no symbol table, so the collector cannot be shown globals and \
             thread-locals");
    });
}

unsafe extern "C-unwind" fn set_stack_bottom(bottom: *mut c_void) {
    let Some(start) = START.get() else { return };
    // SAFETY: the functions of the library, which stays loaded; the caller vouches for its argument.
    unsafe {
        (start.set_stack_bottom)(bottom);
        if !HAS_HEAP.replace(true) {
            (start.init)();
        }
    }
}
