//! Thread-locals under `--tlsEmulation:on`.
//!
//! The compiler then makes them fields of one struct of the whole program, which each thread has in the heap of
//! `libnimrtl.so`: contents stay over reloads by themselves. But offsets are in the code of
//! everybody, the main program's included, so a build that moves a field that exists must not run beside
//! the code before it.

use std::sync::{Mutex, PoisonError};

use crate::c_file::Definitions;
use crate::c_name;

/// Identities, types and layouts of fields, in order.
type Fields = Vec<(Vec<u8>, String, u64)>;

/// The fields that the struct has in a C file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Emulated {
    fields: Fields,
}

/// The struct of the running program.
#[derive(Debug, Default)]
pub(crate) struct Current {
    fields: Mutex<Fields>,
}

impl Emulated {
    /// Reads the struct; `None` if the C file has none.
    pub(crate) fn of_text(text: &str, definitions: &Definitions<'_>) -> Option<Emulated> {
        let end = text.find("\n} NimThreadVars;")?;
        const BEGIN: &str = "typedef struct {";
        let start = text[..end].rfind(BEGIN)? + BEGIN.len();
        let field = |line: &str| {
            let (kind, name) = line.trim().strip_suffix(';')?.rsplit_once(' ')?;
            let layout = definitions.layout(kind);
            Some((
                c_name::identity_of_variable(name.as_bytes()),
                kind.to_owned(),
                layout,
            ))
        };
        Some(Emulated {
            fields: text[start..end].lines().filter_map(field).collect(),
        })
    }
}

impl Current {
    /// Whether code with this struct can run beside all that was committed.
    ///
    /// # Errors
    /// The thread-local that is elsewhere.
    pub(crate) fn admits(&self, new: &Emulated) -> Result<(), String> {
        let current = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        let differs = current
            .iter()
            .zip(&new.fields)
            .find(|(old, new)| old != new);
        let Some(((old, ..), _)) = differs else {
            return Ok(());
        };
        let name = old.split(|byte| *byte == 0).next().unwrap_or(old);
        Err(format!(
            "thread-local {} would lie elsewhere: with --tlsEmulation:on new ones fit in only behind all \
             others, at the end of the main program's imports; restart the program, or compile it without",
            String::from_utf8_lossy(name)
        ))
    }

    /// Code with this struct runs.
    pub(crate) fn committed(&self, new: &Emulated) {
        let mut current = self.fields.lock().unwrap_or_else(PoisonError::into_inner);
        if new.fields.len() > current.len() {
            current.clone_from(&new.fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emulated(fields: &str) -> Emulated {
        let text = format!(
            "typedef struct {{int x;}} other;\ntypedef struct {{tyP hook__system_1;\n{fields}}} NimThreadVars;\n"
        );
        Emulated::of_text(&text, &Definitions::new(&text)).expect("a struct")
    }

    #[test]
    fn a_new_field_behind_all_others_is_admitted() {
        let current = Current::default();
        current.committed(&emulated("NI a__m_1___H;\n"));
        assert_eq!(
            current.admits(&emulated("NI a__m_4___H;\nNI b__m_5___H;\n")),
            Ok(())
        );
        assert_eq!(current.admits(&emulated("")), Ok(()));
    }

    #[test]
    fn a_field_that_moves_is_not() {
        let current = Current::default();
        current.committed(&emulated("NI a__m_1___H;\nNI c__n_1___H;\n"));
        let said = current.admits(&emulated(
            "NI a__m_1___H;\nNI b__m_2___H;\nNI c__n_1___H;\n",
        ));
        assert!(said.is_err_and(|said| said.starts_with("thread-local c would lie")));
    }

    #[test]
    fn a_program_without_emulation_has_no_struct() {
        let text = "typedef struct {int x;} other;\n";
        assert_eq!(Emulated::of_text(text, &Definitions::new(text)), None);
    }
}
