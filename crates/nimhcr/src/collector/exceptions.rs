//! The exception that is under way: `libnimrtl.so` has a variable for it, and so has the program's copy of `system`.
//!
//! `raise` and `except` are functions of the library, but `getCurrentExceptionMsg`, `setCurrentException`, every `try` with an
//! `await` in it, and what ends a program of the C++ backend with a message, look at the program's own. It must be
//! the library's.
//!
//! In a program with one thread code of `system` reaches its variable relative to itself, which may not be far
//! enough: it gets a stand-in. The only code of `system` that looks at it is the C++ handler of what nobody catches (the other
//! procs are inline, and modules that import a variable find it wherever it is), so the stand-in is
//! filled in right before that handler runs.

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::threadvars::room::{self, Place};

/// GCC's and LLVM's.
const CPP_LIBRARIES: [&CStr; 2] = [c"libstdc++.so.6", c"libc++abi.so.1"];

const UNDER_WAY: &[u8] = b"currException__system_";

type Handler = unsafe extern "C-unwind" fn();

/// `std::get_terminate` and `std::set_terminate`.
#[derive(Clone, Copy)]
struct Terminate {
    get: unsafe extern "C" fn() -> Option<Handler>,
    set: unsafe extern "C" fn(Option<Handler>) -> Option<Handler>,
}

static OF_ONLY_THREAD: OnceLock<Place> = OnceLock::new();
/// The program's handler of what nobody catches, 0 before it has one.
static PROGRAMS_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Whether this is the variable.
pub(super) fn is_under_way(name: &[u8]) -> bool {
    name.starts_with(UNDER_WAY)
}

/// The place of the variable, which the library has at `address` for the only thread; `None` if there is no room for a stand-in.
pub(super) fn place_for_only_thread(address: usize) -> Option<Place> {
    if let Some(place) = OF_ONLY_THREAD.get() {
        return Some(*place);
    }
    let Place::Process(stand_in) = room::take(size_of::<usize>(), false)? else {
        return None;
    };
    Some(*OF_ONLY_THREAD.get_or_init(|| Place::OfOnlyThread { address, stand_in }))
}

/// Steps in between a C++ program and its handler of what nobody catches, when it has set one. Cheap, and to be
/// called whenever it may have.
pub(crate) fn watch_uncaught() {
    static FUNCTIONS: OnceLock<Terminate> = OnceLock::new();
    if OF_ONLY_THREAD.get().is_none() {
        return;
    }
    let Some(terminate) = FUNCTIONS.get().copied().or_else(Terminate::find) else {
        return;
    };
    // A second value would be the same.
    let _ = FUNCTIONS.set(terminate);
    // SAFETY: both functions of the C++ library may be called at any time.
    unsafe {
        match (terminate.get)() {
            Some(handler) if handler as usize != uncaught as *const () as usize => {
                PROGRAMS_HANDLER.store(handler as usize, Ordering::Relaxed);
                (terminate.set)(Some(uncaught));
            }
            _ => {}
        }
    }
}

impl Terminate {
    /// `None` as long as no library of the process uses C++. The program itself does not, only its modules do, so
    /// the loader's order of search does not have the names.
    fn find() -> Option<Terminate> {
        let handle = CPP_LIBRARIES.iter().find_map(|name| {
            // SAFETY: a name that ends with zero; the library stays loaded, as its functions are held.
            let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
            (!handle.is_null()).then_some(handle)
        })?;
        let function = |name: &CStr| {
            // SAFETY: the handle of a loaded library, and a name that ends with zero.
            let address = unsafe { libc::dlsym(handle, name.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        let (get, set) = (
            function(c"_ZSt13get_terminatev")?,
            function(c"_ZSt13set_terminatePFvvE")?,
        );
        // SAFETY: `terminate_handler get_terminate()`, `terminate_handler set_terminate(terminate_handler)`.
        unsafe {
            Some(Terminate {
                get: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> Option<Handler>>(
                    get,
                ),
                set: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(Option<Handler>) -> Option<Handler>,
                >(set),
            })
        }
    }
}

unsafe extern "C-unwind" fn uncaught() {
    if let Some(place @ Place::OfOnlyThread { address, .. }) = OF_ONLY_THREAD.get() {
        let stand_in = place.address_nearby() as *mut usize;
        // SAFETY: a variable of the library, which stays loaded, and a word of our own room.
        unsafe { stand_in.write_volatile((*address as *const usize).read_volatile()) };
    }
    let handler = PROGRAMS_HANDLER.load(Ordering::Relaxed);
    if handler != 0 {
        // SAFETY: what `get_terminate` returned; a proc of Nim's is known by its slot, which stays.
        unsafe { std::mem::transmute::<usize, Handler>(handler)() };
    }
}
