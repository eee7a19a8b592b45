//! Sources of C modules that speak the module protocol.
//!
//! A module is described here and written out as C on top of `fixtures/c/module.h`, in the shape
//! that the Nim compiler gives its modules: procs are called through static pointers that DatInit
//! fills, globals are pointers that Init fills, and top-level code runs when the module's
//! `module_initialized_` global is new.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The functions that every module library must export.
pub const EXPORTS: [&str; 6] = [
    "HcrGetImportedModules",
    "HcrGetSigHash",
    "HcrInit000",
    "HcrCreateTypeInfos",
    "DatInit000",
    "Init000",
];

/// One version of one module's source.
#[derive(Clone, Debug)]
pub struct CModule {
    name: String,
    imports: Vec<String>,
    declarations: String,
    /// Statements of HcrCreateTypeInfos, DatInit000 and Init000. The marker `@{NAME}` stands for
    /// the path of module NAME as a C string.
    type_infos: String,
    dat: String,
    init: String,
    handlers: usize,
    left_out: BTreeSet<&'static str>,
    flags: Vec<String>,
}

impl CModule {
    /// A module that only logs its initialisation passes.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            imports: Vec::new(),
            declarations: String::new(),
            type_infos: String::new(),
            dat: String::new(),
            init: String::new(),
            handlers: 0,
            left_out: BTreeSet::new(),
            flags: vec!["-O1".to_owned()],
        }
    }

    /// The module's name; its library is `NAME.so`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds modules to the end of the import list.
    pub fn imports<'a>(mut self, modules: impl IntoIterator<Item = &'a str>) -> Self {
        self.imports
            .extend(modules.into_iter().map(ToOwned::to_owned));
        self
    }

    /// Adds a proc `long NAME(long x)`.
    pub fn proc(self, name: &str, body: &str) -> Self {
        self.proc_of_type("long", name, "long x __attribute__((unused))", body)
    }

    /// Adds a proc of any type.
    pub fn proc_of_type(mut self, result: &str, name: &str, parameters: &str, body: &str) -> Self {
        let _ = writeln!(
            self.declarations,
            "static {result} (*{name})({parameters});\n\
             static {result} {name}_actual({parameters}) {{ {body} }}"
        );
        let _ = writeln!(
            self.dat,
            "    {name} = hcrRegisterProc(MODULE, \"{name}\", (void *){name}_actual);"
        );
        self
    }

    /// Adds a global of a C type and the statement that initialises it, where `*NAME` is the
    /// global. The initialisation logs `fresh MODULE.GLOBAL`.
    pub fn global(mut self, c_type: &str, name: &str, initialisation: &str) -> Self {
        let _ = writeln!(self.declarations, "static __typeof__({c_type}) *{name};");
        let _ = writeln!(
            self.init,
            "    if (hcrRegisterGlobal(MODULE, \"{name}\", sizeof *{name}, 0, (void **)&{name})) {{\n        \
                 fixture_log(\"fresh %s.{name}\", NAME);\n        {initialisation}\n    }}"
        );
        self
    }

    /// Fetches the proc `long NAME(long)` of another module in DatInit; C code calls it as
    /// `MODULE_NAME(x)`.
    pub fn uses_proc(mut self, module: &str, name: &str) -> Self {
        let alias = format!("{}_{name}", identifier(module));
        let _ = writeln!(self.declarations, "static long (*{alias})(long x);");
        let _ = writeln!(
            self.dat,
            "    {alias} = hcrGetProc(@{{{module}}}, \"{name}\");"
        );
        self
    }

    /// Fetches another module's global in Init; C code reaches it as `*MODULE_NAME`.
    pub fn uses_global(mut self, c_type: &str, module: &str, name: &str) -> Self {
        let alias = format!("{}_{name}", identifier(module));
        let _ = writeln!(self.declarations, "static __typeof__({c_type}) *{alias};");
        let _ = writeln!(
            self.init,
            "    {alias} = hcrGetGlobal(@{{{module}}}, \"{name}\");"
        );
        self
    }

    /// Adds a handler that runs before a reload.
    pub fn before(self, body: &str) -> Self {
        self.handler(true, body)
    }

    /// Adds a handler that runs after a reload.
    pub fn after(self, body: &str) -> Self {
        self.handler(false, body)
    }

    fn handler(mut self, before: bool, body: &str) -> Self {
        let name = format!("handler_{}", self.handlers);
        self.handlers += 1;
        let _ = writeln!(
            self.declarations,
            "static void {name}(void *environment __attribute__((unused))) {{ {body} }}"
        );
        let _ = writeln!(
            self.init,
            "    hcrAddEventHandler({}, {name}, 0);",
            u8::from(before)
        );
        self
    }

    /// Adds top-level code, which runs once in the life of the module.
    pub fn top_level(self, statements: &str) -> Self {
        self.init(&format!("if (first_time) {{ {statements} }}"))
    }

    /// Adds statements that run in every Init000.
    pub fn init(mut self, statements: &str) -> Self {
        let _ = writeln!(self.init, "    {statements}");
        self
    }

    /// Adds statements that run in every DatInit000.
    pub fn dat(mut self, statements: &str) -> Self {
        let _ = writeln!(self.dat, "    {statements}");
        self
    }

    /// Adds statements that run in every HcrCreateTypeInfos.
    pub fn type_infos(mut self, statements: &str) -> Self {
        let _ = writeln!(self.type_infos, "    {statements}");
        self
    }

    /// Adds C code at file scope.
    pub fn declare(mut self, code: &str) -> Self {
        let _ = writeln!(self.declarations, "{code}");
        self
    }

    /// Leaves one of the protocol's exports out.
    pub fn without_export(mut self, export: &'static str) -> Self {
        assert!(EXPORTS.contains(&export), "{export} is no export");
        self.left_out.insert(export);
        self
    }

    /// Replaces the compiler's flags (`-O1`).
    pub fn flags<'a>(mut self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        self.flags = flags.into_iter().map(ToOwned::to_owned).collect();
        self
    }

    /// The compiler's flags.
    pub fn compiler_flags(&self) -> &[String] {
        &self.flags
    }

    /// The C source; `path_of` tells where the library of a module lies.
    pub fn source(&self, path_of: impl Fn(&str) -> PathBuf) -> String {
        let mut source = format!(
            "#define MODULE {}\n#define NAME {}\n#include \"module.h\"\n{}",
            c_string(&path_of(&self.name)),
            c_string(Path::new(&self.name)),
            resolve(&self.declarations, &path_of)
        );
        for export in EXPORTS {
            if !self.left_out.contains(export) {
                source.push_str(&self.export(export, &path_of));
            }
        }
        source
    }

    fn export(&self, export: &str, path_of: &impl Fn(&str) -> PathBuf) -> String {
        match export {
            "HcrGetImportedModules" => {
                let mut list = String::new();
                for module in &self.imports {
                    let _ = write!(list, "{}, ", c_string(&path_of(module)));
                }
                format!("IMPORTED_MODULES({list}\"\")\n")
            }
            "HcrGetSigHash" => "SIG_HASH\n".to_owned(),
            "HcrInit000" => "HCR_INIT\n".to_owned(),
            "HcrCreateTypeInfos" => {
                format!("TYPE_INFOS {{\n{}}}\n", resolve(&self.type_infos, path_of))
            }
            "DatInit000" => format!("DAT_INIT {{\n{}}}\n", resolve(&self.dat, path_of)),
            _ => format!("INIT {{\n{}}}\n", resolve(&self.init, path_of)),
        }
    }
}

