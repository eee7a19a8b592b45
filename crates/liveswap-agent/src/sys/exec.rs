//! `execve` and its relatives, interposed: a program that executes itself anew connects again.
//!
//! The program does not see where the command listens: the variables are taken out of its environment before
//! `main`. They are given to what is executed if that is the very file that runs now, and to nothing else. These
//! functions are called between `fork` and `exec` as well, also of programs with threads, and on small stacks: nothing
//! here allocates, takes a lock or looks up a symbol, and a large environment is passed on as it is. `execl` and
//! `posix_spawn` do not come by here.

use std::ffi::{CStr, CString, c_char, c_int};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use super::symbols::Behind;

type Strings = *const *const c_char;
type Execve = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;
type Execvp = unsafe extern "C" fn(*const c_char, Strings) -> c_int;
type Fexecve = unsafe extern "C" fn(c_int, Strings, Strings) -> c_int;

unsafe extern "C" {
    static environ: Strings;
}

static EXECVE: Behind = Behind::new(c"execve");
static EXECV: Behind = Behind::new(c"execv");
static EXECVP: Behind = Behind::new(c"execvp");
static EXECVPE: Behind = Behind::new(c"execvpe");
static FEXECVE: Behind = Behind::new(c"fexecve");

/// Larger environments are passed on as they are: the copy lies on the stack.
const MOST: usize = 512;
/// How many variables there are.
const COUNT: usize = 2;

/// `NAME=value`, for ever; null until they are known.
static VARIABLES: [AtomicPtr<c_char>; COUNT] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; COUNT];
/// Device and inode of the executable; an inode is never 0.
static DEVICE: AtomicU64 = AtomicU64::new(0);
static INODE: AtomicU64 = AtomicU64::new(0);

/// Finds the C library's functions, before `main`: a child of `fork` must not search.
pub fn prepare() {
    for function in [&EXECVE, &EXECV, &EXECVP, &EXECVPE, &FEXECVE] {
        function.address();
    }
}

/// Remembers variables (`NAME=value`) for what the program executes. Once, before `main`.
pub fn keep(variables: [CString; COUNT]) {
    let Ok(executable) = std::fs::metadata("/proc/self/exe") else {
        return;
    };
    for (place, variable) in VARIABLES.iter().zip(variables) {
        place.store(variable.into_raw(), Ordering::Release);
    }
    DEVICE.store(executable.dev(), Ordering::Release);
    INODE.store(executable.ino(), Ordering::Release);
}

/// Whether these facts of a file are those of the executable.
fn is_own(facts: &libc::stat) -> bool {
    let inode = INODE.load(Ordering::Acquire);
    inode != 0 && facts.st_ino == inode && facts.st_dev == DEVICE.load(Ordering::Acquire)
}

/// Whether a path is that of the executable. Names that are searched for are not looked at.
///
/// # Safety
/// The path is null or a C string.
unsafe fn is_own_path(path: *const c_char) -> bool {
    let mut facts = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the caller's promise, once it is not null; stat fills in the structure if it succeeds.
    unsafe {
        !path.is_null()
            && CStr::from_ptr(path).to_bytes().contains(&b'/')
            && libc::stat(path, facts.as_mut_ptr()) == 0
            && is_own(facts.assume_init_ref())
    }
}

/// Gives `execute` the environment, with the variables behind it if there is room and none of them is in it.
///
/// # Safety
/// `environment` is null or a list of C strings that ends with null.
unsafe fn with_variables(environment: Strings, execute: impl FnOnce(Strings) -> c_int) -> c_int {
    let mut copy = [std::ptr::null::<c_char>(); MOST + COUNT + 1];
    let mut len = 0;
    let kept = VARIABLES.each_ref().map(|it| it.load(Ordering::Acquire));
    // SAFETY: the caller's promise: the list is read up to its end.
    while !environment.is_null() && unsafe { !(*environment.add(len)).is_null() } {
        // SAFETY: an element before the end.
        let variable = unsafe { *environment.add(len) };
        // SAFETY: elements are C strings, and so are those that `keep` has stored.
        let is_there = |kept: &*mut c_char| unsafe { same_name(variable, *kept) };
        if len == MOST || kept.iter().any(is_there) {
            return execute(environment);
        }
        copy[len] = variable;
        len += 1;
    }
    for variable in kept {
        copy[len] = variable;
        len += usize::from(!variable.is_null());
    }
    // Nulls follow.
    execute(copy.as_ptr())
}

/// Whether two variables have one name.
///
/// # Safety
/// Both are null or C strings.
unsafe fn same_name(one: *const c_char, other: *const c_char) -> bool {
    if one.is_null() || other.is_null() {
        return false;
    }
    // SAFETY: the caller's promise, and they are not null.
    let (one, other) = unsafe { (CStr::from_ptr(one), CStr::from_ptr(other)) };
    let name = |it: &CStr| it.to_bytes().iter().position(|byte| *byte == b'=');
    match (name(one), name(other)) {
        (Some(len), Some(other_len)) => {
            len == other_len && one.to_bytes()[..len] == other.to_bytes()[..len]
        }
        _ => false,
    }
}

