//! A proof, from the text alone, that an edit of a source file leaves the interface of its crate unchanged: that the
//! compilation of another crate cannot have used what changed. Then no dependent needs to be compiled.
//!
//! The proof is item by item. Everything outside of function bodies must be the same tokens. A body may differ if
//! other crates see nothing of it:
//!
//! - It is compiled in its own crate and nowhere else. So: no type or const parameters on the function or its `impl`,
//!   no default method of a trait, no `const fn`, no `#[inline]`.
//! - Nothing of it shows in a type. So: no `async fn`, no `impl Trait` in the signature.
//! - It is what the compiler sees. So: no attribute and no macro around it that is not known.
//! - It holds nothing that reaches out of it: no `impl`, no macro definition, no changed call of an unknown macro (which
//!   could expand to an `impl`).
//!
//! Private functions may come and go in modules where no other name can change its meaning by that.
//!
//! What is not understood is no proof.
//!
//! Two things may differ in a dependent although the proof holds, and neither makes its old code wrong:
//!
//! - Lines. Generic and inline functions below the edit keep their old line numbers in dependents (locations of panics,
//!   debug information) until these are compiled again. Where a line is a value that counts (`line!()` outside of
//!   such bodies), its move is a change.
//! - Instances of generic functions. At low optimisation levels a dependent uses the instances that its dependencies
//!   have already made. If an edited body no longer needs `Vec::<Item>::push`, its crate's objects no longer define
//!   that instance, and a dependent compiled before still calls it. It is right code: keep it.
//!
//! The proof trusts that a name of the standard library's macros that is neither imported nor defined in the file
//! means that macro, and that no macro or derive makes its result depend on the line on which it stands unless
//! it is a macro called outside of bodies.

mod added;
#[cfg(test)]
mod against_rustc;
mod body;
mod compare;
mod included;
mod items;
mod known;
pub(crate) mod source;
#[cfg(test)]
mod tests;

use std::fmt;

use compare::{Comparison, File};

pub use included::may_include;

/// Proves that the difference between two versions of a file is hidden from other crates. The file must be a module of
/// its crate: for text that comes in by `include!` or `include_str!` this says nothing (see [`may_include`]).
///
/// `no_inference`: the crate is compiled at optimisation level 0, or with `-C incremental` at any level. Otherwise
/// the compiler makes small functions inlinable in other crates, and tells them what it found out about parameters.
pub fn unchanged(old: &str, new: &str, no_inference: bool) -> Result<(), Why> {
    if old == new {
        return Ok(());
    }
    let comparison = Comparison {
        old: File::new(old)?,
        new: File::new(new)?,
    };
    let (old, new) = (&comparison.old.source, &comparison.new.source);
    if old.head != new.head {
        return Err(Why::new(Cause::Outside, 1));
    }
    // Without a changed token inside of bodies, optimisation has nothing to look at.
    if !no_inference {
        return match old.same(old.all(), new, new.all(), source::Mode::AsMacro) {
            Ok(()) => comparison.files(),
            Err(at) => Err(Why::new(Cause::Optimised, new.line(at))),
        };
    }
    comparison.files()
}

/// Why the proof failed, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why {
    /// What other crates may see.
    pub cause: Cause,
    /// The line in the new text, from 1.
    pub line: u32,
}

/// What other crates may see of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Something outside of function bodies.
    Outside,
    /// The body of a function with type or const parameters, or of a method in such an `impl`.
    Generic,
    /// The body of a method that a trait provides.
    DefaultMethod,
    /// The body of a `const fn`.
    Const,
    /// The body of an `async fn`, whose future it defines.
    Async,
    /// The body of a function with `impl Trait` in its signature.
    OpaqueType,
    /// The body of an inline function.
    Inline,
    /// A crate that is optimised as a whole.
    Optimised,
    /// A macro stands in a signature.
    MacroInSignature,
    /// An attribute may be a macro.
    UnknownAttribute,
    /// A macro in the body may expand to anything.
    UnknownMacro,
    /// An `impl` in the body.
    NestedImpl,
    /// A macro defined in the body.
    NestedMacro,
    /// Something that asks for its own line has moved.
    Moved,
    /// The text is not understood.
    NotUnderstood,
}

impl Why {
    fn new(cause: Cause, line: u32) -> Self {
        Why { cause, line }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Outside => "changed outside of function bodies",
            Cause::Generic => "changed in a generic function",
            Cause::DefaultMethod => "changed in a trait",
            Cause::Const => "changed in a const fn",
            Cause::Async => "changed in an async fn",
            Cause::OpaqueType => "changed in a function with `impl Trait` in its signature",
            Cause::Inline => "changed in an inline function",
            Cause::Optimised => "changed in an optimised crate",
            Cause::MacroInSignature => "changed in a function with a macro in its signature",
            Cause::UnknownAttribute => "changed below an attribute that may be a macro",
            Cause::UnknownMacro => "changed in or beside a macro that may define anything",
            Cause::NestedImpl => "changed in a function with an `impl` in its body",
            Cause::NestedMacro => "changed in a function with a macro definition in its body",
            Cause::Moved => "something that may use its own line number has moved",
            Cause::NotUnderstood => "not understood",
        })
    }
}

impl std::error::Error for Why {}
