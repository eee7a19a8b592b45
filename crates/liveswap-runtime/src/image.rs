//! Images: one generation of one module in memory, loaded from a private copy of its library.

use std::any::Any;
use std::ffi::{CStr, c_char, c_void};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::copies::PrivateCopy;
use crate::dialect::Dialect;
use crate::error::{Error, Step};
use crate::module_file::{FileVersion, ModuleFile};
use crate::sys::loader::Library;
use crate::{CodeAddress, Name};

/// Number of an image, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub(crate) u64);

/// Stands for code that is never closed: the main program.
pub(crate) const MAIN_PROGRAM: ImageId = ImageId(0);

/// What the dialect found out about an image and wants back when the image is replaced.
pub type Note = Arc<dyn Any + Send + Sync>;

/// `getProcAddr` of the module protocol: how modules fetch the run-time's own functions.
pub type ProcGetter = unsafe extern "C-unwind" fn(*mut c_void, *const c_char) -> *mut c_void;

/// An entry point of the module protocol without arguments.
pub type Entry = unsafe extern "C-unwind" fn();

type HcrInit = unsafe extern "C-unwind" fn(*mut c_void, ProcGetter);
type GetList = unsafe extern "C-unwind" fn() -> *const *const c_char;
type GetText = unsafe extern "C-unwind" fn() -> *const c_char;

/// A handler as it was registered: called as `function(environment)`.
#[derive(Clone, Copy, Debug)]
pub struct HandlerFn {
    /// Its code.
    pub function: unsafe extern "C-unwind" fn(*mut c_void),
    /// Its environment, null if it captures nothing.
    pub environment: *mut c_void,
}

// SAFETY: the run-time only hands both back to the code that registered them, on a thread that asked
// for a reload, as the protocol demands.
unsafe impl Send for HandlerFn {}
// SAFETY: as above.
unsafe impl Sync for HandlerFn {}

/// A call into a module that a transaction has to make next. Plain data: nothing of the run-time is
/// on the stack when the module's code leaves by `longjmp` or unwinds.
#[derive(Clone, Copy, Debug)]
#[must_use = "a transaction goes on only when its calls are made"]
pub enum ModuleCall {
    /// `HcrInit000(handle, getter)`.
    HcrInit(HcrInit, Linkage),
    /// `HcrCreateTypeInfos`, `DatInit000` or `Init000`.
    Entry(Entry),
    /// A before- or after-handler.
    Handler(HandlerFn),
}

/// What modules need to find the run-time's functions: passed on from the main program.
#[derive(Clone, Copy, Debug)]
pub struct Linkage {
    /// Handle of the run-time's library, for `getter`.
    pub handle: *mut c_void,
    /// Finds a function by name.
    pub getter: ProcGetter,
}

// SAFETY: handle and getter are only passed on to modules; the loader's functions are thread-safe.
unsafe impl Send for Linkage {}
// SAFETY: as above.
unsafe impl Sync for Linkage {}

impl ModuleCall {
    /// Makes the calls that a transaction asks for, one after another.
    pub(crate) fn make_all(next: &mut dyn FnMut() -> Option<ModuleCall>) {
        while let Some(call) = next() {
            // SAFETY: `next` is the transaction's own list of calls, asked on the thread that began it.
            unsafe { call.invoke() };
        }
    }

    /// Makes the call.
    ///
    /// # Safety
    /// The module's code runs. It must be the next call that the run-time asked for, made on the
    /// thread that started the transaction, so that the code is mapped and expected to run.
    unsafe fn invoke(self) {
        // SAFETY: the functions come from the module's exports of these types, or were registered
        // by module code as handlers; the caller vouches for the moment.
        unsafe {
            match self {
                ModuleCall::HcrInit(function, linkage) => {
                    function(linkage.handle, linkage.getter);
                }
                ModuleCall::Entry(function) => function(),
                ModuleCall::Handler(handler) => (handler.function)(handler.environment),
            }
        }
    }
}

/// The names of the module protocol's exports.
pub(crate) const EXPORTS: [&CStr; 6] = [
    c"HcrGetImportedModules",
    c"HcrGetSigHash",
    c"HcrInit000",
    c"HcrCreateTypeInfos",
    c"DatInit000",
    c"Init000",
];

/// The entry points that every module exports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exports {
    pub(crate) hcr_init: HcrInit,
    pub(crate) type_infos: Entry,
    pub(crate) dat_init: Entry,
    pub(crate) init: Entry,
}

/// One loaded generation of one module. Dropping it closes the library and removes the copy.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) id: ImageId,
    // Field order is drop order: the library is closed before its file goes.
    _library: Library,
    _copy: PrivateCopy,
    range: Range<usize>,
    /// Parts that cannot change while the image is mapped.
    constant: Vec<Range<usize>>,
    pub(crate) exports: Exports,
    pub(crate) imports: Arc<[Name]>,
    pub(crate) hash: Name,
    version: Mutex<FileVersion>,
    pub(crate) note: Option<Note>,
}

