//! The start: called by the executable on its main thread, before `main`.

use std::ffi::{CStr, CString, OsString, c_void};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use liveswap_protocol::start::Descriptor;

use super::connection::{self, Connection};
use super::memory::Range;
use super::template::Template;
use super::{crash, exec, guarded, images, last_error, listeners, program, threads};
use crate::apply::Agent;
use crate::check::{Checker, Process};
use crate::relocation::Machine;
use crate::{log, serve};

const SOCKET: &CStr = c"LIVESWAP_SOCKET";
const IMAGES: &CStr = c"LIVESWAP_IMAGES";
/// [`liveswap_protocol::listener::VARIABLE`].
const LISTENERS: &CStr = c"LIVESWAP_LISTENERS";
/// Enough for the deepest of our calls (the dynamic linker's among them) and an initialiser. It costs
/// memory only where it is touched.
const STACK: usize = 1 << 20;

/// Starts the agent, once, if a command started the program.
///
/// # Safety
/// The descriptor is the executable's own, and no other thread changes the environment: before `main`.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn liveswap_start(descriptor: *const Descriptor) {
    static STARTED: AtomicBool = AtomicBool::new(false);
    if descriptor.is_null() || STARTED.swap(true, Ordering::AcqRel) {
        return;
    }
    // SAFETY: the executable's descriptor.
    let descriptor = unsafe { *descriptor };
    guarded((), || {
        if !log::wanted() {
            // This is our own copy of std: the program's hook is another.
            std::panic::set_hook(Box::new(|_| {}));
        }
        exec::prepare();
        listeners::prepare();
        if let Some(text) = take_variable(LISTENERS) {
            listeners::inherit(&text.to_string_lossy());
        }
        let socket = take_variable(SOCKET);
        let images = take_variable(IMAGES).unwrap_or_default();
        if let Some(socket) = &socket {
            keep_for_exec(socket, &images);
        }
        let begun = match socket {
            Some(socket) => begin(&descriptor, socket, images),
            None => Err("no command started the program".to_owned()),
        };
        if let Err(why) = begun {
            threads::stop();
            log::line(format_args!("not active: {why}"));
        }
    });
}

/// What the agent's thread begins with.
struct Begin {
    agent: Agent,
    connection: Connection,
}

fn begin(descriptor: &Descriptor, socket: OsString, images: OsString) -> Result<(), String> {
    let program = program::find(descriptor)?;
    let range = Range::reserve(program.extent)
        .map_err(|error| format!("no address space near the executable: {error}"))?;
    let template = program.tls.as_ref().map(Template::new);
    let process = Process {
        machine: Machine::host(),
        build_id: program.build_id,
        bias: program.bias,
        page_size: super::page_size(),
        range: range.span(),
        executable: program.extent,
        code: program.code,
        words: program.words,
        tls_len: program.tls.map_or(0, |tls| tls.template.len.min(tls.len)),
    };
    // SAFETY: the handler does only what is allowed in a child of a program with threads.
    if unsafe { libc::pthread_atfork(None, None, Some(in_child)) } != 0 {
        return Err("no room for a fork handler".to_owned());
    }
    threads::watch_main();
    if !images.is_empty() {
        images::announce(range.span(), images.as_bytes());
        crash::note_in(&images);
    }
    // Now, while nobody else takes numbers of files or closes them; and before the program may give up its
    // rights to the socket.
    let connection = Connection::open(&PathBuf::from(socket))
        .map_err(|error| format!("cannot connect: {error}"))?;
    let begin = Box::new(Begin {
        agent: Agent::new(Checker::new(process), range, template, images),
        connection,
    });
    start_thread(begin)
}

/// In the child of a `fork` there is no agent, and locks may be held for ever.
unsafe extern "C" fn in_child() {
    threads::stop();
    connection::close_in_child();
}

/// The program can execute itself anew, and is to find the command again then.
fn keep_for_exec(socket: &OsString, images: &OsString) {
    let variable = |name: &CStr, value: &OsString| {
        let mut bytes = name.to_bytes().to_vec();
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        CString::new(bytes)
    };
    if let (Ok(socket), Ok(images)) = (variable(SOCKET, socket), variable(IMAGES, images)) {
        exec::keep([socket, images]);
    }
}

fn take_variable(name: &CStr) -> Option<OsString> {
    // SAFETY: before `main`, as `liveswap_start` wants it; the value is copied before it is removed.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        if value.is_null() {
            return None;
        }
        let bytes = CStr::from_ptr(value).to_bytes().to_vec();
        libc::unsetenv(name.as_ptr());
        Some(OsString::from_vec(bytes)).filter(|value| !value.is_empty())
    }
}

/// Starts the agent's thread with all signals blocked: handlers are the program's business.
fn start_thread(begin: Box<Begin>) -> Result<(), String> {
    let begin = Box::into_raw(begin);
    // SAFETY: plain calls with valid arguments; the thread gets what `thread` expects.
    let created = unsafe {
        let mut all = std::mem::zeroed::<libc::sigset_t>();
        let mut before = std::mem::zeroed::<libc::sigset_t>();
        libc::sigfillset(&raw mut all);
        let mut attributes = std::mem::zeroed::<libc::pthread_attr_t>();
        libc::pthread_attr_init(&raw mut attributes);
        libc::pthread_attr_setdetachstate(&raw mut attributes, libc::PTHREAD_CREATE_DETACHED);
        // The least that the system accepts includes the blocks of thread-locals.
        let least = usize::try_from(libc::sysconf(libc::_SC_THREAD_STACK_MIN)).unwrap_or(0);
        libc::pthread_attr_setstacksize(&raw mut attributes, STACK + least.next_multiple_of(4096));
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let mut id = std::mem::zeroed::<libc::pthread_t>();
        let created = threads::create_unwatched(
            &raw mut id,
            &raw const attributes,
            thread,
            begin.cast::<c_void>(),
        );
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        libc::pthread_attr_destroy(&raw mut attributes);
        created
    };
    if created != 0 {
        // SAFETY: no thread got it.
        drop(unsafe { Box::from_raw(begin) });
        return Err(std::io::Error::from_raw_os_error(created).to_string());
    }
    Ok(())
}

unsafe extern "C-unwind" fn thread(begin: *mut c_void) -> *mut c_void {
    guarded((), || {
        // SAFETY: what `start_thread` gave.
        let begin = unsafe { Box::from_raw(begin.cast::<Begin>()) };
        // SAFETY: the name is a C string; it shows in debuggers only.
        if unsafe { libc::prctl(libc::PR_SET_NAME, c"liveswap".as_ptr()) } != 0 {
            log::line(format_args!("no name: {}", last_error()));
        }
        let Begin {
            mut agent,
            connection,
        } = *begin;
        if !threads::none_left() {
            serve::serve(&mut agent, connection);
        }
    });
    threads::stop();
    std::ptr::null_mut()
}
