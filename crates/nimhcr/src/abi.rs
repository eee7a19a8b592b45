//! The exported functions: thin, without panics across the boundary, errors on standard error.
//!
//! Signatures are those that Nim 1.6 and 2.x compile calls to (`NimHcr`'s `{.nimhcr.}` procs), in the
//! plain C calling convention. All are `C-unwind`: exceptions of module code may pass through a
//! reload, our own panics never do.

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use liveswap_runtime::{
    Begin, CodeAddress, Entry, Error, HandlerFn, Linkage, Name, ProcGetter, Program, Refusal,
    SymbolRef, name_from_c, name_list,
};

use crate::collector::exceptions;
use crate::door::{door, guarded, say};
use crate::{collector, nim_string};

/// Names a symbol, or complains.
///
/// # Safety
/// Both are null or zero-terminated, and do not change during the call they were passed to.
#[inline]
unsafe fn symbol<'a>(
    what: &str,
    module: *const c_char,
    name: *const c_char,
) -> Option<SymbolRef<'a>> {
    // SAFETY: the caller's contract.
    let symbol = unsafe { SymbolRef::from_pointers(module, name) };
    if symbol.is_none() {
        say(&format!("{what} was called without a module or a name"));
    }
    symbol
}

/// Registers `function` as the newest code of a proc; returns the proc's permanent address.
///
/// # Safety
/// `module` and `name` are null or zero-terminated; `function` is code of the proc's type.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrRegisterProc(
    module: *const c_char,
    name: *const c_char,
    function: *mut c_void,
) -> *mut c_void {
    guarded("hcrRegisterProc", std::ptr::null_mut(), || {
        // SAFETY: the caller's contract.
        let Some(symbol) = (unsafe { symbol("hcrRegisterProc", module, name) }) else {
            return std::ptr::null_mut();
        };
        let target = CodeAddress(collector::stands_for(function as usize));
        address_or_stub(door().runtime.register_proc(symbol, target))
    })
}

/// The permanent address of a proc, registered already or not.
///
/// # Safety
/// `module` and `name` are null or zero-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrGetProc(
    module: *const c_char,
    name: *const c_char,
) -> *mut c_void {
    guarded("hcrGetProc", std::ptr::null_mut(), || {
        // SAFETY: the caller's contract.
        let Some(symbol) = (unsafe { symbol("hcrGetProc", module, name) }) else {
            return std::ptr::null_mut();
        };
        address_or_stub(door().runtime.get_proc(symbol))
    })
}

#[inline]
fn address_or_stub(address: Result<CodeAddress, Error>) -> *mut c_void {
    match address {
        Ok(address) => address.0 as *mut c_void,
        Err(error) => stub(&error),
    }
}

/// Without a slot the program goes on; only a call of the proc ends it, with a message.
#[cold]
fn stub(error: &Error) -> *mut c_void {
    say(&error.to_string());
    match door().runtime.overflow_stub() {
        Ok(address) => address.0 as *mut c_void,
        Err(error) => {
            say(&error.to_string());
            std::ptr::null_mut()
        }
    }
}

/// Registers a global of `size` bytes and stores its permanent address in `*out`. Returns whether the
/// caller has to initialise it.
///
/// # Safety
/// `module` and `name` are null or zero-terminated, `out` is null or writable, `marker` is null or a
/// function without arguments that stays valid while the global is registered.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrRegisterGlobal(
    module: *const c_char,
    name: *const c_char,
    size: isize,
    marker: Option<Entry>,
    out: *mut *mut c_void,
) -> u8 {
    guarded("hcrRegisterGlobal", 0, || {
        // SAFETY: the caller's contract.
        let Some(symbol) = (unsafe { symbol("hcrRegisterGlobal", module, name) }) else {
            return 0;
        };
        let tell = |address: Option<NonNull<u8>>| {
            if !out.is_null() {
                let address =
                    address.map_or(std::ptr::null_mut(), |address| address.as_ptr().cast());
                // SAFETY: not null, and writable by the caller's contract.
                unsafe { out.write(address) };
            }
        };
        let done = door()
            .runtime
            .register_global(symbol, size, marker, |address| tell(Some(address)));
        match done {
            Ok((first, None)) => u8::from(first),
            Ok((first, Some(_))) if door().nim.is_constant(symbol.name()) => u8::from(first),
            Ok((first, Some(from))) => {
                say(&format!(
                    "global {} of module {} changed its size from {from} to {size} bytes: it starts anew",
                    Name::new(symbol.name()),
                    Name::new(symbol.module()),
                ));
                u8::from(first)
            }
            Err(error) => {
                say(&error.to_string());
                tell(None);
                0
            }
        }
    })
}

/// The permanent address of a global.
///
/// # Safety
/// `module` and `name` are null or zero-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrGetGlobal(
    module: *const c_char,
    name: *const c_char,
) -> *mut c_void {
    guarded("hcrGetGlobal", std::ptr::null_mut(), || {
        // SAFETY: the caller's contract.
        let Some(symbol) = (unsafe { symbol("hcrGetGlobal", module, name) }) else {
            return std::ptr::null_mut();
        };
        match door().runtime.get_global(symbol) {
            Ok(address) => address.as_ptr().cast(),
            Err(error) => {
                say(&error.to_string());
                std::ptr::null_mut()
            }
        }
    })
}