/// What `HcrGetSigHash` of a module of this name returns: it must not change between versions.
pub fn sig_hash(name: &str) -> String {
    format!("hash of {name}")
}

/// Puts the paths of modules where the markers stand.
fn resolve(code: &str, path_of: &impl Fn(&str) -> PathBuf) -> String {
    let mut resolved = String::new();
    let mut rest = code;
    while let Some(start) = rest.find("@{") {
        let end = start + rest[start..].find('}').expect("a marker ends with }");
        resolved.push_str(&rest[..start]);
        resolved.push_str(&c_string(&path_of(&rest[start + 2..end])));
        rest = &rest[end + 1..];
    }
    resolved + rest
}

/// A C string literal with the path's bytes.
fn c_string(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let mut literal = String::from("\"");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => {
                literal.push('\\');
                literal.push(char::from(byte));
            }
            // Always three digits, so that what follows is never taken for a part of it. The
            // question mark could begin a trigraph.
            0..=31 | b'?' | 127.. => {
                let _ = write!(literal, "\\{byte:03o}");
            }
            _ => literal.push(char::from(byte)),
        }
    }
    literal.push('"');
    literal
}

/// A C identifier made of a module's name.
fn identifier(module: &str) -> String {
    module
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_c_string_with_the_same_bytes() {
        assert_eq!(
            c_string(Path::new("/a b/\"%\\é?")),
            r#""/a b/\"%\\\303\251\077""#
        );
    }

    #[test]
    fn markers_become_paths() {
        let resolved = resolve("f(@{b c}, @{d});", &|name| {
            PathBuf::from(format!("/m/{name}.so"))
        });
        assert_eq!(resolved, r#"f("/m/b c.so", "/m/d.so");"#);
    }
}
