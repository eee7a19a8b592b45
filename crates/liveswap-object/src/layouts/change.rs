//! What is reported.

use std::fmt;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// A struct became an enum, for instance.
    Kind,
    /// A field is new.
    MemberAdded,
    /// A field is gone.
    MemberRemoved,
    /// A field has another place, type or size.
    MemberChanged,
    /// A variant of an enum is new.
    VariantAdded,
    /// A variant of an enum is gone.
    VariantRemoved,
    /// A variant is told by another value, or by a value at another place.
    Discriminant,
    /// The size of the whole.
    Size,
    /// The alignment of the whole.
    Align,
    /// A trait's methods have another order, number or signature.
    Trait,
    /// Parameters or result of a function.
    Signature,
    /// The type of a static.
    Static,
}

/// One difference between old and new code that living data does not survive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changed.
    pub kind: ChangeKind,
    /// Name of the type, of the implementation `<T as Trait>`, of the function or of the static.
    pub type_name: String,
    /// The field (`x`, or `Variant.x`), the variant, or the method: its slot, or its name.
    pub member: Option<String>,
    /// How it was; empty for what is new.
    pub old: String,
    /// How it is; empty for what is gone.
    pub new: String,
    /// Whether this is not just the consequence of another change.
    pub cause: bool,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Change { old, new, .. } = self;
        write!(f, "`{}` changed: ", self.type_name)?;
        let member = self.member.as_deref().unwrap_or_default();
        match self.kind {
            ChangeKind::Kind => write!(f, "it was {old}, is {new}"),
            ChangeKind::MemberAdded => write!(f, "field `{member}` is new ({new})"),
            ChangeKind::MemberRemoved => write!(f, "field `{member}` is gone (it was {old})"),
            ChangeKind::MemberChanged => write!(f, "field `{member}` was {old}; is {new}"),
            ChangeKind::VariantAdded => write!(f, "variant `{member}` is new"),
            ChangeKind::VariantRemoved => write!(f, "variant `{member}` is gone"),
            ChangeKind::Discriminant if member.is_empty() => {
                write!(f, "the discriminant was {old}; is {new}")
            }
            ChangeKind::Discriminant => {
                write!(f, "the discriminant of `{member}` was {old}, is {new}")
            }
            ChangeKind::Size => write!(f, "its size was {old}, is {new}"),
            ChangeKind::Align => write!(f, "its alignment was {old}, is {new}"),
            ChangeKind::Trait if member.is_empty() => {
                write!(f, "the trait had {old} methods, has {new}")
            }
            ChangeKind::Trait => write!(f, "method {member} of the trait was `{old}`, is `{new}`"),
            ChangeKind::Signature | ChangeKind::Static => write!(f, "it was `{old}`, is `{new}`"),
        }
    }
}