/// Loads and initialises all modules that the main program imports. Ends the process with status 1
/// and a message if a module cannot be loaded: there is no older code to go on with.
///
/// # Safety
/// `modules` is a list of C strings that ends with an empty one; `main` and `system` are C strings;
/// `dat_init`, `handle` and `getter` are the main program's.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrInit(
    modules: *const *const c_char,
    main: *const c_char,
    system: *const c_char,
    dat_init: Option<Entry>,
    handle: *mut c_void,
    getter: Option<ProcGetter>,
) {
    let begun = guarded("hcrInit", false, || {
        // SAFETY: the caller's contract.
        let (imports, main, system) =
            unsafe { (name_list(modules), name_from_c(main), name_from_c(system)) };
        let (Some(main), Some(system), Some(dat_init), Some(getter)) =
            (main, system, dat_init, getter)
        else {
            say("cannot start: hcrInit was called with a null argument");
            return false;
        };
        door().nim.set_system(&system);
        let linkage = Linkage { handle, getter };
        match door().runtime.begin(Program {
            imports,
            main,
            system,
            dat_init,
            linkage,
        }) {
            Ok(()) => true,
            // A second start changes nothing; the program that was started goes on.
            Err(error @ (Error::Order(_) | Error::Nested)) => {
                say(&format!("hcrInit: {error}"));
                false
            }
            Err(error) => {
                say(&format!("cannot start: {error}"));
                std::process::exit(1);
            }
        }
    });
    if begun {
        guarded("hcrInit", (), || collector::adopt(&door().nim));
        let mut next = || {
            guarded("hcrInit", None, || {
                exceptions::watch_uncaught();
                door().runtime.next_call()
            })
        };
        door().runtime.run_calls(&mut next);
    }
}

/// Makes a module known by name.
///
/// # Safety
/// `module` is null or zero-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrAddModule(module: *const c_char) {
    guarded("hcrAddModule", (), || {
        // SAFETY: the caller's contract.
        match unsafe { name_from_c(module) } {
            Some(name) => door().runtime.add_module(&name),
            None => say("hcrAddModule was called without a name"),
        }
    });
}

/// Whether any module's file is no longer the one that runs.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn hcrReloadNeeded() -> u8 {
    guarded("hcrReloadNeeded", 0, || {
        u8::from(door().runtime.reload_needed())
    })
}

/// Reloads what changed. If that is not possible the old code goes on, and a message says why.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn hcrPerformCodeReload() {
    let under_way = guarded("hcrPerformCodeReload", false, || {
        let runtime = &door().runtime;
        match runtime.begin_reload() {
            Ok(begin) => begin == Begin::UnderWay,
            Err(Refusal { error, repeated }) => {
                if !repeated {
                    let generation = runtime.generation();
                    say(&format!(
                        "reload refused, generation {generation} goes on: {error}"
                    ));
                }
                false
            }
        }
    });
    if under_way {
        let what = "hcrPerformCodeReload";
        let mut next = || guarded(what, None, || door().runtime.next_call());
        door().runtime.run_calls(&mut next);
    }
}

/// Whether the file of the module with this signature hash is no longer the one that runs.
///
/// # Safety
/// The arguments are a Nim string: see [`nim_string::bytes`].
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrHasModuleChanged(first: usize, second: usize) -> u8 {
    guarded("hcrHasModuleChanged", 0, || {
        // SAFETY: the caller's contract.
        let hash = unsafe { nim_string::bytes(first, second) };
        u8::from(door().runtime.has_module_changed(hash))
    })
}

/// Registers a before-handler (`is_before` not zero) or an after-handler: called as
/// `function(environment)`, which suits Nim 1.6 (a closure by value) and 2.x (a bare function, the
/// third argument undefined) alike.
///
/// # Safety
/// `function` stays valid as long as its module is not replaced.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn hcrAddEventHandler(
    is_before: u8,
    function: Option<unsafe extern "C-unwind" fn(*mut c_void)>,
    environment: *mut c_void,
) {
    guarded("hcrAddEventHandler", (), || match function {
        Some(function) => {
            let nim = &door().nim;
            let environment = if nim.version_two.load(Ordering::Relaxed) {
                std::ptr::null_mut()
            } else {
                environment
            };
            door().runtime.add_handler(
                is_before != 0,
                HandlerFn {
                    function,
                    environment,
                },
            );
        }
        None => say("hcrAddEventHandler was called without a function"),
    });
}

/// The number of the program's code version.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn hcrGeneration() -> isize {
    guarded("hcrGeneration", 0, || {
        isize::try_from(door().runtime.generation()).unwrap_or(isize::MAX)
    })
}

/// Shows the collector what globals and handlers refer to. Called by the collector.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn hcrMarkGlobals() {
    let Some(roots) = guarded("hcrMarkGlobals", None, || Some(door().runtime.roots())) else {
        return;
    };
    for marker in &roots.markers {
        // SAFETY: markers are functions of mapped images: an image is not closed while a marker
        // of it is registered.
        unsafe { marker() };
    }
    guarded("hcrMarkGlobals", (), || {
        collector::visit(&door().nim, &roots)
    });
}