impl Image {
    /// Copies, loads and questions a module's library.
    pub(crate) fn load(
        id: ImageId,
        module: &Name,
        file: &ModuleFile,
        note: Option<Note>,
        dialect: &dyn Dialect,
    ) -> Result<Image, Error> {
        let failed = |step, cause| Error::Module {
            module: module.clone(),
            step,
            cause,
        };
        let copy = PrivateCopy::write(module.as_path(), &file.bytes)
            .map_err(|error| failed(Step::Copy, error.to_string()))?;
        tracing::debug!(copy = %copy.path().display(), "private copy");
        // SAFETY: loading a module runs its constructors; that is what its author asked for by
        // making it a module of this program.
        let library = unsafe { Library::open(copy.loadable_path()) }.map_err(|words| {
            // The loader names the copy, the user knows the original.
            let words = words.replace(
                &*copy.loadable_path().to_string_lossy(),
                &module.to_string(),
            );
            failed(Step::Load, words)
        })?;
        let base = library.base();
        if let Some(note) = &note {
            dialect
                .loaded(note, base)
                .map_err(|cause| failed(Step::Load, cause))?;
        }
        let find = |name: &'static CStr| {
            library.symbol(name).ok_or_else(|| {
                failed(
                    Step::Exports,
                    format!("no symbol {}", name.to_string_lossy()),
                )
            })
        };
        let [imports, hash, hcr_init, type_infos, dat_init, init] = EXPORTS.map(find);
        let (imports, hash, hcr_init) = (imports?, hash?, hcr_init?);
        let (type_infos, dat_init, init) = (type_infos?, dat_init?, init?);
        // SAFETY: the protocol gives each of these exports the type it is cast to here.
        let (imports, hash, exports) = unsafe {
            let get_list: GetList = std::mem::transmute(imports.as_ptr());
            let get_text: GetText = std::mem::transmute(hash.as_ptr());
            let exports = Exports {
                hcr_init: std::mem::transmute::<*mut c_void, HcrInit>(hcr_init.as_ptr()),
                type_infos: std::mem::transmute::<*mut c_void, Entry>(type_infos.as_ptr()),
                dat_init: std::mem::transmute::<*mut c_void, Entry>(dat_init.as_ptr()),
                init: std::mem::transmute::<*mut c_void, Entry>(init.as_ptr()),
            };
            (name_list(get_list()), name(get_text()), exports)
        };
        let hash =
            hash.ok_or_else(|| failed(Step::Exports, "HcrGetSigHash returned null".to_owned()))?;
        let range = base.wrapping_add(file.span.0)..base.wrapping_add(file.span.1);
        Ok(Image {
            id,
            _library: library,
            _copy: copy,
            range,
            constant: file
                .constant
                .iter()
                .map(|part| base.wrapping_add(part.start)..base.wrapping_add(part.end))
                .collect(),
            exports,
            imports: imports.into(),
            hash,
            version: Mutex::new(file.version),
            note,
        })
    }

    /// Whether the module's file is no longer the one that this image was loaded from.
    pub(crate) fn is_outdated(&self, module: &Name) -> bool {
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        version.is_outdated(module.as_path())
    }

    /// Whether what is at `address` stays as it is while the image is mapped.
    pub(crate) fn is_constant(&self, address: usize) -> bool {
        self.constant.iter().any(|part| part.contains(&address))
    }

    /// Whether code or data at `address` belongs to this image.
    pub(crate) fn contains(&self, address: CodeAddress) -> bool {
        self.range.contains(&address.0)
    }
}

/// Reads a C string.
///
/// # Safety
/// `text` is null or points to a zero-terminated string that does not change meanwhile.
pub unsafe fn name(text: *const c_char) -> Option<Name> {
    // SAFETY: not null; the caller vouches for the rest.
    (!text.is_null()).then(|| Name::new(unsafe { CStr::from_ptr(text) }.to_bytes()))
}

/// Reads the protocol's list of names: an array of C strings that ends with an empty one.
///
/// # Safety
/// `list` is null or points to such an array.
pub unsafe fn name_list(mut list: *const *const c_char) -> Vec<Name> {
    let mut names = Vec::new();
    if list.is_null() {
        return names;
    }
    // SAFETY: the array goes on until an empty string (or null, which some compilers write).
    while let Some(name) = unsafe { name(*list) }.filter(|name| !name.is_empty()) {
        names.push(name);
        // SAFETY: the entry just read was not the last.
        list = unsafe { list.add(1) };
    }
    names
}
