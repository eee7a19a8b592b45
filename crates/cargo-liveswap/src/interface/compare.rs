//! Compares two files item by item.

use std::ops::Range;

use super::items::{Item, What, scan};
use super::known::{Attribute, Names};
use super::source::{Mode, Source};
use super::{Cause, Why, added, body};

/// One file with what is known of it.
pub(super) struct File<'a> {
    pub source: Source<'a>,
    pub names: Names<'a>,
}

/// The two files that are compared.
pub(super) struct Comparison<'a> {
    pub old: File<'a>,
    pub new: File<'a>,
}

/// When is the place of a token in the file a part of its meaning?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Places {
    /// In code that runs: only where it asks for its line as a value.
    Code,
    /// In what the compiler evaluates: in macros that may ask, too.
    Constant,
}

impl<'a> File<'a> {
    pub fn new(text: &'a str) -> Result<Self, Why> {
        let source = Source::new(text)?;
        let names = Names::new(&source);
        Ok(File { source, names })
    }

    fn items(&self, range: Range<usize>) -> Result<Vec<Item>, Why> {
        let mut items = scan(&self.source, &self.names, range)?;
        // Nothing of a test is in a program that runs.
        items.retain(|item| !item.only_in_tests);
        Ok(items)
    }

    /// Nothing in this range is expanded: no macro is called or defined, no attribute may be a macro.
    fn is_plain(&self, range: Range<usize>) -> bool {
        let source = &self.source;
        range.into_iter().all(|at| {
            if source.is(at, b'#') {
                let inner = source.is(at + 1, b'!');
                let open = at + 1 + usize::from(inner);
                return source.close(open).is_some_and(|close| {
                    self.names.attribute(source, open + 1..close, inner) != Attribute::Unknown
                });
            }
            source.macro_call(at).is_none() && !matches!(source.word(at), "macro_rules" | "macro")
        })
    }

    /// Places of tokens in this range that have a place as a part of their meaning.
    fn places(&self, range: Range<usize>, places: Places) -> Vec<(u32, u32)> {
        let source = &self.source;
        let asks = |&at: &usize| match source.macro_call(at) {
            Some(_) if matches!(source.text(at), "line" | "column") => true,
            Some(_) => {
                places == Places::Constant
                    && !(source.is(at.wrapping_sub(1), b':')
                        || self.names.knows_macro(source, at, at))
            }
            None => places == Places::Constant && source.word(at) == "caller",
        };
        range
            .into_iter()
            .filter(asks)
            .map(|at| source.place(at))
            .collect()
    }
}

impl Comparison<'_> {
    /// Compares two whole files.
    pub fn files(&self) -> Result<(), Why> {
        self.items(self.old.source.all(), self.new.source.all(), true, None)
    }

    /// Compares the items in two ranges. `visible`: why other crates see the bodies in them, if they do.
    fn items(
        &self,
        old: Range<usize>,
        new: Range<usize>,
        is_module: bool,
        visible: Option<Cause>,
    ) -> Result<(), Why> {
        let new_end = new.end;
        let mut old = self.old.items(old)?;
        let mut new = self.new.items(new)?;
        let unknown = |item: &&Item| item.is_inner && item.attributes != Attribute::Harmless;
        if let Some(item) = new.iter().find(unknown) {
            return Err(self.why(Cause::UnknownAttribute, item.all.start));
        }
        if is_module {
            added::set_aside((&self.old, &mut old), (&self.new, &mut new));
        }
        for (before, after) in old.iter().zip(&new) {
            self.item(before, after, visible)?;
        }
        match new.get(old.len()) {
            Some(added) => Err(self.why(Cause::Outside, added.all.start)),
            None if old.len() > new.len() => Err(self.why(Cause::Outside, new_end)),
            None => Ok(()),
        }
    }

    fn why(&self, cause: Cause, at: usize) -> Why {
        Why::new(cause, self.new.source.line(at))
    }

    fn item(&self, old: &Item, new: &Item, visible: Option<Cause>) -> Result<(), Why> {
        match (old.what, new.what) {
            (What::Function(_), What::Function(seen)) => {
                let is_const = seen == Some(Cause::Const) || visible == Some(Cause::Const);
                self.function(old, new, visible.or(seen), is_const)
            }
            (What::Container(_), What::Container(seen)) => {
                let expands = new.attributes != Attribute::Harmless;
                if expands {
                    self.same(old.all.clone(), new.all.clone())
                        .map_err(|why| match why.cause {
                            Cause::Outside => Why::new(Cause::UnknownAttribute, why.line),
                            _ => why,
                        })?;
                    return self.stays(&old.all, &new.all, Places::Code);
                }
                self.header(old, new)?;
                let (before, after) = (old.body.clone(), new.body.clone());
                self.items(before, after, new.is_module, visible.or(seen))
            }
            // A macro asks for the place where it is called.
            (What::MacroDefinition, What::MacroDefinition) => {
                self.same(old.all.clone(), new.all.clone())
            }
            _ => {
                self.same(old.all.clone(), new.all.clone())?;
                self.stays(&old.all, &new.all, Places::Constant)
            }
        }
    }

    /// What stands before the body.
    fn header(&self, old: &Item, new: &Item) -> Result<(), Why> {
        let before = old.all.start..old.body.start;
        let after = new.all.start..new.body.start;
        self.same(before.clone(), after.clone())?;
        self.stays(&before, &after, Places::Constant)
    }

    fn function(
        &self,
        old: &Item,
        new: &Item,
        visible: Option<Cause>,
        is_const: bool,
    ) -> Result<(), Why> {
        self.header(old, new)?;
        let Some(cause) = visible else {
            let (before, after) = (old.body.clone(), new.body.clone());
            let unchanged = self.old.source.same(
                before.clone(),
                &self.new.source,
                after.clone(),
                Mode::AsMacro,
            );
            if unchanged.is_ok() {
                return Ok(());
            }
            return body::check(
                (&self.old.source, &self.old.names, before),
                (&self.new.source, &self.new.names, after),
            );
        };
        self.same(old.all.clone(), new.all.clone())
            .map_err(|why| Why::new(cause, why.line))?;
        let places = if is_const {
            Places::Constant
        } else {
            Places::Code
        };
        self.stays(&old.all, &new.all, places)
    }

    /// The same tokens, as closely as it matters.
    fn same(&self, old: Range<usize>, new: Range<usize>) -> Result<(), Why> {
        let compare = |mode| {
            let (old, new) = (old.clone(), new.clone());
            self.old.source.same(old, &self.new.source, new, mode)
        };
        compare(Mode::AsMacro)
            .or_else(|at| {
                if self.old.is_plain(old.clone()) && self.new.is_plain(new.clone()) {
                    compare(Mode::AsCode)
                } else {
                    Err(at)
                }
            })
            .map_err(|at| self.why(Cause::Outside, at))
    }

    /// Tokens that ask for their place are where they were.
    fn stays(&self, old: &Range<usize>, new: &Range<usize>, places: Places) -> Result<(), Why> {
        let (before, after) = (&self.old.source, &self.new.source);
        let ends = |source: &Source<'_>, range: &Range<usize>| {
            (
                source.place(range.start),
                range.end.checked_sub(1).map(|last| source.place(last)),
            )
        };
        // The same text at the same place.
        if ends(before, old) == ends(after, new) && before.is_same_text(old, after, new) {
            return Ok(());
        }
        if self.old.places(old.clone(), places) == self.new.places(new.clone(), places) {
            Ok(())
        } else {
            Err(self.why(Cause::Moved, new.start))
        }
    }
}