/// What a function gives that does not exist.
fn missing() -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *libc::__errno_location() = libc::ENOSYS };
    -1
}

unsafe fn real_execve(path: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the function of that name has this type; null becomes `None`.
    match unsafe { std::mem::transmute::<usize, Option<Execve>>(EXECVE.address()) } {
        // SAFETY: the caller's promise.
        Some(real) => unsafe { real(path, arguments, environment) },
        None => missing(),
    }
}

/// Executes a program.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn execve(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if !is_own_path(path) {
            return real_execve(path, arguments, environment);
        }
        with_variables(environment, |environment| {
            real_execve(path, arguments, environment)
        })
    }
}

/// Executes a program.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise; the environment is read as the C library does it.
    unsafe {
        if is_own_path(path) {
            return execve(path, arguments, environ);
        }
        match std::mem::transmute::<usize, Option<Execvp>>(EXECV.address()) {
            Some(real) => real(path, arguments),
            None => missing(),
        }
    }
}

/// Executes a program that is searched for.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise; the environment is read as the C library does it.
    unsafe {
        // A name with a slash is a path.
        if is_own_path(file) {
            return execve(file, arguments, environ);
        }
        match std::mem::transmute::<usize, Option<Execvp>>(EXECVP.address()) {
            Some(real) => real(file, arguments),
            None => missing(),
        }
    }
}

/// Executes a program that is searched for.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn execvpe(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe {
        if is_own_path(file) {
            return execve(file, arguments, environment);
        }
        match std::mem::transmute::<usize, Option<Execve>>(EXECVPE.address()) {
            Some(real) => real(file, arguments, environment),
            None => missing(),
        }
    }
}

/// Executes an open file.
///
/// # Safety
/// As of the C library's function of this name.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn fexecve(file: c_int, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: the caller's promise; fstat fills in the structure if it succeeds.
    unsafe {
        let Some(real) = std::mem::transmute::<usize, Option<Fexecve>>(FEXECVE.address()) else {
            return missing();
        };
        let mut facts = std::mem::MaybeUninit::<libc::stat>::uninit();
        if libc::fstat(file, facts.as_mut_ptr()) != 0 || !is_own(facts.assume_init_ref()) {
            return real(file, arguments, environment);
        }
        with_variables(environment, |environment| {
            real(file, arguments, environment)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(of: &[*const c_char]) -> Vec<*const c_char> {
        of.iter().copied().chain([std::ptr::null()]).collect()
    }

    /// The variables that would be given on.
    fn given(environment: Strings) -> Vec<String> {
        let mut all = Vec::new();
        // SAFETY: the tests pass lists; what is given on is one.
        let result = unsafe {
            with_variables(environment, |environment| {
                let mut at = environment;
                while !at.is_null() && !(*at).is_null() {
                    all.push(CStr::from_ptr(*at).to_str().unwrap().to_owned());
                    at = at.add(1);
                }
                7
            })
        };
        assert_eq!(result, 7);
        all
    }

    #[test]
    fn only_the_same_executable_is_given_the_variables_and_only_once() {
        let (socket, images) = (c"LIVESWAP_SOCKET=/s", c"LIVESWAP_IMAGES=/i");
        keep([socket.into(), images.into()]);
        let plain = list(&[c"A=1".as_ptr(), c"LIVESWAP_SOCKETS=1".as_ptr()]);
        let all = [
            "A=1",
            "LIVESWAP_SOCKETS=1",
            "LIVESWAP_SOCKET=/s",
            "LIVESWAP_IMAGES=/i",
        ];
        assert_eq!(given(plain.as_ptr()), all);
        assert_eq!(given(std::ptr::null()), all[2..]);
        let other = list(&[c"LIVESWAP_SOCKET=/other".as_ptr(), c"A=1".as_ptr()]);
        assert_eq!(given(other.as_ptr()), ["LIVESWAP_SOCKET=/other", "A=1"]);
        let most = list(&[c"A=1".as_ptr(); MOST]);
        assert_eq!(given(most.as_ptr()).len(), MOST + COUNT);
        let more = list(&[c"A=1".as_ptr(); MOST + 1]);
        assert_eq!(given(more.as_ptr()).len(), MOST + 1);

        // SAFETY: paths are C strings, or null.
        unsafe {
            assert!(is_own_path(c"/proc/self/exe".as_ptr()));
            assert!(!is_own_path(c"/bin/sh".as_ptr()));
            assert!(!is_own_path(c"/no/such/file".as_ptr()));
            assert!(!is_own_path(std::ptr::null()));
        }
    }
}
