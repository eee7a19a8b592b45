//! Where code comes from that is not among the new objects: the archives of the link line, and live objects.

use std::sync::Arc;

/// A member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// The archive, by any name that is the same each time.
    pub archive: Arc<str>,
    /// The member's name.
    pub name: Arc<str>,
    /// Its bytes: an object.
    pub bytes: Arc<[u8]>,
}

/// An object that is live, as the compiler wrote it.
#[derive(Clone, Debug)]
pub struct LiveBytes {
    /// The name of its crate, for reports.
    pub crate_name: String,
    /// Its bytes.
    pub bytes: Arc<[u8]>,
}

/// What can be asked for.
pub trait Supply {
    /// The first member of an archive in the order of the link line that defines this symbol.
    fn member_defining(&self, symbol: &str) -> Option<Member>;

    /// The live object of a codegen unit.
    fn live_object(&self, cgu: &str) -> Option<LiveBytes>;
}

/// Nothing at all.
#[derive(Clone, Copy, Debug)]
pub struct NoSupply;

impl Supply for NoSupply {
    fn member_defining(&self, _symbol: &str) -> Option<Member> {
        None
    }

    fn live_object(&self, _cgu: &str) -> Option<LiveBytes> {
        None
    }
}
